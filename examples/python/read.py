#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Shows a channel in a window, each picture with the counter that write.py gave it.

Waits for the writer, and for the next one. Takes the newest picture whenever it is done
with the one before, so it never holds up anybody. Other writers have no counter.
"""

import argparse
import os
import time

import cv2
import possum

from shared import run

WAIT = 0.05  # seconds without a picture until the window's keys are looked at
# To what OpenCV draws on and shows. Where colours are luma and chroma it takes them for BT.601 in
# studio range (black 16, white 235), whatever the caps say.
TO_BGR = {
    "BGR": None,
    "RGB": cv2.COLOR_RGB2BGR,
    "BGRx": cv2.COLOR_BGRA2BGR,
    "BGRA": cv2.COLOR_BGRA2BGR,
    "RGBx": cv2.COLOR_RGBA2BGR,
    "RGBA": cv2.COLOR_RGBA2BGR,
    "GRAY8": cv2.COLOR_GRAY2BGR,
    "YUY2": cv2.COLOR_YUV2BGR_YUY2,
    "UYVY": cv2.COLOR_YUV2BGR_UYVY,
    "NV12": cv2.COLOR_YUV2BGR_NV12,
    "NV21": cv2.COLOR_YUV2BGR_NV21,
    "I420": cv2.COLOR_YUV2BGR_NV12,  # once its chroma planes are one, as is YV12's
    "YV12": cv2.COLOR_YUV2BGR_NV21,
}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Shows a possum channel.")
    parser.add_argument("--channel", default="default", help="channel to read")
    parser.add_argument("--no-display", action="store_true", help="only print")
    parser.add_argument("--frames", type=int, metavar="N", help="end after N frames")
    parser.add_argument("--delay", type=float, default=0, help="seconds of work a picture")
    return parser.parse_args()


def bgr_of(frame):
    """A picture of our own to draw on: the frame belongs to all readers."""
    if frame.format not in TO_BGR:
        raise RuntimeError(
            f"{frame.caps} is not shown here: put videoconvert before possumsink"
        )
    code = TO_BGR[frame.format]
    if code is None:
        return frame.copy()
    if len(frame.planes) == 1:
        return cv2.cvtColor(frame, code)
    luma, *chroma = frame.planes
    height, width = luma.shape
    if height % 2 or width % 2:  # OpenCV wants whole pairs
        luma = cv2.copyMakeBorder(luma, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    both = chroma[0] if len(chroma) == 1 else cv2.merge(chroma)
    return cv2.cvtColorTwoPlane(luma, both, code)[:height, :width].copy()


class Counters:
    """The newest values of the other channel, by the capture time of their picture."""

    def __init__(self, channel):
        self._reader = possum.Reader(channel + ".counter", depth=16, ignore_eos=True)
        self._known = {}

    def of(self, frame):
        """None where the writer has none, or had sent it before this reader was there."""
        self.catch_up()
        return self._known.get(frame.capture)

    def catch_up(self):
        """Waits for nothing: a counter is sent before its picture."""
        try:
            while True:
                counter = self._reader.read(timeout=0)
                if counter is None:
                    break
                self._known[counter.capture] = counter.value
        except possum.Timeout:
            pass
        while len(self._known) > 64:
            del self._known[next(iter(self._known))]

    def close(self):
        self._reader.close()


def describe(frame, counter):
    text = f"frame {frame.seq}, {frame.age * 1000:.1f} ms old, {frame.missed} missed"
    if counter:
        text += f", number {counter.number} from {counter.source.decode(errors='replace')}"
    return text


def show(name, frame, text):
    picture = bgr_of(frame)
    cv2.putText(picture, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    cv2.imshow(name, picture)


def wants_to_end(name):
    """Looks after the window. It is gone when the user closed it."""
    key = cv2.waitKey(1) & 0xFF
    return key in (ord("q"), 27) or cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) < 1


def read(options, reader, counters, window):
    name = f"possum {options.channel}"
    if window:
        cv2.namedWindow(name, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    left = options.frames
    while left is None or left > 0:
        counters.catch_up()
        try:
            frame = reader.read(timeout=WAIT if window else None)
        except possum.Timeout:
            frame = None
        else:
            if frame is None:
                print("the writer says that this was all")
                return
            text = describe(frame, counters.of(frame))
            if window:
                show(name, frame, text)
            print(f"{text}, {frame.mean():.1f} bright", flush=True)
            left = left and left - 1
            frame = None  # its slot goes back while we do something else
            time.sleep(options.delay)
        if window and wants_to_end(name):
            return


def main():
    options = parse_arguments()
    window = not options.no_display and bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    with possum.Reader(options.channel, depth=1) as reader:
        counters = Counters(options.channel)
        try:
            print(f"waiting for {options.channel}", flush=True)
            read(options, reader, counters, window)
        finally:
            counters.close()


if __name__ == "__main__":
    run(main)

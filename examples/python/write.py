#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Pictures of a camera, a file, or none (drawn here) into a channel, and a counter beside it.

The counter is a ctypes structure in a channel of its own, CHANNEL.counter. It carries the
same capture time, in nanoseconds, as the picture that it belongs to.
"""

import argparse
import ctypes
import time

import cv2
import numpy
import possum

from shared import run


class Counter(ctypes.Structure):
    _fields_ = [
        ("number", ctypes.c_uint64),  # of the picture, from 0 on
        ("brightness", ctypes.c_double),  # its mean
        ("source", ctypes.c_char * 32),  # who made it
    ]


def parse_arguments():
    parser = argparse.ArgumentParser(description="Writes pictures into a possum channel.")
    parser.add_argument("--channel", default="default", help="channel to write")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--camera", type=int, metavar="N", help="camera /dev/videoN")
    what.add_argument("--file", help="a video file, at its own rate")
    parser.add_argument("--size", default="640x480", help="of the drawn picture (640x480)")
    parser.add_argument("--fps", type=float, default=30, help="of the drawn picture (30)")
    parser.add_argument("--frames", type=int, metavar="N", help="end after N frames")
    options = parser.parse_args()
    try:
        options.size = tuple(int(side) for side in options.size.split("x"))
        options.width, options.height = options.size
    except ValueError:
        parser.error("--size wants WIDTHxHEIGHT, such as 640x480")
    if min(options.size) < 1 or options.fps <= 0:
        parser.error("--size and --fps must be positive")
    return options


def drawn(options):
    """A disc that goes round on a gradient."""
    width, height = options.size
    ground = numpy.zeros((height, width, 3), "u1")
    ground[:, :, 0] = numpy.linspace(0, 160, width)
    ground[:, :, 1] = numpy.linspace(0, 160, height)[:, None]
    number = 0
    while True:
        picture = ground.copy()
        angle = number / options.fps
        at = numpy.array([numpy.cos(angle), numpy.sin(angle)]) * min(options.size) / 3
        centre = (at + numpy.array(options.size) / 2).astype(int).tolist()
        cv2.circle(picture, centre, min(options.size) // 8, (80, 200, 255), -1)
        yield picture
        number += 1


def recorded(source, name):
    """What OpenCV reads of a camera or a file."""
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            raise RuntimeError(f"OpenCV cannot open {name}")
        while True:
            ok, picture = capture.read()
            if not ok:
                return
            yield picture
    finally:
        capture.release()


def rate_of(file):
    """A file's own, 25 where it does not say."""
    capture = cv2.VideoCapture(file)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 0 < rate < 1000 else 25


def paced(pictures, rate):
    """One each 1/rate seconds; after a delay the next ones do not hurry."""
    due = time.monotonic()
    for picture in pictures:
        yield picture
        due = max(due + 1 / rate, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))


def pictures_of(options):
    """Name, pictures, and their rate, 0 where nobody knows."""
    if options.camera is not None:
        name = f"camera {options.camera}"
        return name, recorded(options.camera, name), 0
    if options.file:
        rate = rate_of(options.file)
        return options.file, paced(recorded(options.file, options.file), rate), rate
    return "drawn", paced(drawn(options), options.fps), options.fps


def write(options, source, pictures, first, rate):
    height, width, _ = first.shape
    channel = options.channel
    with possum.Writer(
        channel, format="BGR", width=width, height=height, framerate=rate
    ) as writer, possum.Writer(channel + ".counter", type=Counter) as counters:
        print(f"writing {channel}: BGR {width}x{height} from {source}", flush=True)
        picture, number = first, 0
        while picture is not None and number != options.frames:
            moment = time.monotonic_ns()
            counter = Counter(number, picture.mean(), source.encode()[-31:])
            # First the counter: who has the picture finds it there.
            counters.write(counter, capture=moment)
            writer.write(picture, capture=moment)
            picture, number = next(pictures, None), number + 1
        for end in (writer, counters):
            end.eos()  # readers that are there end as well
        print(f"written: {writer.statistics.frames}", flush=True)


def main():
    options = parse_arguments()
    source, pictures, rate = pictures_of(options)
    first = next(pictures, None)  # says how large they are
    if first is None:
        raise RuntimeError(f"There is no picture in {source}")
    write(options, source, pictures, first, rate)


if __name__ == "__main__":
    run(main)

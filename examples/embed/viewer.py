#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""A channel in a window, and its frames as NumPy arrays beside it, across restarts.

python3-gi belongs to the distribution's own Python, hence the first line.
"""

import argparse
import sys
import threading
import time

import numpy

from application import Application, Gst, GstVideo, display, post, run, tell

# The appsink keeps the newest frame only: who computes longer misses frames, not time.
PIPELINE = """
    possumsrc name=source ignore-eos={ignore_eos} ! tee name=tee
    tee. ! queue leaky=downstream max-size-buffers=1 ! videoconvert ! {display}
    tee. ! queue leaky=downstream max-size-buffers=1 ! videoconvert !
        appsink name=frames caps=video/x-raw,format=BGR sync=false max-buffers=1 drop=true
            enable-last-sample=false emit-signals=true
"""


def array_of(buffer, mapped, caps):
    """The frame as height x width x 3, valid while it is mapped.

    The stride comes from the frame: rows may be padded.
    """
    info = GstVideo.VideoInfo.new_from_caps(caps)
    meta = GstVideo.buffer_get_video_meta(buffer)
    offset = meta.offset[0] if meta else info.offset[0]
    stride = meta.stride[0] if meta else info.stride[0]
    return numpy.ndarray(
        (info.height, info.width, 3),
        numpy.uint8,
        buffer=mapped.data,
        offset=offset,
        strides=(stride, 3, 1),
    )


class Viewer(Application):
    def __init__(self, options):
        super().__init__(
            PIPELINE.format(
                ignore_eos=not options.until_eos, display=display(not options.no_window)
            )
        )
        self.element("source").set_property("channel", options.channel)
        self.element("frames").connect("new-sample", self._on_sample)
        self._format = None  # streaming thread only
        self._looked = time.monotonic()  # main loop only
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._frames = 0
        self._age = 0
        self._brightness = 0.0

    def _on_sample(self, sink):
        """In the streaming thread."""
        sample = sink.emit("pull-sample")
        if sample is None:
            return Gst.FlowReturn.EOS
        buffer, caps = sample.get_buffer(), sample.get_caps()
        captured = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        age = self.pipeline.get_current_running_time() - captured
        # Without python3-gst-1.0, mapped.data is a copy.
        ok, mapped = buffer.map(Gst.MapFlags.READ)
        if not ok:
            return Gst.FlowReturn.ERROR
        try:
            picture = array_of(buffer, mapped, caps)
            self._note(picture.mean(), age, f"{picture.shape[1]}x{picture.shape[0]}")
        finally:
            buffer.unmap(mapped)
        return Gst.FlowReturn.OK

    def _note(self, brightness, age, size):
        if size != self._format:
            self._format = size
            post(self.pipeline, "size", text=size)
        with self._lock:
            self._frames += 1
            self._age = age
            self._brightness = brightness

    def on_progress(self, text):
        tell(text)

    def on_news(self, name, fields):
        if name == "size":
            tell(f"showing {fields['text']}")

    def on_second(self):
        with self._lock:
            frames, age, brightness = self._frames, self._age, self._brightness
            self._frames = 0
        # The first look comes late when the window takes long to open.
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        if frames:
            tell(f"{frames / passed:.0f} fps   age {age / Gst.MSECOND:.1f} ms   brightness {brightness:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channel", default="default", help="channel to show")
    parser.add_argument(
        "--until-eos",
        action="store_true",
        help="end when a writer says that its stream ends",
    )
    parser.add_argument("--no-window", action="store_true", help="only print")
    return run(Viewer, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

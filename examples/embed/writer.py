#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""A moving picture in a window and, by possumsink beside it, in a channel.

python3-gi belongs to the distribution's own Python, hence the first line.
"""

import argparse
import sys

from application import Application, Gst, display, post, run, tell

# Size, format and rate may change with any frame.
PICTURES = (
    "video/x-raw,format=I420,width=640,height=360,framerate=30/1",
    "video/x-raw,format=NV12,width=1280,height=720,framerate=30/1",
    "video/x-raw,format=BGRx,width=320,height=240,framerate=15/1",
)

# A leaky queue before each sink: neither ever waits for the other.
PIPELINE = """
    videotestsrc is-live=true pattern=ball num-buffers={frames} !
        capsfilter name=picture caps={caps} ! tee name=tee
    tee. ! queue leaky=downstream max-size-buffers=2 ! videoconvert ! {display}
    tee. ! queue leaky=downstream max-size-buffers=2 ! possumsink name=sink
"""


class Writer(Application):
    def __init__(self, options):
        super().__init__(
            PIPELINE.format(
                frames=options.frames or -1,
                caps=PICTURES[0],
                display=display(not options.no_window),
            )
        )
        self._change_every = options.change_every
        self._seconds = 0
        self._sink = self.element("sink")
        # Not in the text above: a name may contain what gst-launch-1.0 would understand.
        self._sink.set_property("channel", options.channel)
        # The signals come from a thread of the sink's own.
        self._sink.connect(
            "reader-attached",
            lambda sink, index, pid: post(sink, "reader-attached", index=index, pid=pid),
        )
        self._sink.connect(
            "reader-detached",
            lambda sink, index, reason: post(
                sink, "reader-detached", index=index, reason=reason
            ),
        )

    def on_news(self, name, fields):
        if name == "reader-attached":
            tell(f"reader {fields['index']} has come, pid {fields['pid']}")
        elif name == "reader-detached":
            tell(f"reader {fields['index']} has gone: {fields['reason']}")

    def on_second(self):
        stats = self._sink.get_property("stats")
        readers = self._sink.get_property("num-readers")
        tell(
            f"written {stats.get_value('frames')}, copied {stats.get_value('copied')}, "
            f"readers {readers}"
        )
        self._seconds += 1
        if self._change_every and self._seconds % self._change_every == 0:
            self._change_picture(self._seconds // self._change_every)

    def _change_picture(self, number):
        picture = PICTURES[number % len(PICTURES)]
        self.element("picture").set_property("caps", Gst.Caps.from_string(picture))
        tell(f"picture: {picture}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channel", default="default", help="channel to write")
    parser.add_argument("--frames", type=int, default=0, help="end after so many frames")
    parser.add_argument(
        "--change-every",
        type=int,
        default=0,
        metavar="SECONDS",
        help="another size and format every so many seconds",
    )
    parser.add_argument("--no-window", action="store_true", help="only share the picture")
    return run(Writer, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

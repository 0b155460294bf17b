#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Shows a moving picture and shares it by a possum channel.

Keys, in the window or (with Enter) in the terminal:
  s  share or stop sharing
  c  change size and format
  q  quit
"""

# python3-gi belongs to the distribution's own Python, hence the first line.

import argparse
import sys

from application import Application, Gst, display, run, tell
from sharing import Sharing

# What the key `c` goes through: size, format and rate may change with any frame.
PICTURES = (
    "video/x-raw, format=I420, width=640, height=360, framerate=30/1",
    "video/x-raw, format=NV12, width=1280, height=720, framerate=30/1",
    "video/x-raw, format=BGRx, width=320, height=240, framerate=15/1",
)

# Beside the window there is possumsink, see sharing.py. The leaky queue: a window that is
# not drawn holds up nobody.
PIPELINE = """
    videotestsrc is-live=true pattern=ball num-buffers={frames} !
        capsfilter name=picture ! tee name=tee !
        queue leaky=downstream ! videoconvert ! {display}
"""


class Writer(Application):
    def __init__(self, options):
        super().__init__(
            PIPELINE.format(
                frames=options.frames or -1, display=display(not options.no_window)
            )
        )
        self._channel = options.channel
        self._change_every = options.change_every
        self._seconds = 0
        self._next_picture = 0
        self._sharing = Sharing(self.pipeline, self.element("tee"), options.channel)
        self._change_picture()

    def on_playing(self):
        self._share()

    def on_key(self, key):
        if key == "c":
            self._change_picture()
        if key == "s" and not self._sharing.stop():
            self._share()

    def on_second(self):
        self._print_statistics()
        self._seconds += 1
        if self._change_every and self._seconds % self._change_every == 0:
            self._change_picture()

    def on_message(self, message):
        if not self._sharing.owns(message):
            return False
        if message.type == Gst.MessageType.WARNING:
            tell(f"sharing: {message.parse_warning()[0].message}")
            return True
        if message.type != Gst.MessageType.ERROR:
            return False
        # Others see nothing, but our own window goes on.
        if self._sharing.stop():
            tell(f"not shared: {message.parse_error()[0].message}")
        return True

    def on_news(self, name, fields):
        if name == "sharing-unlinked":
            self._sharing.finish()
            tell("sharing has ended")
        elif name == "reader-attached":
            tell(f"reader {fields['index']} has come, pid {fields['pid']}")
        elif name == "reader-detached":
            tell(f"reader {fields['index']} has gone: {fields['reason']}")

    def _share(self):
        if self._sharing.active:  # it is just ending
            return
        tell(f'sharing as "{self._channel}"')
        self._sharing.start()

    def _change_picture(self):
        """The source draws the next frame so; the window and all readers follow."""
        picture = PICTURES[self._next_picture % len(PICTURES)]
        self._next_picture += 1
        self.element("picture").set_property("caps", Gst.Caps.from_string(picture))
        tell(f"picture: {picture}")

    def _print_statistics(self):
        if not self._sharing.active:
            return
        stats, readers = self._sharing.statistics()
        text = (
            f"written {stats.get_value('frames')}, copied {stats.get_value('copied')}, "
            f"readers {len(readers)}"
        )
        for reader in readers:
            text += (
                f"; pid {reader.get_value('pid')} took {reader.get_value('delivered')}, "
                f"missed {reader.get_value('dropped')}"
            )
        tell(text)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channel", default="default", help="channel to write")
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="end after N frames"
    )
    parser.add_argument(
        "--change-every",
        type=int,
        default=0,
        metavar="N",
        help="another size and format every N seconds",
    )
    parser.add_argument("--no-window", action="store_true", help="only share the picture")
    options = parser.parse_args()
    if options.frames < 0 or options.change_every < 0:
        parser.error("--frames and --change-every must be positive")
    return run(Writer, options)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""A channel for whoever asks: an RTSP server at rtsp://HOST:PORT/CHANNEL, H.264."""

import argparse
import signal
import sys

MISSING = "{}: install python3-gi, gir1.2-gst-rtsp-server-1.0"
try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as error:
    sys.exit(f"rtsp-serve.py: {MISSING.format(error)}")

PACKAGES = {
    "possumsrc": 'possum, or run this inside "meson devenv -C build"',
    "x264enc": "gstreamer1.0-plugins-ugly",
    "rtph264pay": "gstreamer1.0-plugins-good",
}
# A client that asks for a channel without a writer gets an error, not silence.
LAUNCH = """
    ( possumsrc name=source ignore-eos=true connection-timeout=5000000000 !
      videoconvert ! video/x-raw,format=I420 !
      x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=30 !
      rtph264pay name=pay0 pt=96 config-interval=-1 )
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("channel")
    parser.add_argument("host", help="own address to listen on, 0.0.0.0 for all")
    parser.add_argument("port")
    options = parser.parse_args()

    Gst.init(None)
    for element, package in PACKAGES.items():
        if not Gst.ElementFactory.find(element):
            sys.exit(f"rtsp-serve.py: GStreamer does not find {element}: install {package}")

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    # One encoder for all clients.
    factory.set_shared(True)
    factory.connect(
        "media-configure",
        lambda _, media: media.get_element()
        .get_by_name("source")
        .set_property("channel", options.channel),
    )
    server = GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(options.port)
    server.get_mount_points().add_factory(f"/{options.channel}", factory)
    if not server.attach(None):
        sys.exit(f"rtsp-serve.py: nothing can listen on {options.host}:{options.port}")
    print(f"rtsp://{options.host}:{options.port}/{options.channel}", flush=True)

    loop = GLib.MainLoop()
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    loop.run()


if __name__ == "__main__":
    main()

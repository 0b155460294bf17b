# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""What a GStreamer application in Python needs: a main loop, the bus, keys, an end in order.

Everything here and all handlers run in the thread that called run(), so they may change
states. Callbacks of elements come from other threads: there, only post a message.
"""

import os
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstVideo  # noqa: E402, F401

LONGEST_END_MS = 2000


def display(window):
    """A window where there is a display, otherwise a sink that shows nothing."""
    if window and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "autovideosink name=window"
    return "fakesink name=window sync=true"


def tell(text):
    print(text, flush=True)


def post(element, name, **fields):
    """From any thread: on_news(name, fields) follows in the main loop."""
    news = Gst.Structure.new_empty(name)
    for field, value in fields.items():
        news.set_value(field, value)
    element.post_message(Gst.Message.new_application(element, news))


def complain(sentence):
    """The exit code of a program that ends so."""
    print(f"{os.path.basename(sys.argv[0])}: {sentence}", file=sys.stderr)
    return 1


def run(application, options):
    """The exit code of the program that is this kind of Application."""
    try:
        return application(options).run()
    except GLib.Error as error:
        missing = error.matches(Gst.ParseError.quark(), Gst.ParseError.NO_SUCH_ELEMENT)
        hint = ': install it, or run this inside "meson devenv"' if missing else ""
        return complain(error.message + hint)


class Application:
    """Plays a pipeline, given as gst-launch-1.0 takes it; GLib.Error if that is wrong."""

    def __init__(self, description):
        Gst.init(None)
        self.pipeline = Gst.parse_launch(description)
        self._loop = GLib.MainLoop()
        self._error = None
        self._has_played = False
        self._ending = False

    def element(self, name):
        return self.pipeline.get_by_name(name)

    def on_playing(self):
        """Once, when the pipeline has got to PLAYING."""

    def on_second(self):
        """Each second while it plays."""

    def on_key(self, key):
        """One pressed in the window, or typed (and Enter) in the terminal."""

    def on_message(self, message):
        """Any message on the bus; True if nothing else is to be done about it."""
        return False

    def on_news(self, name, fields):
        """What was posted by post()."""

    def on_progress(self, text):
        """What an element says it is doing."""

    def run(self):
        """Until EOS, an error, Ctrl-C or the key `q`. Returns the exit code."""
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self._on_message)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, self._on_signal)
        # A program in the background that reads from the terminal would be stopped.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        # None if the program was started without one: something else has its number then.
        if sys.stdin:
            readable = GLib.IOCondition.IN | GLib.IOCondition.HUP
            GLib.io_add_watch(
                sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, readable, self._on_typed
            )
        GLib.timeout_add_seconds(1, self._on_timer)
        try:
            # Why it does not start, if so, is on the bus.
            self.pipeline.set_state(Gst.State.PLAYING)
            self._loop.run()
        finally:
            # Waits for the streaming threads.
            self.pipeline.set_state(Gst.State.NULL)
            bus.remove_signal_watch()
        return 0 if self._error is None else complain(self._error)

    def end(self):
        """EOS from the sources on; at once when asked twice or if it takes too long."""
        if self._ending:
            self._loop.quit()
            return
        self._ending = True
        self.pipeline.send_event(Gst.Event.new_eos())
        GLib.timeout_add(LONGEST_END_MS, self._loop.quit)

    def _on_signal(self):
        self.end()
        return GLib.SOURCE_CONTINUE

    def _on_timer(self):
        self.on_second()
        return GLib.SOURCE_CONTINUE

    def _on_typed(self, descriptor, _condition):
        try:
            keys = os.read(descriptor, 64)
        except OSError:  # in the background of a terminal
            return GLib.SOURCE_REMOVE
        for key in keys.decode("ascii", "ignore"):
            self._handle_key(key)
        return GLib.SOURCE_CONTINUE if keys else GLib.SOURCE_REMOVE

    def _handle_key(self, key):
        if key in ("q", "Escape"):
            self.end()
        else:
            self.on_key(key)

    def _on_navigation(self, message):
        navigation = GstVideo.Navigation
        if navigation.message_get_type(message) != GstVideo.NavigationMessageType.EVENT:
            return
        event = navigation.message_parse_event(message)[1]
        if navigation.event_get_type(event) == GstVideo.NavigationEventType.KEY_PRESS:
            self._handle_key(navigation.event_parse_key_event(event)[1])

    def _on_state(self, message):
        if message.src != self.pipeline or self._has_played:
            return
        if message.parse_state_changed()[1] == Gst.State.PLAYING:
            self._has_played = True
            self.on_playing()

    def _on_error(self, message):
        error = message.parse_error()[0]
        # This is how a window says that the user closed it.
        closed = message.src.has_as_ancestor(self.element("window")) and error.matches(
            Gst.ResourceError.quark(), Gst.ResourceError.NOT_FOUND
        )
        # The first one says why; the others follow from it.
        if not closed and self._error is None:
            self._error = error.message
        self._loop.quit()

    def _on_message(self, _bus, message):
        if self.on_message(message):
            return
        if message.type == Gst.MessageType.ERROR:
            self._on_error(message)
        elif message.type == Gst.MessageType.WARNING:
            print("warning:", message.parse_warning()[0].message, file=sys.stderr)
        elif message.type == Gst.MessageType.EOS:
            self._loop.quit()
        elif message.type == Gst.MessageType.LATENCY:
            self.pipeline.recalculate_latency()
        elif message.type == Gst.MessageType.STATE_CHANGED:
            self._on_state(message)
        elif message.type == Gst.MessageType.ELEMENT:
            self._on_navigation(message)
        elif message.type == Gst.MessageType.CLOCK_LOST:
            self.pipeline.set_state(Gst.State.PAUSED)
            self.pipeline.set_state(Gst.State.PLAYING)
        elif message.type == Gst.MessageType.PROGRESS:
            self.on_progress(message.parse_progress()[2])
        elif message.type == Gst.MessageType.APPLICATION:
            news = message.get_structure()
            names = [news.nth_field_name(i) for i in range(news.n_fields())]
            self.on_news(news.get_name(), {name: news.get_value(name) for name in names})

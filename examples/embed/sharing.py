# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""possumsink dropped into an application's own pipeline.

A branch of a tee that comes and goes while the pipeline plays, and whose troubles are not
the application's.
"""

from application import Gst, post

# errorignore: otherwise an error of the sink goes back through the tee and ends the
# source. queue: a thread of its own, with room for two frames, so that the other branches
# never wait for this one. async=false: a sink that joins a playing pipeline must not make
# it wait for a first frame.
BRANCH = """
    errorignore !
    queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 !
    possumsink name=sink async=false
"""


class Sharing:
    """Used by the thread that runs the main loop only; GLib.Error without an element.

    The tee is in the pipeline and feeds something else, too.
    """

    def __init__(self, pipeline, tee, channel):
        self.active = False
        self._stopping = False
        self._pipeline = pipeline
        self._tee = tee
        self._tee_pad = None  # while active
        self._branch = Gst.parse_bin_from_description(BRANCH, True)
        self._sink = self._branch.get_by_name("sink")
        # Not in the text above: a name may contain what gst-launch-1.0 would understand.
        self._sink.set_property("channel", channel)
        # Both signals come from a thread of the sink's own.
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

    def start(self):
        """From the next frame on. An error comes as a message on the bus, see owns().

        Waits up to two seconds for a name that another writer still holds.
        """
        self.active = True
        # Locked, so that the pipeline does not fail with a branch that cannot start.
        self._branch.set_locked_state(True)
        self._pipeline.add(self._branch)
        self._tee_pad = self._tee.request_pad_simple("src_%u")
        # Why it cannot start, if so, is on the bus.
        if self._branch.sync_state_with_parent():
            self._branch.set_locked_state(False)
            self._tee_pad.link(self._branch.get_static_pad("sink"))

    def stop(self):
        """Readers keep what they hold and wait for the next writer.

        False if nothing is shared, or not for long; otherwise the news "sharing-unlinked"
        comes, then finish() is to be called.
        """
        if not self.active or self._stopping:
            return False
        self._stopping = True
        # When no frame is on its way through the pad: now in this thread, or soon in the
        # streaming thread.
        self._tee_pad.add_probe(Gst.PadProbeType.IDLE, self._unlink)
        return True

    def _unlink(self, pad, _info):
        """A state must not be changed here, so the main loop is asked to go on."""
        peer = pad.get_peer()
        if peer:
            pad.unlink(peer)
        post(self._pipeline, "sharing-unlinked")
        return Gst.PadProbeReturn.REMOVE

    def finish(self):
        self._branch.set_locked_state(True)
        self._branch.set_state(Gst.State.NULL)
        self._pipeline.remove(self._branch)
        self._tee.release_request_pad(self._tee_pad)
        self._tee_pad = None
        self.active = False
        self._stopping = False

    def owns(self, message):
        """Does this message come from the branch?"""
        return message.src.has_as_ancestor(self._branch)

    def statistics(self):
        """All in one structure, and one for each reader."""
        stats = self._sink.get_property("stats")
        readers = stats.get_array("readers")[1]
        # What get_nth() returns ends with the array.
        return stats, [readers.get_nth(i).copy() for i in range(readers.n_values)]

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Ways to bring raw video from one process to another with GStreamer elements."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile


def element_exists(name):
    # --exists would also ask for a version like GStreamer's own.
    return subprocess.run(["gst-inspect-1.0", name], capture_output=True).returncode == 0


class Contestant:
    """One pair of elements. A run begins with start(), ends with stop()."""

    name = ""
    elements = ()
    lossless = True  # can hold up its producer
    isolates = False  # a stopped reader leaves the others alone
    reconnects = False  # a reader survives its writer

    def available(self):
        return all(element_exists(element) for element in self.elements)

    def start(self, frame_bytes):
        self.directory = tempfile.mkdtemp(prefix="bench-")
        self.frame_bytes = frame_bytes

    def stop(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self):
        return {}

    def helpers(self):
        """Processes besides producer and consumers whose work counts."""
        return []

    def sink(self, lossless, readers):
        raise NotImplementedError

    def src(self, lossless, caps):
        raise NotImplementedError


class Possum(Contestant):
    name = "possum"
    elements = ("possumsink", "possumsrc")
    isolates = True
    reconnects = True
    runs = 0

    def start(self, frame_bytes):
        super().start(frame_bytes)
        Possum.runs += 1
        self.channel = f"bench.{os.getpid()}.{Possum.runs}"

    def stop(self):
        # Producers are killed; nobody succeeds the last one.
        for name in glob.glob(f"/dev/shm/possum-[cd].{self.channel}*"):
            os.unlink(name)
        super().stop()

    def sink(self, lossless, readers):
        blocking = "true" if lossless else "false"
        return (
            f"possumsink channel={self.channel} sync=false allow-blocking={blocking} "
            f"min-readers={readers if lossless else 0}"
        )

    def src(self, lossless, caps):
        leaky = "none" if lossless else "downstream"
        return f"possumsrc channel={self.channel} leaky-type={leaky}"


class Shm(Contestant):
    name = "shm"
    elements = ("shmsink", "shmsrc")

    def start(self, frame_bytes):
        super().start(frame_bytes)
        self.before = set(glob.glob("/dev/shm/shmpipe.*"))

    def stop(self):
        for name in set(glob.glob("/dev/shm/shmpipe.*")) - self.before:
            os.unlink(name)
        super().stop()

    def sink(self, lossless, readers):
        # As many frames as possum's pool may grow to.
        size = 16 * self.frame_bytes + (1 << 20)
        return (
            f"shmsink socket-path={self.directory}/s sync=false shm-size={size} "
            f"wait-for-connection={'true' if lossless else 'false'}"
        )

    def src(self, lossless, caps):
        return f"shmsrc socket-path={self.directory}/s ! {caps}"


class UnixFd(Contestant):
    name = "unixfd"
    elements = ("unixfdsink", "unixfdsrc")

    def sink(self, lossless, readers):
        wait = " wait-for-connection=true" if lossless else ""
        return f"unixfdsink socket-path={self.directory}/s sync=false{wait}"

    def src(self, lossless, caps):
        return f"unixfdsrc socket-path={self.directory}/s"


class PipeWire(Contestant):
    name = "PipeWire"
    elements = ("pipewiresink", "pipewiresrc")
    lossless = False
    isolates = True

    def available(self):
        return super().available() and all(
            shutil.which(program) for program in ("pipewire", "wireplumber", "dbus-run-session")
        )

    def start(self, frame_bytes):
        super().start(frame_bytes)
        # A daemon and a session manager of our own, on a message bus of their own.
        self.daemons = subprocess.Popen(
            ["dbus-run-session", "sh", "-c", "pipewire & exec wireplumber"],
            env={**os.environ, **self.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self):
        os.killpg(self.daemons.pid, signal.SIGKILL)
        self.daemons.wait()
        super().stop()

    def environment(self):
        return {"PIPEWIRE_RUNTIME_DIR": self.directory, "XDG_RUNTIME_DIR": self.directory}

    def helpers(self):
        return [self.daemons.pid]

    def sink(self, lossless, readers):
        return (
            "pipewiresink mode=provide sync=false client-name=bench "
            'stream-properties="p,node.name=bench,media.class=Video/Source"'
        )

    def src(self, lossless, caps):
        return f"pipewiresrc target-object=bench ! {caps}"


ALL = [Possum(), Shm(), UnixFd(), PipeWire()]

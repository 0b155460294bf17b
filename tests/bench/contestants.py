# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Ways to bring raw video from one process to another, and the machine's own limits."""

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from processes import Failed, end_session, output_of, read_result, started


def element_exists(name):
    # --exists would also ask for a version like GStreamer's own.
    return subprocess.run(["gst-inspect-1.0", name], capture_output=True).returncode == 0


def property_exists(element, name):
    shown = subprocess.run(["gst-inspect-1.0", element], capture_output=True, text=True)
    return f"  {name} " in shown.stdout


def yes(value):
    return "true" if value else "false"


def remove_files(pattern, kept=()):
    for name in set(glob.glob(pattern)).difference(kept):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def session(leader):
    """The processes of a session: their ids."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat, encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has gone
        if int(fields[3]) == leader:
            found.append(int(stat.split("/")[2]))
    return found


def remove_names(channel):
    """What killed peers of this channel left; nobody succeeds the last one."""
    remove_files(f"/dev/shm/possum-[cd].{channel}*")


class Contestant:
    """One pair of elements. A run begins with start() and ends with stop()."""

    name = ""
    elements = ()
    # Why it cannot hold up its producer, and so has no figures of the lossless kind.
    lossy = ""
    runs = 0

    def missing(self):
        """What this machine lacks; empty: nothing."""
        return ", ".join(name for name in self.elements if not element_exists(name))

    def start(self):
        Contestant.runs += 1
        self.directory = tempfile.mkdtemp(prefix="bench-")

    def stop(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self):
        return {}

    def helpers(self):
        """Processes besides producer and consumers that take part: their ids."""
        return []

    def sink(self, lossless, readers, frame_bytes):
        raise NotImplementedError

    def src(self, lossless, caps):
        raise NotImplementedError


class Possum(Contestant):
    name = "possum"
    elements = ("possumsink", "possumsrc")

    def start(self):
        super().start()
        self.channel = f"bench.{os.getpid()}.{Contestant.runs}"

    def stop(self):
        remove_names(self.channel)
        super().stop()

    def sink(self, lossless, readers, frame_bytes):
        return (f"possumsink channel={self.channel} sync=false "
                f"allow-blocking={yes(lossless)} min-readers={readers if lossless else 0}")

    def src(self, lossless, caps):
        leaky = "none" if lossless else "downstream"
        return f"possumsrc channel={self.channel} leaky-type={leaky}"


class Shm(Contestant):
    """Always lossless. Proposes an allocator over an area that is made once."""

    name = "shm"
    elements = ("shmsink", "shmsrc")

    def start(self):
        super().start()
        self.before = set(glob.glob("/dev/shm/shmpipe.*"))

    def stop(self):
        remove_files("/dev/shm/shmpipe.*", self.before)
        super().stop()

    def sink(self, lossless, readers, frame_bytes):
        # As many frames as possum's pool may grow to.
        size = 16 * frame_bytes + (1 << 20)
        return (f"shmsink socket-path={self.directory}/s sync=false shm-size={size} "
                f"wait-for-connection={yes(lossless)}")

    def src(self, lossless, caps):
        return f"shmsrc socket-path={self.directory}/s ! {caps}"


class UnixFd(Contestant):
    """Always lossless: it blocks when a reader's socket is full. Proposes an allocator of
    memfds, and takes no memory without a descriptor."""

    name = "unixfd"
    elements = ("unixfdsink", "unixfdsrc")

    def missing(self):
        # It came with 1.24, the wait with 1.26.
        lacking = super().missing()
        if not lacking and not property_exists("unixfdsink", "wait-for-connection"):
            return "unixfdsink wait-for-connection"
        return lacking

    def sink(self, lossless, readers, frame_bytes):
        return (f"unixfdsink socket-path={self.directory}/s sync=false "
                f"wait-for-connection={yes(lossless)}")

    def src(self, lossless, caps):
        return f"unixfdsrc socket-path={self.directory}/s"


class PipeWire(Contestant):
    """With a daemon and a session manager of its own, on a message bus of their own."""

    name = "PipeWire"
    elements = ("pipewiresink", "pipewiresrc")
    lossy = "a reader that is not ready misses the frame: nothing holds up its producer"
    programs = ("pipewire", "wireplumber", "dbus-run-session")

    def missing(self):
        lacking = [name for name in self.programs if not shutil.which(name)]
        return super().missing() or ", ".join(lacking)

    def start(self):
        super().start()
        self.daemons = started(
            ["dbus-run-session", "--", "sh", "-c", "wireplumber & exec pipewire"],
            env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{self.directory}/pipewire-0"):
            if self.daemons.poll() is not None:
                raise Failed("the daemon did not start")
            time.sleep(0.01)
        time.sleep(1)  # the session manager has no sign of being ready

    def stop(self):
        daemons = self.__dict__.pop("daemons", None)
        if daemons:
            # Not all of them stay in its process group.
            for process in session(daemons.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            end_session(daemons)
        super().stop()

    def environment(self):
        return dict.fromkeys(("PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
                              "XDG_CONFIG_HOME"), self.directory)

    def helpers(self):
        return session(self.daemons.pid)

    def sink(self, lossless, readers, frame_bytes):
        return ("pipewiresink mode=provide sync=false client-name=bench "
                'stream-properties="p,node.name=bench,media.class=Video/Source"')

    def src(self, lossless, caps):
        return f"pipewiresrc target-object=bench ! {caps}"


class Bell(Contestant):
    """The least that two pipelines can do; see bell.cpp. No contestant: nothing is safe."""

    name = "semaphore in GStreamer"

    def start(self):
        super().start()
        self.area = f"/dev/shm/bench-bell.{os.getpid()}.{Contestant.runs}"

    def stop(self):
        remove_files(self.area)
        super().stop()

    def sink(self, lossless, readers, frame_bytes):
        return f"bellsink area={self.area} size={frame_bytes}"

    def src(self, lossless, caps):
        return f"bellsrc area={self.area} ! {caps}"


class Nothing(Contestant):
    """The producer's own pace, with a sink that drops everything: no more can cross."""

    name = "no transport"

    def sink(self, lossless, readers, frame_bytes):
        return "fakesink sync=false"


class Limit:
    """Something without GStreamer that bench-limits measures, by these words."""

    def __init__(self, programs, name, words):
        self.program = f"{programs}/bench-limits"
        self.name = name
        self.words = words

    def run(self, lasting, **values):
        words = self.words.format(**values).split()
        result = read_result(output_of([self.program, *words], 2 * lasting + 15))
        return result["produced"], result["received"]

    def pair(self, frame_bytes, frames, rate, readers=1, place=None):
        cores = "{} {}".format(*(place or (-1, -1)))
        return self.run(frames / rate, bytes=frame_bytes, readers=readers, frames=frames,
                        rate=rate, cores=cores)

    def rate(self, frame_bytes, seconds):
        produced, _ = self.run(seconds, bytes=frame_bytes, seconds=seconds)
        return produced["frames"] / produced["seconds"]


ALL = [Possum(), Shm(), UnixFd(), PipeWire()]

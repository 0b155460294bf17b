# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Processes of one run: started together, told what to do by lines, ended together."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile


# GST_DEBUG=1, without colours.
LOGGED = re.compile(r"ERROR +\S+ \S+:\d+:\S+?:(?:<[^>]*>)? (.*)")
# What GLib writes before a message: program, process, time.
GLIBS = re.compile(r"\(\S+:\d+\): |\b\d\d:\d\d:\d\d\.\d+: ")
# Posted by base classes after an element has failed without a word.
GENERIC = ("Internal data stream error", "GStreamer error: state change failed")
TOO_LONG = "did not finish in time"


class Failed(Exception):
    """A run without a result; the text says why, for whoever reads the table. Empty: a
    process ended early, and what it said is why."""


# Started and not ended yet.
sessions = []


@contextlib.contextmanager
def signals_held():
    """What comes meanwhile is handled afterwards. They are caught, not blocked: a process
    that is started here would inherit the block."""
    held = []
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM)
    handlers = {n: signal.signal(n, lambda number, _frame: held.append(number))
                for n in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


def started(arguments, **more):
    """A process in a session of its own, so that all it starts can be ended with it."""
    try:
        # A signal between its start and the note of it would leave it to nobody.
        with signals_held():
            sessions.append(
                subprocess.Popen(arguments, text=True, start_new_session=True, **more))
            return sessions[-1]
    except OSError as problem:
        raise Failed(str(problem)) from None


def end_session(process):
    """Ends it, and what it has started and not put elsewhere."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(ValueError):
        sessions.remove(process)


def end_sessions():
    for process in sessions[:]:
        end_session(process)


def output_of(arguments, seconds):
    """What a program printed, which may take so long."""
    process = started(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)
    try:
        printed, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(TOO_LONG) from None
    finally:
        end_session(process)
        process.stdout.close()
        process.stderr.close()
    if process.returncode != 0:
        raise Failed((said.strip() or f"it ended with {process.returncode}").split("\n")[-1])
    return printed


def read_result(text):
    try:
        return json.loads(text)
    except ValueError:
        raise Failed("") from None  # it ended while it wrote


class Process:
    """A producer or consumer; its lines of JSON are results."""

    def __init__(self, arguments, environment, prefix=()):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = started(
            [*prefix, *arguments],
            env={**os.environ, "GST_DEBUG": "1", "GST_DEBUG_NO_COLOR": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def line(self, beginning):
        """The next line that begins so."""
        for text in self.process.stdout:
            if text.startswith(beginning):
                return text
        raise Failed("")

    def said(self):
        """Its error: the message it posted, or what it logged when that is no help."""
        self.errors.seek(0)
        text = GLIBS.sub("", self.errors.read())
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        logged = [match[1] for line in lines if (match := LOGGED.search(line))]
        posted = [line for line in lines if not LOGGED.search(line)]
        telling = [line for line in posted if not line.startswith(GENERIC)]
        return (telling or logged or posted or [""])[-1]

    def result(self):
        return read_result(self.line("{"))

    def tell(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed("") from None

    def stop(self):
        """SIGSTOP: it lives, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def end(self):
        """In order, so that whoever traces it writes down all it has seen."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def kill(self):
        end_session(self.process)
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Run:
    """One contestant's processes, and the time they may take."""

    def __init__(self, who, programs, caps, seconds, place=None):
        self.who = who
        self.programs = programs
        self.caps = caps
        self.seconds = seconds
        self.place = place  # (processor of the producer, of the consumers)
        self.processes = []

    def __enter__(self):
        signal.signal(signal.SIGALRM, self.too_long)
        self.allow(self.seconds)
        try:
            self.who.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _type, problem, _trace):
        signal.setitimer(signal.ITIMER_REAL, 0)
        said = [text for process in self.processes if (text := process.said())]
        for process in self.processes:
            process.kill()
        self.who.stop()
        if isinstance(problem, Failed):
            why = ": ".join(text for text in (str(problem), *said[:1]) if text)
            where = getattr(self.who, "directory", None) or "..."
            raise Failed(why.replace(where, "...") or "it ended early") from None

    def allow(self, seconds):
        """So much time from now on."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def too_long(self, _signal, _frame):
        raise Failed(TOO_LONG)

    def start(self, side, *arguments, prefix=()):
        if self.place:
            prefix = (*prefix, "taskset", "--cpu-list", str(self.place[side]))
        process = Process(arguments, self.who.environment(), prefix)
        self.processes.append(process)
        return process

    def producer(self, *more, lossless=False, readers=1, frame_bytes=0, prefix=()):
        process = self.start(
            0, f"{self.programs}/bench-producer", "--caps", self.caps,
            "--sink", self.who.sink(lossless, readers, frame_bytes), *more, prefix=prefix)
        process.line("playing")
        return process

    def consumer(self, *more, lossless=False, prefix=()):
        return self.start(
            1, f"{self.programs}/bench-consumer", "--src", self.who.src(lossless, self.caps),
            *more, prefix=prefix)

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Channels of this test's own, and other processes: GStreamer's and unrelated Pythons."""

import concurrent.futures
import glob
import itertools
import os
import signal
import subprocess
import sys
import time
import unittest

import possum

# Longer than anything takes that works. Bounds that are the point of a test are its own.
PATIENCE = 30 * int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1"))
_numbers = itertools.count()


class Case(unittest.TestCase):
    def channel(self):
        """A name nobody else has; its objects must be gone when the test ends."""
        name = f"t{os.getpid()}.py{next(_numbers)}"
        self.addCleanup(self._check_gone, name)
        return name

    def _check_gone(self, name):
        left = glob.glob(f"/dev/shm/possum-?.{name}*")
        for path in left:
            os.unlink(path)
        self.assertEqual(left, [])

    def writer(self, channel, **options):
        writer = possum.Writer(channel, **options)
        self.addCleanup(writer.close)
        return writer

    def reader(self, channel, **options):
        reader = possum.Reader(channel, **options)
        self.addCleanup(reader.close)
        return reader

    def attached(self, writer, **options):
        """A reader that has come to the writer."""
        reader = self.reader(writer.channel, timeout=PATIENCE, **options)
        with self.assertRaises(possum.Timeout):
            reader.read(timeout=0)
        return reader

    def pair(self, **options):
        """A writer with a blocking reader attached."""
        writer = self.writer(self.channel(), allow_blocking=True, **options)
        return writer, self.attached(writer, policy="blocking")

    def background(self, function):
        """In a thread of its own. What it returns or raises, result() does."""
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(function)

    def until(self, condition):
        """For states that nobody announces."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.001)

    def on_signal(self, handler, number=signal.SIGUSR1):
        self.addCleanup(signal.signal, number, signal.signal(number, handler))

    def process(self, *arguments, **options):
        """In a session of its own, killed at the end if it is still there."""
        process = subprocess.Popen(arguments, text=True, start_new_session=True, **options)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def python(self, program, *arguments, **options):
        """Another interpreter that says what it does on its standard output."""
        command = [sys.executable, "-u", "-c", program, *arguments]
        return self.process(*command, stdout=subprocess.PIPE, **options)

    def launch(self, *description):
        return self.process(os.environ["POSSUM_LAUNCH"], "-q", *" ".join(description).split())

    def expect_end(self, process, status=0):
        self.assertEqual(process.wait(PATIENCE), status)

    def stop(self, process, number=signal.SIGINT, status=0):
        process.send_signal(number)
        self.expect_end(process, status)

    def expect_line(self, process, *lines):
        for line in lines:
            self.assertEqual(process.stdout.readline().strip(), line)

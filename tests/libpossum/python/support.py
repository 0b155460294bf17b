# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Channels of this test's own, and other processes: GStreamer's and unrelated Pythons."""

import glob
import itertools
import os
import subprocess
import sys
import unittest

import possum

# Longer than anything takes that works. Bounds that are the point of a test are its own.
PATIENCE = 30 * int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1"))
_numbers = itertools.count()


class Case(unittest.TestCase):
    def setUp(self):
        self._channels = []

    def channel(self):
        """A name nobody else has; its objects must be gone when the test ends."""
        name = f"t{os.getpid()}.py{next(_numbers)}"
        self._channels.append(name)
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

    def pair(self, **options):
        """A writer with a blocking reader attached."""
        channel = self.channel()
        writer = self.writer(channel, allow_blocking=True, **options)
        reader = self.reader(channel, policy="blocking", timeout=PATIENCE)
        with self.assertRaises(possum.Timeout):
            reader.read(timeout=0)
        return writer, reader

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

    def python(self, program, *arguments):
        """Another interpreter that says what it does on its standard output."""
        return self.process(
            sys.executable, "-u", "-c", program, *arguments, stdout=subprocess.PIPE
        )

    def launch(self, *description):
        return self.process(os.environ["POSSUM_LAUNCH"], "-q", *" ".join(description).split())

    def expect_end(self, process, status=0):
        self.assertEqual(process.wait(PATIENCE), status)

    def expect_line(self, process, line):
        self.assertEqual(process.stdout.readline().strip(), line)

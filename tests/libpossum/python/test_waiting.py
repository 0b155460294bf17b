# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""What ends a wait: frames, writers, deadlines, signals, close(); threads, asyncio, fork."""

import asyncio
import copy
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock
import weakref

import numpy
import possum
from support import PATIENCE, Case

PICTURE = numpy.zeros((4, 4), "u1")
GRAY = {"format": "GRAY8", "width": 4, "height": 4}
AT_ONCE = 5 * int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1"))

# Programs that Ctrl-C ends while they wait. The first line says that they begin.
READS = """
import sys, possum
reader = possum.Reader(sys.argv[1], policy="blocking")
print("begins")
try:
    for frame in reader:
        print("frame", frame.seq)
except KeyboardInterrupt:
    print("interrupted")
"""
WRITES = """
import sys, numpy, possum
with possum.Writer(sys.argv[1], dtype="u1", shape=4, allow_blocking=True) as writer:
    writer.wait_readers(1)
    print("begins")
    try:
        while True:
            writer.write(numpy.zeros(4, "u1"))
    except KeyboardInterrupt:
        pass
    assert writer.statistics.borrowed == 0
    print("interrupted")
"""
CLAIMS = """
import sys, possum
print("begins")
try:
    possum.Writer(sys.argv[1], dtype="u1", shape=4, claim_timeout=None)
except KeyboardInterrupt:
    print("interrupted")
"""
LOOP = """
import asyncio, sys, possum
async def main():
    async with possum.Reader(sys.argv[1]) as reader:
        print("begins")
        async for frame in reader:
            print("frame", frame.seq)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
# And others that hear of signals.
HANDLES = """
import signal, sys, possum
reader = possum.Reader(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.signal(signal.SIGTERM, lambda *_: reader.close())
print("begins")
for frame in reader:
    print("frame", frame.seq)
print("ended")
"""
BEGINS_LATE = """
import _thread, atexit, os, possum, sys

begun = []
atexit.register(lambda: print(begun))
start = _thread.start_new_thread
go_on, tell = os.pipe()

def start_late(function, arguments):
    def run():
        os.read(go_on, 1)
        begun.append(True)
        function(*arguments)
    return start(run, ())

_thread.start_new_thread = start_late
reader = possum.Reader(sys.argv[1])
try:
    reader.read(0)
except possum.Timeout:
    pass
atexit.register(os.write, tell, b"x")
"""
STORM = """
import random, signal, sys, threading, time, numpy, possum

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

writer = possum.Writer(sys.argv[1], dtype="u1", shape=4)
reader = possum.Reader(sys.argv[1])
signal.signal(signal.SIGALRM, stop)
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(20e-6, 300e-6))
        while True:
            writer.write(numpy.zeros(4, "u1"))
            try:
                reader.read(0)
            except possum.Timeout:
                pass
            writer.statistics
    except Stop:
        pass
signal.signal(signal.SIGALRM, signal.SIG_IGN)

def use():
    writer.write(numpy.zeros(4, "u1"), timeout=1)
    reader.read(1)
    print("used")

thread = threading.Thread(target=use)
thread.start()
thread.join()
reader.close()
print(writer.readers)
writer.close()
again = possum.Writer(sys.argv[1], dtype="u1", shape=4, claim_timeout=0)
again.close()
print("closed")
"""


def sleeps(process):
    """Whether all threads of it wait in the kernel."""
    states = []
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/stat") as stat:
            states.append(stat.read().rpartition(")")[2].split()[0])
    return set(states) == {"S"}


class Signals(Case):
    def interrupt(self, process, number=signal.SIGINT, within=AT_ONCE):
        """Once it waits in the library, which the signal has to end."""
        end = time.monotonic() + PATIENCE
        calm = 0
        while calm < 3 and time.monotonic() < end:
            time.sleep(0.01)
            calm = calm + 1 if sleeps(process) else 0
        begin = time.monotonic()
        self.stop(process, number)
        self.assertLess(time.monotonic() - begin, within)

    def begun(self, program, channel):
        process = self.python(program, channel)
        self.expect_line(process, "begins")
        return process

    def test_without_a_writer(self):
        for program in (READS, LOOP):
            process = self.begun(program, self.channel())
            self.interrupt(process)
            self.expect_line(process, "interrupted")

    def test_without_a_frame(self):
        writer, _ = self.pair(**GRAY)
        process = self.begun(READS, writer.channel)
        writer.wait_readers(2, PATIENCE)
        writer.write(PICTURE)
        self.expect_line(process, "frame 1")
        self.interrupt(process)
        self.expect_line(process, "interrupted")

    def test_writer_that_is_held_up(self):
        channel = self.channel()
        process = self.python(WRITES, channel)
        reader = self.reader(channel, policy="blocking", timeout=PATIENCE)
        first = reader.read(PATIENCE)
        self.expect_line(process, "begins")
        self.interrupt(process)
        self.expect_line(process, "interrupted")
        self.assertEqual(first.tolist(), [0] * 4)

    def test_a_name_that_is_held(self):
        writer = self.writer(self.channel(), **GRAY)
        process = self.begun(CLAIMS, writer.channel)
        self.interrupt(process, within=PATIENCE)
        self.expect_line(process, "interrupted")

    def test_handlers_run_and_the_wait_goes_on(self):
        channel = self.channel()
        process = self.begun(HANDLES, channel)
        for _ in range(3):
            process.send_signal(signal.SIGUSR1)
            self.expect_line(process, "handled")
        writer = self.writer(channel, **GRAY)
        writer.wait_readers(1, PATIENCE)
        writer.write(PICTURE)
        self.expect_line(process, "frame 1")
        self.interrupt(process, signal.SIGTERM)
        self.expect_line(process, "ended")

    def test_others_hear_of_signals_too(self):
        reader = self.reader(self.channel())
        heard, mine = os.pipe()
        self.addCleanup(os.close, heard)
        self.addCleanup(os.close, mine)
        os.set_blocking(mine, False)
        self.on_signal(lambda *_: reader.close())
        before = signal.set_wakeup_fd(mine)
        self.addCleanup(signal.set_wakeup_fd, before)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        self.assertEqual(list(reader), [])
        timer.join()
        self.assertTrue(select.select([heard], [], [], PATIENCE)[0])
        self.assertEqual(os.read(heard, 8), bytes([signal.SIGUSR1]))
        self.assertEqual(signal.set_wakeup_fd(mine), mine)

    def test_handlers_that_raise_leave_nothing_in_use(self):
        process = self.python(STORM, self.channel(), stderr=subprocess.DEVNULL)
        self.expect_line(process, "used", "0", "closed")
        self.expect_end(process)

    def test_the_thread_for_signals_begins_before_the_interpreter_ends(self):
        process = self.python(BEGINS_LATE, self.channel())
        self.expect_line(process, "[True]")
        self.expect_end(process)

    def test_a_handler_may_wait_while_an_interrupt_is_given(self):
        """The thread that gives it may have to wait for what the interrupted code holds."""
        wakeup = possum._waiting._the_wakeup()
        self.on_signal(lambda *_: None)
        given, go_on, free = threading.Event(), threading.Event(), []

        def interrupt(on):
            if on:
                given.set()
                go_on.wait(PATIENCE)

        def wait():
            signal.raise_signal(signal.SIGUSR1)
            given.wait(PATIENCE)
            free.append(wakeup.lock.acquire(timeout=AT_ONCE))
            if free[0]:
                wakeup.lock.release()
            go_on.set()

        wakeup.wait(interrupt, wait)
        self.assertEqual(free, [True])


class Waits(Case):
    def test_deadlines(self):
        reader = self.reader(self.channel(), timeout=0.02)
        begin = time.monotonic()
        with self.assertRaises(possum.NotFound) as caught:
            next(reader)
        self.assertGreaterEqual(time.monotonic() - begin, 0.02)
        self.assertIsInstance(caught.exception, TimeoutError)
        self.assertEqual(caught.exception.status, "not-found")
        writer = self.writer(reader.channel, **GRAY)
        with self.assertRaises(possum.Timeout) as caught:
            reader.read(0.02)
        self.assertNotIsInstance(caught.exception, possum.NotFound)
        with self.assertRaises(possum.Timeout):
            writer.wait_readers(2, timeout=0.02)

    @unittest.skipIf(os.geteuid() != 0, "a file of another user takes root")
    def test_a_file_of_another_user_is_waited_out(self):
        channel = self.channel()
        path = f"/dev/shm/possum-c.{channel}"
        open(path, "x").close()
        os.chown(path, 54303, 54303)
        reader = self.reader(channel)
        with self.assertRaises(possum.NotAllowed) as caught:
            reader.read(timeout=0)
        self.assertIn("user 54303", str(caught.exception))
        self.assertIn("allowed_owner=54303", str(caught.exception))
        with self.assertLogs("possum", "WARNING") as logs:
            reading = self.background(lambda: next(reader))
            self.until(lambda: logs.output)
            os.unlink(path)
            writer = self.writer(channel, **GRAY)
            writer.write(PICTURE)
            self.assertEqual(reading.result(PATIENCE).seq, 1)
        self.assertIn("user 54303", logs.output[0])

    def test_the_next_writer(self):
        channel = self.channel()
        reader = self.reader(channel, policy="blocking", timeout=PATIENCE)
        once = self.reader(channel, policy="blocking", timeout=PATIENCE, reconnect=False)
        only = self.background(lambda: list(once))
        ids = set()
        for number in range(3):
            writer = self.writer(channel, allow_blocking=True, **GRAY)
            reading = self.background(lambda: next(reader))
            writer.wait_readers(1 if number else 2, PATIENCE)
            writer.write(PICTURE + number)
            frame = reading.result(PATIENCE)
            self.assertEqual(frame[0, 0], number)
            writer.drain(PATIENCE)
            ids.add(frame.writer_id)
            writer.close()
        self.assertEqual(len(ids), 3)
        self.assertEqual([frame[0, 0] for frame in only.result(PATIENCE)], [0])
        self.assertEqual(reader.statistics.attachments, 3)

    def test_eos_ends_the_loop(self):
        writer, reader = self.pair(**GRAY)
        writer.write(PICTURE)
        writer.eos()
        self.assertEqual([frame.seq for frame in reader], [1])
        self.assertIsNone(reader.read(PATIENCE))
        writer.write(PICTURE)
        self.assertEqual(reader.read(PATIENCE).seq, 2)

    def test_closed_by_another_thread(self):
        reader = self.reader(self.channel())
        reading = self.background(lambda: list(reader))
        reader.close()
        self.assertEqual(reading.result(PATIENCE), [])
        for use in (reader.read, lambda: next(reader), lambda: reader.statistics):
            with self.assertRaisesRegex(possum.Closed, "is closed"):
                use()
        reader.close()

    def closed_while_it_waits(self, close, *arguments):
        """In each call that waits: soon close(*arguments) has to close what is in self.ends."""

        def close_soon(*ends):
            self.ends = ends
            timer = threading.Timer(0.02, close, arguments)
            self.addCleanup(timer.join)
            timer.start()

        for slots, wait in (
            (3, lambda writer, slot: writer.borrow()),
            (3, lambda writer, slot: writer.write(PICTURE)),
            (16, lambda writer, slot: slot.publish()),
            (16, lambda writer, slot: writer.write(PICTURE)),
            (16, lambda writer, slot: writer.drain()),
            (16, lambda writer, slot: writer.wait_readers(9)),
            (16, lambda writer, slot: idle.read()),
            (16, lambda writer, slot: asyncio.run(idle.read_async())),
        ):
            writer, _ = self.pair(slots=slots, **GRAY)
            idle = self.reader(self.channel())
            slot = writer.borrow() if slots > 3 else None
            for _ in range(3):  # as many as the reader has room for
                writer.write(PICTURE)
            close_soon(writer, idle)
            with self.assertRaises(possum.Closed):
                wait(writer, slot)
        idle = self.reader(self.channel())
        close_soon(idle)
        self.assertEqual(list(idle), [])

    def test_closed_in_a_signal_handler(self):
        self.on_signal(lambda *_: [end.close() for end in self.ends])
        self.closed_while_it_waits(os.kill, os.getpid(), signal.SIGUSR1)

    def test_closed_by_another_thread_in_a_finalizer(self):
        class Closer:
            def __del__(closer):
                for end in self.ends:
                    end.close()

        self.closed_while_it_waits(Closer)  # lives no longer than that

    def test_one_deadline_for_all_of_a_write(self):
        """It may wait for another thread, for a slot, and for a blocking reader."""
        writer, _ = self.pair(**GRAY)
        for _ in range(3):
            writer.write(PICTURE)
        library, seen = possum._library.lib, []

        class Watched:
            def __getattr__(self, name):
                seen.append(name)
                return getattr(library, name)

        for timeout in (0.02, None):
            seen.clear()
            writer.timeout = 0.02
            with unittest.mock.patch.object(possum._library, "lib", Watched()):
                with self.assertRaises(possum.Timeout):
                    writer.write(PICTURE, timeout=timeout)
            self.assertEqual(seen.count("possum_deadline"), 1)
        with possum._waiting.turn(writer._lock, possum._library.FOREVER):
            with self.assertRaises(possum.Timeout):
                self.background(lambda: writer.write(PICTURE)).result(PATIENCE)

    def test_many_threads(self):
        writer, reader = self.pair(**GRAY)

        def read():
            return [frame.seq for frame in reader]

        def write():
            return [writer.write(PICTURE, timeout=PATIENCE) for _ in range(25)]

        reading = [self.background(read) for _ in range(3)]
        for written in [self.background(write) for _ in range(4)]:
            self.assertEqual(written.result(PATIENCE), [True] * 25)
        writer.drain(PATIENCE)
        writer.eos()
        seen = sum((each.result(PATIENCE) for each in reading), [])
        self.assertEqual(sorted(seen), list(range(1, 101)))
        self.assertEqual(writer.statistics.held, 0)


class Asyncio(Case):
    def test_frames_of_two_channels_at_once(self):
        pairs = [self.pair(**GRAY) for _ in range(2)]

        async def read(reader):
            return [frame.seq async for frame in reader]

        async def write(writer):
            for _ in range(10):
                while not writer.statistics.held < 2:
                    await asyncio.sleep(0)
                writer.write(PICTURE, timeout=PATIENCE)
                await asyncio.sleep(0.001)
            writer.eos()

        async def main():
            jobs = [read(reader) for _, reader in pairs] + [write(to) for to, _ in pairs]
            return await asyncio.gather(*jobs)

        self.assertEqual(asyncio.run(main())[:2], [list(range(1, 11))] * 2)

    def test_a_cancelled_wait_loses_nothing(self):
        writer, reader = self.pair(**GRAY)

        async def main():
            for _ in range(2):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read_async(), 0.02)
            writer.write(PICTURE + 5)
            frame = await asyncio.wait_for(reader.read_async(), PATIENCE)
            self.assertEqual((frame.seq, frame[0, 0]), (1, 5))
            del frame
            while writer.statistics.held:  # a moment later in the thread that read it
                await asyncio.sleep(0.001)
            waiting = asyncio.ensure_future(reader.read_async())
            await asyncio.sleep(0.01)
            with self.assertRaisesRegex(possum.Error, "Another coroutine"):
                await reader.read_async()
            reader.close()
            with self.assertRaises(possum.Closed):
                await asyncio.wait_for(waiting, PATIENCE)

        asyncio.run(asyncio.wait_for(main(), PATIENCE))

    def test_a_dropped_reader_leaves_at_once(self):
        """Also while a thread of it waits, whose coroutine was cancelled."""
        writer = self.writer(self.channel(), **GRAY)
        reader = possum.Reader(writer.channel)

        async def main(reader):
            reading = asyncio.ensure_future(reader.read_async())
            while not writer.readers:
                await asyncio.sleep(0.001)
            reading.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await reading

        asyncio.run(asyncio.wait_for(main(reader), PATIENCE))
        self.assertEqual(writer.readers, 1)
        gone = weakref.ref(reader)
        del reader
        self.assertIsNone(gone())
        self.until(lambda: not writer.readers)  # its thread has left the library


def spawned(channel, result):
    with possum.Reader(channel, policy="blocking", timeout=PATIENCE) as reader:
        result.put([frame[0, 0] for frame in reader])


class Processes(Case):
    def test_forked(self):
        writer, reader = self.pair(**GRAY)
        writer.write(PICTURE + 3)
        frame = reader.read(PATIENCE)
        slot = writer.borrow()

        def child():
            nonlocal frame, slot
            for use in (
                lambda: reader.read(0),
                lambda: writer.write(PICTURE),
                lambda: slot.publish(),
                lambda: reader.statistics,
            ):
                with self.assertRaisesRegex(possum.Error, r"before fork\(\)"):
                    use()
            self.assertEqual(frame[0, 0], 3)
            writer.close()
            reader.close()
            slot.discard()
            del frame, slot
            with possum.Reader(writer.channel, timeout=PATIENCE) as own:
                self.assertEqual(next(own).seq, 1)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(PATIENCE)
        self.assertEqual(process.exitcode, 0)
        slot.array[:] = 4
        self.assertTrue(slot.publish(PATIENCE))
        self.assertEqual((reader.read(PATIENCE)[0, 0], frame[0, 0]), (4, 3))

    def test_spawned(self):
        channel = self.channel()
        writer = self.writer(channel, allow_blocking=True, **GRAY)
        context = multiprocessing.get_context("spawn")
        result = context.SimpleQueue()
        process = context.Process(target=spawned, args=(channel, result))
        process.start()
        writer.wait_readers(1, PATIENCE)
        for value in range(5):
            writer.write(PICTURE + value)
        writer.eos()
        self.assertEqual(result.get(), list(range(5)))
        process.join(PATIENCE)

    def test_what_cannot_go_to_another_process(self):
        writer, reader = self.pair(**GRAY)
        spawn = multiprocessing.get_context("spawn")
        for end in (writer, reader, writer.borrow()):
            sentence = f"A {type(end).__name__} belongs to .* give others the name"
            for take in (pickle.dumps, copy.copy, copy.deepcopy):
                with self.subTest(end), self.assertRaisesRegex(possum.Error, sentence):
                    take(end)
            with self.assertRaisesRegex(possum.Error, sentence):
                spawn.Process(target=spawned, args=(end, None)).start()

    def test_ends_without_close(self):
        """The names go with the interpreter."""
        channel = self.channel()
        program = "import possum, sys; w = possum.Writer(sys.argv[1], dtype='u1', shape=3)"
        self.expect_end(self.python(program, channel))


class Errors(Case):
    def test_arguments(self):
        for options, why in (
            ({"format": "BGR"}, "width and height"),
            ({"format": "QQQ", "width": 1, "height": 1}, "QQQ"),
            ({"format": "BGR", "width": 0, "height": 1}, "32767"),
            ({"format": "BGR", "width": 2**40, "height": 1}, "32767"),
            ({"width": 3}, "format"),
            ({"dtype": "u1"}, "both dtype and shape"),
            ({"dtype": "u1", "shape": (2, 0)}, "from 1 on"),
            ({"dtype": "nonsense", "shape": 3}, "no dtype"),
            ({"dtype": "u1", "shape": 3, "caps": "a/b"}, "exclude"),
            ({"caps": "a/b"}, "frame_bytes"),
            ({"caps": "video/x-raw, format=BGR"}, "."),
            ({"slots": 99}, "slots"),
        ):
            with self.subTest(options):
                with self.assertRaisesRegex(possum.InvalidValue, why) as caught:
                    possum.Writer(self.channel(), **options)
                self.assertNotRegex(str(caught.exception), "(?i)possum_")  # that is C
        for name in ("", "a b", "a\0b", "/etc/passwd", "ä"):
            with self.subTest(name), self.assertRaises(possum.InvalidValue):
                possum.Writer(name, dtype="u1", shape=3)
            with self.subTest(name), self.assertRaises(possum.InvalidValue):
                possum.Reader(name)
        for options in ({"policy": "newest"}, {"depth": 0}, {"allowed_owner": "nobody knows"}):
            with self.subTest(options), self.assertRaises(possum.InvalidValue):
                possum.Reader("x", **options)
        writer = self.writer(self.channel(), max_blocking=float("inf"))
        with self.assertRaisesRegex(possum.InvalidValue, "give format"):
            writer.borrow()
        for use in (writer.wait_readers, writer.drain, self.reader(self.channel()).read):
            with self.assertRaisesRegex(possum.InvalidValue, "not nan"):
                use(timeout=float("nan"))
        for options in ({"max_blocking": -1}, {"claim_timeout": float("nan")}):
            with self.assertRaises(possum.InvalidValue):
                possum.Writer(self.channel(), **options)

    def test_two_writers(self):
        writer = self.writer(self.channel(), **GRAY)
        with self.assertRaisesRegex(possum.Busy, str(os.getpid())) as caught:
            possum.Writer(writer.channel, claim_timeout=0.01, **GRAY)
        self.assertEqual(caught.exception.status, "busy")

    def test_blocking_is_not_allowed(self):
        writer = self.writer(self.channel(), **GRAY)
        with self.assertRaisesRegex(possum.Error, "lock"):
            self.reader(writer.channel, policy="blocking").read(PATIENCE)

    def test_the_library(self):
        program = "try: import possum\nexcept ImportError as error: print(error)"
        for library in ("/nowhere.so", "libm.so.6"):
            done = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "POSSUM_LIBRARY": library},
                capture_output=True,
                text=True,
            )
            self.assertRegex(done.stdout, "not found .*name the library in POSSUM_LIBRARY")


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Waits inside of libpossum that signals, close() and fork() do not break.

Python runs signal handlers in its main thread, between bytecodes. A thread that waits in
a C library gets to none, so Ctrl-C would do nothing. Python can write each signal's number
into a descriptor, though (signal.set_wakeup_fd()): while the main thread waits, this is a
pipe of ours, and a thread that reads it interrupts the wait. The main thread then gets to
its handlers, and waits on if none of them raised. Nobody looks at a clock for this.
"""

import _thread
import atexit
import ctypes
import os
import signal
import threading
import weakref
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Optional

from ._errors import Closed, Error, Timeout
from ._library import FOREVER, INTERRUPTED, lib

Interrupt = Callable[[int], None]


class _Wakeup:
    """The pipe and the thread that reads it. One for the process."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        self.lock = threading.RLock()
        # Guarded by the lock.
        self.target: Optional[Interrupt] = None  # of the main thread's wait
        self.forward = -1  # whoever wants to know of signals as well
        # Not a threading.Thread: its start() waits in Python for the thread to begin, and a signal
        # handler that raises there breaks it. The end of the interpreter waits for that instead,
        # because a thread that begins later uses what is gone.
        begun = _thread.allocate_lock()
        begun.acquire()
        atexit.register(begun.acquire, timeout=1)
        _thread.start_new_thread(self._serve, (begun,))

    def _serve(self, begun: "_thread.LockType") -> None:
        begun.release()
        while True:
            signals = os.read(self.read_end, 512)
            with self.lock:
                target, forward = self.target, self.forward
            # Without the lock: the main thread may want it in a signal handler, over a close()
            # that has the target's. An interrupt that comes too late costs a turn of the loop in
            # Handle.wait().
            if target:
                target(1)
            if forward != -1:
                try:
                    os.write(forward, signals)
                except OSError:
                    pass  # full or closed: the owner's matter, as for the interpreter

    def wait(self, interrupt: Interrupt, call: Callable[[], None]) -> None:
        """In the main thread. Signals from before are handled by now: Python looks for them
        after each call, among them that of set_wakeup_fd()."""
        outer = self.target  # only this thread sets it
        before = signal.set_wakeup_fd(self.write_end, warn_on_full_buffer=False)
        try:
            with self.lock:
                self.target = interrupt
                if before != self.write_end:
                    self.forward = before
            call()
        finally:
            with self.lock:
                self.target = outer
                interrupt(0)
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)


_wakeup: Optional[_Wakeup] = None


def _the_wakeup() -> _Wakeup:
    global _wakeup
    if _wakeup is None:
        _wakeup = _Wakeup()
    return _wakeup


def _forget_in_child() -> None:
    """The pipe is the parent's, and the thread did not come along."""
    global _wakeup
    old, _wakeup = _wakeup, None
    if old is None:
        return
    if threading.current_thread() is threading.main_thread():
        current = signal.set_wakeup_fd(-1)
        if current != old.write_end and current != -1:
            signal.set_wakeup_fd(current)
    os.close(old.read_end)
    os.close(old.write_end)


os.register_at_fork(after_in_child=_forget_in_child)


class Use:
    """A reader or writer of the library while a call is in it: what ctypes passes on.

    What is in use is held by references and not counted: a signal handler may raise between any
    two steps of a count, and then it never ends.
    """

    __slots__ = ("_as_parameter_",)

    def __init__(self, owner: ctypes.c_void_p) -> None:
        self._as_parameter_: Optional[ctypes.c_void_p] = owner

    def __enter__(self) -> "Use":
        return self

    def __exit__(self, *_: Any) -> None:
        self._as_parameter_ = None  # this may live on in a traceback


class Handle:
    """A reader or writer of the library. `owner` closes it when nobody is inside of it any more:
    it is held from here, and by each Use."""

    def __init__(self, what: str, owner: ctypes.c_void_p, interrupt: Any) -> None:
        self._what = what
        self._owner: Optional[ctypes.c_void_p] = owner
        self._interrupt_call = interrupt
        self._pid = os.getpid()
        # Reentrant, for signal handlers that close what they interrupt.
        self._lock = threading.RLock()
        self.closed = False

    def use(self) -> Use:
        if os.getpid() != self._pid:
            raise Error(
                f"This {self._what} was opened before fork() and belongs to the parent "
                "process: open one in this process"
            )
        owner = self._owner
        if owner is None:
            raise Closed(f"This {self._what} is closed")
        return Use(owner)

    def close(self) -> None:
        """Ends all waits. From any thread, also from a signal handler."""
        if os.getpid() != self._pid:
            return  # the lock may be another thread's, who is not here
        with self._lock:
            self.closed = True
            owner = self._owner
            if owner is not None:
                self._interrupt_call(owner, 1)
                self._owner = None

    def _interrupt(self, on: int) -> None:
        with self._lock:
            if self._owner is not None:
                self._interrupt_call(self._owner, on)

    def wait(self, function: Any, *arguments: Any, results: Optional[List[int]] = None) -> int:
        """Calls a function of the library, which waits and returns a status, until that is
        another one than INTERRUPTED. While it is in use.

        results: gets each status before any signal handler runs, hence also where one
        raises. Why extend() and map(): they call and store without a bytecode between.
        """
        got = [] if results is None else results
        columns = [(argument,) for argument in arguments]

        def call() -> None:
            got.extend(map(function, *columns))

        in_main = threading.current_thread() is threading.main_thread()
        while True:
            if in_main:
                _the_wakeup().wait(self._interrupt, call)
            else:
                call()
            if got[-1] != INTERRUPTED:
                return got[-1]
            if self.closed:
                raise Closed(f"This {self._what} was closed meanwhile")
            if not in_main:
                self._pass_interrupt()

    def _pass_interrupt(self) -> None:
        """The interrupt was for the main thread, or is left from its last wait."""
        wakeup = _wakeup
        if wakeup is None:
            return
        with wakeup.lock:
            if wakeup.target != self._interrupt:
                self._interrupt(0)


def close_with(owner: Any, handle: Handle) -> Any:
    """Closes with the owner's end, at the latest when the interpreter ends."""
    return weakref.finalize(owner, handle.close)


def stays_here(owner: Any, _: int = 0) -> Any:
    """The __reduce_ex__ of what pickle cannot take to another process, nor copy() double."""
    kind = type(owner).__name__
    raise Error(
        f"A {kind} belongs to the process and the program that opened it: give others the name "
        f"of the channel, to open a {kind} of their own"
    )


@contextmanager
def turn(lock: Any, deadline: int) -> Iterator[None]:
    """Holds the lock; Timeout when another thread has it until the deadline."""
    seconds = -1.0
    if deadline != FOREVER:
        left = max(0, deadline - int(lib.possum_now_ns()))
        seconds = min(left / 1e9, threading.TIMEOUT_MAX)
    got: List[bool] = []
    try:
        got.extend(map(lock.acquire, (True,), (seconds,)))  # as in Handle.wait()
        if not got[0]:
            raise Timeout("Another thread waits in the same reader or writer")
        yield
    finally:
        if got and got[0]:
            lock.release()

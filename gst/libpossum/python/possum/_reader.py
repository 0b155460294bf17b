# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""The reading end of a channel."""

import asyncio
import concurrent.futures
import ctypes
import functools
import logging
import queue
import threading
import weakref
from typing import Any, Iterator, NamedTuple, Optional, Type

from . import _library as c
from ._errors import Closed, Error, InvalidValue
from ._frame import Frame, take_over
from ._library import lib
from ._waiting import Handle, Use, close_with, stays_here, turn

# Something lies under the name that only a person can take away.
_IN_THE_WAY = (c.ERROR_NOT_OWNER, c.ERROR_NO_PERMISSION)
_WORTH_WAITING = (c.TIMEOUT, c.INTERRUPTED, c.ERROR_NOT_FOUND, c.ERROR_BUSY) + _IN_THE_WAY
_log = logging.getLogger("possum")
_POLICIES = ("drop-oldest", "drop-newest", "blocking")


class ReaderStatistics(NamedTuple):
    """frames and bytes taken; frames missed and of those taken, copied; attachments: one
    more than there were reconnects; pid and name of the last writer's program (0, "")."""

    frames: int
    bytes: int
    missed: int
    copied: int
    attachments: int
    writer_pid: int
    writer_name: str


class _Intake:
    """What reads. Apart from the Reader, whose end is to be noticed while a thread of _Waiter
    waits in here."""

    def __init__(
        self,
        handle: Handle,
        type: Optional[Type[ctypes.Structure]],
        reconnect: bool,
        writable: bool,
    ) -> None:
        self.handle = handle
        self._type = type
        self._take_call = lib.possum_reader_next if reconnect else lib.possum_reader_take
        self._to_attach = not reconnect
        self._writable = writable
        self.lock = threading.RLock()  # one thread at a time reads
        # Guarded by the lock. A frame stays here if a signal handler raises right after it
        # was taken.
        self._taken = c.FramePointer()

    def read(self, timeout: Optional[float]) -> Optional[Frame]:
        deadline = c.deadline_of(timeout)
        with self.handle.use() as pointer, turn(self.lock, deadline):
            if not self._taken.value and not self._take(pointer, deadline):
                return None
            taken, self._taken = self._taken, c.FramePointer()
            return take_over(taken, self._type, self._writable)

    def _take(self, pointer: Use, deadline: int) -> bool:
        if self._to_attach:
            c.checked(self.handle.wait(lib.possum_reader_attach, pointer, deadline))
            self._to_attach = False
        out = ctypes.byref(self._taken)
        status = self._take_call(pointer, c.AT_ONCE, out)
        if status in _IN_THE_WAY and deadline == c.FOREVER:  # or an exception says it
            _log.warning("waiting: %s", c.failure(status))
        if status in _WORTH_WAITING:
            status = self.handle.wait(self._take_call, pointer, deadline, out)
        if status in (c.EOS, c.DISCONNECTED):
            return False
        c.checked(status)
        return True


class _Waiter:
    """A thread that reads while an event loop does something else."""

    def __init__(self) -> None:
        self._orders: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="possum-reader", daemon=True).start()

    def _serve(self) -> None:
        while True:
            order = self._orders.get()
            if order is None:
                return
            future, read = order
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(read())
                except BaseException as error:  # the asking coroutine's, whatever it is
                    future.set_exception(error)
            del order, future, read  # the frame is not this thread's to keep

    def ask(self, read: Any) -> "concurrent.futures.Future[Optional[Frame]]":
        future: "concurrent.futures.Future[Optional[Frame]]" = concurrent.futures.Future()
        self._orders.put((future, read))
        return future

    def end(self) -> None:
        self._orders.put(None)


class Reader:
    """Frames of a channel: `for frame in possum.Reader("cam")`, also `async for`.

    Waits for the channel to be there, and for the next writer when one goes. The loop ends
    when the writer says that it was all (EOS), when the reader is closed, and with
    reconnect=False when the writer is gone.

    channel: its name, [A-Za-z0-9_][A-Za-z0-9._-]*, at most 120 characters.
    policy: what happens when `depth` frames (1..16) wait: "drop-oldest" (the newest count),
        "drop-newest", or "blocking" (every frame counts; the writer must allow it).
    timeout: seconds that a loop waits for each frame before it raises Timeout; None: ever.
    type: the ctypes.Structure that the frames' `value` is to be; InvalidValue from reading
        if the writer sends another one.
    copy: each frame is a private copy, for programs that keep many or draw on them: writable.
    ignore_eos: EOS is a pause.
    allowed_owner: user whose channels are accepted besides this one's and root's, or "any".
    sigbus_guard: survive somebody who cuts the shared memory short (possum.h).
    copy_on_write: what draws on a frame although that is read-only, as OpenCV before 4.9 does,
        does so in this process alone and until the frame is gone. Installs a SIGSEGV handler
        (possum.h). False: it ends the interpreter.

    Any thread may use it; of several that read each frame goes to one. Not after fork().
    """

    def __init__(
        self,
        channel: str = "default",
        *,
        policy: str = "drop-oldest",
        depth: int = 3,
        timeout: Optional[float] = None,
        type: Optional[Type[ctypes.Structure]] = None,
        reconnect: bool = True,
        copy: bool = False,
        ignore_eos: bool = False,
        allowed_owner: Optional[str] = None,
        sigbus_guard: bool = False,
        copy_on_write: bool = True,
    ) -> None:
        if policy not in _POLICIES:
            raise InvalidValue(f"policy is one of {', '.join(_POLICIES)}, not {policy!r}")
        if not 1 <= depth <= 16:
            raise InvalidValue(f"depth is 1 to 16 frames, not {depth}")
        options = c.filled(c.ReaderOptions, lib.possum_reader_options_init)
        options.channel = c.encoded(channel)
        options.policy = _POLICIES.index(policy)
        options.depth = depth
        options.allowed_owner = c.encoded(allowed_owner)
        options.ignore_eos = ignore_eos
        options.copy = copy
        options.sigbus_guard = sigbus_guard
        options.copy_on_write = copy_on_write
        pointer = c.ReaderPointer()
        c.checked(lib.possum_reader_open(ctypes.byref(options), ctypes.byref(pointer)))
        self._channel = channel
        self._timeout = timeout
        self._handle = Handle(f"reader of {channel}", pointer, lib.possum_reader_interrupt)
        self._close = close_with(self, self._handle)
        self._intake = _Intake(self._handle, type, reconnect, writable=copy)
        # Of the event loop's thread.
        self._waiter: Optional[_Waiter] = None
        self._awaited = False
        self._pending: "Optional[concurrent.futures.Future[Optional[Frame]]]" = None

    __reduce_ex__ = stays_here

    # --- reading

    def read(self, timeout: Optional[float] = None) -> Optional[Frame]:
        """The next frame, None if there will be none (see the class).

        timeout: seconds; None: ever, 0: only what is there. Timeout: nothing came;
        NotFound, one of those: there was no writer. Busy at the deadline: 32 readers. Closed
        by another thread. Other Errors: the channel cannot be read; reading on tries anew.
        """
        return self._intake.read(timeout)

    def skip_to_newest(self) -> None:
        """Lets go of all waiting frames but the newest."""
        with self._handle.use() as pointer, turn(self._intake.lock, c.FOREVER):
            lib.possum_reader_skip_to_newest(pointer)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        was_open = not self._handle.closed
        try:
            frame = self.read(self._timeout)
        except Closed:
            if was_open:
                raise StopIteration from None
            raise
        if frame is None:
            raise StopIteration
        return frame

    # --- with asyncio

    async def read_async(self) -> Optional[Frame]:
        """As read(), without holding up the event loop. One coroutine at a time, else Error;
        a frame that comes after the coroutine was cancelled is for the next one."""
        if self._waiter is None:
            self._waiter = _Waiter()
            weakref.finalize(self, self._waiter.end)
        if self._awaited:
            raise Error("Another coroutine reads already: one at a time, or a reader for each")
        if self._pending is None or self._pending.cancelled():
            read = functools.partial(self._intake.read, self._timeout)
            self._pending = self._waiter.ask(read)
        self._awaited = True
        try:
            return await asyncio.wrap_future(self._pending)
        finally:
            self._awaited = False
            if self._pending.done():
                self._pending = None

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Frame:
        was_open = not self._handle.closed
        try:
            frame = await self.read_async()
        except Closed:
            if was_open:
                raise StopAsyncIteration from None
            raise
        if frame is None:
            raise StopAsyncIteration
        return frame

    # --- about it

    @property
    def channel(self) -> str:
        return self._channel

    @property
    def attached(self) -> bool:
        """Also while the writer is gone."""
        with self._handle.use() as pointer:
            return bool(lib.possum_reader_is_attached(pointer))

    @property
    def statistics(self) -> ReaderStatistics:
        with self._handle.use() as pointer:
            got = c.filled(c.ReaderStatistics, lib.possum_reader_get_statistics, pointer)
        return ReaderStatistics(
            got.frames,
            got.bytes,
            got.missed,
            got.copied,
            got.attachments,
            got.writer_pid,
            got.writer_name.decode(errors="replace"),
        )

    # --- the end

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def close(self) -> None:
        """Leaves the channel and ends all waits. Frames in hand stay valid. Any thread, and
        signal handlers."""
        self._close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.close()

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""The writing end of a channel."""

import ctypes
import math
import threading
import time
from fractions import Fraction
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Type, Union

import numpy

from . import _library as c
from . import _types
from ._errors import Closed, InvalidValue, NoSlot
from ._frame import Layout, SlotArray, freeze, is_of_planes, lent, plane_layouts, slot_arrays
from ._library import lib
from ._waiting import Handle, close_with, stays_here, turn

Shape = Union[int, Sequence[int]]
Rate = Union[int, float, str, Fraction]

_CLAIM_PAUSE = 0.02  # seconds between two tries to become a channel's writer


class WriterStatistics(NamedTuple):
    """frames and bytes published; no_slot: frames dropped for want of a slot; slots in the
    pool, held by readers, borrowed here; readers attached."""

    frames: int
    bytes: int
    no_slot: int
    slots: int
    held: int
    borrowed: int
    readers: int


class _Format(NamedTuple):
    """What the frames are, and where their arrays lie."""

    caps: str
    bytes: int
    layouts: Tuple[Layout, ...]
    struct: Optional[Type[ctypes.Structure]] = None

    @property
    def words(self) -> str:
        return " and ".join(f"{layout.dtype} {layout.shape}" for layout in self.layouts)


def _format_of_video(video: c.Video) -> _Format:
    length = lib.possum_video_to_caps(ctypes.byref(video), None, 0)
    text = ctypes.create_string_buffer(length + 1)
    lib.possum_video_to_caps(ctypes.byref(video), text, len(text))
    layouts = plane_layouts(video.format.decode(), video)
    return _Format(text.value.decode(), video.bytes, tuple(layouts))


def _video(format: str, width: Optional[int], height: Optional[int], rate: Rate) -> _Format:
    if width is None or height is None:
        raise InvalidValue("A format needs width and height as well")
    fraction = Fraction(rate).limit_denominator(1001)
    if not 0 <= fraction < 2**31:
        raise InvalidValue(f"framerate is frames a second, not {rate}")
    video = c.filled(c.Video, lib.possum_video_init)
    side = 2**31 - 1  # ctypes would cut larger numbers off
    c.checked(
        lib.possum_video_set_format(
            ctypes.byref(video), c.encoded(format), min(width, side), min(height, side)
        )
    )
    video.framerate_n, video.framerate_d = fraction.numerator, fraction.denominator
    return _format_of_video(video)


def _array(dtype: Any, shape: Shape) -> _Format:
    sides = (shape,) if isinstance(shape, int) else tuple(int(side) for side in shape)
    if any(side < 1 for side in sides):
        raise InvalidValue(f"A shape is made of numbers from 1 on, not {sides}")
    try:
        kind = numpy.dtype(dtype)
    except TypeError as error:
        raise InvalidValue(f"{dtype!r} is no dtype: {error}") from None
    caps = _types.caps_of_array(kind, sides)
    return _Format(caps, kind.itemsize * math.prod(sides), (Layout(kind, sides, 0, None),))


def _structure(struct: Type[ctypes.Structure]) -> _Format:
    if not (isinstance(struct, type) and issubclass(struct, ctypes.Structure)):
        raise InvalidValue(f"type is a ctypes.Structure, not {struct!r}")
    dtype = _types.dtype_of_struct(struct)
    caps = _types.caps_of_struct(struct, dtype)
    return _Format(caps, dtype.itemsize, (Layout(dtype, (), 0, None),), struct)


def _from_caps(caps: str, frame_bytes: int) -> _Format:
    text = c.encoded(caps) or b""
    if c.caps_field(text, None) == "video/x-raw" and frame_bytes < 1:
        video = c.filled(c.Video, lib.possum_video_init)
        c.checked(lib.possum_video_from_caps(ctypes.byref(video), text))
        return _Format(caps, video.bytes, tuple(plane_layouts(video.format.decode(), video)))
    if frame_bytes < 1:
        raise InvalidValue("Caps of anything but raw video need frame_bytes as well")
    layout = Layout(numpy.dtype("u1"), (frame_bytes,), 0, None)
    return _Format(caps, frame_bytes, (layout,))


class Slot:
    """A borrowed frame of shared memory, to fill: `array`, or all `planes`, or `value`.

    As a context manager it is published at the end of the block, and given back if that
    raises (as soon as no array of it is left). The old content is whatever an earlier frame
    left there. From the first try to publish it on the arrays and views of them are read-only,
    since readers look at the same memory. What was made of them past NumPy's slicing
    (numpy.asarray(), memoryview(), `value`) is not to be written any more, nor drawn on with
    OpenCV before 4.9, which does not look whether an array is read-only.

    Attributes for publishing, nanoseconds: pts (recorded material: since its beginning),
    dts, duration; capture: time.monotonic_ns() of the moment that the picture shows, None:
    that of publication; offset: a number of your own, such as a frame count; flags.
    """

    def __init__(self, writer: "Writer", format: _Format, pointer: c.SlotPointer) -> None:
        self._writer = writer
        self._pointer: Optional[c.SlotPointer] = pointer
        self._memory = lent(pointer, format.bytes)
        self._struct = format.struct
        self._arrays: List[SlotArray] = slot_arrays(self._memory, format.layouts)
        if format.struct:
            self._memory[:] = 0
        self.pts: Optional[int] = None
        self.dts: Optional[int] = None
        self.duration: Optional[int] = None
        self.capture: Optional[int] = None
        self.offset: Optional[int] = None
        self.flags = 0

    @property
    def array(self) -> "numpy.ndarray[Any, Any]":
        """The frame, or the first of its planes; writable."""
        return self.planes[0]

    @property
    def planes(self) -> Tuple["numpy.ndarray[Any, Any]", ...]:
        self._check()
        return tuple(self._arrays)

    @property
    def value(self) -> ctypes.Structure:
        """The structure in shared memory, all zeros at first. Not to be written after
        publish()."""
        self._check()
        if not self._struct:
            raise AttributeError("This writer sends no structures")
        return self._struct.from_buffer(self._memory)

    def _check(self) -> c.SlotPointer:
        if self._pointer is None:
            raise Closed("This slot was published or given back: borrow another one")
        return self._pointer

    def _fill(self, sources: Sequence[Any]) -> None:
        for target, source in zip(self._arrays, sources):
            target[...] = source

    def _forget(self) -> None:
        freeze(self._arrays[0])
        self._arrays = []
        self._memory = None
        self._pointer = None

    def _parameters(self) -> c.FrameParams:
        params: c.FrameParams = c.filled(c.FrameParams, lib.possum_frame_params_init)
        for name in ("pts", "dts", "duration", "capture"):
            time = getattr(self, name)
            if time is not None:
                if not 0 <= time < 2**63:
                    raise InvalidValue(f"{name} is nanoseconds from 0 on, not {time}")
                setattr(params, name + "_ns", time)
        if self.offset is not None:
            if not 0 <= self.offset < 2**64 - 1:
                raise InvalidValue(f"offset is a number from 0 on, not {self.offset}")
            params.offset = self.offset
        params.flags = self.flags
        return params

    def publish(self, timeout: Optional[float] = None) -> bool:
        """Offers the frame to all readers. False: it was dropped, the channel was made anew.

        Waits only while a blocking reader has no room, at most `timeout` seconds; after a
        Timeout (or KeyboardInterrupt) call again to go on, or discard().
        """
        return self._publish(c.deadline_of(timeout))

    def _publish(self, deadline: int) -> bool:
        slot = self._check()
        params = self._parameters()
        results: List[int] = []
        with self._writer._handle.use() as pointer, turn(self._writer._lock, deadline):
            arguments = (pointer, slot, ctypes.byref(params))
            try:
                status = self._writer._handle.wait(
                    lib.possum_writer_publish, *arguments, c.AT_ONCE, results=results
                )
                if status == c.TIMEOUT:
                    status = self._writer._handle.wait(
                        lib.possum_writer_publish, *arguments, deadline, results=results
                    )
            finally:
                if results and results[-1] not in _STILL_BORROWED:
                    self._forget()
                elif results and results[-1] != c.ERROR_SETTINGS:
                    freeze(self._arrays[0])  # readers that had room have it
            if status == c.NO_SLOT:
                return False
            c.checked(status)
            return True

    def discard(self) -> None:
        """Gives the slot back unpublished, as soon as no array of it is left. Once more:
        nothing."""
        if self._pointer is not None:
            self._forget()

    __reduce_ex__ = stays_here

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None and self._pointer is not None:
                self.publish(self._writer.timeout)
        finally:
            self.discard()


_STILL_BORROWED = (c.TIMEOUT, c.INTERRUPTED, c.ERROR_SETTINGS)


class Writer:
    """The one writer of a channel; any number of readers, before or after it.

    What the frames are, one of:
        format="BGR", width=640, height=480, framerate=30: video (framerate may be left out)
        dtype="float32", shape=(480, 640): arrays
        type=Point, a ctypes.Structure without pointers, unions and bit fields
        caps="...": any caps (possum.h), with frame_bytes where they are no video
        nothing: each array or structure that is written says it

    channel: its name, [A-Za-z0-9_][A-Za-z0-9._-]*, at most 120 characters.
    allow_blocking: readers may ask for every frame and so hold up this writer.
    max_blocking: seconds after which a reader that stands still may not any more; None: ever.
    timeout: seconds that write(), borrow() and the end of a `with` block wait at most.
    slots: 3..32, the most frames that the pool may grow to.
    perms, group: mode and group of the shared memory; 0o660 lets the group attach.
    claim_timeout: seconds that a name which another writer holds is tried for; None: ever.
    sigbus_guard: survive somebody who cuts the shared memory short (possum.h).

    Busy: the channel has another writer. Any thread may use it. Not after fork().
    """

    def __init__(
        self,
        channel: str = "default",
        *,
        format: Optional[str] = None,
        width: Optional[int] = None,
        height: Optional[int] = None,
        framerate: Rate = 0,
        dtype: Any = None,
        shape: Optional[Shape] = None,
        type: Optional[Type[ctypes.Structure]] = None,
        caps: Optional[str] = None,
        frame_bytes: int = 0,
        allow_blocking: bool = False,
        max_blocking: Optional[float] = None,
        timeout: Optional[float] = None,
        slots: int = 16,
        perms: int = 0o600,
        group: Optional[str] = None,
        claim_timeout: Optional[float] = 2.0,
        sigbus_guard: bool = False,
    ) -> None:
        kinds = {"format": format, "dtype": dtype, "type": type, "caps": caps}
        given = [name for name, kind in kinds.items() if kind is not None]
        if len(given) > 1:
            raise InvalidValue(f"{' and '.join(given)} exclude each other: give one of them")
        self._format: Optional[_Format] = None
        if format is not None:
            self._format = _video(format, width, height, framerate)
        elif width is not None or height is not None:
            raise InvalidValue("width and height need a format as well, such as BGR")
        elif dtype is not None and shape is not None:
            self._format = _array(dtype, shape)
        elif dtype is not None or shape is not None:
            raise InvalidValue("An array needs both dtype and shape")
        elif type is not None:
            self._format = _structure(type)
        elif caps is not None:
            self._format = _from_caps(caps, frame_bytes)
        self._follows = self._format is None  # what is written says what it is
        if not 0 <= slots < 2**32 or not 0 <= perms < 2**32:
            raise InvalidValue("slots is 3 to 32, perms a mode such as 0o660")
        options = c.filled(c.WriterOptions, lib.possum_writer_options_init)
        options.channel = c.encoded(channel)
        if self._format:
            options.caps = c.encoded(self._format.caps)
            options.frame_bytes = self._format.bytes
        options.slots = slots
        options.perms = perms
        options.group = c.encoded(group)
        if max_blocking is not None:
            options.max_blocking_ns = c.nanoseconds(max_blocking)
        options.claim_timeout_ns = 0  # see _claimed()
        options.allow_blocking = allow_blocking
        options.sigbus_guard = sigbus_guard
        pointer = _claimed(options, claim_timeout)
        self.timeout = timeout
        self._channel = channel
        self._handle = Handle(f"writer of {channel}", pointer, lib.possum_writer_interrupt)
        self._close = close_with(self, self._handle)
        self._lock = threading.RLock()  # one thread at a time borrows and publishes

    __reduce_ex__ = stays_here

    # --- frames

    def borrow(self, timeout: Optional[float] = None) -> Slot:
        """A slot to fill in place: nothing is copied. One at a time leaves readers the most.

        Waits only while blocking readers hold all slots, at most `timeout` seconds (None:
        as the writer's). NoSlot: other readers hold them all; drop this frame, go on.
        """
        if self._format is None:
            raise InvalidValue("Nobody said what the frames are: give format, dtype or type")
        return self._borrow(self._format, self._deadline_of(timeout))

    def _deadline_of(self, timeout: Optional[float]) -> int:
        return c.deadline_of(self.timeout if timeout is None else timeout)

    def _borrow(self, format: _Format, deadline: int) -> Slot:
        borrowed = c.SlotPointer()
        with self._handle.use() as pointer, turn(self._lock, deadline):
            arguments = (pointer, format.bytes)
            out = ctypes.byref(borrowed)
            status = lib.possum_writer_borrow(*arguments, c.AT_ONCE, out)
            if status in (c.TIMEOUT, c.INTERRUPTED):
                status = self._handle.wait(
                    lib.possum_writer_borrow, *arguments, deadline, out
                )
            c.checked(status)
        return Slot(self, format, borrowed)

    def write(
        self,
        data: Any,
        *,
        pts: Optional[int] = None,
        dts: Optional[int] = None,
        duration: Optional[int] = None,
        capture: Optional[int] = None,
        offset: Optional[int] = None,
        flags: int = 0,
        timeout: Optional[float] = None,
    ) -> bool:
        """Copies an array or a structure into a slot and publishes it. False: dropped, since
        readers hold all slots.

        data: an array of the format's shape and dtype, any strides. For planar formats a Frame,
        a sequence of planes, or one array with all planes without padding one after the
        other, as OpenCV has them. Others: see Slot. Waits as borrow() does, and while a
        blocking reader has no room; at most `timeout` seconds for all of it. Timeout: the frame
        is given up.
        """
        deadline = self._deadline_of(timeout)
        with turn(self._lock, deadline):
            format = self._format_for(data)
            sources = _sources(format, data)
            try:
                slot = self._borrow(format, deadline)
            except NoSlot:
                return False
            try:
                slot._fill(sources)
                slot.pts, slot.dts, slot.duration = pts, dts, duration
                slot.capture, slot.offset, slot.flags = capture, offset, flags
                return slot._publish(deadline)
            finally:
                slot.discard()

    def _format_for(self, data: Any) -> _Format:
        if not self._follows and self._format is not None:
            return self._format
        if isinstance(data, ctypes.Structure):
            if self._format and self._format.struct is type(data):
                return self._format
            format = _structure(type(data))
        else:
            if is_of_planes(data):
                raise InvalidValue(
                    f"A frame of format {data.format} has several planes: give this writer the "
                    "frame's caps, or write one plane of frame.planes"
                )
            array = numpy.asarray(data)
            format = _array(array.dtype, array.shape)
        if self._format is None or self._format.caps != format.caps:
            with self._handle.use() as pointer:
                caps = c.encoded(format.caps)
                c.checked(lib.possum_writer_set_caps(pointer, caps, format.bytes))
        self._format = format
        return format

    # --- readers

    def wait_readers(self, count: int = 1, timeout: Optional[float] = None) -> None:
        """Waits until so many readers are attached."""
        deadline = c.deadline_of(timeout)
        with self._handle.use() as pointer:
            c.checked(
                self._handle.wait(lib.possum_writer_wait_readers, pointer, count, deadline)
            )

    def eos(self) -> None:
        """Says that no frame follows; taken back by the next one."""
        with self._handle.use() as pointer:
            lib.possum_writer_eos(pointer)

    def drain(self, timeout: Optional[float] = None) -> None:
        """Waits until each blocking reader has taken what it was offered, or has left."""
        deadline = c.deadline_of(timeout)
        with self._handle.use() as pointer:
            c.checked(self._handle.wait(lib.possum_writer_drain, pointer, deadline))

    def flush(self) -> None:
        """Withdraws what was not taken yet, except from blocking readers."""
        with self._handle.use() as pointer:
            lib.possum_writer_flush(pointer)

    # --- about it

    @property
    def channel(self) -> str:
        return self._channel

    @property
    def caps(self) -> Optional[str]:
        """None until something says what the frames are."""
        return self._format.caps if self._format else None

    @property
    def readers(self) -> int:
        """Attached now."""
        with self._handle.use() as pointer:
            return int(lib.possum_writer_reader_count(pointer))

    @property
    def statistics(self) -> WriterStatistics:
        with self._handle.use() as pointer:
            got = c.filled(c.WriterStatistics, lib.possum_writer_get_statistics, pointer)
        return WriterStatistics(
            got.frames,
            got.bytes,
            got.no_slot,
            got.slots,
            got.held,
            got.borrowed,
            got.readers,
        )

    # --- the end

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def close(self) -> None:
        """Removes the channel's name and ends all waits. Readers wait for the next writer
        unless eos() came before; drain() makes sure that blocking ones have all. Any
        thread, and signal handlers."""
        self._close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _claimed(options: c.WriterOptions, timeout: Optional[float]) -> c.WriterPointer:
    """A writer. The waiting for a name that another one holds is done here, one try after the
    other, since no signal handler runs while the library waits."""
    pointer = c.WriterPointer()
    end = math.inf if timeout is None else time.monotonic() + c.nanoseconds(timeout) / 1e9
    while True:
        status = lib.possum_writer_open(ctypes.byref(options), ctypes.byref(pointer))
        if status != c.ERROR_BUSY or time.monotonic() >= end:
            c.checked(status)
            return pointer
        time.sleep(_CLAIM_PAUSE)


def _sources(format: _Format, data: Any) -> Sequence[Any]:
    """One array for each layout, of its shape and dtype; InvalidValue says what differs."""
    if format.struct:
        if type(data) is not format.struct:
            raise InvalidValue(
                f"This writer sends {format.struct.__name__}, not {type(data).__name__}"
            )
        return [numpy.frombuffer(bytes(data), format.layouts[0].dtype)[0]]
    layouts = format.layouts
    if is_of_planes(data):
        data = data.planes
    if len(layouts) > 1 and isinstance(data, (tuple, list)) and len(data) == len(layouts):
        arrays: List[Any] = [numpy.asarray(plane) for plane in data]
    else:
        array = numpy.asarray(data)
        arrays = [array] if len(layouts) == 1 else _split(array, layouts)
    for array, layout in zip(arrays, layouts):
        if not _fits(array, layout):
            raise InvalidValue(
                f"This writer sends {format.words}; what was given is {array.dtype} "
                f"{array.shape}: convert or reshape it"
            )
    return arrays


def _fits(array: Any, layout: Layout) -> bool:
    return bool(array.shape == layout.shape and array.dtype == layout.dtype)


def _split(array: Any, layouts: Sequence[Layout]) -> List[Any]:
    """All planes from one array, if it has as many samples as they."""
    counts = [math.prod(layout.shape) for layout in layouts]
    if array.size != sum(counts):
        return [array] * len(layouts)
    samples, parts, at = array.reshape(-1), [], 0
    for count, layout in zip(counts, layouts):
        parts.append(samples[at : at + count].reshape(layout.shape))
        at += count
    return parts

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Frames as NumPy arrays: where the rows lie, what type the samples have, who owns them."""

import ctypes
import functools
import math
import time
import weakref
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Type, Union

import numpy

from . import _types
from ._errors import Error, InvalidValue
from ._library import (
    NO_OFFSET,
    NO_TIME,
    FrameInfo,
    FramePointer,
    SlotPointer,
    Video,
    caps_field,
    filled,
    lib,
)

# What a plane consists of where the format's name does not say it by its end: words of packed
# samples, and samples of 16 bits.
_ELEMENTS = {
    "RGB16": "=u2", "BGR16": "=u2", "RGB15": "=u2", "BGR15": "=u2",
    "BGR10A2_LE": "<u4", "RGB10A2_LE": "<u4", "Y410": "<u4", "r210": ">u4", "v210": "<u4",
    "GRAY10_LE32": "<u4", "NV12_10LE32": "<u4", "NV16_10LE32": "<u4",
    "v216": "<u2", "Y210": "<u2", "GRAY10_LE16": "<u2",
}  # fmt: skip


class _Memory:
    """Memory of the library as NumPy takes it: `owner` lives as long as arrays over it.

    No exporter of buffers, so NumPy refuses to make arrays over read-only memory writable.
    """

    __slots__ = ("__array_interface__", "__weakref__", "_owner")

    def __init__(
        self, owner: Any, address: int, size: int, read_only: bool
    ) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, read_only),
        }


class Layout(NamedTuple):
    """One array within a frame: bytes from its first one, rows by strides."""

    dtype: Any
    shape: Tuple[int, ...]
    offset: int
    strides: Optional[Tuple[int, ...]]

    def over(self, kind: Any, memory: Any) -> Any:
        return kind.__new__(
            kind, self.shape, self.dtype, memory, self.offset, self.strides
        )


@functools.lru_cache(maxsize=256)
def plane_layout(
    format: str, width: int, height: int, pixel_bytes: int, offset: int, stride: int
) -> Layout:
    """Height x columns (pixels, or groups as possum.h says), with what a column consists of as
    third dimension if that is more than one."""
    if format in _ELEMENTS:
        dtype = _ELEMENTS[format]
    elif format.endswith("BE"):
        dtype = ">u2"
    elif format.endswith("LE"):
        dtype = "<u2"
    else:
        dtype = "=u2" if format.endswith("64") else "u1"
    sample = numpy.dtype(dtype)
    samples = pixel_bytes // sample.itemsize
    if samples == 1:
        return Layout(sample, (height, width), offset, (stride, pixel_bytes))
    return Layout(
        sample, (height, width, samples), offset, (stride, pixel_bytes, sample.itemsize)
    )


def plane_layouts(format: str, described: Union[Video, FrameInfo]) -> List[Layout]:
    return [
        plane_layout(format, p.width, p.height, p.pixel_bytes, p.offset, p.stride)
        for p in described.planes[: described.plane_count]
    ]


class _Kind(NamedTuple):
    """What caps say, looked at once for each text."""

    media_type: str
    format: str
    dtype: Any
    shape: Tuple[int, ...]
    name: str


@functools.lru_cache(maxsize=64)
def _kind_of(caps: bytes) -> _Kind:
    media_type = caps_field(caps, None) or ""
    if media_type == _types.ARRAY:
        dtype = _types.dtype_from_text(caps_field(caps, "dtype") or "")
        shape = _types.shape_from_text(caps_field(caps, "shape"))
        return _Kind(media_type, "", dtype, shape, "")
    if media_type == _types.STRUCT:
        dtype = _types.dtype_from_text(caps_field(caps, "dtype") or "")
        return _Kind(media_type, "", dtype, (), caps_field(caps, "name") or "")
    return _Kind(media_type, caps_field(caps, "format") or "", None, (), "")


_dtype_of_struct = functools.lru_cache(maxsize=64)(_types.dtype_of_struct)


@functools.lru_cache(maxsize=64)
def _struct_of(caps: bytes) -> Type[ctypes.Structure]:
    kind = _kind_of(caps)
    return _types.struct_from_text(caps_field(caps, "dtype") or "", kind.name)


class _About:
    """What is known of a frame besides its bytes. Holds no memory of the frame."""

    __slots__ = (
        "caps", "format", "width", "height", "seq", "missed", "writer_id", "capture",
        "published", "pts", "dts", "duration", "latency", "offset", "offset_end", "flags",
        "flush_id", "is_copy", "layouts", "is_struct", "struct",
    )  # fmt: skip

    def __init__(self, info: FrameInfo, struct: Optional[Type[ctypes.Structure]]) -> None:
        kind = _kind_of(info.caps)
        self.caps = info.caps
        self.format = kind.format if info.is_video else ""
        self.width = info.width
        self.height = info.height
        self.seq = info.seq
        self.missed = info.missed
        self.writer_id = info.writer_id
        self.capture = info.capture_ns
        self.published = info.publish_ns
        self.pts = _time(info.pts_ns)
        self.dts = _time(info.dts_ns)
        self.duration = _time(info.duration_ns)
        self.latency = info.latency_ns
        self.offset = None if info.offset == NO_OFFSET else info.offset
        self.offset_end = None if info.offset_end == NO_OFFSET else info.offset_end
        self.flags = info.flags
        self.flush_id = info.flush_id
        self.is_copy = bool(info.is_copy)
        self.is_struct = kind.media_type == _types.STRUCT
        self.struct = struct
        if struct and (not self.is_struct or _dtype_of_struct(struct) != kind.dtype):
            raise InvalidValue(
                f"The writer sends {self.caps.decode()}, which is no {struct.__name__} as it "
                "is here: use the same class on both sides, or none at the reader"
            )
        self.layouts = _layouts_of(info, kind)


def _time(ns: int) -> Optional[int]:
    return None if ns == NO_TIME else ns


def _layouts_of(info: FrameInfo, kind: _Kind) -> List[Layout]:
    if info.is_video:
        return plane_layouts(kind.format, info)
    if kind.dtype is None:
        return [Layout(numpy.dtype("u1"), (info.bytes,), 0, None)]
    if kind.dtype.itemsize * math.prod(kind.shape) > info.bytes:
        raise InvalidValue(
            f"A frame of {info.bytes} bytes came, too short for what its caps say: "
            f"{kind.dtype} in shape {kind.shape}. The writer is at fault"
        )
    return [Layout(kind.dtype, kind.shape, 0, None)]


class _Array(numpy.ndarray):  # type: ignore[type-arg]
    """An array over memory of the library, unlike the results of computing with it."""

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False
    ) -> Any:
        """Results are arrays or numbers like any other; in place is in place."""
        if array is self:
            return array
        plain = array.view(numpy.ndarray)
        return plain[()] if return_scalar or plain.ndim == 0 else plain

    def __reduce__(self) -> Any:
        """Pickled (multiprocessing) as a plain array: the slot is of this process."""
        return self.view(numpy.ndarray).__reduce__()


class Frame(_Array):
    """A frame in shared memory: a read-only array that knows when and what it is. Writable
    with Reader(copy=True), and what copy() returns: those are in memory of the program's own.

    Video: height x width or height x width x samples, of the first plane if there are
    several, uint8 or 16-bit; `planes` has them all. Arrays: as they were sent. Structures:
    a value of a dtype with fields, and `value`. Anything else: its bytes.

    The memory is the writer's slot, which goes back when this array and all views of it
    are gone. Copies and results of computations are arrays of their own.

    Times are nanoseconds. Those of capture and publication are CLOCK_MONOTONIC, as
    time.monotonic_ns(); pts, dts and duration are None where they are not known.
    """

    _about: Optional[_About]
    _whole = False  # the picture itself, of whatever planes; not a view, nor one plane

    def __array_finalize__(self, source: Any) -> None:
        self._about = getattr(source, "_about", None)

    def copy(self, order: Any = "C") -> "Frame":
        """All of the frame in memory of the program's own, writable; `planes` are too. Of a
        view, of one plane: that."""
        if not self._whole:
            return super().copy(order)
        return _whole_frame(_private(_memory_of(self)), self._known)

    def __copy__(self) -> "Frame":
        return self.copy()

    def __deepcopy__(self, _: Any) -> "Frame":
        return self.copy()

    def __reduce__(self) -> Any:
        """Pickled (multiprocessing) as a plain array, which has one plane."""
        if is_of_planes(self):
            raise InvalidValue(
                f"A frame of format {self.format} has several planes: pickle frame.planes"
            )
        return super().__reduce__()

    @property
    def _known(self) -> _About:
        if self._about is None:
            raise AttributeError("This array did not come through a channel")
        return self._about

    @property
    def caps(self) -> str:
        """Media type and fields, as text in GStreamer's form."""
        return str(self._known.caps.decode())

    def field(self, name: str) -> Optional[str]:
        """A field of the caps as text, None if there is none."""
        return caps_field(self._known.caps, name)

    @property
    def format(self) -> str:
        """GStreamer's name ("BGR", "NV12"), "" if this is no video known here."""
        return self._known.format

    @property
    def width(self) -> int:
        """Of the picture in pixels, 0 if this is none."""
        return int(self._known.width)

    @property
    def height(self) -> int:
        """Of the picture in lines, 0 if this is none."""
        return int(self._known.height)

    @property
    def seq(self) -> int:
        """1, 2, 3, ... for each writer; gaps are missed frames."""
        return int(self._known.seq)

    @property
    def missed(self) -> int:
        """Frames that this reader missed right before this one."""
        return int(self._known.missed)

    @property
    def writer_id(self) -> int:
        """Another number for each writer, also of the same name."""
        return int(self._known.writer_id)

    @property
    def pts(self) -> Optional[int]:
        """The writer's running time, or what a program gave."""
        return self._known.pts

    @property
    def dts(self) -> Optional[int]:
        return self._known.dts

    @property
    def duration(self) -> Optional[int]:
        return self._known.duration

    @property
    def capture(self) -> int:
        """The moment that the picture shows; of publication if the writer does not know."""
        return int(self._known.capture)

    @property
    def published(self) -> int:
        return int(self._known.published)

    @property
    def age(self) -> float:
        """Seconds since capture."""
        return float(time.monotonic_ns() - self._known.capture) / 1e9

    @property
    def latency(self) -> int:
        """Of the writer's source."""
        return int(self._known.latency)

    @property
    def offset(self) -> Optional[int]:
        """A number of the source's own, such as a frame count."""
        return self._known.offset

    @property
    def offset_end(self) -> Optional[int]:
        return self._known.offset_end

    @property
    def frame_flags(self) -> int:
        """GstBufferFlags, such as possum.FLAG_DISCONT."""
        return int(self._known.flags)

    @property
    def flush_id(self) -> int:
        """Changes when the writer was flushed: times may start anew."""
        return int(self._known.flush_id)

    @property
    def is_copy(self) -> bool:
        """True: private memory, because slots ran short or the reader asked for it."""
        return self._known.is_copy

    @property
    def planes(self) -> Tuple["Frame", ...]:
        """All planes, of one sample or more each. Of this very frame, not of a view."""
        layouts = self._known.layouts
        memory = _memory_of(self)
        if memory is None:
            raise InvalidValue("This array has no planes: ask the frame, or its copy(), for them")
        planes = []
        for layout in layouts:
            plane = layout.over(Frame, memory)
            plane._about = self._about
            planes.append(plane)
        return tuple(planes)

    @property
    def value(self) -> ctypes.Structure:
        """A structure as ctypes has it, in private memory. Its class is the one that the
        Reader was given, or is made of the writer's description. AttributeError if this is
        no structure."""
        about = self._known
        if not about.is_struct or self.shape != ():
            raise AttributeError(f"This is no structure but {self.caps}")
        struct = about.struct or _struct_of(about.caps)
        return struct.from_buffer_copy(self.tobytes())


def is_of_planes(data: Any) -> bool:
    """Whether it is a whole frame of which NumPy sees the first of several planes."""
    return isinstance(data, Frame) and data._whole and len(data._known.layouts) > 1


def _memory_of(array: Any) -> Any:
    """All bytes of the frame that `array` looks at, None for a copy."""
    base = array
    while isinstance(base, numpy.ndarray):
        base = base.base
    return numpy.asarray(base) if isinstance(base, _Memory) else None


def _private(memory: Any) -> Any:
    copy = memory.copy()
    return numpy.asarray(_Memory(copy, copy.ctypes.data, copy.nbytes, False))


def _whole_frame(memory: Any, about: _About) -> Frame:
    frame: Frame = about.layouts[0].over(Frame, memory)
    frame._about = about
    frame._whole = True
    return frame


def take_over(
    pointer: FramePointer, struct: Optional[Type[ctypes.Structure]], writable: bool
) -> Frame:
    """The library's frame, owned from here on, as an array. writable: it is a private copy."""
    info = filled(FrameInfo, lib.possum_frame_get_info, pointer)
    lease = _Memory(pointer, info.data, info.bytes, not writable)
    about = _About(info, struct)
    if not about.layouts:
        raise Error(f"A frame without planes came: {about.caps.decode()}")
    return _whole_frame(numpy.asarray(lease), about)


class SlotArray(_Array):
    """Memory of a borrowed slot, to draw on. Knows its views, to end that for all."""

    # By id(), which the next one takes over from one that is gone. No callbacks: what signal
    # handlers raise there is lost.
    _views: Optional[Dict[int, "weakref.ref[SlotArray]"]]

    def __array_finalize__(self, source: Any) -> None:
        self._views = getattr(source, "_views", None)
        if self._views is not None:
            self._views[id(self)] = weakref.ref(self)


def lent(slot: SlotPointer, size: int) -> Any:
    """The bytes of a slot, which is released when the last array over them is gone."""
    return numpy.asarray(_Memory(slot, lib.possum_slot_data(slot), size, False))


def slot_arrays(memory: Any, layouts: Iterable[Layout]) -> List[SlotArray]:
    arrays: List[SlotArray] = [layout.over(SlotArray, memory) for layout in layouts]
    views = {id(array): weakref.ref(array) for array in arrays}
    for array in arrays:
        array._views = views
    return arrays


def freeze(array: SlotArray) -> None:
    """Makes all arrays of its slot read-only: readers look at the same memory now."""
    for reference in list(array._views.values()) if array._views is not None else ():
        view = reference()
        if view is not None and _memory_of(view) is not None:  # not a copy
            view.flags.writeable = False

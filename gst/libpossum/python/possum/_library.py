# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""possum.h for ctypes: structs, constants, prototypes, and where the library is.

Names and order of the members are those of possum.h, which also says what they mean.
"""

import ctypes
import functools
import os
import sysconfig
from pathlib import Path
from typing import Any, Iterator, Optional

from ._errors import BY_STATUS, Error

OK, TIMEOUT, INTERRUPTED, EOS, DISCONNECTED, NO_SLOT = range(6)
ERROR_SETTINGS = -1
ERROR_BUSY = -2
ERROR_NOT_FOUND = -3
ERROR_NOT_OWNER = -4
ERROR_NO_PERMISSION = -5
FOREVER = 2**63 - 1
AT_ONCE = 0
NO_TIME = -(2**63)
NO_OFFSET = 2**64 - 1
MAX_PLANES = 4
MAX_CAPS = 16384

_SONAME = "libpossum.so.1"
# The oldest interface that has all that is used here: 0x10000 * major + minor.
_NEEDED = 0x10000


class PlaneLayout(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("stride", ctypes.c_int32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("pixel_bytes", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64),
    ]


class Video(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("format", ctypes.c_char * 32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("framerate_n", ctypes.c_int32),
        ("framerate_d", ctypes.c_int32),
        ("par_n", ctypes.c_int32),
        ("par_d", ctypes.c_int32),
        ("interlace", ctypes.c_int32),
        ("plane_count", ctypes.c_uint32),
        ("bytes", ctypes.c_uint64),
        ("colorimetry", ctypes.c_char * 64),
        ("chroma_site", ctypes.c_char * 64),
        ("planes", PlaneLayout * MAX_PLANES),
    ]


class WriterOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("channel", ctypes.c_char_p),
        ("caps", ctypes.c_char_p),
        ("frame_bytes", ctypes.c_size_t),
        ("slots", ctypes.c_uint32),
        ("perms", ctypes.c_uint32),
        ("group", ctypes.c_char_p),
        ("max_blocking_ns", ctypes.c_int64),
        ("claim_timeout_ns", ctypes.c_int64),
        ("allow_blocking", ctypes.c_int32),
        ("sigbus_guard", ctypes.c_int32),
    ]


class Plane(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_uint64),
        ("stride", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    ]


class FrameParams(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("capture_ns", ctypes.c_int64),
        ("pts_ns", ctypes.c_int64),
        ("dts_ns", ctypes.c_int64),
        ("duration_ns", ctypes.c_int64),
        ("latency_ns", ctypes.c_int64),
        ("offset", ctypes.c_uint64),
        ("offset_end", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("plane_count", ctypes.c_uint32),
        ("bytes", ctypes.c_uint64),
        ("planes", Plane * MAX_PLANES),
    ]


class WriterStatistics(ctypes.Structure):
    _fields_ = [
        ("frames", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("zero_copy", ctypes.c_uint64),
        ("copied", ctypes.c_uint64),
        ("no_slot", ctypes.c_uint64),
        ("slots", ctypes.c_uint32),
        ("held", ctypes.c_uint32),
        ("borrowed", ctypes.c_uint32),
        ("readers", ctypes.c_uint32),
    ]


class ReaderOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("channel", ctypes.c_char_p),
        ("policy", ctypes.c_int32),
        ("depth", ctypes.c_uint32),
        ("allowed_owner", ctypes.c_char_p),
        ("ignore_eos", ctypes.c_int32),
        ("copy", ctypes.c_int32),
        ("sigbus_guard", ctypes.c_int32),
        ("copy_on_write", ctypes.c_int32),
    ]


class ReaderStatistics(ctypes.Structure):
    _fields_ = [
        ("frames", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("missed", ctypes.c_uint64),
        ("copied", ctypes.c_uint64),
        ("attachments", ctypes.c_uint64),
        ("writer_pid", ctypes.c_uint32),
        ("writer_name", ctypes.c_char * 20),
    ]


class FramePlane(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("stride", ctypes.c_int32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("pixel_bytes", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64),
    ]


class FrameInfo(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("caps", ctypes.c_char_p),
        ("seq", ctypes.c_uint64),
        ("missed", ctypes.c_uint64),
        ("writer_id", ctypes.c_uint64),
        ("capture_ns", ctypes.c_int64),
        ("publish_ns", ctypes.c_int64),
        ("pts_ns", ctypes.c_int64),
        ("dts_ns", ctypes.c_int64),
        ("duration_ns", ctypes.c_int64),
        ("latency_ns", ctypes.c_int64),
        ("offset", ctypes.c_uint64),
        ("offset_end", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("flush_id", ctypes.c_uint32),
        ("is_copy", ctypes.c_int32),
        ("is_video", ctypes.c_int32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("plane_count", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("planes", FramePlane * MAX_PLANES),
    ]


def _places() -> Iterator[str]:
    """What to load, first that of the same installation as this package."""
    asked = os.environ.get("POSSUM_LIBRARY")
    if asked:
        yield asked
        return
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for directory in list(Path(__file__).resolve().parents)[1:5]:
        for folder in ("", multiarch, "lib64"):
            place = directory / folder / _SONAME
            if place.is_file():
                yield str(place)
    yield _SONAME


def _load() -> ctypes.CDLL:
    failure: Optional[OSError] = None
    for place in _places():
        try:
            loaded = ctypes.CDLL(place)
            loaded.possum_version  # noqa: B018: raises where it is another library
        except (OSError, AttributeError) as error:
            failure = failure or OSError(str(error))
            continue
        return loaded
    raise ImportError(
        f"libpossum was not found ({failure}). Install possum, or name the library in "
        "POSSUM_LIBRARY"
    )


def _check_version(loaded: ctypes.CDLL) -> None:
    loaded.possum_version.restype = ctypes.c_uint32
    version = loaded.possum_version()
    if version >> 16 != _NEEDED >> 16 or version < _NEEDED:
        raise ImportError(
            f"{loaded._name} has version {version >> 16}.{version & 0xFFFF} of the "
            f"interface, this package needs {_NEEDED >> 16}.{_NEEDED & 0xFFFF} or a later "
            f"{_NEEDED >> 16}.x: install both from one possum"
        )


# After a ":" what a function takes. p: pointer, s: text, n: size_t, t: int64 (a time),
# i: int, u: unsigned. Before it what it returns, - for nothing, ! for a status.
_PROTOTYPES = """
possum_error_message s:
possum_error_detail s:
possum_status_name s:i
possum_now_ns t:
possum_deadline t:t
possum_video_init -:pn
possum_video_set_format !:psii
possum_video_from_caps !:ps
possum_video_to_caps n:ppn
possum_caps_get n:sspn
possum_writer_options_init -:pn
possum_writer_open !:pp
possum_writer_close -:p
possum_writer_set_caps !:psn
possum_writer_borrow !:pntp
possum_slot_data p:p
possum_slot_bytes n:p
possum_slot_release -:p
possum_frame_params_init -:pn
possum_writer_publish !:pppt
possum_writer_wait_readers !:put
possum_writer_reader_count u:p
possum_writer_eos -:p
possum_writer_drain !:pt
possum_writer_flush -:p
possum_writer_interrupt -:pi
possum_writer_get_statistics -:ppn
possum_reader_options_init -:pn
possum_reader_open !:pp
possum_reader_close -:p
possum_reader_attach !:pt
possum_reader_detach -:p
possum_reader_is_attached i:p
possum_reader_take !:ptp
possum_reader_next !:ptp
possum_reader_skip_to_newest -:p
possum_reader_interrupt -:pi
possum_reader_get_statistics -:ppn
possum_frame_get_info -:ppn
possum_frame_get_video !:pp
possum_frame_release -:p
"""
_KINDS = {
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "n": ctypes.c_size_t,
    "t": ctypes.c_int64,
    "i": ctypes.c_int,
    "u": ctypes.c_uint,
    "!": ctypes.c_int,
    "-": None,
}


def _declare(loaded: ctypes.CDLL) -> None:
    for line in _PROTOTYPES.split("\n"):
        if line:
            name, kinds = line.split(" ")
            function = getattr(loaded, name)
            function.restype = _KINDS[kinds[0]]
            function.argtypes = [_KINDS[kind] for kind in kinds[2:]]


lib: Any = _load()
_check_version(lib)
_declare(lib)


def _finalizer(release: Any) -> Any:
    """A __del__ that calls release(self) without running a bytecode. Before those Python runs
    signal handlers, and what one raises in a __del__ is lost: Ctrl-C would do nothing."""
    return property(functools.partial(functools.partial, release))


class FramePointer(ctypes.c_void_p):
    """A frame of the library, or none. Released with this."""

    __del__ = _finalizer(lib.possum_frame_release)


class ReaderPointer(ctypes.c_void_p):
    """A reader of the library, or none. Closed with this."""

    __del__ = _finalizer(lib.possum_reader_close)


class WriterPointer(ctypes.c_void_p):
    """A writer of the library, or none. Closed with this."""

    __del__ = _finalizer(lib.possum_writer_close)


class SlotPointer(ctypes.c_void_p):
    """A slot of the library, or none. Released with this."""

    __del__ = _finalizer(lib.possum_slot_release)


def filled(struct: Any, function: Any, *of: Any) -> Any:
    """A struct as a function of the library fills it: with defaults, or with facts."""
    value = struct()
    function(*of, ctypes.byref(value), ctypes.sizeof(value))
    return value


def failure(status: int) -> Error:
    """The exception for what this thread's last call returned."""
    error = BY_STATUS.get(status, Error)(lib.possum_error_message().decode())
    error.status = lib.possum_status_name(status).decode()
    error.detail = lib.possum_error_detail().decode()
    return error


def checked(status: int) -> None:
    if status != OK:
        raise failure(status)


def nanoseconds(seconds: float) -> int:
    """At most 30 years, which inf stands for."""
    if seconds != seconds:
        raise BY_STATUS[ERROR_SETTINGS]("A time is a number of seconds, not nan")
    return int(min(max(seconds, -1.0), 1e9) * 1e9)


def deadline_of(timeout: Optional[float]) -> int:
    """The moment `timeout` seconds from now; None: never."""
    if timeout is None:
        return FOREVER
    return int(lib.possum_deadline(nanoseconds(timeout)))


def encoded(text: Optional[str]) -> Optional[bytes]:
    """As C text. A NUL inside is refused, ctypes would cut there."""
    if text is None:
        return None
    try:
        bytes_of = text.encode()
    except UnicodeEncodeError as error:
        raise BY_STATUS[-1](f"A text for libpossum has to be Unicode: {error}") from None
    if b"\0" in bytes_of:
        raise BY_STATUS[-1]("A text for libpossum may not hold NUL characters")
    return bytes_of


def caps_field(caps: bytes, field: Optional[str]) -> Optional[str]:
    """A field of caps, the media type for None; None if there is no such field. Escapes in
    caps can spell bytes that are no UTF-8: U+FFFD stands for those."""
    room = ctypes.create_string_buffer(256)
    name = encoded(field)
    length = lib.possum_caps_get(caps, name, room, len(room))
    if length == ctypes.c_size_t(-1).value:
        return None
    if length >= len(room):
        room = ctypes.create_string_buffer(length + 1)
        lib.possum_caps_get(caps, name, room, len(room))
    return room.value.decode(errors="replace")

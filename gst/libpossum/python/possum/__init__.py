# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Frames between unrelated processes through shared memory, as NumPy arrays.

    for frame in possum.Reader("cam"):         # read-only, not copied
        print(frame.shape, frame.dtype, frame.seq, frame.pts, frame.caps)

    with possum.Writer("cam", format="BGR", width=640, height=480) as writer:
        writer.write(picture)                   # one copy
        with writer.borrow() as slot:           # none
            slot.array[:] = 128

Either end may be a program in C or C++, or possumsink and possumsrc of GStreamer. Built on
libpossum with ctypes; failures are possum.Error with the library's sentence.
"""

from ._errors import Busy, Closed, Error, InvalidValue, NoSlot, NotAllowed, NotFound, Timeout
from ._frame import Frame
from ._reader import Reader, ReaderStatistics
from ._writer import Slot, Writer, WriterStatistics

# Bits of Frame.frame_flags and Slot.flags: those of GstBuffer and GstVideoBuffer.
FLAG_DISCONT = 0x40
FLAG_CORRUPTED = 0x100
FLAG_MARKER = 0x200
FLAG_GAP = 0x800
FLAG_DROPPABLE = 0x1000
FLAG_DELTA_UNIT = 0x2000
FLAG_INTERLACED = 0x100000
FLAG_TFF = 0x200000
FLAG_RFF = 0x400000
FLAG_ONEFIELD = 0x800000

__all__ = [
    "Busy",
    "Closed",
    "Error",
    "Frame",
    "InvalidValue",
    "NoSlot",
    "NotAllowed",
    "NotFound",
    "Reader",
    "ReaderStatistics",
    "Slot",
    "Timeout",
    "Writer",
    "WriterStatistics",
]

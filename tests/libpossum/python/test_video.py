# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Video to and from possumsink and possumsrc: every byte, whatever format and strides."""

import copy
import ctypes
import gc
import importlib.util
import math
import pickle
import signal
import subprocess
import sys
import tempfile
import unittest
import weakref

import numpy
import possum
from support import PATIENCE, Case

WIDTH, HEIGHT, FRAMES = 321, 37, 3
# Format: shape and dtype of each plane. The width is odd, so rows are padded.
FORMATS = {
    "BGR": [((37, 321, 3), "u1")],
    "RGBA": [((37, 321, 4), "u1")],
    "GRAY8": [((37, 321), "u1")],
    "GRAY16_LE": [((37, 321), "<u2")],
    "GRAY16_BE": [((37, 321), ">u2")],
    "ARGB64": [((37, 321, 4), "=u2")],
    "RGB16": [((37, 321), "=u2")],
    "YUY2": [((37, 321, 2), "u1")],
    "I420": [((37, 321), "u1"), ((19, 161), "u1"), ((19, 161), "u1")],
    "NV12": [((37, 321), "u1"), ((19, 161, 2), "u1")],
    "I420_10LE": [((37, 321), "<u2"), ((19, 161), "<u2"), ((19, 161), "<u2")],
    "P010_10LE": [((37, 321), "<u2"), ((19, 161, 2), "<u2")],
    "GBRA_10LE": [((37, 321), "<u2")] * 4,
    "r210": [((37, 321), ">u4")],
    "v210": [((37, 54, 4), "<u4")],  # six pixels in 16 bytes
}
# Rows are a multiple of so many bytes apart.
STEPS = {"v210": 128}


def row_bytes(plane):
    return plane.itemsize * int(numpy.prod(plane.shape[1:]))


def planes_in(data, planes, format):
    """What lies in `data` where planes of these shapes are, with padded rows; plane heights are
    even where formats are subsampled."""
    at, step = 0, STEPS.get(format, 4)
    for plane in planes:
        stride = (row_bytes(plane) + step - 1) // step * step
        lines = plane.shape[0]
        if plane is planes[0] and lines != planes[-1].shape[0]:
            lines += lines % 2
        rows = numpy.frombuffer(data, "u1", lines * stride, at).reshape(lines, stride)
        at += lines * stride
        pixels = rows[: plane.shape[0], : row_bytes(plane)].copy()
        yield pixels.view(plane.dtype).reshape(plane.shape)


def random_picture(random, planes):
    picture = []
    for shape, text in planes:
        dtype = numpy.dtype(text)
        data = random.bytes(dtype.itemsize * math.prod(shape))
        picture.append(numpy.frombuffer(data, dtype).reshape(shape))
    return picture


class Elements(Case):
    """What is written here goes through possumsrc into a file, and through possumsink back."""

    def test_each_format(self):
        random = numpy.random.default_rng(1)
        pictures = {
            format: [random_picture(random, planes) for _ in range(FRAMES)]
            for format, planes in FORMATS.items()
        }
        with tempfile.TemporaryDirectory() as directory:
            writers, readers, branches = {}, {}, []
            for format in FORMATS:
                to, back = self.channel(), self.channel()
                video = {"format": format, "width": WIDTH, "height": HEIGHT, "framerate": 25}
                writers[format] = self.writer(to, allow_blocking=True, **video)
                readers[format] = self.reader(back, policy="blocking", timeout=PATIENCE)
                branches.append(
                    f"possumsrc channel={to} leaky-type=none is-live=false num-buffers={FRAMES} ! "
                    f"video/x-raw,format={format},width={WIDTH},height={HEIGHT},framerate=25/1 ! "
                    f"tee name={format} {format}. ! queue ! filesink async=false "
                    f"location={directory}/{format} {format}. ! queue ! possumsink async=false "
                    f"sync=false channel={back} allow-blocking=true min-readers=1"
                )
            process = self.launch(*branches)
            for format, writer in writers.items():
                writer.wait_readers(1, PATIENCE)
                self.write(writer, *pictures[format])
            frames = {format: list(reader) for format, reader in readers.items()}
            self.expect_end(process)
            for format in FORMATS:
                with self.subTest(format), open(f"{directory}/{format}", "rb") as file:
                    self.compare(format, pictures[format], file.read(), frames[format])

    def write(self, writer, first, second, third):
        """In each of the ways there are."""
        times = [{"pts": n * 40_000_000, "duration": 40_000_000} for n in range(FRAMES)]
        writer.write(first if len(first) > 1 else first[0], **times[0])
        with writer.borrow() as slot:
            slot.pts, slot.duration = times[1]["pts"], times[1]["duration"]
            for plane, picture in zip(slot.planes, second):
                plane[:] = picture
        # All planes in one, as OpenCV has them; rows from a wider picture otherwise.
        if len(third) > 1:
            writer.write(numpy.concatenate([plane.ravel() for plane in third]), **times[2])
        else:
            high, wide = third[0].shape[:2]
            wider = numpy.empty((high, wide + 9) + third[0].shape[2:], third[0].dtype)
            wider[:, 9:] = third[0]
            writer.write(wider[:, 9:], **times[2])

    def compare(self, format, pictures, data, frames):
        self.assertEqual([frame.seq for frame in frames], list(range(1, FRAMES + 1)))
        size = len(data) // FRAMES
        for number, (picture, frame) in enumerate(zip(pictures, frames)):
            part = data[number * size : (number + 1) * size]
            for plane, sent in zip(planes_in(part, picture, format), picture):
                self.assertTrue(numpy.array_equal(plane, sent))
            self.assertEqual((frame.format, frame.width, frame.height), (format, 321, 37))
            self.assertEqual([(p.shape, p.dtype) for p in frame.planes], FORMATS[format])
            self.assertTrue(numpy.array_equal(frame, frame.planes[0]))
            self.assertEqual((frame.pts, frame.duration), (number * 40_000_000, 40_000_000))
            self.assertIn(f"format=(string){format},", frame.caps)
            self.assertEqual(frame.field("framerate"), "25/1")
            self.assertFalse(frame.flags.writeable)
            for plane, sent in zip(frame.planes, picture):
                self.assertTrue(numpy.array_equal(plane, sent))


class Numbered(Case):
    def numbered(self, format, width=33, height=17):
        """A picture whose planes are full of their numbers, from 1 on."""
        writer, reader = self.pair(format=format, width=width, height=height)
        with writer.borrow() as slot:
            for number, plane in enumerate(slot.planes):
                plane[...] = number + 1
        return writer, reader.read(PATIENCE)

    def check_numbers(self, picture):
        for number, plane in enumerate(picture.planes):
            self.assertTrue((plane == number + 1).all())


class Formats(Numbered):
    def test_each_known_one_is_an_array(self):
        names = []
        possum._library.lib.possum_video_format.restype = ctypes.c_char_p
        while name := possum._library.lib.possum_video_format(len(names)):
            names.append(name.decode())
        self.assertGreater(len(names), 100)
        for name in names:
            with self.subTest(name):
                writer, frame = self.numbered(name, 13, 7)
                self.assertEqual((frame.format, frame.width, frame.height), (name, 13, 7))
                self.check_numbers(frame)
                for plane in frame.planes:
                    self.assertIn(plane.shape[0], (7, 4, 2))
                    columns = {"v210": 3, "IYU1": 4}.get(name, 5 if name[-2:] == "32" else 13)
                    self.assertIn(plane.shape[1], (columns, 7, 4))
                writer.close()

    def test_those_without_rows_are_refused_by_name(self):
        caps = "video/x-raw, format=NV12_4L4, width=64, height=48"
        with self.assertRaisesRegex(possum.InvalidValue, "NV12_4L4"):
            possum.Writer(self.channel(), format="NV12_4L4", width=64, height=48)
        with self.assertRaisesRegex(possum.InvalidValue, "NV12_4L4"):
            possum.Writer(self.channel(), caps=caps)
        writer, reader = self.pair(caps=caps, frame_bytes=4608)
        writer.write(numpy.full(4608, 5, "u1"))
        frame = reader.read(PATIENCE)
        self.assertEqual((frame.format, frame.shape, frame[9]), ("", (4608,), 5))


class Memory(Numbered):
    def setUp(self):
        super().setUp()
        self.to, self.reader_ = self.pair(format="GRAY8", width=64, height=48)

    def send(self, value):
        self.to.write(numpy.full((48, 64), value, "u1"))
        return self.reader_.read(PATIENCE)

    def test_kept_frames_stay(self):
        kept = [self.send(value) for value in range(20)]
        self.assertEqual(self.to.statistics.held, sum(not f.is_copy for f in kept))
        self.assertGreater(self.to.statistics.held, 3)
        self.reader_.close()
        self.to.close()
        for value, frame in enumerate(kept):
            self.assertTrue((frame == value).all())

    def test_slots_come_back(self):
        frame = self.send(1)
        row = frame[5, ::2]
        plane = frame.planes[0].T
        del frame
        gc.collect()
        self.assertEqual(self.to.statistics.held, 1)  # views hold it
        del row
        self.assertEqual(self.to.statistics.held, 1)
        self.assertEqual(plane[3, 3], 1)
        del plane
        self.assertEqual(self.to.statistics.held, 0)

    def test_cycles_are_collected(self):
        frame = self.send(1)
        ring = {"frame": frame}
        ring["ring"] = ring
        gone = weakref.ref(frame)
        del frame, ring
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual(self.to.statistics.held, 0)

    def test_letting_go_runs_no_python(self):
        """Signal handlers would run there, and Python drops what they raise in a __del__."""
        frame, slot = self.send(1), self.to.borrow()
        row, part = frame[1], slot.array[1:]
        called = []
        sys.setprofile(lambda _, event, __: called.append(event))
        del frame, row, slot, part
        sys.setprofile(None)
        self.assertEqual(set(called) - {"c_call", "c_return"}, set())
        self.assertEqual((self.to.statistics.held, self.to.statistics.borrowed), (0, 0))

    def test_results_hold_no_slot(self):
        frame = self.send(3)
        results = [frame + 1, frame.copy(), frame.mean(axis=0), frame > 2, frame.tolist()]
        pickled = pickle.loads(pickle.dumps(frame))
        mean = frame.mean()
        del frame
        self.assertEqual(self.to.statistics.held, 0)
        self.assertIs(type(results[0]), numpy.ndarray)
        self.assertTrue((results[0] == 4).all())
        results[1][:] = 5
        self.assertTrue((pickled == 3).all())
        self.assertIs(type(pickled), numpy.ndarray)
        self.assertEqual(mean, 3)

    def test_nothing_can_be_written(self):
        frame = self.send(3)
        for array in (frame, frame[1:], frame.planes[0], frame.view(numpy.ndarray), frame.T):
            with self.assertRaisesRegex(ValueError, "read-only"):
                array[0] = 0
            with self.assertRaises(ValueError):
                array.flags.writeable = True
            with self.assertRaises(ValueError):
                numpy.add(array, 1, out=array)
        with self.assertRaises((ValueError, BufferError, TypeError)):
            memoryview(frame)[0, 0] = 1
        self.assertTrue((frame == 3).all())

    def test_private_copies(self):
        reader = self.attached(self.to, copy=True)
        del self.reader_
        self.to.write(numpy.full((48, 64), 9, "u1"))
        frame = reader.read(PATIENCE)
        self.assertTrue(frame.is_copy)
        self.assertEqual((frame[0, 0], frame.flags.writeable), (9, True))
        frame[:] = 1  # the program's own
        self.to.write(numpy.full((48, 64), 9, "u1"))
        self.assertEqual(reader.read(PATIENCE)[0, 0], 9)
        self.assertEqual(frame.max(), 1)

    def test_a_frame_that_is_sent_on_is_the_whole_picture(self):
        _, frame = self.numbered("I420")
        again, look = self.pair(caps=frame.caps)
        for picture in (frame, frame.copy()):
            again.write(picture)
            self.check_numbers(look.read(PATIENCE))
        other, look = self.pair()
        with self.assertRaisesRegex(possum.InvalidValue, "I420 has several planes"):
            other.write(frame)
        other.write(frame.planes[2])
        self.assertEqual(look.read(PATIENCE).max(), 3)

    def test_a_copy_is_the_whole_picture(self):
        for format in ("NV12", "I420", "I420_10LE", "BGR"):
            writer, frame = self.numbered(format)
            row, last = frame[3:4].copy(), frame.planes[-1].copy()
            copies = [frame.copy(), copy.copy(frame), copy.deepcopy(frame), frame.copy().copy()]
            shapes = [plane.shape for plane in frame.planes]
            with self.subTest(format):
                if len(shapes) > 1:
                    with self.assertRaisesRegex(possum.InvalidValue, "pickle frame.planes"):
                        pickle.dumps(frame)
                self.assertEqual(
                    [plane.shape for plane in pickle.loads(pickle.dumps(frame.planes))], shapes
                )
                info = (frame.seq, frame.caps)
                del frame
                self.assertEqual(writer.statistics.held, 0)
                for whole in copies:
                    self.assertEqual([plane.shape for plane in whole.planes], shapes)
                    self.check_numbers(whole)
                    for plane in whole.planes:
                        plane[:] = 99
                    self.assertTrue((whole == 99).all())
                    self.assertEqual((whole.seq, whole.caps), info)
                self.assertEqual((row.shape[0], row.max()), (1, 1))
                self.assertEqual((last.shape, last.max()), (shapes[-1], len(shapes)))
                with self.assertRaisesRegex(possum.InvalidValue, "no planes"):
                    row.planes


DRAWS = """
import faulthandler, sys
import cv2, possum

def draw(frame):
    for mistake in (
        lambda: cv2.rectangle(frame, (1, 1), (50, 40), (0, 255, 0), 2),
        lambda: cv2.putText(frame, "possum", (5, 30), 0, 1, (255, 255, 255)),
        lambda: cv2.line(frame, (0, 0), (63, 47), (9, 9, 9), 3),
        lambda: cv2.flip(frame, 1, frame),
    ):
        try:
            mistake()
        except (cv2.error, TypeError):
            pass  # OpenCV from 4.9 on looks

how = sys.argv[2]
if how == "before":
    faulthandler.enable()
reader = possum.Reader(sys.argv[1], policy="blocking")
other = possum.Reader(sys.argv[1], policy="blocking")
for each in (reader, other):
    try:
        each.read(timeout=0)
    except possum.Timeout:
        pass
print("reading")
for frame in reader:
    assert (frame == frame.seq).all()
    if how == "after" and frame.seq % 8 == 0:
        faulthandler.enable()
    if frame.seq % 3:
        draw(frame)
    assert not frame.flags.writeable
    assert (other.read() == frame.seq).all()
print("end")
"""


@unittest.skipUnless(importlib.util.find_spec("cv2"), "OpenCV for Python is missing")
class Drawing(Case):
    """OpenCV before 4.9 writes to arrays that are read-only. From threads and in a child: see
    library.cpp."""

    def test_harms_nobody(self):
        for how in ("plain", "before", "after"):
            with self.subTest(how):
                writer = self.writer(
                    self.channel(), format="BGR", width=64, height=48, allow_blocking=True
                )
                process = self.python(DRAWS, writer.channel, how, stderr=subprocess.DEVNULL)
                self.expect_line(process, "reading")
                writer.wait_readers(2, PATIENCE)
                for number in range(40):
                    writer.write(numpy.full((48, 64, 3), number + 1, "u1"), timeout=PATIENCE)
                writer.eos()
                self.expect_line(process, "end")
                self.expect_end(process)
                writer.close()

    def test_other_faults_end_it_as_before(self):
        program = (
            "import ctypes, faulthandler, possum, sys\n"
            "if sys.argv[2] == 'before': faulthandler.enable()\n"
            "reader = possum.Reader(sys.argv[1], timeout=30)\n"
            "frame = next(reader)\n"
            "if sys.argv[2] == 'after': faulthandler.enable()\n"
            "ctypes.string_at(8)\n"
        )
        for how in ("before", "after", "none"):
            with self.subTest(how):
                writer = self.writer(self.channel(), format="GRAY8", width=64, height=64)
                process = self.python(program, writer.channel, how, stderr=subprocess.PIPE)
                writer.wait_readers(1, PATIENCE)
                writer.write(numpy.zeros((64, 64), "u1"))
                said = process.communicate(timeout=PATIENCE)[1]
                self.assertEqual(process.returncode, -signal.SIGSEGV)
                self.assertEqual("Fatal Python error" in said, how != "none")

    def test_on_what_is_ones_own(self):
        import cv2

        writer, reader = self.pair(format="BGR", width=64, height=48)
        own = self.attached(writer, copy=True)
        writer.write(numpy.zeros((48, 64, 3), "u1"))
        for picture in (own.read(PATIENCE), reader.read(PATIENCE).copy()):
            cv2.rectangle(picture, (1, 1), (50, 40), (0, 255, 0), 2)
            self.assertEqual(picture[1, 1].tolist(), [0, 255, 0])


class Slots(Case):
    def setUp(self):
        super().setUp()
        self.to, self.reader_ = self.pair(format="BGR", width=10, height=8)

    def test_times_and_flags(self):
        with self.to.borrow() as slot:
            slot.array[:] = (1, 2, 3)
            slot.pts, slot.dts, slot.duration = 5, 4, 3
            slot.capture, slot.offset, slot.flags = 1000, 77, possum.FLAG_DISCONT
        frame = self.reader_.read(PATIENCE)
        self.assertEqual(frame[7, 9].tolist(), [1, 2, 3])
        self.assertEqual((frame.pts, frame.dts, frame.duration), (5, 4, 3))
        self.assertEqual((frame.capture, frame.offset), (1000, 77))
        self.assertEqual(frame.frame_flags & possum.FLAG_DISCONT, possum.FLAG_DISCONT)
        self.assertGreater(frame.age, 0)

    def test_an_exception_gives_it_back(self):
        with self.assertRaisesRegex(RuntimeError, "mine"):
            with self.to.borrow() as slot:
                raise RuntimeError("mine")
        self.assertEqual(self.to.statistics.borrowed, 0)
        self.assertEqual(self.to.statistics.frames, 0)
        with self.assertRaisesRegex(possum.Closed, "borrow another"):
            slot.array

    def test_a_forgotten_one_comes_back(self):
        slot = self.to.borrow()
        self.assertEqual(self.to.statistics.borrowed, 1)
        del slot
        self.assertEqual(self.to.statistics.borrowed, 0)

    def test_published_once(self):
        slot = self.to.borrow()
        array = slot.array
        self.assertTrue(slot.publish())
        self.assertFalse(array.flags.writeable)
        with self.assertRaises(possum.Closed):
            slot.publish()
        slot.discard()
        with self.assertRaisesRegex(possum.InvalidValue, "pts is nanoseconds"):
            self.to.write(numpy.zeros((8, 10, 3), "u1"), pts=-1)
        self.assertEqual(self.to.statistics.borrowed, 0)

    def test_views_are_read_only_once_published(self):
        with self.to.borrow() as slot:
            slot.array[:] = 7
            views = [slot.array, slot.array[1:], slot.planes[0][::2].T, slot.array.view("i1")]
            slot.array[0] += 1
            own = [slot.array.copy(), slot.array + 1]
        frame = self.reader_.read(PATIENCE)
        for view in views:
            with self.assertRaisesRegex(ValueError, "read-only"):
                view[:] = 9
        for array in own:
            array[:] = 9
        self.assertEqual((frame.min(), frame.max()), (7, 8))

    def test_memory_outlives_the_writer(self):
        """In another process, which a mistake would end."""
        program = (
            "import ctypes, possum, sys\n"
            "class One(ctypes.Structure):\n"
            "    _fields_ = [('x', ctypes.c_int)]\n"
            "writer = possum.Writer(sys.argv[1], type=One)\n"
            "with writer.borrow() as slot:\n"
            "    value, array = slot.value, slot.array['x'][...]\n"
            "    buffer = memoryview(slot.array).cast('B')\n"
            "    value.x = 7\n"
            "writer.close()\n"
            "del slot, writer\n"
            "print(array, value.x, buffer[0])\n"
        )
        process = self.python(program, self.channel())
        self.expect_line(process, "7 7 7")
        self.expect_end(process)

    def test_a_blocking_reader_without_room(self):
        picture = numpy.zeros((8, 10, 3), "u1")
        for _ in range(3):
            self.assertTrue(self.to.write(picture))
        with self.assertRaises(possum.Timeout):
            self.to.write(picture, timeout=0.01)
        with self.to.borrow() as slot:
            with self.assertRaises(possum.Timeout):
                slot.publish(timeout=0.01)
            self.assertFalse(slot.array.flags.writeable)  # other readers may have it
            self.reader_.read(PATIENCE)  # room for one; the block's end goes on
        self.assertEqual(self.to.statistics.borrowed, 0)
        self.assertEqual([self.reader_.read(PATIENCE).seq for _ in range(3)][0], 2)


if __name__ == "__main__":
    unittest.main()

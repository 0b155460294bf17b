# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Arrays and structures, also in a process that has never heard of the class; lies in caps."""

import ctypes
import json
import sys
import unittest

import numpy
import possum
from support import PATIENCE, Case


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


class Box(ctypes.Structure):
    _fields_ = [
        ("seq", ctypes.c_uint8),
        ("corners", Point * 2),
        ("name", ctypes.c_char * 6),
        ("grid", ctypes.c_int16 * 3 * 2),
        ("wide", ctypes.c_wchar * 3),
        ("good", ctypes.c_bool),
        ("score", ctypes.c_float),
    ]


class Packed(ctypes.BigEndianStructure):
    _pack_ = 1
    _fields_ = [("a", ctypes.c_uint8), ("b", ctypes.c_uint32), ("c", ctypes.c_int16)]


STRANGER = """
import sys
import possum

def plain(value):
    if hasattr(value, "_fields_"):
        return [plain(getattr(value, field[0])) for field in value._fields_]
    if hasattr(value, "_length_") and not isinstance(value, (bytes, str)):
        return [plain(item) for item in value]
    return value

reader = possum.Reader(sys.argv[1], policy="blocking")
print("waiting")
for frame in reader:
    value = frame.value
    print(type(value).__name__, type(value).__mro__[1].__name__, plain(value), frame.seq)
"""


class Structures(Case):
    def test_to_an_unrelated_process(self):
        channel = self.channel()
        writer = self.writer(channel, allow_blocking=True)
        process = self.python(STRANGER, channel)
        self.expect_line(process, "waiting")
        writer.wait_readers(1, PATIENCE)
        box = Box(7, (Point * 2)(Point(1, 2), Point(3, 4)), b"crate", wide="äß", score=0.5)
        box.grid[1][2] = -5
        writer.write(box)
        writer.write(Packed(1, 0x01020304, -2))
        self.expect_line(
            process,
            "Box Structure [7, [[1.0, 2.0], [3.0, 4.0]], b'crate', [[0, 0, 0], [0, 0, -5]], "
            "'äß', False, 0.5] 1",
            "Packed Structure [1, 16909060, -2] 2",
        )
        writer.eos()
        self.expect_end(process)

    def test_with_the_class(self):
        writer, _ = self.pair(type=Box)
        reader = self.attached(writer, type=Box)
        with writer.borrow() as slot:
            self.assertEqual(bytes(slot.value), bytes(Box()))
            slot.value.corners[1].y = 2.5
        frame = reader.read(PATIENCE)
        self.assertIs(type(frame.value), Box)
        self.assertEqual(frame.value.corners[1].y, 2.5)
        self.assertEqual(frame["corners"]["y"][1], 2.5)
        frame.value.seq = 3  # private memory
        self.assertEqual(frame.value.seq, 0)
        with self.assertRaisesRegex(possum.InvalidValue, "sends Box, not Point"):
            writer.write(Point())
        wrong = self.reader(writer.channel, type=Point)
        with self.assertRaisesRegex(possum.InvalidValue, "no Point as it is here"):
            wrong.read(PATIENCE)
        self.assertEqual(writer.statistics.held, 1)

    def test_what_cannot_cross(self):
        class Bits(ctypes.Structure):
            _fields_ = [("low", ctypes.c_uint8, 4), ("high", ctypes.c_uint8, 4)]

        class Pointer(ctypes.Structure):
            _fields_ = [("text", ctypes.c_char_p)]

        class Deep(ctypes.Structure):
            _fields_ = [("inner", ctypes.POINTER(Point) * 2)]

        class Either(ctypes.Union):
            _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_float)]

        class HasUnion(ctypes.Structure):
            _fields_ = [("either", Either)]

        class Empty(ctypes.Structure):
            _fields_ = []

        for struct, why in (
            (Bits, "Bits.low is a bit field"),
            (Pointer, "Pointer.text holds an address"),
            (Deep, "Deep.inner holds an address"),
            (HasUnion, "HasUnion.either is a union"),
            (Empty, "Empty"),
            (int, "type is a ctypes.Structure"),
        ):
            with self.assertRaisesRegex(possum.InvalidValue, why):
                possum.Writer(self.channel(), type=struct)


class Arrays(Case):
    def test_any_array(self):
        writer, reader = self.pair()
        for array in (
            numpy.linspace(0, 1, 24, dtype="f4").reshape(2, 3, 4),
            numpy.arange(5, dtype=">i8"),
            numpy.arange(12).reshape(3, 4).T,
            numpy.arange(20, dtype="u2")[::-3],
            numpy.array(2.5 + 1j),
            numpy.array([True, False]),
            numpy.array(["possum", "b\u00e4r"]),
            numpy.array([b"x", b"yz"]),
            numpy.array(["2026-01-02", "1970-01-01"], "M8[D]"),
            numpy.zeros(3, [("t", "i8"), ("xyz", "f4", (3,)), ("in", [("a", "u1")])]),
            numpy.float16(1.5),
        ):
            with self.subTest(array=array):
                self.assertTrue(writer.write(array))
                frame = reader.read(PATIENCE)
                self.assertEqual((frame.dtype, frame.shape), (array.dtype, array.shape))
                self.assertTrue((frame == array).all())
                self.assertFalse(frame.flags.writeable)
                with self.assertRaisesRegex(AttributeError, "no structure"):
                    frame.value

    def test_fixed_type(self):
        writer, reader = self.pair(dtype="float32", shape=(4, 5))
        self.assertEqual(
            writer.caps,
            'application/x-possum-array, dtype=(string)"float32", shape=(string)"4x5"',
        )
        with writer.borrow() as slot:
            slot.array[:] = 1.5
        self.assertTrue((reader.read(PATIENCE) == numpy.float32(1.5)).all())
        with self.assertRaisesRegex(
            possum.InvalidValue, r"sends float32 \(4, 5\); what was given is float64 \(4, 5\)"
        ):
            writer.write(numpy.zeros((4, 5)))
        with self.assertRaisesRegex(possum.InvalidValue, r"float32 \(5, 4\)"):
            writer.write(numpy.zeros((5, 4), "f4"))

    def test_what_cannot_cross(self):
        writer, _ = self.pair()
        for array in (
            numpy.array([None]),
            numpy.zeros((2, 0)),
            numpy.zeros(2, [("a", "O")]),
            numpy.zeros(2, "V4"),
        ):
            with self.subTest(array=array), self.assertRaises(possum.InvalidValue):
                writer.write(array)
        self.assertEqual(writer.statistics.frames, 0)

    def test_gstreamer_refuses(self):
        channel = self.channel()
        writer = self.writer(channel, allow_blocking=True)
        writer.write(numpy.zeros(4))
        process = self.launch(f"possumsrc channel={channel} ! fakesink")
        self.assertEqual(process.wait(PATIENCE), 1)

    def test_other_data(self):
        writer, reader = self.pair(caps="text/plain, language=(string)de", frame_bytes=4)
        writer.write(numpy.frombuffer(b"moin", "u1"))
        frame = reader.read(PATIENCE)
        self.assertEqual(frame.tobytes(), b"moin")
        self.assertEqual((frame.field("language"), frame.field("x")), ("de", None))
        self.assertEqual((frame.format, frame.width), ("", 0))


class Lies(Case):
    """Whatever a writer says, reading is an error of possum's or an array within the frame."""

    @classmethod
    def setUpClass(cls):
        print(f"NumPy {numpy.__version__}", file=sys.stderr)  # 1 and 2 differ in what they take

    FIELDS = (
        {"size": 8, "fields": [["a", "O", 0]]},
        {"size": 8, "fields": [["a", "|O8", 0]]},
        {"size": 8, "fields": [["a", "uint64", 4]]},
        {"size": 8, "fields": [["a", "uint64", -8]]},
        {"size": 8, "fields": [["a", "uint8", 0, [9]]]},
        {"size": 8, "fields": [["a", "uint8", 0, [2**40, 2**40]]]},
        {"size": 8, "fields": [["a", "uint8", 0, [-1]]]},
        {"size": 8, "fields": [["a", "<U999999999", 0]]},
        {"size": 8, "fields": [["a", "<U999999999", 0, [4]]]},
        {"size": 8, "fields": [["a", {"size": 4, "fields": [["b", ">U536870912", 0]]}, 0]]},
        {"size": 8, "fields": [["a", "<M8[0D]", 0]]},
        {"size": 8, "fields": [["\ud800", "uint8", 0]]},
        {"size": 2**31, "fields": [["a", "uint8", 0]]},
        {"size": 2**32 + 8, "fields": [["a", "uint8", 2**32]]},
        {"size": 8, "fields": [["a", "uint8", 0], ["a", "uint8", 1]]},
        {"size": 2**62, "fields": []},
        {"size": 0, "fields": []},
        {"size": True, "fields": [["a", "uint8", 0]]},
        {"size": 8, "fields": [["a"]]},
        {"size": 8, "fields": 3},
        {"size": 8},
        {"fields": []},
        {"size": 9, "fields": [["a", "uint8", 0]]},
    )

    def sent(self, caps):
        """Eight bytes, and their reader."""
        writer, reader = self.pair(caps=caps, frame_bytes=8)
        writer.write(numpy.zeros(8, "u1"))
        return writer, reader

    def check(self, caps):
        writer, reader = self.sent(caps)
        with self.assertRaises(possum.InvalidValue):
            reader.read(PATIENCE)
        self.assertEqual(writer.statistics.held, 0)
        writer.close()

    def test_arrays(self):
        for dtype, shape in (
            ("uint8", "9"), ("float64", "2"), ("uint8", "3x3"), ("object", "1"), ("|O8", "1"),
            ("uint8", "-1"), ("uint8", "4294967296x4294967296"), ("u1,O", "1"), ("|S0", "1"),
            ("uint8", "99999999999999999999"), ("uint8", "1x" * 40 + "1"), ("|S999999999", "1"),
            ("<U999999999", "1"), (">U999999999", "2x2"), ("<U536870912", ""), ("<U0", "1"),
            ("<m8[0s]", "1"), (">M8[000000D]", "1"), ("<U\u0663", "1"), ("uint8", "\u0663"),
            ("uint8", "0"), ("uint8", "999999999999999x999999999999999x0"), ("\\377", "1"),
            ("uint8", "\\377"), ("T", "1"), ("StringDType", "1"),
        ):  # fmt: skip
            with self.subTest(dtype=dtype, shape=shape):
                self.check(f'application/x-possum-array, dtype="{dtype}", shape="{shape}"')
        self.check("application/x-possum-array")
        self.check('application/x-possum-array, dtype="uint8"')

    def test_each_short_name_is_a_type_of_its_size_or_refused(self):
        numbers = ["", "0", "-1", "+4", "1", "2", "4", "8", "16", "3", "08"]
        numbers += ["99999999", "100000000"]
        numbers += [str(2**n // 4 + d) for n in (31, 32, 33, 64) for d in (-1, 0, 1)]
        for order in "<>|=":
            for kind in "?biufcSUmMOVaT":  # T: text of NumPy 2, an address
                for number in numbers:
                    text = order + kind + number
                    with self.subTest(text=text):
                        try:
                            dtype = possum._types.dtype_from_text(text)
                        except possum.InvalidValue:
                            continue
                        each = 4 if kind == "U" else 1
                        self.assertEqual(dtype.itemsize, each * int(number))
                        self.assertFalse(dtype.hasobject)

    def test_a_field_that_is_no_text(self):
        _, reader = self.sent('a/b, x="\\377\\303\\244"')
        self.assertEqual(reader.read(PATIENCE).field("x"), "\ufffd\u00e4")

    def test_structures(self):
        texts = [json.dumps(fields) for fields in self.FIELDS]
        texts += ["{", '{"size":8,"fields":' + "[" * 5000, "{}", ""]
        texts.append('{"size":8,"fields":[["a",' * 300)
        for text in texts:
            with self.subTest(text=text[:80]):
                quoted = text.replace("\\", "\\\\").replace('"', '\\"')
                self.check(f'application/x-possum-struct, name="A", dtype="{quoted}"')

    def test_classes(self):
        """Fit for NumPy, no class."""
        good = {"size": 1, "fields": [["a", "uint8", 0]]}
        dunder = {"size": 1, "fields": [["__class__", "uint8", 0]]}
        late = {"size": 8, "fields": [["a", "uint8", 5]]}
        half = {"size": 2, "fields": [["a", "float16", 0]]}
        for name, fields in (("1", good), ("a b", good), ("A", dunder), ("A", late), ("A", half)):
            with self.subTest(name=name, fields=fields):
                text = json.dumps(fields).replace('"', '\\"')
                caps = f'application/x-possum-struct, name="{name}", dtype="{text}"'
                _, reader = self.sent(caps)
                frame = reader.read(PATIENCE)
                with self.assertRaises(possum.InvalidValue):
                    frame.value


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Arrays and structures described in caps, so that a process without the class gets both.

    application/x-possum-array, dtype=(string)float32, shape=(string)480x640
    application/x-possum-struct, name=(string)Point, dtype=(string)"..."

A dtype is NumPy's name where the byte order is that of the machine, else NumPy's short
form (">f4"), and for types with fields JSON: {"size": bytes, "fields": [[name, dtype,
offset, shape], ...]}, where shape is left out for single values. What comes from another
process is checked before NumPy or ctypes see it: no object, no pointer, no lie about size.
"""

import ctypes
import json
import math
import re
from typing import Any, Dict, List, Optional, Tuple, Type

import numpy

from ._errors import InvalidValue
from ._library import MAX_CAPS

ARRAY = "application/x-possum-array"
STRUCT = "application/x-possum-struct"

# Eight digits: NumPy before 2 counts the bytes of a type in 31 bits, four a character, and
# what overflows them is a type of negative size. A time of no units divides by zero there.
_PLAIN = re.compile(
    r"bool|u?int(8|16|32|64)|float(16|32|64|96|128)|complex(64|128|192|256)"
    r"|[<>|][biufcSU][1-9]\d{0,7}"
    r"|[<>][mM]8(\[([1-9]\d{0,5})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?",
    re.ASCII,
)
_SHAPE = re.compile(r"([1-9]\d{0,14}(x[1-9]\d{0,14}){0,31})?", re.ASCII)
_LARGEST = 2**31  # bytes of a structure, for the same reason
_DEEPEST = 32  # structures within structures
_MOST_DIMENSIONS = 32  # what every NumPy takes

Shape = Tuple[int, ...]


# --- dtypes as text


def _describe(dtype: "numpy.dtype[Any]") -> Any:
    if dtype.fields is not None:
        fields = []
        for name in dtype.names or ():
            kind, offset = dtype.fields[name][:2]
            shape: List[int] = []
            while kind.shape:  # arrays of arrays
                kind, shape = kind.base, shape + list(kind.shape)
            fields.append([name, _describe(kind), offset] + ([shape] if shape else []))
        return {"size": dtype.itemsize, "fields": fields}
    text = dtype.name if dtype.isnative and dtype.kind in "biufc" else dtype.str
    if dtype.itemsize == 0 or not _PLAIN.fullmatch(text):
        raise InvalidValue(
            f"Values of dtype {dtype} mean nothing in another process: use numbers, "
            "strings of fixed size (99999999 characters at most), times, or fields of those"
        )
    return text


def _shape_of(numbers: Any) -> Shape:
    if not isinstance(numbers, list) or len(numbers) > _MOST_DIMENSIONS:
        raise ValueError("shape")
    if not all(type(n) is int and 0 <= n < _LARGEST for n in numbers):
        raise ValueError("shape")
    return tuple(numbers)


def _field_of(item: Any, size: int, depth: int) -> Tuple[str, Any, int]:
    if not isinstance(item, list) or len(item) not in (3, 4) or type(item[0]) is not str:
        raise ValueError("field")
    kind = _dtype_of(item[1], depth + 1)
    shape = _shape_of(item[3]) if len(item) == 4 else ()
    offset = item[2]
    if type(offset) is not int or offset < 0:
        raise ValueError("offset")
    if offset + kind.itemsize * math.prod(shape) > size:
        raise ValueError("field outside")
    item[0].encode()  # halves of characters are refused here, not when it is printed
    return item[0], numpy.dtype((kind, shape)) if shape else kind, offset


def _dtype_of(what: Any, depth: int = 0) -> "numpy.dtype[Any]":
    if isinstance(what, str):
        if not _PLAIN.fullmatch(what):
            raise ValueError("name")
        dtype = numpy.dtype(what)
        if dtype.itemsize < 1:
            raise ValueError("size")
        return dtype
    size, items = what["size"], what["fields"]
    if depth > _DEEPEST or type(size) is not int or not 0 < size < _LARGEST:
        raise ValueError("size")
    fields = [_field_of(item, size, depth) for item in items]
    return numpy.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [kind for _, kind, _ in fields],
            "offsets": [offset for _, _, offset in fields],
            "itemsize": size,
        }
    )


def dtype_to_text(dtype: "numpy.dtype[Any]") -> str:
    described = _describe(dtype)
    if isinstance(described, str):
        return described
    return json.dumps(described, separators=(",", ":"))


def dtype_from_text(text: str) -> "numpy.dtype[Any]":
    """InvalidValue unless it is a description as dtype_to_text() makes them."""
    try:
        dtype = _dtype_of(json.loads(text) if text.startswith("{") else text)
        if dtype.hasobject:
            raise ValueError("object")
        return dtype
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InvalidValue(f"The writer describes its data in a way unknown here: {error}")


# --- ctypes structures


def _dtype_of_ctypes(kind: Any) -> Any:
    if issubclass(kind, ctypes.Array):
        return numpy.dtype((_dtype_of_ctypes(kind._type_), (kind._length_,)))
    if issubclass(kind, ctypes.Structure):
        return _dtype_of_fields(kind)
    if issubclass(kind, ctypes.Union):
        raise InvalidValue("is a union")
    if not issubclass(kind, ctypes._SimpleCData) or kind._type_ in "PzZOX":
        raise InvalidValue("holds an address, which means nothing in another process")
    return numpy.dtype("=U1" if kind is ctypes.c_wchar else kind)


def _dtype_of_fields(struct: Type[ctypes.Structure]) -> Any:
    names, formats, offsets = [], [], []
    for base in reversed(struct.__mro__):  # base classes' fields come first
        for field in base.__dict__.get("_fields_", ()):
            try:
                if len(field) > 2:
                    raise InvalidValue("is a bit field")
                formats.append(_dtype_of_ctypes(field[1]))
            except InvalidValue as error:
                raise InvalidValue(
                    f"{struct.__name__}.{field[0]} {error}: use numbers, characters, arrays "
                    "and structures of those"
                ) from None
            names.append(field[0])
            offsets.append(getattr(struct, field[0]).offset)
    size = ctypes.sizeof(struct)
    return numpy.dtype(
        {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
    )


def _ctypes_of(dtype: "numpy.dtype[Any]", name: str) -> Any:
    if dtype.shape:
        kind = _ctypes_of(dtype.base, name)
        for length in reversed(dtype.shape):
            kind = kind * length
        return kind
    if dtype.fields is not None:
        return _struct_of(dtype, name)
    plain = _SIMPLE.get((dtype.kind, dtype.itemsize))
    if plain is None:
        raise InvalidValue(f"ctypes has no type for {dtype}")
    if dtype.byteorder in "=|":
        return plain
    return plain.__ctype_be__ if dtype.str[0] == ">" else plain.__ctype_le__


_SIMPLE: Dict[Tuple[str, int], Any] = {
    ("?", 1): ctypes.c_bool,
    ("b", 1): ctypes.c_bool,
    ("i", 1): ctypes.c_int8,
    ("u", 1): ctypes.c_uint8,
    ("S", 1): ctypes.c_char,
    ("U", ctypes.sizeof(ctypes.c_wchar)): ctypes.c_wchar,
    ("i", 2): ctypes.c_int16,
    ("u", 2): ctypes.c_uint16,
    ("i", 4): ctypes.c_int32,
    ("u", 4): ctypes.c_uint32,
    ("i", 8): ctypes.c_int64,
    ("u", 8): ctypes.c_uint64,
    ("f", 4): ctypes.c_float,
    ("f", 8): ctypes.c_double,
    ("f", ctypes.sizeof(ctypes.c_longdouble)): ctypes.c_longdouble,
}


def _struct_of(dtype: "numpy.dtype[Any]", name: str) -> Type[ctypes.Structure]:
    """A class whose fields lie as the dtype says: by the rules of C, or packed."""
    names = dtype.names or ()
    fields: List[Tuple[str, Any]] = []
    for field in names:
        fields.append((field, _ctypes_of(dtype.fields[field][0], field)))  # type: ignore[index]
    for pack in (0, 1, 2, 4, 8, 16):
        members: Dict[str, Any] = {"_pack_": pack} if pack else {}
        members["_fields_"] = fields
        struct = type(name, (ctypes.Structure,), members)
        if ctypes.sizeof(struct) == dtype.itemsize and all(
            getattr(struct, field).offset == dtype.fields[field][1]  # type: ignore[index]
            for field in names
        ):
            return struct
    raise InvalidValue(f"No ctypes.Structure has its fields where {name} has them")


def _names_of(dtype: "numpy.dtype[Any]") -> bool:
    """Whether all names are such that a class can have them as fields."""
    if dtype.fields is None:
        return True
    return all(
        name.isidentifier() and not name.startswith("__") and _names_of(dtype.fields[name][0].base)
        for name in dtype.names or ()
    )


def dtype_of_struct(struct: Type[ctypes.Structure]) -> "numpy.dtype[Any]":
    """InvalidValue for structures that cannot cross."""
    if not hasattr(struct, "_fields_") or ctypes.sizeof(struct) == 0:
        raise InvalidValue(f"{struct.__name__} has no fields to send")
    text = dtype_to_text(_dtype_of_fields(struct))
    try:
        struct_from_text(text, struct.__name__)
    except InvalidValue:
        raise InvalidValue(
            f"{struct.__name__} cannot be made again from a description: give it and its "
            "fields ordinary names, and no alignment of its own"
        ) from None
    return dtype_from_text(text)  # as readers have it


def struct_from_text(text: str, name: str) -> Type[ctypes.Structure]:
    """The class that a writer described, made here."""
    dtype = dtype_from_text(text)
    if not dtype.fields or not name.isidentifier() or not _names_of(dtype):
        raise InvalidValue("The writer describes no structure")
    try:
        return _struct_of(dtype, name)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidValue(f"The writer describes a structure unknown to ctypes: {error}")


# --- caps


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked_caps(caps: str) -> str:
    if len(caps.encode()) > MAX_CAPS:
        raise InvalidValue(
            f"The description of the type takes more than {MAX_CAPS} bytes: use fewer fields"
        )
    return caps


def caps_of_array(dtype: "numpy.dtype[Any]", shape: Shape) -> str:
    if len(shape) > _MOST_DIMENSIONS:
        raise InvalidValue(f"An array of {len(shape)} dimensions is too much: at most 32")
    if 0 in shape:
        raise InvalidValue(f"An array of shape {shape} holds nothing to send")
    sides = "x".join(str(side) for side in shape)
    return _checked_caps(
        f"{ARRAY}, dtype=(string){_quoted(dtype_to_text(dtype))}, shape=(string){_quoted(sides)}"
    )


def caps_of_struct(struct: Type[ctypes.Structure], dtype: "numpy.dtype[Any]") -> str:
    return _checked_caps(
        f"{STRUCT}, name=(string){_quoted(struct.__name__)}, "
        f"dtype=(string){_quoted(dtype_to_text(dtype))}"
    )


def shape_from_text(text: Optional[str]) -> Shape:
    if text is None or not _SHAPE.fullmatch(text):
        raise InvalidValue("The writer describes an array without a shape")
    return tuple(int(side) for side in text.split("x")) if text else ()

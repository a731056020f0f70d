"""Files of safetensors that lie."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from hostile.lie import Hostile, of_bytes


def raw_safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file whose header says what it is told to say. ``header`` is JSON content, or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def tensor(name='"a"', dtype='"F32"', shape="[1]", offsets="[0,4]"):
    """A header of one tensor, its parts as text, so that they may be anything."""
    return f'{{{name}:{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'.encode()


FOUR = b"0000"


# name: (header as content or as bytes, data, what the message says)
HEADERS = {
    "no data": ({"a": entry()}, b"", "cut short"),
    "one byte too few": ({"a": entry()}, b"000", "cut short"),
    "one byte too many": ({"a": entry()}, b"00000", "last 1 bytes belong to no tensor"),
    "data and no tensors": ({}, FOUR, "last 4 bytes belong to no tensor"),
    "four terabytes": ({"a": entry(shape=(10**6, 10**6), offsets=(0, 4 * 10**12))}, FOUR, "cut short"),
    "shape too large": ({"a": entry(shape=(10**6, 10**6))}, FOUR, "takes 4000000000000 bytes"),
    "shape too small": ({"a": entry(shape=(1,), offsets=(0, 8))}, b"0" * 8, "takes 4 bytes"),
    "zero-sized with bytes": ({"a": entry(shape=(0, 7), offsets=(0, 4))}, FOUR, "takes 0 bytes"),
    "size overflows": ({"a": entry(shape=(2**40, 2**40))}, FOUR, "no memory could hold"),
    "size overflows to zero": ({"a": entry(shape=(2**32, 2**32, 1))}, FOUR, "no memory could hold"),
    "empty but impossible": ({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, b"", "no memory could hold"),
    "65 axes": ({"a": entry(shape=(1,) * 65)}, FOUR, "is not a shape"),
    "a hundred thousand axes": ({"a": entry(shape=(1,) * 10**5)}, FOUR, "is not a shape"),
    "negative length": (tensor(shape="[-1]"), FOUR, "is not a shape"),
    "two negative lengths": (tensor(shape="[-1,-1]"), FOUR, "is not a shape"),
    "true as a length": (tensor(shape="[true]"), FOUR, "is not a shape"),
    "a float as a length": (tensor(shape="[1.0]"), FOUR, "is not a shape"),
    "a text as a length": (tensor(shape='["1"]'), FOUR, "is not a shape"),
    "null as a shape": (tensor(shape="null"), FOUR, "is not a shape"),
    "an object as a shape": (tensor(shape='{"0":1}'), FOUR, "is not a shape"),
    "a length of 65 bits": (tensor(shape=f"[{2**64}]"), FOUR, "is not a shape"),
    "a length of 400 digits": (tensor(shape=f"[{10**400}]"), FOUR, "is not a shape"),
    "a length of 5000 digits": (tensor(shape=f"[{'9' * 5000}]"), FOUR, "not valid JSON"),
    "negative offset": (tensor(offsets="[-4,0]"), FOUR, "are not data_offsets"),
    "offsets reversed": (tensor(offsets="[4,0]"), FOUR, "are not data_offsets"),
    "one offset": (tensor(offsets="[4]"), FOUR, "are not data_offsets"),
    "three offsets": (tensor(offsets="[0,4,4]"), FOUR, "are not data_offsets"),
    "offsets are floats": (tensor(offsets="[0.0,4.0]"), FOUR, "are not data_offsets"),
    "offset of 64 bits": (tensor(offsets=f"[{2**64 - 4},{2**64}]"), FOUR, "are not data_offsets"),
    "overlap": ({"a": entry(), "b": entry()}, FOUR, "'b' overlaps"),
    "overlap in part": (
        {"a": entry(shape=(2,), offsets=(0, 8)), "b": entry(shape=(2,), offsets=(4, 12))},
        b"0" * 12,
        "'b' overlaps",
    ),
    "hole": ({"a": entry(), "b": entry(offsets=(8, 12))}, b"0" * 12, "4 bytes before tensor 'b'"),
    "hole at the start": ({"a": entry(offsets=(4, 8))}, b"0" * 8, "4 bytes before tensor 'a'"),
    "empty tensor inside of another": (
        {"a": entry(), "b": entry(shape=(0,), offsets=(2, 2))},
        FOUR,
        "'b' overlaps",
    ),
    "bfloat16 of odd length": ({"a": entry("BF16", (3,), (0, 5))}, b"0" * 5, "takes 6 bytes"),
    "half a byte": ({"a": entry("F4", (3,), (0, 2))}, b"00", "takes 1 bytes"),
    "duplicate tensor": (tensor()[:-1] + b"," + tensor(offsets="[4,8]")[1:], b"0" * 8, "'a' stands twice"),
    "duplicate tensor, the same": (tensor()[:-1] + b"," + tensor()[1:], FOUR, "'a' stands twice"),
    "duplicate field": (tensor(offsets='[0,4],"shape":[1]'), FOUR, "'shape' stands twice"),
    "duplicate by escape": (tensor()[:-1] + b"," + tensor(name='"\\u0061"')[1:], FOUR, "'a' stands twice"),
    "deep arrays": (b'{"a":' + b"[" * 100_000, b"", "nested too deeply"),
    "deep arrays, closed": (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"", "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, b"", "nested too deeply"),
    "deep in an unknown field": (tensor(offsets='[0,4],"x":' + "[" * 9999 + "]" * 9999), FOUR, "nested too deeply"),
    "very deep and large": (b'{"a":' + b"[" * 900_000, b"", "nested too deeply"),
    "large and not JSON": (b'{"' + b"a" * 5_000_000, b"", "not valid JSON"),
    "NaN": (tensor(shape="[NaN]"), FOUR, "NaN is not a JSON number"),
    "Infinity": (tensor(offsets="[0,Infinity]"), FOUR, "Infinity is not a JSON number"),
    "minus Infinity": (tensor(offsets="[-Infinity,4]"), FOUR, "-Infinity is not a JSON number"),
    "a float beyond floats": (tensor(offsets="[0,4e999]"), FOUR, "are not data_offsets"),
    "not UTF-8": (tensor(name='"\xff"').decode().encode("latin-1"), FOUR, "not UTF-8"),
    "UTF-16": (tensor().decode().encode("utf-16"), FOUR, "no header begins"),
    "byte order mark": (b"\xef\xbb\xbf" + tensor(), FOUR, "no header begins"),
    "a space first": (b" " + tensor(), FOUR, "no header begins"),
    "a list": (b"[]", b"", "no header begins"),
    "a number": (b"12", b"", "no header begins"),
    "zeros": (bytes(100), b"", "no header begins"),
    "cut in a text": (tensor()[:20], FOUR, "not valid JSON"),
    "text after the object": (tensor() + b"x", FOUR, "not valid JSON"),
    "single quotes": (tensor().replace(b'"', b"'"), FOUR, "not valid JSON"),
    "entry is a list": ({"a": []}, b"", "no dtype, shape and data_offsets"),
    "entry is null": ({"a": None}, b"", "no dtype, shape and data_offsets"),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, FOUR, "unknown dtype None"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, FOUR, "is not a shape"),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, FOUR, "are not data_offsets"),
    "unknown dtype": ({"a": entry("F33")}, FOUR, "unknown dtype 'F33'"),
    "dtype is a list": (tensor(dtype='["F32"]'), FOUR, "unknown dtype"),
    "dtype is hostile": (tensor(dtype='"\\u001b[31m' + "x" * 1000 + '"'), FOUR, "unknown dtype"),
    "metadata is a list": ({"__metadata__": []}, b"", "safetensors refuses it"),
    "metadata is nested": ({"__metadata__": {"a": {"b": "c"}}}, b"", "safetensors refuses it"),
    "NUL in a name": ({"a\0b": entry()}, FOUR, r"'a\x00b'"),
    "terminal escape in a name, and a fault": ({"\x1b[2Ja": entry("F33")}, FOUR, r"'\x1b[2Ja'"),
    "text direction in a name, and a fault": ({"a\u202eb": entry("F33")}, FOUR, r"'a\u202eb'"),
    "half a character in a name": (tensor(name='"\\ud800"'), FOUR, r"'\ud800'"),
    "empty name": ({"": entry()}, FOUR, "empty name"),
    "long name": ({"n" * 100_000: entry()}, FOUR, "has 100000 characters"),
    "nearly long name, and a fault": ({"n" * 2000: entry("F33")}, FOUR, "unknown dtype"),
    "terminal escape in a large header": (
        {"\x1b[2J": entry("F33"), **{f"{i:0200}": entry(shape=(0,), offsets=(0, 0)) for i in range(5000)}},
        b"",
        "unknown dtype",
    ),
}


# name: (the bytes of the file, what the message says)
FILES = {
    "empty": (b"", "the file is empty"),
    "one byte": (b"\x01", "cut short"),
    "seven bytes": (bytes(7), "cut short"),
    "no header": (bytes([2]) + bytes(7), "cut short"),
    "header of no length": (bytes(8), "not valid JSON"),
    "header of one byte": (bytes([1]) + bytes(7) + b"{", "not valid JSON"),
    "header longer than the file": (bytes([200]) + bytes(7) + b"{}", "its header has 200 bytes, and 2 are there"),
    "header just under the limit": ((10**8).to_bytes(8, "little") + b"{}", "its header has 100000000 bytes"),
    "header over the limit": ((10**8 + 1).to_bytes(8, "little") + b"{}", "the limit is 100000000"),
    "header of 64 bits": (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes"),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n",
        "git-lfs pointer, not the file itself: run `git lfs pull`",
    ),
    "web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
    "web page, plain": (b"\n  <html>404</html>", "web page"),
    "answer of a bucket": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
    "answer of an interface": (b'{"error":"Repository not found"}', "not safetensors, or damaged"),
    "zip": (b"PK\x03\x04" + bytes(100), "not safetensors, or damaged"),
    "pickle": (b"\x80\x02}q\x00." + bytes(100), ""),
    "noise": (np.random.default_rng(0).bytes(5000), "not safetensors, or damaged"),
    "numpy": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", "this is a NumPy array"),
}


SOURCES = {
    "safetensors": {
        **{
            name: Hostile(of_bytes(raw_safetensors(header, data), "bad.safetensors"))
            for name, (header, data, _) in HEADERS.items()
        },
        **{name: Hostile(of_bytes(content, "bad.safetensors")) for name, (content, _) in FILES.items()},
    }
}

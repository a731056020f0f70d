"""Files of NumPy's that lie."""

from __future__ import annotations

import io
import struct
import zipfile

from hostile.lie import Hostile, of_bytes


def header(shape="(2, 2)", descr="'<f8'", order="False", length=None, magic=b"\x93NUMPY\1\0"):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return magic + struct.pack("<H", len(text) if length is None else length) + text


def packed(content, method=zipfile.ZIP_STORED, name="fc.weight.npy"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


FOUR = bytes(32)


WRONG = {
    "no array": (packed(b"hello"), "does not begin as NumPy's arrays do"),
    "another entry": (packed(header() + FOUR, name="readme.txt"), "is no array of NumPy's"),
    "a version to come": (packed(header(magic=b"\x93NUMPY\x09\0") + FOUR), "version 9"),
    "a long header": (packed(header(length=60_000) + FOUR), "a header of 60000 bytes"),
    "a header cut short": (packed(header(length=500)), "is cut short"),
    "no dict": (packed(b"\x93NUMPY\1\0" + struct.pack("<H", 8) + b"open('x'"), "a header that cannot be read"),
    "a call": (packed(header(shape="__import__('os').system('true')") + FOUR), "a header that cannot be read"),
    "a deep header": (packed(header(shape="(" * 4000) + FOUR), "a header that cannot be read"),
    "a negative length": (packed(header(shape="(-2, -2)") + FOUR), "a header that cannot be: shape (-2, -2)"),
    "a shape that is none": (packed(header(shape="'22'") + FOUR), "a header that cannot be"),
    "true is no length": (packed(header(shape="(True, 4)") + FOUR), "a header that cannot be"),
    "an order that is none": (packed(header(order="1") + FOUR), "a header that cannot be"),
    "more than is there": (packed(header(shape="(2, 3)") + FOUR), "takes 48 bytes by its header, and 32 are there"),
    "less than is there": (packed(header(shape="(2,)") + FOUR), "takes 16 bytes by its header, and 32 are there"),
    "more than any memory": (packed(header(shape="(4294967296, 4294967296)")), "no memory could hold"),
    "a bomb": (packed(header(shape="(9000000,)") + bytes(72_000_000), zipfile.ZIP_DEFLATED), "64,000,000 bytes"),
    "another compression": (packed(header() + FOUR, zipfile.ZIP_BZIP2), "compressed in a way that is not read here"),
    "a NUL in a name": (packed(header() + FOUR, name="a\tb.npy").replace(b"a\tb", b"a\0b"), "has a NUL in its name"),
}


SOURCES = {"npz": {name: Hostile(of_bytes(content, "bad.npz")) for name, (content, _) in WRONG.items()}}

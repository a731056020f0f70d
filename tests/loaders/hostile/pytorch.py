"""Files of PyTorch that call, lie or cost."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch_files import (
    CONTAINERS,
    NUMBERS,
    USUAL,
    Code,
    Entry,
    array,
    built,
    call,
    code,
    ending,
    in_legacy,
    in_plain,
    in_zip,
    loaded,
    named,
    pickled,
    sound,
    storage,
    tensor,
    zip_entries,
    zip_of,
)

from hostile.lie import CANARY, READ, REFUSED, Hostile, of_bytes


class Gadget(NamedTuple):
    """A way to have ``pickle.load`` run code: what is pushed, what is told of it, and what must be there to run it."""

    push: Callable[[Path], Code]
    told: str
    runs: bool | str = True


def command(canary):
    return f"touch {canary}"


def attribute(name, *, instruction):
    """Put a function where an instruction looks for a method."""

    def push(canary):
        thing = built(call("collections.OrderedDict"), {name: named("posix.system")})
        return Code(thing + instruction(code(command(canary))))

    return push


def consumed(made):
    return lambda canary: call(
        "collections.deque", Code(named("builtins.map") + code((named("posix.system"), [command(canary)])) + made)
    )


def class_built(canary):
    changed = built(named("collections.Counter"), (None, {"__setstate__": named("posix.system")}))
    return Code(code([changed, built(call("collections.Counter"), command(canary))]))


GADGETS = {
    "REDUCE": Gadget(lambda c: call("posix.system", command(c)), "posix.system"),
    "REDUCE of os": Gadget(lambda c: call("os.system", command(c)), "os.system"),
    "exec": Gadget(lambda c: call("builtins.exec", f"open({str(c)!r}, 'w')"), "builtins.exec"),
    "eval": Gadget(lambda c: call("builtins.eval", f"open({str(c)!r}, 'w')"), "builtins.eval"),
    "subprocess": Gadget(lambda c: call("subprocess.call", ["touch", str(c)]), "subprocess.call"),
    "open": Gadget(lambda c: call("builtins.open", str(c), "w"), "builtins.open"),
    "INST": Gadget(lambda c: Code(b"(" + code(command(c)) + b"iposix\nsystem\n"), "posix.system"),
    "OBJ": Gadget(lambda c: Code(b"(" + named("posix.system") + code(command(c)) + b"o"), "posix.system"),
    "NEWOBJ": Gadget(consumed(b"\x81"), "builtins.map"),
    "NEWOBJ_EX": Gadget(consumed(code({}) + b"\x92"), "builtins.map"),
    "STACK_GLOBAL": Gadget(lambda c: call(Code(code("posix") + code("system") + b"\x93"), command(c)), "posix.system"),
    "a dotted name": Gadget(
        lambda c: call(Code(b"\x80\x04" + code("posix") + code("system.__call__") + b"\x93"), command(c)),
        "posix.system.__call__",
    ),
    "getattr": Gadget(
        lambda c: call(call("builtins.getattr", call("importlib.import_module", "os"), "system"), command(c)),
        "importlib.import_module, builtins.getattr",
    ),
    "partial": Gadget(
        lambda c: call(call("functools.partial", named("posix.system"), command(c))), "functools.partial"
    ),
    "_reconstructor": Gadget(
        lambda c: call("copyreg._reconstructor", *[named("subprocess.Popen")] * 2, ["touch", str(c)]),
        "subprocess.Popen",
    ),
    "an identifier": Gadget(lambda c: Code(call("posix.system", command(c)) + b"Q"), "posix.system"),
    "a key": Gadget(lambda c: code({call("posix.system", command(c)): 1}), "posix.system"),
    "thrown away": Gadget(lambda c: Code(call("posix.system", command(c)) + b"0N"), "posix.system"),
    "BUILD": Gadget(attribute("__setstate__", instruction=lambda item: item + b"b"), "it names posix.system"),
    "BUILD of a class": Gadget(class_built, "it names posix.system"),
    "APPEND": Gadget(attribute("append", instruction=lambda item: item + b"a"), "it names posix.system"),
    "APPENDS": Gadget(attribute("append", instruction=lambda item: b"(" + item + b"e"), "it names posix.system"),
    "ADDITEMS": Gadget(attribute("add", instruction=lambda item: b"(" + item + b"\x90"), "it names posix.system"),
    "from a type": Gadget(
        lambda c: call(
            "torch._tensor._rebuild_from_type_v2", named("posix.system"), named("torch.Tensor"), (command(c),), {}
        ),
        "posix.system",
        "torch",
    ),
    "a pickle within": Gadget(
        lambda c: loaded(in_legacy(call("posix.system", command(c)), {})),
        "posix.system",
        "torch",
    ),
    "a plain pickle within": Gadget(
        lambda c: loaded(pickled(call("posix.system", command(c)))),
        "torch.storage._load_from_bytes with what cannot be read",
        "torch",
    ),
    "a pickle within one within": Gadget(
        lambda c: loaded(in_legacy(loaded(in_legacy(call("posix.system", command(c)), {})), {})),
        "torch.storage._load_from_bytes with what cannot be read",
        "torch",
    ),
    "an extension": Gadget(lambda c: call(Code(b"\x82\x77"), command(c)), "copyreg.extension 119", runs=False),
    "an import": Gadget(lambda c: named("antigravity.fly"), "it names antigravity.fly", runs=False),
}


class Case(NamedTuple):
    """A file: how it is made, what is said about it, and whether a sound layer is read all the same."""

    make: Callable[[], bytes]
    says: str
    reads: bool = False


def one(**lies):
    """A file of one tensor that lies about itself."""
    return lambda: in_zip({"a": tensor(**lies), "fc.weight": tensor()})


def stored(**lies):
    return lambda: in_zip({"a": tensor(of=storage(**lies)), "fc.weight": tensor()})


def legacy(item=4, keys=None, content=None, **lies):
    parts = {} if keys is None else {"keys": pickled(keys)}
    return lambda: in_legacy({"a": content or tensor(of=storage(**{"view": (None,), **lies}))}, item=item, **parts)


def entries(change: Callable[[list[Entry]], Any]):
    """A zip archive whose entries were changed in place."""

    def make():
        listed = zip_entries({"fc.weight": tensor()})
        change(listed)
        return zip_of(*listed)

    return make


def set_entry(place, **changes):
    return entries(lambda listed: listed.__setitem__(place, listed[place]._replace(**changes)))


def add_entries(*more):
    return entries(lambda listed: listed.extend(more))


def plain(*instructions: bytes):
    return lambda: b"\x80\x04" + b"".join(instructions)


def beside(thing: Callable[[], Any]):
    """Something odd beside a sound layer."""
    return lambda: in_zip({"fc.weight": tensor(), "odd": thing()})


def deep(opening: bytes, closing: bytes, count: int = 200_000) -> Code:
    return Code(opening * count + b"N" + closing * count)


def shared(count: int = 60) -> Code:
    """A list of 2^count leaves: each level holds the one below twice."""
    return Code(b"]" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(count)))


def entries_of(keys) -> Code:
    return Code(b"}(" + b"".join(code(key) + b"N" for key in keys) + b"u")


def itself() -> Code:
    return Code(b"]q\x01(h\x01h\x01e}q\x02(" + code("a") + b"h\x02" + code("b") + b"h\x01u\x86")


SPARSE = "torch._utils._rebuild_sparse_tensor"


ZIP64 = struct.pack("<HHQQQ", 1, 24, 2**62, 2**62, 2**62)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n"


TAR = b"data.pkl".ljust(257, b"\0") + b"ustar\x0000" + bytes(1000)


CASES = {
    # Sizes and places of tensors.
    "four terabytes": Case(one(shape=(10**6, 10**6)), "leaves its storage of 24 numbers"),
    "four terabytes of storage": Case(stored(count=10**12), "said to have 4000000000000 bytes, and has 96"),
    "storage too small": Case(stored(count=23), "said to have 92 bytes"),
    "storage of another size": Case(stored(kind="torch.DoubleStorage"), "said to have 192 bytes"),
    "negative count": Case(stored(count=-1), "said to hold -1 numbers"),
    "count of 64 bits": Case(stored(count=2**64), "said to hold"),
    "true as a count": Case(stored(count=True), "said to hold True"),
    "a float as a count": Case(stored(count=24.0), "said to hold 24.0"),
    "a call as a count": Case(stored(count=call("builtins.int", 24)), "said to hold"),
    "a storage of no type": Case(stored(kind=code("FloatStorage")), "no storage that could be read"),
    "a storage of an unknown type": Case(stored(kind="torch.FlotStorage"), "unknown type 'torch.FlotStorage'"),
    "a storage that is missing": Case(stored(key="7"), "storage '7' is missing"),
    "a storage outside": Case(stored(key="../data.pkl"), "'../data.pkl' is missing"),
    "a storage named by a number": Case(stored(key=0), "storage 0 is said"),
    "a storage named by a call": Case(stored(key=call("posix.system", "x")), "is said to hold"),
    "a storage that is none": Case(lambda: in_zip({"a": tensor(of=code(3))}), "no storage that could be read"),
    "a storage named by a text": Case(
        lambda: in_zip({"a": tensor(of=Code(b"Pstorage\n"))}), "no storage that could be read"
    ),
    "a storage of four parts": Case(
        lambda: in_zip({"a": tensor(of=Code(code(("storage", named("torch.FloatStorage"), "0", "cpu")) + b"Q"))}),
        "no storage that could be read",
    ),
    "a storage made by a call": Case(
        lambda: in_zip({"a": tensor(of=call("posix.system", "x"))}), "given by what are no bytes"
    ),
    "stride 0": Case(one(shape=(10**6, 10**6), strides=(0, 0)), "", reads=True),
    "stride 0 in part": Case(one(shape=(10**9, 6), strides=(0, 1)), "", reads=True),
    "negative stride": Case(one(strides=(-6, 1), offset=18), "are not strides"),
    "huge stride": Case(one(strides=(2**61, 1)), "leaves its storage"),
    "stride of 64 bits": Case(one(strides=(2**64, 1)), "are not strides"),
    "huge stride along an axis of one": Case(one(shape=(6, 1, 4), strides=(1, 2**61, 6)), "", reads=True),
    "a stride too few": Case(one(strides=(1,)), "do not go together"),
    "true as a stride": Case(one(strides=(True, True)), "are not strides"),
    "a text as strides": Case(one(strides="61"), "are not strides"),
    "negative offset": Case(one(offset=-1), "-1 is no offset"),
    "offset beyond": Case(one(offset=1), "from 1 leaves its storage"),
    "huge offset": Case(one(offset=2**62), "leaves its storage"),
    "offset of 400 digits": Case(one(offset=10**400), "leaves its storage"),
    "an offset of many digits": Case(one(offset=1 << 20_000), "from <int> leaves its storage"),
    "true as an offset": Case(one(offset=True), "True is no offset"),
    "a float as an offset": Case(one(offset=0.0), "0.0 is no offset"),
    "negative length": Case(one(shape=(-4, 6)), "is no shape"),
    "two negative lengths": Case(one(shape=(-4, -6)), "is no shape"),
    "true as a length": Case(one(shape=(True, 6)), "is no shape"),
    "a float as a length": Case(one(shape=(4.0, 6)), "is no shape"),
    "a length of 400 digits": Case(one(shape=(10**400, 6)), "is no shape"),
    "a shape that is none": Case(one(shape=None, strides=(1,)), "None is no shape"),
    "a shape by a call": Case(one(shape=call("posix.system", "x"), strides=(1,)), "is no shape"),
    "size overflows to zero": Case(one(shape=(2**32, 2**32), strides=(1, 1)), "no memory could hold"),
    "empty and impossible": Case(one(shape=(0, 2**61), strides=(1, 1)), "no memory could hold"),
    "empty, and its place is nowhere": Case(one(shape=(0,), offset=2**70), "", reads=True),
    "64 axes": Case(one(shape=(1,) * 62 + (4, 6), strides=(1,) * 62 + (1, 4)), "", reads=True),
    "65 axes": Case(one(shape=(1,) * 65), "is no shape"),
    "a million axes": Case(one(shape=(1,) * 10**5, strides=(1,) * 10**5), "is no shape"),
    "too few arguments": Case(lambda: in_zip({"a": call("torch._utils._rebuild_tensor_v2", 1)}), "too few arguments"),
    "an unknown dtype": Case(
        lambda: in_zip({"a": call("torch._utils._rebuild_tensor_v3", storage(), 0, (4,), (1,), 0, 0, named("os.x"))}),
        "unknown dtype 'os.x'",
    ),
    "a parameter of a call": Case(
        lambda: in_zip({"a": call("torch._utils._rebuild_parameter", call("posix.system", "x"))}), "posix.system", True
    ),
    "a parameter of a text": Case(
        lambda: in_zip({"a": call("torch._utils._rebuild_parameter", "x")}), "made of what is no tensor"
    ),
    "a parameter of a parameter of ...": Case(
        lambda: in_zip({"a": Code(named("torch._utils._rebuild_parameter") * 9 + tensor() + b"\x85R" * 9)}),
        "wrapped too often",
    ),
    "a type's function is a deep list": Case(
        lambda: in_zip({"a": call("torch._tensor._rebuild_from_type_v2", deep(b"](", b"e"), "x", ())}),
        "what cannot be called",
    ),
    "a type's function is a shared list": Case(
        lambda: in_zip({"a": call("torch._tensor._rebuild_from_type_v2", shared(), "x", ())}), "what cannot be called"
    ),
    "groups beyond every number": Case(
        lambda: in_zip(
            {
                "fc.weight": tensor(),
                "a": built(
                    call("torch.nn.modules.conv.Conv2d"),
                    {"_parameters": {"weight": tensor((0, 3, 2, 2))}, "_modules": {}, "groups": 10**30},
                ),
            }
        ),
        "",
        reads=True,
    ),
    # Arrays.
    "an array of other bytes": Case(lambda: in_plain({"a": array(NUMBERS, content=b"1234")}), "takes 96 bytes, and 4"),
    "an array of no bytes": Case(lambda: in_plain({"a": array(NUMBERS, content=3)}), "its bytes are none"),
    "an array of half characters": Case(
        lambda: in_plain({"a": array(NUMBERS, content="\ud800" * 96)}), "its bytes are none"
    ),
    "an array too large": Case(lambda: in_plain({"a": array(NUMBERS, shape=(10**6, 10**6))}), "takes 4000000000000"),
    "an array empty and impossible": Case(
        lambda: in_plain({"a": array(NUMBERS, shape=(0, 2**61), content=b"")}), "no memory could hold"
    ),
    "an array of an odd digit": Case(lambda: in_plain({"a": array(NUMBERS, kind="f²")}), "no numbers", True),
    "an array of objects": Case(lambda: in_plain({"a": array(NUMBERS, kind="O8", content=[1, 2])}), "no numbers", True),
    "an array of records": Case(lambda: in_plain({"a": array(NUMBERS, kind="V8")}), "no numbers", True),
    "an array that was never built": Case(
        lambda: in_plain({"a": call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), (0,), b"b")}),
        "no content",
    ),
    # Legacy files.
    "legacy: another size": Case(legacy(item=8), "said to have 96 bytes, and has 48"),
    "legacy: a key too many": Case(legacy(keys=["0", "1"]), "'1' is cut short"),
    "legacy: no keys": Case(legacy(keys=[]), "'0' is missing"),
    "legacy: a key twice": Case(legacy(keys=["0", "0"]), "'0' is cut short"),
    "legacy: keys that are none": Case(legacy(keys="0"), "list of keys is none"),
    "legacy: keys that are numbers": Case(legacy(keys=[0]), "list of keys is none"),
    "legacy: a million keys": Case(legacy(keys=Code(b"](" + code("0") * 300_000 + b"e")), "'0' is cut short"),
    "legacy: a part outside": Case(legacy(view=(("0", 23, 2),)), "lies outside of it"),
    "legacy: a part before": Case(legacy(view=(("0", -1, 2),)), "lies outside of it"),
    "legacy: a part that is none": Case(legacy(view=("0",)), "lies outside of it"),
    "legacy: a negative storage": Case(
        lambda: in_legacy({"a": tensor(of=storage(view=(None,)))}, {}, keys=pickled(["0"])) + struct.pack("<q", -24),
        "'0' is cut short: it has -96 bytes",
    ),
    "legacy: another version": Case(
        lambda: in_legacy({"a": 1}, version=pickled(1002)), "written in an unknown way: 1002"
    ),
    "legacy: a version that is a call": Case(
        lambda: in_legacy({"a": 1}, version=pickled(call("posix.system", "x"))), "written in an unknown way"
    ),
    "legacy: cut after the magic number": Case(lambda: in_legacy({})[:15], "its version cannot be read"),
    # Pickles within pickles.
    "within: a dict": Case(lambda: in_plain({"a": tensor(of=loaded(in_legacy({"a": 1}, {})))}), "no storage"),
    "within: a call": Case(
        lambda: in_plain({"a": tensor(of=loaded(in_legacy(call("posix.system", "x"), {})))}), "bytes of something else"
    ),
    "within: cut short": Case(lambda: in_plain({"a": tensor(of=loaded(in_legacy(storage())[:-1]))}), "cut short"),
    "within: a text": Case(lambda: in_plain({"a": tensor(of=loaded("x" * 100))}), "what are no bytes"),
    "within: a zip": Case(lambda: in_plain({"a": tensor(of=loaded(in_zip(storage())))}), "cannot be read"),
    "within: nothing": Case(
        lambda: in_plain({"a": tensor(of=Code(named("torch.storage._load_from_bytes") + b")R"))}), "what are no bytes"
    ),
    "within: one within one within ...": Case(
        lambda: in_plain({"a": tensor(of=nested(300)), "fc.weight": array(NUMBERS)}), "bytes of something else"
    ),
    # Zip archives.
    "zip: nothing in it": Case(lambda: b"PK\x03\x04" + zip_of(), "its directory is not where it says"),
    "zip: no end": Case(lambda: in_zip({"a": tensor()})[:-22], "cut short or damaged"),
    "zip: no data.pkl": Case(entries(lambda listed: listed.pop(0)), "has no data.pkl"),
    "zip: data.pkl is a folder": Case(set_entry(0, name=b"archive/data.pkl/"), "has no data.pkl"),
    "zip: two data.pkl": Case(add_entries(Entry(b"other/data.pkl", pickled(1))), "has several data.pkl"),
    "zip: the same data.pkl twice": Case(add_entries(Entry(b"archive/data.pkl", pickled(1))), "take for one"),
    "zip: a storage twice": Case(add_entries(Entry(b"archive/data/0", bytes(96))), "take for one"),
    "zip: a storage is missing": Case(entries(lambda listed: listed.pop(1)), "storage '0' is missing"),
    "zip: the same name by NUL": Case(add_entries(Entry(b"archive/data/0\0x", bytes(96))), "has a NUL in its name"),
    "zip: data.pkl deflated": Case(
        set_entry(0, method=8, stored=zlib.compress(pickled({}))[2:-4]), "is compressed or encrypted"
    ),
    "zip: a storage deflated": Case(
        set_entry(1, method=8, stored=zlib.compress(bytes(10**7))[2:-4], content=bytes(96)),
        "is compressed or encrypted",
    ),
    "zip: a bomb": Case(
        set_entry(0, method=8, stored=zlib.compress(bytes(10**7))[2:-4], sizes=(9738, 10**7)), "is compressed"
    ),
    "zip: lzma": Case(set_entry(0, method=14), "is compressed or encrypted"),
    "zip: an unknown method": Case(set_entry(0, method=97), "is compressed or encrypted"),
    "zip: encrypted": Case(set_entry(0, flags=1), "is compressed or encrypted"),
    "zip: a file of it in itself": Case(set_entry(0, content=in_zip({"a": tensor()})), "cannot be read"),
    "zip: packed and unpacked differ": Case(set_entry(0, sizes=(100, 10**6)), "a size or a place that cannot be"),
    "zip: larger than the file": Case(set_entry(1, sizes=(2**31, 2**31)), "is cut short"),
    "zip: larger than any file": Case(set_entry(1, sizes=(2**32 - 1, 2**32 - 1), extra=ZIP64), "is cut short"),
    "zip: an extra field cut short": Case(set_entry(1, extra=b"\x01\0\xff\xff"), "damaged"),
    "zip: a zip64 field too short": Case(
        set_entry(1, sizes=(2**32 - 1, 2**32 - 1), extra=b"\x01\0\x02\0xx"), "damaged"
    ),
    "zip: not where it says": Case(set_entry(1, offset=3), "is not where the directory says"),
    "zip: beyond the file": Case(set_entry(1, offset=2**31), "a size or a place that cannot be"),
    "zip: at the very end": Case(
        entries(lambda listed: listed.append(Entry(b"archive/data/1", offset=0))), "", reads=True
    ),
    "zip: another name in its place": Case(set_entry(1, local_name=b"archive/data/1"), "another name in its place"),
    "zip: entries overlap": Case(
        add_entries(Entry(b"archive/data/1", bytes(96), offset=0, local_name=b"archive/data/1")), "", reads=True
    ),
    "zip: names that lead out": Case(
        add_entries(*map(Entry, (b"../../x", b"/etc/x", b"..\\x", b"C:\\x", b"\x1b[2J", b"\xff\xfe", b""))), "", True
    ),
    "zip: in a folder above": Case(
        lambda: zip_of(Entry(b"../data.pkl", pickled({"fc.weight": tensor()})), Entry(b"../data/0", USUAL["0"])),
        "",
        reads=True,
    ),
    "zip: names in no encoding": Case(add_entries(Entry(b"\xff\xfe", flags=0x800)), "damaged"),
    "zip: more entries than there are": Case(
        lambda: zip_of(*zip_entries({"fc.weight": tensor()}), count=60000), "fewer entries than it says"
    ),
    "zip: no entries, it says": Case(
        lambda: zip_of(*zip_entries({"fc.weight": tensor()}), count=0), "more entries than it says"
    ),
    "zip: a comment": Case(lambda: zip_of(*zip_entries({"fc.weight": tensor()}), comment=bytes(999)), "", reads=True),
    "zip: an end in its comment": Case(
        lambda: zip_of(*zip_entries({"fc.weight": tensor()}), comment=b"PK\5\6" + bytes(99)), "not the comment"
    ),
    "zip: a comment longer than the file": Case(
        lambda: in_zip({"fc.weight": tensor()})[:-2] + b"\xff\xff", "not the comment"
    ),
    "zip: a directory larger than the file": Case(
        lambda: b"PK\x03\x04" + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**32 - 2, 0, 0), "damaged"
    ),
    "zip: a directory of zip64 nowhere": Case(
        lambda: b"PK\x03\x04" + bytes(100) + b"PK\6\7" + struct.pack("<IQI", 0, 2**63, 1) + ending(b"", b"", 0),
        "zip64 is not where it says",
    ),
    "zip: a directory of zip64 that lies": Case(
        lambda: (
            b"PK\x03\x04PK\6\6"
            + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2**40, 2**40, 2**62, 2**62)
            + b"PK\6\7"
            + struct.pack("<IQI", 0, 4, 1)
            + b"PK\5\6"
            + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
        ),
        "damaged",
    ),
    "zip: another zip behind it": Case(
        lambda: in_zip({"a": tensor()}) + in_zip({"fc.weight": tensor()}), "its directory is not where it says"
    ),
    "zip: a byte order of nobody": Case(
        lambda: zip_of(*zip_entries({"fc.weight": tensor()}), Entry(b"archive/byteorder", b"middle" * 9)),
        "not little or big",
    ),
    # What is two things at once.
    "a zip behind a legacy file": Case(
        lambda: in_legacy({"fc.weight": CONTAINERS["legacy"].tensor}) + in_zip(call("posix.system", "x")), "", True
    ),
    "a pickle before a zip": Case(lambda: pickled(1) + in_zip({"a": tensor()}), "no tensor of a model is in it"),
    "a safetensors header before a zip": Case(
        lambda: struct.pack("<Q", 2) + b"{}" + in_zip({"a": tensor()}), "cannot be read"
    ),
    "stuff behind STOP": Case(
        lambda: in_plain({"fc.weight": array(NUMBERS)}) + in_plain(call("posix.system", "x")) * 9, "", reads=True
    ),
    # Pickles that are none, or cost.
    "no STOP": Case(plain(b"}"), "cannot be read"),
    "STOP alone": Case(plain(b"."), "empty stack"),
    "an unknown instruction": Case(plain(b"\xff."), "cannot be read"),
    "an instruction of protocol 5": Case(plain(b"\x97."), "NEXT_BUFFER, which no checkpoint needs"),
    "a read-only buffer": Case(plain(b"]\x98."), "READONLY_BUFFER, which no checkpoint needs"),
    "POP of nothing": Case(plain(b"0."), "empty stack"),
    "POP_MARK without a mark": Case(plain(b"N1."), "empty stack"),
    "TUPLE3 of two": Case(plain(b"NN\x87."), "empty stack"),
    "REDUCE of nothing": Case(plain(b"R."), "empty stack"),
    "OBJ of nothing": Case(plain(b"(o."), "no tensor"),
    "SETITEM into a number": Case(plain(b"K\x01NNs."), "what is no dict"),
    "SETITEMS of one": Case(plain(b"}(Nu."), "what is no dict"),
    "APPEND to a number": Case(plain(b"K\x01Na."), "what is no list"),
    "BUILD of a number": Case(plain(b"K\x01Nb."), "something that cannot be called"),
    "a call of a number": Case(plain(b"K\x01)R."), "something that cannot be called"),
    "a name that is a number": Case(plain(b"K\x01K\x02\x93."), "by what is no text"),
    "a name of a million characters": Case(plain(b"c" + b"x" * 500_000 + b"\ny\n."), "more than 1000 characters"),
    "GET of nothing": Case(plain(b"h\x07."), "what it never kept"),
    "memo beyond": Case(plain(b"Nr" + struct.pack("<I", 2**31) + b"j" + struct.pack("<I", 2**31) + b"."), "no tensor"),
    "memo of a number of 400 digits": Case(plain(b"Np" + b"9" * 400 + b"\ng" + b"9" * 400 + b"\n."), "no tensor"),
    "memo of a negative number": Case(plain(b"Np-1\ng-1\n."), ""),
    "FRAME of 2^62": Case(plain(b"\x95" + struct.pack("<Q", 2**62) + b"N."), ""),
    "BINBYTES8 of 2^62": Case(plain(b"\x8e" + struct.pack("<Q", 2**62) + b"xx."), "cut short"),
    "BINUNICODE8 of 2^63": Case(plain(b"\x8d" + struct.pack("<Q", 2**63) + b"xx."), "cannot be read"),
    "BYTEARRAY8 of 2^40": Case(plain(b"\x96" + struct.pack("<Q", 2**40) + b"xx."), "cut short"),
    "BINBYTES of 4 GB": Case(plain(b"B\xff\xff\xff\xffxx."), "cut short"),
    "BINSTRING of a negative length": Case(plain(b"T\xff\xff\xff\xffxx."), "cannot be read"),
    "LONG4 of a negative length": Case(plain(b"\x8b\xff\xff\xff\xffxx."), "cannot be read"),
    "LONG4 of 100 MB": Case(plain(b"\x8b" + struct.pack("<i", 10**8) + b"xx."), "cut short"),
    "LONG4 of 4 MB": Case(plain(b"\x8b" + struct.pack("<i", 4 * 10**6) + b"\x7f" * 4 * 10**6 + b"."), "no tensor"),
    "LONG of a million digits": Case(plain(b"L" + b"9" * 10**6 + b"L\n."), "cannot be read"),
    "INT of a million digits": Case(plain(b"I" + b"9" * 900_000 + b"\n."), "cannot be read"),
    "INT of a word": Case(plain(b"Ix\x1b[2J\n."), "cannot be read"),
    "FLOAT of a word": Case(plain(b"Fx\x1b[2J\n."), "cannot be read"),
    "FLOAT beyond floats": Case(plain(b"F1e999999\n."), "no tensor"),
    "a line without end": Case(plain(b"S'" + b"x" * 3_000_000), "cannot be read"),
    "a text without quotes": Case(plain(b"Sx\n."), "cannot be read"),
    "a text in no encoding": Case(plain(b"X\x02\0\0\0\xff\xfe."), "cannot be read"),
    "a name in no encoding": Case(plain(b"c\xff\nx\n."), "cannot be read"),
    "cycles": Case(beside(itself), "", reads=True),
    "a list of 2^60 leaves": Case(beside(shared), "", reads=True),
    "200 000 lists deep": Case(beside(lambda: deep(b"](", b"e")), "more than 64 deep", reads=True),
    "200 000 tuples deep": Case(beside(lambda: deep(b"(", b"t")), "more than 64 deep", reads=True),
    "200 000 dicts deep": Case(beside(lambda: deep(b"}(" + code("a"), b"u")), "more than 64 deep", reads=True),
    "200 000 calls deep": Case(
        beside(lambda: Code(named("x.y") + b"q\x090" + deep(b"h\x09", b"\x85R"))), "x.y", reads=True
    ),
    "a key 200 000 tuples deep": Case(beside(lambda: Code(b"}(" + deep(b"(", b"t") + b"Nu")), "", reads=True),
    "keys that are lists": Case(beside(lambda: Code(b"}(](Ne](Neu")), "", reads=True),
    "a function 200 000 deep": Case(
        beside(lambda: Code(deep(b"(", b"t") + b")R")), "something that cannot be called", reads=True
    ),
    "an identifier 200 000 deep": Case(beside(lambda: Code(deep(b"(", b"t") + b"Q")), "", reads=True),
    "a state 200 000 deep": Case(beside(lambda: built(call("x.y"), deep(b"(", b"t"))), "x.y", reads=True),
    "numbers of one hash": Case(
        beside(lambda: entries_of((2**61 - 1) * (place + 1) for place in range(100_000))), "", reads=True
    ),
    "floats of one hash": Case(
        beside(lambda: entries_of(float(2**61 * (place + 1)) for place in range(100_000))), "", reads=True
    ),
    "memo numbers of one hash": Case(
        lambda: plain(b"N", *(b"p%d\n" % ((2**61 - 1) * (place + 1)) for place in range(50_000)), b".")(), "no tensor"
    ),
    # Names.
    "an empty name": Case(lambda: in_zip({"": tensor()}), "empty name"),
    "a newline in a name": Case(lambda: in_zip({"a\nb": tensor()}), "", reads=True),
    "NUL in a name": Case(lambda: in_zip({"a\0b": tensor()}), r"'a\x00b'"),
    "terminal escape in a name": Case(lambda: in_zip({"\x1b[2Ja": tensor()}), "", reads=True),
    "text direction in a name": Case(lambda: in_zip({"a\u202eb": tensor()}), "", reads=True),
    "half a character in a name": Case(lambda: in_zip({"\ud800": tensor()}), r"'\ud800'"),
    "a long name": Case(lambda: in_zip({"n" * 10**6: tensor()}), "has 1000000 characters"),
    "long names above": Case(lambda: in_zip({"n" * 10**6: {"a": tensor()}, "m": {"b": tensor()}}), "characters"),
    "a name that makes patterns slow": Case(
        lambda: in_zip({"sched_" * 2000 + "\n": {"a": tensor()}, "b": {"c": tensor()}}),
        "",
        reads=True,
    ),
    "a terminal escape in a key beside": Case(
        lambda: in_zip({"state_dict": {"fc.weight": tensor()}, "\x1b[2J": {"a": tensor()}}), r"'\x1b[2J'", reads=True
    ),
    "names of paths": Case(lambda: in_zip({"..": tensor(), "/etc/x": tensor(), "fc.weight": tensor()}), "", True),
    "keys that are no texts": Case(
        lambda: in_zip({3: tensor(), None: tensor(), (1, 2): tensor(), b"b": tensor(), True: tensor(), 1.5: tensor()}),
        "",
        reads=True,
    ),
    "a name twice": Case(lambda: in_zip({"a.b": tensor(), "a": {"b": tensor()}}), "two tensors have the name 'a.b'"),
    # What is no file of PyTorch's.
    "empty": Case(lambda: b"", "the file is empty"),
    "one byte": Case(lambda: b"\x80", "cannot be read"),
    "git-lfs pointer": Case(lambda: LFS, "git lfs pull"),
    "web page": Case(lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "answer of an interface": Case(lambda: b'{"error": "Repository not found"}', "it seems to be JSON"),
    "tar": Case(lambda: TAR, "this is a tar archive"),
    "text": Case(lambda: b"no weights today\n" * 50, "it seems to be plain text"),
    "zeros": Case(lambda: bytes(1000), "only zeros"),
    "noise": Case(lambda: np.random.default_rng(0).bytes(5000), "cannot be read"),
    "noise in a zip": Case(lambda: b"PK\x03\x04" + np.random.default_rng(0).bytes(5000), "damaged"),
    "noise in a legacy file": Case(lambda: in_legacy({})[:15] + np.random.default_rng(0).bytes(999), "cannot be read"),
    "noise in a pickle": Case(lambda: b"\x80\x04" + np.random.default_rng(1).bytes(5000), "cannot be read"),
}


def nested(depth: int) -> Code:
    thing = storage(view=(None,))
    for _ in range(depth):
        thing = loaded(in_legacy(thing, {}))
    return thing


def _calling(gadget: str, container: str) -> Callable[[Path], Path]:
    """Write a file that asks for a call and has no tensors."""

    def write(folder: Path) -> Path:
        evil = GADGETS[gadget].push(folder / CANARY)
        return of_bytes(CONTAINERS[container].wrap(evil, {}), "bad.pt")(folder)

    return write


def _calling_beside(gadget: str, container: str) -> Callable[[Path], Path]:
    """Write a file with a sound layer that asks for a call too."""

    def write(folder: Path) -> Path:
        return of_bytes(sound(container, evil=GADGETS[gadget].push(folder / CANARY)), "bad.pt")(folder)

    return write


def _in(container: str) -> dict[str, Hostile]:
    """Every call, in a container."""
    alone = {f"{name}, alone": Hostile(_calling(name, container), (REFUSED, READ)) for name in GADGETS}
    return alone | {f"{name}, beside": Hostile(_calling_beside(name, container), (READ,)) for name in GADGETS}


def _cases(*beginnings: str) -> dict[str, Hostile]:
    return {
        name: Hostile(of_bytes(case.make, "bad.pt"), (READ,) if case.reads else (REFUSED,))
        for name, case in CASES.items()
        if name.startswith(beginnings)
    }


_OWN = ("zip: ", "legacy: ")
SOURCES = {
    "pytorch, zip": _in("zip") | _cases("zip: "),
    "pytorch, legacy": _in("legacy") | _cases("legacy: "),
    "pytorch, pickles": _cases(*(name for name in CASES if not name.startswith(_OWN))),
}

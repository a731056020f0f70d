"""PyTorch's files made to do harm: nothing runs, nothing is imported, nothing is lost, and one sentence says why."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from naming import ByName
from safetensors.numpy import load_file, save
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

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


def watched(loader, path):
    """Open ``path`` in little time and memory; return the checkpoint or the error, whose message is fit to be shown."""
    assert 0 <= loader.probe(path) <= 1
    if (
        path.is_file() and path.stat().st_size < 100_000
    ):  # it is slow; what large files take is measured where the program runs
        tracemalloc.start()
    began = time.process_time()
    try:
        found = loader.open(path)
    except ww.SourceError as error:
        found = error
    finally:
        peak = tracemalloc.get_traced_memory()[1] if tracemalloc.is_tracing() else 0
        tracemalloc.stop()
    assert time.process_time() - began < 10
    assert peak < 20e6
    for message in [str(found)] if isinstance(found, ww.SourceError) else found.warnings:
        assert str(path.name) in message
        assert message.isprintable()
        assert len(message.replace(str(path.parent), "")) < 900
    return found


def refused(loader, path):
    found = watched(loader, path)
    assert isinstance(found, ww.SourceError), "it was read"
    return str(found)


def is_sound(checkpoint, contents, name="fc.weight"):
    """Whether the one sound layer of `torch_files.sound` was read as it is."""
    return contents(checkpoint).get(name) == ("float32", (4, 6), NUMBERS.tobytes())


# --- pickles that call ---


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

CALLABLES = [
    "nt.system", "os.popen", "os.execl", "os.spawnlp", "pty.spawn", "webbrowser.open", "runpy.run_path",
    "builtins.__import__", "builtins.compile", "builtins.breakpoint", "builtins.getattr", "__builtin__.eval",
    "operator.attrgetter", "operator.methodcaller", "types.FunctionType", "types.CodeType", "marshal.loads",
    "pickle.loads", "shelve.open", "ctypes.CDLL", "socket.create_connection", "urllib.request.urlopen",
    "shutil.rmtree", "code.interact", "pdb.run", "cProfile.run", "timeit.timeit", "pip.main", "numpy.load",
    "numpy.fromfile", "numpy.testing._private.utils.runstring", "numpy.f2py.crackfortran.myeval", "torch.load",
    "torch.hub.load", "torch.jit.load", "torch.ops.load_library",
    "torch.utils._config_module.install_config_module", "torch.utils.cpp_extension.load",
    "torch.serialization.load", "torch._utils.os.system", "torch.nn.modules.module.os.system",
    "torch.jit._pickle.os.system", "torch.utils.collect_env.run", "joblib.load", "pandas.read_pickle",
    "transformers.AutoModel.from_pretrained", "sys.exit", "os.abort", "os._exit", "signal.raise_signal",
    "faulthandler._sigsegv", "asyncio.run", "multiprocessing.util.spawnv_passfds", "_posixsubprocess.fork_exec",
    "logging.config.fileConfig", "collections.os.system", "numpy.core.multiarray.os.system",
]  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_a_call_alone_is_named_and_not_made(gadget, container, tmp_path, loader):
    canary, path = tmp_path / "canary", tmp_path / "bad.pt"
    path.write_bytes(CONTAINERS[container].wrap(GADGETS[gadget].push(canary), {}))
    found = watched(loader, path)
    if isinstance(found, ww.SourceError):
        told = str(found)
        assert "no tensor of a model is in it" in told
    else:  # what would have made a tensor is listed as one that cannot be read
        assert not found.layers
        told = " ".join(found.warnings)
    assert GADGETS[gadget].told in told
    assert not canary.exists()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_a_call_beside_tensors_is_named_and_not_made(gadget, container, tmp_path, loader, contents):
    canary, path = tmp_path / "canary", tmp_path / "bad.pt"
    path.write_bytes(sound(container, evil=GADGETS[gadget].push(canary)))
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    assert any(GADGETS[gadget].told in warning for warning in checkpoint.warnings), checkpoint.warnings
    assert not canary.exists()


@pytest.mark.parametrize("dotted", CALLABLES)
def test_whatever_is_called_is_named(dotted, tmp_path, loader, contents):
    path = tmp_path / "bad.pt"
    path.write_bytes(sound("zip", evil=call(dotted, "x")))
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    assert [f"{path}: it asks to call {dotted}: nothing was called here"] == [
        warning.partition(",")[0] for warning in checkpoint.warnings
    ]


@pytest.mark.parametrize("dotted", ["os.system", "torch._utils.os.system", "a\x1b[2J.b", "é.\u202e", "m." + "n" * 990])
def test_what_is_called_is_shown_as_it_can_be(dotted, tmp_path, loader):
    path = tmp_path / "bad.pt"
    module, _, name = dotted.rpartition(".")
    path.write_bytes(in_zip(call(Code(code(module) + code(name) + b"\x93"))))
    assert "asks to call" in refused(loader, path)


def test_what_tensors_are_made_of_is_no_cause_for_a_warning(tmp_path, loader, contents):
    path = tmp_path / "good.pt"
    for container in CONTAINERS:
        path.write_bytes(sound(container, epoch=3, dtype=named("torch.float32"), of=call("collections.OrderedDict")))
        checkpoint = watched(loader, path)
        assert is_sound(checkpoint, contents)
        assert checkpoint.warnings == ()


class Trap:
    """What a person would write who knows Python, and no more."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.text,)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_a_plain_pickle(protocol, tmp_path, loader, contents):
    canary, path = tmp_path / "canary", tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({"evil": Trap(command(canary)), "fc.weight": NUMBERS}, protocol))
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    assert "posix.system" in " ".join(checkpoint.warnings)
    path.write_bytes(pickle.dumps([Trap(command(canary))], protocol))
    assert "it asks to call posix.system" in refused(loader, path)
    assert not canary.exists()
    with contextlib.suppress(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())
    assert canary.exists()


@pytest.mark.parametrize("part", ["magic", "version", "system", "content", "keys"])
def test_every_pickle_of_a_legacy_file(part, tmp_path, loader):
    canary, path = tmp_path / "canary", tmp_path / "bad.pt"
    evil = call("posix.system", command(canary))
    whole = in_legacy({"fc.weight": CONTAINERS["legacy"].tensor}, **{part: pickled(evil)})
    path.write_bytes(whole)
    refused_or_told = watched(loader, path)
    if part == "system":
        assert "posix.system" in " ".join(refused_or_told.warnings)
    else:
        assert isinstance(refused_or_told, ww.SourceError)
    path.write_bytes(pickled({"fc.weight": tensor(of=loaded(whole)), "evil": loaded(whole)}, 3))
    assert isinstance(watched(loader, path), ww.SourceError)
    assert not canary.exists()


def test_a_call_in_the_constants_of_torchscript_is_told_and_not_done(tmp_path, loader, contents):
    path, canary = tmp_path / "bad.pt", tmp_path / "canary"
    path.write_bytes(in_zip({"fc.weight": tensor()}, constants=pickled(call("posix.system", command(canary)))))
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    assert "posix.system" in " ".join(checkpoint.warnings)
    assert not canary.exists()


def test_calls_in_shards_are_named_with_their_file(tmp_path, loader, contents):
    canary = tmp_path / "canary"
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    evil = call("posix.system", command(canary))
    (tmp_path / shards[0]).write_bytes(in_zip({"fc.weight": tensor(), "evil": evil}))
    (tmp_path / shards[1]).write_bytes(in_zip({"other.weight": tensor()}))
    for source in [tmp_path, tmp_path / INDEX, tmp_path]:
        if source.name == INDEX:
            weight_map = {"fc.weight": shards[0], "other.weight": shards[1]}
            source.write_text(json.dumps({"weight_map": weight_map}))
        checkpoint = loader.open(source)
        assert is_sound(checkpoint, contents)
        [warning] = checkpoint.warnings
        assert shards[0] in warning
        assert "posix.system" in warning
    (tmp_path / shards[1]).write_bytes(in_zip(evil))
    with pytest.raises(
        ww.SourceError, match=r"00002-of-00002.bin: no tensor of a model is in it; it asks to call posix.system"
    ):
        loader.open(tmp_path)
    assert not canary.exists()


CONTROL = """
    import contextlib, pickle, sys, time
    from pathlib import Path
    class Unpickler(pickle.Unpickler):
        def persistent_load(self, named):
            return None
    for path in map(Path, sys.argv[1:]):
        canary = path.with_suffix(".canary")
        with contextlib.suppress(Exception), path.open("rb") as file:
            Unpickler(file).load()
        for _ in range(100):
            if canary.exists():
                print(path.stem)
                break
            time.sleep(0.05)
"""


@pytest.mark.parametrize("what", ["nothing", pytest.param("torch", marks=needs_torch)])
def test_each_of_these_runs_when_it_is_loaded_the_usual_way(what, tmp_path):
    """The control: a corpus of what harms nobody would prove nothing."""
    gadgets = {name: gadget for name, gadget in GADGETS.items() if gadget.runs == (True if what == "nothing" else what)}
    files = []
    for number, gadget in enumerate(gadgets.values()):
        files.append(tmp_path / f"{number}.pkl")
        files[-1].write_bytes(in_plain({"evil": gadget.push(files[-1].with_suffix(".canary"))}))
    arguments = [sys.executable, "-c", textwrap.dedent(CONTROL), *map(str, files)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True).stdout.split()
    assert [name for number, name in enumerate(gadgets) if str(number) not in ran] == []


# --- files that lie, and pickles that cost ---


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
    "legacy: a million keys": Case(legacy(keys=["0"] * 300_000), "'0' is cut short"),
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
    "zeros": Case(lambda: bytes(1000), "nothing but zeros"),
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


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_lies_or_costs(case, tmp_path, loader, contents):
    make, says, reads = CASES[case]
    path = tmp_path / "bad.pt"
    path.write_bytes(make())
    found = watched(loader, path)
    if isinstance(found, ww.SourceError):
        assert not reads, found
        told = str(found)
    else:
        assert reads, "it was read"
        read = contents(found)
        assert read.get("fc.weight", ("float32", (4, 6), NUMBERS.tobytes())) == ("float32", (4, 6), NUMBERS.tobytes())
        told = " ".join([*found.warnings, *(skipped.reason for skipped in found.skipped)])
    assert any(part in told for part in says.split("|")), told


WHOLE = {name: sound(name) for name in CONTAINERS}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("twentieth", range(20))
def test_a_file_cut_short(twentieth, container, tmp_path, loader):
    path = tmp_path / "bad.pt"
    path.write_bytes(WHOLE[container][: len(WHOLE[container]) * twentieth // 20])
    refused(loader, path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_lacks_its_last_byte(container, tmp_path, loader):
    path = tmp_path / "bad.pt"
    path.write_bytes(WHOLE[container][:-1])
    refused(loader, path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_changes_while_it_is_open(container, tmp_path, loader):
    path = tmp_path / "model.pt"
    path.write_bytes(WHOLE[container])
    checkpoint = loader.open(path)
    [layer] = checkpoint.layers
    path.with_suffix(".new").write_bytes(WHOLE[container])
    path.with_suffix(".new").rename(path)
    if container == "plain":  # what is that small is held
        return
    with pytest.raises(ww.SourceError, match=r"model\.pt: the file has changed"), checkpoint.read(layer.weight):
        pass
    os.truncate(path, 10)
    with pytest.raises(ww.SourceError, match=r"model\.pt: the file has changed"), checkpoint.read(layer.weight):
        pass


# --- what is no file, and indices that lie ---


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_nothing(path):
    path.symlink_to("nothing")


def folder(path):
    path.mkdir()


SPECIAL = {pipe: "a named pipe", device: "a device", link_to_itself: "leads back", link_to_nothing: "No such file"}


@pytest.mark.parametrize("make", [*SPECIAL, folder], ids=lambda make: make.__name__)
def test_what_is_no_regular_file(make, tmp_path, loader):
    path = tmp_path / "bad.pt"
    make(path)
    assert SPECIAL.get(make, "holds no .bin file") in refused(loader, path)


@pytest.fixture
def shards(tmp_path):
    """A folder of two shards and their index."""
    folder = tmp_path / "model"
    folder.mkdir()
    weight_map = {}
    for number, name in enumerate(["a", "b"], 1):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        (folder / shard).write_bytes(in_zip({f"{name}.weight": tensor()}))
        weight_map[f"{name}.weight"] = shard
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_shards_that_are_sound(shards, loader):
    assert [layer.name for layer in loader.open(shards).layers] == ["a", "b"]


@pytest.mark.parametrize("make", SPECIAL, ids=lambda make: make.__name__)
def test_a_shard_that_is_no_regular_file(make, shards, loader):
    shard = shards / "pytorch_model-00001-of-00002.bin"
    shard.unlink()
    make(shard)
    for source in [shards, shards / INDEX]:
        with pytest.raises(ww.SourceError, match=rf"{shard.name}.*{SPECIAL[make]}"):
            loader.open(source)


@pytest.mark.parametrize(
    "name", ["../secret.bin", "/etc/passwd", "inner/secret.bin", "..\\secret.bin", "C:secret.bin", "a\0.bin", "..", ""]
)
def test_an_index_that_leads_out_of_its_folder(name, shards, loader):
    for place in [shards, shards.parent]:
        (place / "secret.bin").write_bytes(in_zip({"a.weight": tensor()}))
    (shards / INDEX).write_text(json.dumps({"weight_map": {"a.weight": name}}))
    for source in [shards, shards / INDEX]:
        with pytest.raises(ww.CorruptFileError, match="no plain name of a file beside it"):
            loader.open(source)


def test_a_shard_that_leads_out_of_its_folder(shards, loader):
    shard = shards / "pytorch_model-00001-of-00002.bin"
    shard.rename(shards.parent / "secret.bin")
    shard.symlink_to("../secret.bin")
    with pytest.raises(ww.SourceError, match="leads out of its folder"):
        loader.open(shards)


@pytest.mark.parametrize(
    ("weight_map", "says"),
    [
        ({"a.weight": "pytorch_model-00002-of-00002.bin"}, "places tensor 'a.weight' in"),
        ({"a.weight": "pytorch_model-00003-of-00002.bin"}, "are missing"),
        ({"a.weight": INDEX}, "cannot be read"),
        ({"a.weight": 3}, "no file name"),
        ([], "no weight_map"),
        ({}, "names no tensors"),
    ],
)
def test_an_index_that_lies(weight_map, says, shards, loader):
    (shards / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ww.SourceError, match=says):
        loader.open(shards)


# --- tensors that only PyTorch reads ---


def sparse(indices, size, *, coalesced=True, **beside) -> bytes:
    """A sparse matrix of ones, and a sound layer."""
    count = len(indices[0])
    places = tensor((2, count), of=storage("1", 2 * count, "torch.LongStorage"))
    layout = call("torch.serialization._get_layout", "torch.sparse_coo")
    parts = (places, tensor((count,), of=storage("2", count)), call("torch.Size", tuple(size)), coalesced)
    storages = {"0": USUAL["0"], "1": np.array(indices, "<i8").tobytes(), "2": np.ones(count, "<f4").tobytes()}
    return in_zip({"fc.weight": tensor(), "a": call(SPARSE, layout, parts), **beside}, storages)


def quantized(shape=(4, 6), strides=(6, 1), axis=0, scales=4) -> bytes:
    """A matrix that is quantized by rows, and a sound layer."""
    row = tensor((scales,), (1,), of=storage("2", 4, "torch.DoubleStorage"))
    zero = tensor((scales,), (1,), of=storage("3", 4, "torch.LongStorage"))
    how = (named("torch.per_channel_affine"), row, zero, axis)
    hooks = call("collections.OrderedDict")
    made = call(
        "torch._utils._rebuild_qtensor", storage("1", 24, "torch.QInt8Storage"), 0, shape, strides, how, False, hooks
    )
    storages = {"0": USUAL["0"], "1": bytes(24), "2": np.ones(4).tobytes(), "3": bytes(32)}
    return in_zip({"fc.weight": tensor(), "a": made}, storages)


EXOTIC = {
    "sound": (lambda: sparse([[0, 1], [1, 2]], (3, 4)), ""),
    "quantized and sound": (quantized, ""),
    "an index beyond": (lambda: sparse([[0, 10**9], [1, 2]], (3, 4)), "PyTorch could not read it"),
    "an index before": (lambda: sparse([[0, -(10**6)], [1, 2]], (3, 4)), "PyTorch could not read it"),
    "an index a little beyond": (lambda: sparse([[0, 3], [1, 2]], (3, 4)), "PyTorch could not read it"),
    "10^12 numbers": (lambda: sparse([[0, 1], [1, 2]], (10**6, 10**6)), "PyTorch could not read it"),
    "a size that overflows": (lambda: sparse([[0, 1], [1, 2]], (2**62, 2**62)), "PyTorch could not read it"),
    "a negative size": (lambda: sparse([[0, 1], [1, 2]], (-3, 4)), "PyTorch could not read it"),
    "a call beside": (
        lambda: sparse([[0], [1]], (3, 4), evil=call("posix.system", "touch canary")),
        "PyTorch refuses a file that names posix.system",
    ),
    "an axis that is not there": (lambda: quantized(axis=7), "PyTorch could not read it"),
    "quantized from one number": (lambda: quantized((10**6, 10**6), (0, 0)), "PyTorch could not read it"),
    "quantized beyond its storage": (lambda: quantized((10**4, 10**4), (10**4, 1)), "PyTorch could not read it"),
}


APART = """
    import sys
    from pathlib import Path
    from ww_plugins.loaders.pytorch import weights_only
    weights_only._limit_time = lambda on_disk: None  # it is one file's
    for path in map(Path, sys.argv[1:]):
        try:
            weights_only.main(str(path), str(path.with_suffix(".safetensors")), "", ["a"])
        except Exception:
            pass
"""


@needs_torch
def test_tensors_that_pytorch_reads_apart(tmp_path):
    """As the process of its own reads them; here one process reads all, which importing PyTorch makes worth while."""
    paths = {}
    for number, (case, (make, _)) in enumerate(EXOTIC.items()):
        paths[case] = tmp_path / f"{number}.pt"
        paths[case].write_bytes(make())
    program = textwrap.dedent(APART)
    subprocess.run([sys.executable, "-P", "-c", program, *map(str, paths.values())], timeout=120, check=True)
    read = {}
    for case, path in paths.items():
        target = path.with_suffix(".safetensors")
        read[case] = sorted(load_file(target)) if target.exists() else []
    assert read == {case: [] if says else ["a"] for case, (_, says) in EXOTIC.items()}


@needs_torch
@pytest.mark.parametrize("case", ["sound", "an index before", "a call beside"])
def test_tensors_that_only_pytorch_reads(case, tmp_path, loader, contents, monkeypatch):
    make, says = EXOTIC[case]
    for name in ["torch", "json", "numpy", "safetensors", "resource"]:  # where one stands must not matter
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pt"
    path.write_bytes(make())
    checkpoint = loader.open(path)
    assert is_sound(checkpoint, contents)
    assert [skipped.name for skipped in checkpoint.skipped] == (["a"] if says else [])
    assert says in " ".join(skipped.reason for skipped in checkpoint.skipped)
    assert not (tmp_path / "canary").exists()


# --- tensors of several parts, whose content is read without PyTorch ---


def wrapped(state) -> bytes:
    """A tensor of a class of its own, and a sound layer."""
    arguments = (named("a.B"), named("torch.float32"), (4, 6), (6, 1), 0, None, call("torch.device", "cpu"), False)
    rebuilt = call(
        "torch._tensor._rebuild_from_type_v2",
        named("torch._utils._rebuild_wrapper_subclass"),
        named("a.B"),
        arguments,
        state,
    )
    return in_zip({"fc.weight": tensor(), "a": rebuilt}, {**USUAL, "1": NUMBERS.tobytes()})


def doubled(thing: Code, count: int) -> Code:
    """A list of 2^count things: each level holds the one below twice."""
    return Code(b"]" + thing + b"a" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(count)))


def part(**told) -> Code:
    return tensor(of=storage("1", **told))


PARTS = {
    "sound": (lambda: wrapped({"_local": part(), "scale": 0.5}), True),
    "of an object": (lambda: wrapped({"spec": built(call("a.Spec"), {"_mesh": part(), "_hash": 2**200})}), True),
    "a call beside": (lambda: wrapped({"_local": part(), "evil": call("posix.system", "touch canary")}), True),
    "of slots": (lambda: wrapped((None, {"_local": part()})), True),
    "shown many times": (lambda: wrapped({"_local": tensor((10**6, 10**6), (0, 0), of=storage("1"))}), True),
    "nothing": (lambda: wrapped({}), False),
    "numbers alone": (lambda: wrapped({"scale": 0.5}), False),
    "objects": (lambda: wrapped({"_local": array(NUMBERS, kind="O8", content=[None])}), False),
    "beyond its storage": (lambda: wrapped({"_local": tensor((400, 600), of=storage("1"))}), False),
    "four terabytes": (lambda: wrapped({"_local": tensor((10**6, 10**6), of=storage("1"))}), False),
    "a storage too small": (lambda: wrapped({"_local": part(count=10**12)}), False),
    "a storage that is missing": (lambda: wrapped({"_local": tensor(of=storage("9"))}), False),
    "no storage": (lambda: wrapped({"_local": Code(code(("module", 1)) + b"Q")}), False),
    "a storage alone, too small": (lambda: wrapped({"_local": storage("1", 10**12)}), False),
    "a storage 2^20 times": (lambda: wrapped({"_local": doubled(part(), 20)}), False),
    "more than the file": (lambda: wrapped({"_local": doubled(part(), 6)}), False),
    "2^30 numbers": (lambda: wrapped({"_local": part(), "x": doubled(code(1), 30)}), False),
    "itself": (lambda: wrapped({"_local": part(), "x": itself()}), False),
    "lists in lists": (lambda: wrapped({"_local": part(), "x": Code(b"]" * 999 + b"a" * 998)}), False),
    "a long number": (lambda: wrapped({"_local": part(), "x": 10**9000}), False),
    "a long text": (lambda: wrapped({"_local": part(), "x": "x" * 10**6}), False),
    "a long key": (lambda: wrapped({"_local": part(), "x" * 10**6: 1}), False),
    "an odd key": (lambda: wrapped({"_local": part(), (1, 2): 1}), False),
    "quantized beyond its storage": (lambda: quantized((10**4, 10**4), (10**4, 1)), False),
    "quantized from one number": (lambda: quantized((10**6, 10**6), (0, 0)), True),
    "of 10^12 numbers": (lambda: sparse([[0, 1], [1, 2]], (10**6, 10**6)), True),
    "an index beyond": (lambda: sparse([[0, 10**9], [1, 2]], (3, 4)), True),
}


@pytest.mark.parametrize("case", PARTS)
def test_the_content_of_parts_is_read_or_said_to_be_missing(case, tmp_path, loader, contents, monkeypatch):
    monkeypatch.setattr("ww_plugins.loaders.pytorch.weights_only.load_apart", lambda *_: {})
    monkeypatch.chdir(tmp_path)
    make, readable = PARTS[case]
    path = tmp_path / "bad.pt"
    path.write_bytes(make())
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    [skipped] = checkpoint.skipped
    assert (skipped.name, skipped.readable) == ("a", readable)
    if readable:
        with checkpoint.read_bytes(skipped) as content:
            assert len(content) < 10_000
    else:
        with pytest.raises(ww.SourceError, match="'a' cannot be read"), checkpoint.read_bytes(skipped):
            pass
    report = ww.analyze(path)
    assert report.failures == ()
    assert any("the content of 1 tensor cannot be read (a)" in own for own in report.warnings) is not readable
    assert not (tmp_path / "canary").exists()


def test_many_tensors_that_share_a_list_take_no_end_of_memory(tmp_path, loader, contents):
    """What is told of each is limited, and what is told of all."""
    shared = Code(doubled(code(1), 9) + b"q\x64")
    arguments = (named("torch._utils._rebuild_wrapper_subclass"), named("a.B"), ())
    state = {"fc.weight": tensor()}
    for number in range(400):
        listed = shared if number == 0 else Code(b"h\x64")
        beside = {"_local": part(), "x": listed}
        state[f"x{number}"] = call("torch._tensor._rebuild_from_type_v2", *arguments, beside)
    path = tmp_path / "bad.pt"
    path.write_bytes(in_zip(state, {**USUAL, "1": NUMBERS.tobytes()}))
    checkpoint = watched(loader, path)
    assert is_sound(checkpoint, contents)
    readable = [own.readable for own in checkpoint.skipped]
    assert readable[0]
    assert not readable[-1]


# --- all of them through the program ---

WATCHED = """
    import contextlib, gc, io, json, os, sys, time
    from pathlib import Path
    from ww_core.cli.main import main

    def run(path):
        sys.argv = ["ww", "analyze", path, "--store", "store.sqlite", "--json"]
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
        began = time.process_time()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
        seconds = time.process_time() - began
        gc.unfreeze()  # main, which a process runs once, freezes what it leaves: not the next file's memory
        gc.collect()
        told, said = (stream.seek(0) or stream.read() for stream in (out, err))
        return {"code": code, "out": told, "err": said, "seconds": seconds}

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not (isinstance(path, str) and os.path.abspath(path).startswith(home)):
                happened.append([event, repr(path)])
        elif event == "exec":
            happened.append([event, f"{arguments[0].co_filename} {arguments[0].co_name}"])
        elif event.startswith(TELLING):
            happened.append([event, repr(arguments)[:200]])

    TELLING = (
        "import", "compile", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile",
        "os.remove", "os.rename", "os.chmod", "os.kill", "os.putenv", "subprocess.", "socket.", "pickle.", "marshal.",
        "ctypes.", "code.", "pty.", "shutil.", "urllib.", "webbrowser.", "signal.", "cpython.run", "builtins.input",
        "builtins.breakpoint", "glob.", "ftplib.", "http.",
    )
    home = os.getcwd()
    happened = []
    sound, corpus = json.loads(Path("corpus.json").read_text())
    sys.addaudithook(hook)
    for path in sound:
        run(path)
    usual = list(happened)  # typer, for one, compiles annotations
    results = {}
    for path in corpus:
        happened.clear()
        results[path] = run(path)
        results[path]["happened"] = [what for what in happened if what not in usual]
        status = Path("/proc/self/status")  # getrusage counts what the process was before it became this program
        peak = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        results[path]["memory"] = int(peak[0]) * 1024
    Path("results.json").write_text(json.dumps(results))
"""


def analyze_all(folder: Path, files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Run ``ww analyze`` on many files in one process, as ``main`` does it, and tell what it did besides."""
    warm = {f"sound-{name}.pt": content for name, content in WHOLE.items()}
    warm |= {
        "refused.pt": b"\x80\x04",
        "told.pt": sound("zip", a=call("x.y")),
        "none.pt": in_zip({}),
        "sound.safetensors": save({"a": NUMBERS}),
    }
    for name, content in {**warm, **files}.items():
        (folder / name).write_bytes(content)
    (folder / "corpus.json").write_text(json.dumps([list(warm), list(files)]))
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(WATCHED)], cwd=folder, timeout=600, check=True)
    return json.loads((folder / "results.json").read_text())


def obeys_the_law(results, most_memory=300e6):
    for name, result in results.items():
        about = (name, result)
        assert result["code"] in {0, 3}, about
        assert "Traceback" not in result["err"], about
        assert all(line.isprintable() for line in result["err"].splitlines()), about
        assert result["happened"] == [], about
        assert result["seconds"] < 10, about
        assert result["memory"] < most_memory, about
        if result["code"]:
            [line] = [line for line in result["err"].splitlines() if line.startswith("error: ")]
            assert name in line, about


@pytest.mark.stress  # what it says of one file each is tested in process
def test_the_program_names_every_call_and_makes_none(tmp_path):
    canary = tmp_path / "canary"
    files, told = {}, {}
    for number, (gadget, container) in enumerate((g, c) for g in GADGETS for c in CONTAINERS):
        evil = GADGETS[gadget].push(canary)
        files |= {
            f"{number}-alone.pt": CONTAINERS[container].wrap(evil, {}),
            f"{number}-beside.pt": sound(container, evil=evil),
        }
        told |= {f"{number}-{how}.pt": GADGETS[gadget].told for how in ["alone", "beside"]}
    for number, dotted in enumerate(CALLABLES):
        files[f"called-{number}.pt"] = sound("zip", evil=call(dotted, "x"))
        told[f"called-{number}.pt"] = dotted
    results = analyze_all(tmp_path, files)
    obeys_the_law(results)
    for name, result in results.items():
        assert result["code"] == (3 if "alone" in name else 0), (name, result)
        assert any(name in line and told[name] in line for line in result["err"].splitlines()), (name, result)
        if result["code"] == 0:
            assert [layer["name"] for layer in json.loads(result["out"])["layers"]] == ["fc"], (name, result)
    assert not canary.exists()


@pytest.mark.stress
def test_the_program_answers_every_file_that_lies_or_costs(tmp_path):
    files = {f"case-{number}.pt": case.make() for number, case in enumerate(CASES.values())}
    results = analyze_all(tmp_path, files)
    obeys_the_law(results)
    for case, result in zip(CASES.values(), results.values(), strict=True):
        assert result["code"] == 3 or case.reads, (case, result)


# --- what costs most ---


@functools.cache
def slow_numbers(count: int = 80_000, bits: int = 17) -> tuple[list[int], int]:
    """Numbers that fill the way which Python's dicts go through a table of 2^bits, and one that must go all of it."""
    table, place = [], 0
    for _ in range(count):
        table.append(place)
        place = (5 * place + 1) % 2**bits
    taken, longest = set(table), (0, 0)
    for number in range(2**bits, 2**bits + 100):
        perturbed, place, steps = number, number % 2**bits, 0
        while place in taken:
            perturbed >>= 5
            place = (5 * place + perturbed + 1) % 2**bits
            steps += 1
        longest = max(longest, (steps, number))
    return table, longest[1]


def slow_keys(part: int) -> bytes:
    numbers, slow = slow_numbers()
    return in_plain(Code(entries_of(numbers) + (code(slow) + b"Ns") * (300_000 // part)))


def slow_memo(part: int) -> bytes:
    numbers, slow = slow_numbers()
    kept = b"".join(b"r" + struct.pack("<I", number) for number in [*numbers, slow])
    return in_plain(Code(b"N" + kept + (b"j" + struct.pack("<I", slow) + b"0") * (300_000 // part)))


def shared_by_many(thing: Any, each: Callable[[bytes], bytes], part: int) -> bytes:
    return in_plain([Code(code(thing) + b"q\x07"), Code(b"](" + each(b"h\x07") * (50_000 // part) + b"e")])


OBJECT = b"cx\ny\n)\x81"
MODULE = OBJECT + b"}(" + code("_parameters") + b"}" + code("_modules") + b"}" + code("_non_persistent_buffers_set")
LINEAR = built(call("torch.nn.modules.linear.Linear"), {"_parameters": {"w": [[]]}, "_modules": {}, "x": call("x.y")})
FLOATS = ("storage", named("torch.FloatStorage"), "0", "cpu", 24, None)
# Each makes a file of its whole size, or of a part of it; what goes beyond a limit has its whole size in any case.
MANY = {
    "empty lists": lambda part: in_plain(Code(b"](" + b"]" * (1_900_000 // part) + b"e")),
    "calls": lambda part: in_plain(Code(b"](cx\ny\nq\1" + b"h\1)R" * (300_000 // part) + b"e")),
    "names": lambda part: in_plain(Code(b"](" + b"cx\ny\n" * 1_900_000 + b"e")),
    "different names": lambda part: in_plain([named(f"x.y{number}") for number in range(100_000 // part)]),
    "marks": lambda part: in_plain(Code(b"(" * (500_000 // part) + b"N")),
    "more instructions than any checkpoint": lambda part: in_plain(Code(b"](" + b"N" * 5_000_000 + b"e")),
    "identifiers": lambda part: in_legacy(Code(b"](" + code(FLOATS) + b"q\1" + b"h\1Q" * (100_000 // part) + b"e")),
    "names of one tensor": lambda part: in_zip(
        Code(b"}" + tensor() + b"q\7" + b"0(" + b"".join(code(str(place)) + b"h\7" for place in range(150_000)) + b"u")
    ),
    "wrappers": lambda part: in_plain(nested_dicts(8, {"l": [None] * 900_000, "w": array(NUMBERS)})),
    "one state of many": lambda part: shared_by_many(
        dict.fromkeys(map(str, range(200_000 // part))), lambda get: OBJECT + get + b"b", part
    ),
    "one tuple of many": lambda part: shared_by_many(
        (None,) * (200_000 // part), lambda get: OBJECT + get + b"b", part
    ),
    "one list of many dicts": lambda part: shared_by_many(
        [None] * (200_000 // part), lambda get: b"ccollections\nOrderedDict\n" + get + b"\x85R", part
    ),
    "one set of many modules": lambda part: shared_by_many(
        [None] * (200_000 // part), lambda get: MODULE + get + b"ub", part
    ),
    "one pickle within many": lambda part: shared_by_many(
        (in_legacy(storage(view=(None,)), {"0": b""}),),
        lambda get: named("torch.storage._load_from_bytes") + get + b"R",
        part,
    ),
    "modules under a long name": lambda part: in_plain(
        {"fc.weight": array(NUMBERS), "n" * 10**6: Code(b"](" + LINEAR * (5000 // part) + b"e")}
    ),
    "keys that Python's dicts are slow with": slow_keys,
    "numbers of a memo that Python's dicts are slow with": slow_memo,
    "a directory of many entries": lambda part: zip_of(
        *zip_entries({"fc.weight": tensor()}), *(Entry(b"%d" % number) for number in range(60_000))
    ),
    "a directory of odd fields": lambda part: zip_of(
        *zip_entries({"fc.weight": tensor()}),
        *(Entry(b"%d" % number, extra=b"\xff\xee\0\0" * 16_000) for number in range(120 // part)),
    ),
    "a directory larger than any": lambda part: zip_of(
        *zip_entries({"fc.weight": tensor()}),
        *(Entry(b"%d" % number, extra=b"\xff\xee\xe8\xfd" + bytes(65_000)) for number in range(140)),
    ),
    "an integer of 30 MB": lambda part: in_plain(
        Code(b"\x8b" + struct.pack("<i", 30_000_000) + bytes(29_999_999) + b"\1")
    ),
    "a text of 30 MB": lambda part: in_plain("x" * 30_000_000),
}


def nested_dicts(depth: int, thing: Any) -> Any:
    for _ in range(depth):
        thing = {"model": thing}
    return thing


@pytest.mark.parametrize(
    ("part", "every"), [(8, 3), *(pytest.param(part, 1, marks=pytest.mark.stress) for part in (4, 1))]
)
def test_what_costs_most_costs_seconds(tmp_path, part, every):
    chosen = list(MANY.values())[::every]
    results = analyze_all(tmp_path, {f"costs-{number}.pt": make(part) for number, make in enumerate(chosen)})
    obeys_the_law(results, most_memory=400e6)


# --- as a person runs it ---


def test_a_person_is_told_and_harmed_by_nothing(ww_program, tmp_path):
    canary = tmp_path / "canary"
    evil = call("posix.system", command(canary))
    (tmp_path / "beside.pt").write_bytes(sound("zip", evil=evil))
    (tmp_path / "alone.pt").write_bytes(in_zip(evil, {}))
    beside, alone = ww_program("analyze", "beside.pt"), ww_program("analyze", "alone.pt")
    assert (beside.returncode, alone.returncode) == (0, 3)
    assert "warning: beside.pt: it asks to call posix.system" in beside.stderr
    assert "error: alone.pt: no tensor of a model is in it; it asks to call posix.system" in alone.stderr
    assert not canary.exists()


def test_the_folder_one_stands_in_is_no_place_of_modules(tmp_path):
    canary = tmp_path / "canary"
    for name in ["torch", "json", "numpy", "safetensors", "pickletools", "zipfile", "x"]:
        (tmp_path / f"{name}.py").write_text(f"open({str(canary)!r}, 'w')")
    (tmp_path / "model.pt").write_bytes(sound("zip", evil=call("x.y"), other=named("torch.Tensor")))
    program = [sys.executable, "-P", "-m", "ww_core", "analyze", "model.pt", "--store", "store.sqlite"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "it asks to call x.y" in done.stderr
    assert not canary.exists()

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile.pytorch import CASES, GADGETS, SPARSE, command, entries_of, itself
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


SPECIAL = {
    pipe: "a named pipe",
    device: "a device",
    link_to_itself: "leads back",
    link_to_nothing: "a symbolic link to",
}


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
    ("part", "every"), [(8, 6), *(pytest.param(part, 1, marks=pytest.mark.stress) for part in (8, 4, 1))]
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

"""What small files may cost: headers are read in little memory and time, or refused with the limit."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hostile.safetensors import raw_safetensors
from safetensors.numpy import save_file
from torch_files import NUMBERS, Code, array, built, call, code, in_legacy, in_plain, in_zip, named, storage, tensor

import ww_core as ww
from ww_core.contracts.budget import FILES, LIMITS, Budget
from ww_core.loading.files import FileSource
from ww_core.sources.digests import digest_checkpoint
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader

BILLION = 10**9


class Hole(NamedTuple):
    """So many zeros, which take no room on disk."""

    length: int


class Costly(NamedTuple):
    """A file: gives the bytes and holes that it is made of; what is said of it; its suffix, or `index`."""

    make: Callable[[], tuple[bytes | Hole, ...]]
    says: str
    suffix: str = "pt"


def constant(opcode: bytes, length: bytes, hole: int = BILLION) -> tuple[bytes | Hole, ...]:
    """Put a constant of a claimed length beside a sound tensor: its bytes are a hole."""
    return (b"\x80\x04}(" + code("fc.weight") + array(NUMBERS) + code("odd") + opcode + length, Hole(hole), b"u.")


def named_often(count: int, key: str) -> bytes:
    """Name one memoised tensor `count` times under a key."""
    names = b"".join(code(str(number)) + b"h\x07" for number in range(count))
    return in_zip(Code(b"}" + code(key) + b"}" + tensor() + b"q\x070(" + names + b"us"))


def named_apart(count: int, key: str) -> bytes:
    """Name `count` different tensors of one storage under a key that stands in the file once."""
    memo = (storage(count=count + 3), code((2, 2)), code((2, 1)), named("torch._utils._rebuild_tensor_v2"))
    kept = b"".join(thing + b"q" + bytes([place]) + b"0" for place, thing in enumerate(memo, start=1))
    tensors = (code(str(n)) + b"h\x04(h\x01" + code(n) + b"h\x02h\x03\x89NtR" for n in range(count))
    return in_zip(
        Code(b"}" + code(key) + b"}" + kept + b"(" + b"".join(tensors) + b"us"), {"0": bytes(4 * (count + 3))}
    )


def called_often(count: int, within: bytes) -> bytes:
    """Load one pickle within a pickle so often."""
    load = named("torch.storage._load_from_bytes")
    return in_plain(Code(b"](" + code(within) + b"q\x07" + load + b"q\x08" + b"h\x08h\x07\x85R" * count + b"e"))


def arrays_of_one_text(count: int, length: int) -> tuple[bytes | Hole, ...]:
    """Give so many arrays the same text as their bytes, as pickles for Python 2 do."""
    empty = call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), (0,), b"b")
    kind = built(call("numpy.dtype", "f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    encoded = Code(named("_codecs.encode") + b"h\x01" + code("latin1") + b"\x86R")
    one = built(empty, (1, (length // 4,), Code(b"h\x02"), False, encoded))
    head = b"\x80\x02}X" + struct.pack("<I", length)
    many = b"".join(code(f"w{number}") + one for number in range(count))
    return (head, Hole(length), b"q\x010" + kind + b"q\x020(" + many + b"u.")


def views(count: int, shape: tuple[int, int]) -> bytes:
    """Show a storage through views that begin at different numbers."""
    numbers = shape[0] * shape[1] + count
    many = (code(f"l{n}.weight") + tensor(shape, None, n, Code(b"h\x01")) for n in range(count))
    return in_zip(Code(b"}" + storage(count=numbers) + b"q\x010(" + b"".join(many) + b"u"), {"0": bytes(4 * numbers)})


def quantized_hole(nbytes: int) -> tuple[bytes | Hole, ...]:
    """Make a quantized tensor whose numbers are a hole: PyTorch would make four times as many bytes of them."""
    numbers = storage(count=nbytes, kind="torch.QInt8Storage", view=(None,))
    scheme = (named("torch.per_tensor_affine"), 0.5, 0)
    hooks = call("collections.OrderedDict")
    one = call("torch._utils._rebuild_qtensor", numbers, 0, (nbytes // 1000, 1000), (1000, 1), scheme, False, hooks)
    begin = in_legacy({"q.weight": one, "fc.weight": tensor(of=storage("1", view=(None,)))}, {"0": b"", "1": b""})
    sound = struct.pack("<q", NUMBERS.size) + NUMBERS.tobytes()
    return (begin[:-16] + struct.pack("<q", nbytes), Hole(nbytes), sound)


def sparse_tensors(count: int, junk: int = 0) -> bytes:
    """Make a file of small sparse tensors, which only PyTorch can read."""
    import torch

    places, numbers = torch.tensor([[0, 1], [1, 0]]), torch.ones(2)
    made = {
        f"{n}.weight": torch.sparse_coo_tensor(places, numbers, (4, 4), check_invariants=False) for n in range(count)
    }
    file = io.BytesIO()
    torch.save({"model": made, "junk": [[n % 200] for n in range(junk)]}, file)
    return file.getvalue()


def doubled(count: int, each: bytes, first: bytes = b"]") -> bytes:
    """Hold the thing before twice, so often: `each` holds memo %c as %c."""
    return b"\x80\x04" + first + b"".join(b"q%c0" % n + each.replace(b"?", bytes([n])) for n in range(count)) + b"."


def json_of(piece: bytes, nbytes: int = 9_900_000) -> bytes:
    return b'{"weight_map":{},"x":[' + piece * (nbytes // len(piece)) + b"0]}"


TEXT, NAMES, TENSORS = (
    "more than 32,000,000 bytes besides",
    "more than 8,000,000 characters",
    "more than 50,000 tensors",
)
VALUES, DECODED, OVERLAP = "more than 1,000,000 values", "more than 64,000,000 bytes of numbers", "its tensors overlap"
READ = ""
KEY = "k" * 1900
SMALL_STORAGE = storage(view=(None,))

COSTLY = {
    "a text of 8 bytes of length": Costly(lambda: constant(b"\x8d", struct.pack("<Q", BILLION)), TEXT),
    "a text of 4 bytes of length": Costly(lambda: constant(b"X", struct.pack("<I", BILLION)), TEXT),
    "a number": Costly(lambda: constant(b"\x8b", struct.pack("<i", BILLION)), TEXT),
    "bytes": Costly(lambda: constant(b"\x8e", struct.pack("<Q", BILLION)), READ),
    "bytes of 4 bytes of length": Costly(lambda: constant(b"B", struct.pack("<I", BILLION)), READ),
    "a bytearray": Costly(lambda: constant(b"\x96", struct.pack("<Q", BILLION)), READ),
    "a text of Python 2": Costly(lambda: constant(b"T", struct.pack("<I", BILLION)), READ),
    "texts that are long together": Costly(
        lambda: (b"\x80\x04](", *[b"X" + struct.pack("<I", 10**6), Hole(10**6)] * 500, b"e."), TEXT
    ),
    "lines that are long together": Costly(lambda: (b"\x80\x04](", *[b"V", Hole(900_000), b"\n"] * 500, b"e."), TEXT),
    "quoted lines that are long together": Costly(
        lambda: (b"\x80\x04](", *[b"S'", Hole(900_000), b"'\n"] * 500, b"e."), TEXT
    ),
    "one text of wide letters": Costly(
        lambda: (
            b"\x80\x04}" + code("a") + b"X" + struct.pack("<I", 31_000_000),
            Hole(30_999_996),
            "\U0001f600".encode() + b"s.",
        ),
        "no tensor of a model",
    ),
    "tensors under a long key": Costly(lambda: (named_apart(99_000, KEY),), NAMES),
    "one tensor under a long key": Costly(lambda: (named_often(99_000, KEY),), NAMES),
    "names as long as may be": Costly(lambda: (named_apart(4_100, KEY),), READ),
    "functions of long names": Costly(
        lambda: (
            b"\x80\x04]("
            + b"".join(code(chr(n) * 495) + b"\x94" for n in range(256, 400))
            + b"".join(b"h%ch%c\x93" % (n, m) for n in range(140) for m in range(140))
            + b"e.",
        ),
        NAMES,
    ),
    "many tensors": Costly(lambda: (named_apart(50_001, "w"),), TENSORS),
    "many names of a tensor": Costly(lambda: (named_often(50_001, "w"),), TENSORS),
    "as many tensors as may be": Costly(lambda: (named_apart(49_000, "w"),), READ),
    "a pickle within that is loaded a thousand times": Costly(
        lambda: (called_often(1_000, in_legacy(SMALL_STORAGE, {"0": bytes(8_000_000)})),), "no tensor of a model"
    ),
    "a pickle within that is loaded 20,000 times": Costly(
        lambda: (called_often(20_000, in_legacy(SMALL_STORAGE, {"0": bytes(8_000_000)})),), "no tensor of a model"
    ),
    "a damaged pickle within that is loaded often": Costly(
        lambda: (called_often(20_000, b"\x80\x02" + b"N" * 1_000_000),), "with what cannot be read"
    ),
    "arrays of one text": Costly(lambda: arrays_of_one_text(300, 5_000_000), DECODED),
    "arrays of one long text": Costly(lambda: arrays_of_one_text(3, 30_000_000), DECODED),
    "arrays of one short text": Costly(lambda: arrays_of_one_text(20_000, 4_000), DECODED),
    "many small views": Costly(lambda: (views(3_000, (60, 64)),), OVERLAP),
    "large views": Costly(lambda: (views(800, (2_000, 1_000)),), OVERLAP),
    "many views of a row": Costly(lambda: (views(40_000, (1, 600)),), OVERLAP),
    "a quantized tensor that is a hole": Costly(lambda: quantized_hole(100_000_000), READ),
    "as many sparse tensors as PyTorch is given": Costly(lambda: (sparse_tensors(5_900),), READ),
    "sparse tensors that PyTorch is not given": Costly(lambda: (sparse_tensors(20_000),), READ),
    "sparse tensors in a long pickle": Costly(lambda: (sparse_tensors(4_000, 400_000),), READ),
    "lists of lists twice": Costly(lambda: (doubled(200, b"](h?h?e"),), "no tensor of a model"),
    "dicts of dicts twice": Costly(
        lambda: (doubled(200, b"}(" + code("a") + b"h?" + code("b") + b"h?u", b"}"),), "no tensor"
    ),
    "tuples of tuples twice": Costly(lambda: (doubled(200, b"h?h?\x86"),), "no tensor of a model"),
    "a million lists deep": Costly(
        lambda: (b"\x80\x04" + b"]" * 990_000 + b"a" * 989_999 + b".",), "no tensor of a model"
    ),
    "two million tuples deep": Costly(lambda: (b"\x80\x04)" + b"\x85" * 1_900_000 + b".",), "no tensor of a model"),
    "dicts deep": Costly(
        lambda: (b"\x80\x04" + (b"}" + code("a")) * 600_000 + b"N" + b"s" * 600_000 + b".",), "no tensor of"
    ),
    "a list in itself": Costly(lambda: (b"\x80\x04]q\x01h\x01a.",), "no tensor of a model"),
    "a dict in itself": Costly(lambda: (b"\x80\x04}q\x01" + code("a") + b"h\x01s.",), "no tensor of a model"),
    "a wide list at the end of a deep one": Costly(
        lambda: (b"\x80\x04]q\x02Na0" + b"]" * 60 + b"](" + b"h\x02" * 1_900_000 + b"e" + b"a" * 60 + b".",),
        "no tensor of a model",
    ),
    "a hundred levels above many tensors": Costly(
        lambda: (
            in_zip(
                Code(
                    tensor()
                    + b"q\x070"
                    + (b"}" + code("m")) * 100
                    + b"}("
                    + b"".join(code(str(n)) + b"h\x07" for n in range(99_000))
                    + b"u"
                    + b"s" * 100
                )
            ),
        ),
        "no tensor of a model",
    ),
    "odd keys": Costly(lambda: (b"\x80\x04}(" + b"NN" * 990_000 + b"u.",), "no tensor of a model"),
    "odd keys that are all told": Costly(
        lambda: (
            b"\x80\x04]q\x01Na0}("
            + b"".join(b"G" + struct.pack(">d", n + 0.5) + b"h\x01" for n in range(900_000))
            + b"u.",
        ),
        NAMES,
    ),
    "small dicts": Costly(lambda: (b"\x80\x04Nq\x01](" + b"}h\x01Ns" * 490_000 + b"e.",), "no tensor of a model"),
    "calls": Costly(lambda: (b"\x80\x04](cx\ny\nq\x01" + b"h\x01)R" * 640_000 + b"e.",), "it asks to call x.y"),
    "what is kept": Costly(lambda: (b"\x80\x04}N" + b"\x94" * 1_990_000 + b"0.",), "no tensor of a model"),
    "wide letters": Costly(
        lambda: (b"\x80\x04](" + (b"\x8c\x04" + "\U0001f600".encode()) * 1_600_000 + b"e.",), "no tensor of a model"
    ),
    "an index of lists": Costly(lambda: (json_of(b"[],"),), VALUES, "index"),
    "a long index of lists": Costly(lambda: (json_of(b"[],", 49_000_000),), TEXT, "index"),
    "an index of objects": Costly(lambda: (json_of(b'{"":0},'),), VALUES, "index"),
    "an index of nested objects": Costly(lambda: (b'{"x":' * 1_600_000 + b"0" + b"}" * 1_600_000,), VALUES, "index"),
    "an index of objects, nested too deep": Costly(
        lambda: (b'{"x":' * 200_000 + b"0" + b"}" * 200_000,), "too deep", "index"
    ),
    "an index of long numbers": Costly(lambda: (json_of(b"9" * 4000 + b","),), "names no tensors", "index"),
    "an index of one long number": Costly(lambda: (b'{"x":' + b"9" * 9_900_000 + b"}",), "not valid JSON", "index"),
    "an index of escapes": Costly(lambda: (b'{"x":"' + b"\\u0000" * 1_600_000 + b'"}',), "no weight_map", "index"),
    "an index of wide letters": Costly(
        lambda: (b'{"x":"' + b"a" * 9_900_000 + "\U0001f600".encode() + b'"}',), "no weight", "index"
    ),
    "an index of small texts": Costly(lambda: (json_of(b'"ab",'),), VALUES, "index"),
    "an index that is a hole": Costly(lambda: (b'{"weight_map":', Hole(BILLION)), TEXT, "index"),
    "a header of lists": Costly(lambda: (raw_safetensors(json_of(b"[],")),), VALUES, "safetensors"),
    "a header of objects": Costly(lambda: (raw_safetensors(json_of(b'{"":0},')),), VALUES, "safetensors"),
    "a header of lists that do not end": Costly(
        lambda: (raw_safetensors(b'{"a":' + b"[" * 9_900_000),), VALUES, "safetensors"
    ),
    "a header of nested objects": Costly(lambda: (raw_safetensors(b'{"x":' * 200_000),), "too deep", "safetensors"),
    "a header of long numbers": Costly(
        lambda: (raw_safetensors(b'{"x":' + b"9" * 9_900_000 + b"}"),), "not valid", "safetensors"
    ),
    "a header of escapes": Costly(
        lambda: (raw_safetensors(b'{"' + b"\\u0000" * 1_600_000 + b'":0}'),), "characters", "safetensors"
    ),
    "a header that is a hole": Costly(
        lambda: ((90_000_000).to_bytes(8, "little") + b"{", Hole(BILLION)), TEXT, "safetensors"
    ),
    "a header of as many tensors as may be": Costly(
        lambda: (
            raw_safetensors({str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(49_000)}),
        ),
        READ,
        "safetensors",
    ),
    "names of many numbers": Costly(
        lambda: (
            raw_safetensors(
                {f"{'1a' * 990}{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(4_000)}
            ),
        ),
        READ,
        "safetensors",
    ),
}

IN_EVERY_RUN = 8
"""Every so many-th file is tried in every run, the others in the long ones."""

DESCRIBING = """
    import contextlib, gc, io, json, os, resource, sys
    from ww_core.cli.main import main

    def peak():  # of this process, or of the PyTorch that it has read something
        own = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
        return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)

    def spent():
        return sum(os.times()[:4])

    for path in sys.argv[1:]:
        child = os.fork()
        if not child:
            out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
            sys.argv = ["ww", "describe", path, "--json"]
            began = spent()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main()
            told = [path, code, spent() - began, peak(), err.getvalue()]
            print(json.dumps(told), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps([path, status, 0, 0, "it ended the process"]), flush=True)
"""


def written(costly: Costly, folder: Path) -> Path:
    folder.mkdir()
    path = folder / ("model.safetensors.index.json" if costly.suffix == "index" else f"bad.{costly.suffix}")
    with path.open("wb") as file:
        for piece in costly.make():
            if isinstance(piece, Hole):
                file.seek(piece.length, os.SEEK_CUR)
            else:
                file.write(piece)
        file.truncate()
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.stress) for first in range(1, IN_EVERY_RUN))]
)
def test_describing_a_small_file_costs_little(first, tmp_path):
    chosen = list(COSTLY)[first::IN_EVERY_RUN]
    paths = {str(written(COSTLY[name], tmp_path / str(place))): name for place, name in enumerate(chosen)}
    program = [sys.executable, "-c", textwrap.dedent(DESCRIBING), *paths]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(paths)
    for path, status, seconds, memory, said in results:
        about = (paths[path], status, seconds, memory, said[-300:])
        costly = COSTLY[paths[path]]
        assert Path(path).stat().st_blocks * 512 < 10e6 or paths[path] == "a long index of lists", about
        assert status == (3 if costly.says else 0), about
        assert costly.says in said, about
        assert memory < 300e6, about
        assert seconds < 10, about  # five on a machine that does nothing else


def test_what_is_taken_is_summed_and_refused_with_the_limit():
    budget = Budget("big.pt", {**LIMITS, "names": 10})
    budget.take("names", 4)
    budget.take("names", 6)
    budget.take("tensors")
    with pytest.raises(ww.SourceError, match=r"^big\.pt: it has more than 10 characters in the names of"):
        budget.take("names")


def test_files_of_one_source_share_its_budget():
    whole = Budget("folder", {**LIMITS, "tensors": 10})
    for number in range(FILES):
        whole.part(f"{number}.pt").take("tensors", 10)
    with pytest.raises(ww.SourceError, match=r"^last\.pt: it has more than 100 tensors"):
        whole.part("last.pt").take("tensors")


@pytest.mark.parametrize("with_index", [True, False])
def test_shards_share_the_budget_of_their_folder(tmp_path, with_index):
    names = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        save_file({f"{number}.{key}.weight": NUMBERS for key in range(5)}, tmp_path / name)
    if with_index:
        weight_map = {f"{number}.{key}.weight": name for number, name in enumerate(names) for key in range(5)}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    folder = FileSource(tmp_path)
    assert len(SafetensorsLoader().open(folder).layers) == 15
    folder.budget = Budget("folder", {**LIMITS, "tensors": 5}, {**LIMITS, "tensors": 14})
    with pytest.raises(ww.SourceError, match=r"00003-of-00003\.safetensors: it has more than 50 tensors"):
        SafetensorsLoader().open(folder)


class Forgetful:
    """A memory of digests that remembers nothing."""

    def recall(self, host, location, names):
        return {}

    def remember(self, host, location, digests):
        pass


QUANTIZED = (named("torch.per_tensor_affine"), 0.5, 0)
SAME_CONTENT = {
    "a view that shows its numbers again": tensor((9, 24), (0, 1)),
    "a negative one": Code(
        call("torch._utils._rebuild_tensor_v2", storage(), 0, (4, 6), (6, 1), False, None, {"neg": True})
    ),
    "an array of times": array(np.zeros(2000), kind="M8", content=bytes(16_000)),
}


@pytest.mark.parametrize("case", SAME_CONTENT)
def test_equal_content_is_read_once_for_its_digest(case, tmp_path, monkeypatch):
    path = tmp_path / "many.pt"
    names = b"".join(code(f"q{number}") + b"h\x07" for number in range(50))
    path.write_bytes(in_zip(Code(b"}" + SAME_CONTENT[case] + b"q\x070(" + names + code("fc.weight") + tensor() + b"u")))
    checkpoint = PyTorchLoader().open(FileSource(path))
    read = []
    of_class = type(checkpoint)
    original = of_class.read_bytes
    monkeypatch.setattr(of_class, "read_bytes", lambda self, spec: read.append(spec.name) or original(self, spec))
    digests = digest_checkpoint(checkpoint, Forgetful(), loader="x", rehash=True, jobs=1)
    assert read == ["q0"]
    assert {f"q{number}" for number in range(50)} <= set(digests.tensors)
    assert len(set(digests.tensors.values())) == 2

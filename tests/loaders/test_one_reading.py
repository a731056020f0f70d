"""One reading of a file: what PyTorch could see in another way is refused, and nothing vanishes without a word."""

from __future__ import annotations

import enum
import importlib.util
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from naming import ByName
from torch_files import (
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
    in_zip,
    named,
    pickled,
    storage,
    tensor,
    zip_entries,
    zip_of,
)

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

EVIL = pickled({"fc.weight": tensor(of=storage("1"))})
OTHER = (NUMBERS + 1).tobytes()


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


def entries(*more, storages=USUAL):
    return [*zip_entries({"fc.weight": tensor()}, storages), *more]


# --- archives in which two readers see two things ---

TWICE = {
    "data.pkl in capitals": lambda: zip_of(*entries(Entry(b"archive/DATA.PKL", EVIL))),
    "data.pkl in capitals before it": lambda: zip_of(Entry(b"archive/DATA.PKL", EVIL), *entries()),
    "the folder in capitals": lambda: zip_of(*entries(Entry(b"ARCHIVE/data.pkl", EVIL))),
    "one letter of a storage": lambda: zip_of(
        *zip_entries({"fc.weight": tensor(of=storage("0a"))}, {"0a": USUAL["0"], "0A": OTHER})
    ),
    "the folder of the storages": lambda: zip_of(*entries(Entry(b"archive/DATA/0", OTHER))),
    "the same name": lambda: zip_of(*entries(Entry(b"archive/data/0", OTHER))),
    "letters that only Unicode folds": lambda: zip_of(
        *entries(Entry("archive/data/\u017f".encode(), flags=0x800), Entry(b"archive/data/S"))
    ),
}
NULS = {
    "behind data.pkl": lambda: zip_of(*entries(Entry(b"archive/data.pkl\0x", EVIL))),
    "behind a storage": lambda: zip_of(*entries(Entry(b"archive/data/0\0", OTHER))),
    "before everything": lambda: zip_of(*entries(Entry(b"\0archive/data/0", OTHER))),
    "in what nobody reads": lambda: zip_of(*entries(Entry(b"archive/code/a\0b", b""))),
}


def with_field(content: bytes, where: bytes, place: int, value: bytes, *, last: bool = False) -> bytes:
    """Change a field of a record: that of the first one, or of the last, which begins so."""
    begin = (content.rfind if last else content.find)(where) + place
    return content[:begin] + value + content[begin + len(value) :]


def zip64(*, place: int | None = None, size: int = 44, begin: int | None = None) -> bytes:
    """An archive whose end of zip64 may lie."""
    whole = zip_of(*entries())
    end = whole.rfind(b"PK\5\6")
    count, length, offset = struct.unpack_from("<HII", whole, end + 10)
    large = struct.pack(
        "<4sQHHIIQQQQ", b"PK\6\6", size, 45, 45, 0, 0, count, count, length, offset if begin is None else begin
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end if place is None else place, 1)
    return whole[:end] + large + locator + whole[end:]


SOUND = zip_of(*entries())
CONTRADICTIONS = {
    "another local method": (with_field(SOUND, b"PK\3\4", 8, b"\x08\0"), "in its place"),
    "other local flags": (with_field(SOUND, b"PK\3\4", 6, b"\x01\0"), "in its place"),
    "another local size": (with_field(SOUND, b"PK\3\4", 22, b"\x01\0\0\0"), "in its place"),
    "another local packed size": (with_field(SOUND, b"PK\3\4", 18, b"\x01\0\0\0"), "in its place"),
    "another local checksum": (with_field(SOUND, b"PK\3\4", 14, b"\x01\0\0\0"), "in its place"),
    "a folder by its attributes": (with_field(SOUND, b"PK\1\2", 38, b"\x10\0\0\0"), "is said to be a folder"),
    "another disk": (with_field(SOUND, b"PK\1\2", 34, b"\x01\0"), "directory cannot be read"),
    "something before it": (b"PK\3\4" + bytes(96) + SOUND, "directory is not where it says"),
    "something behind it": (SOUND + b"\0", "not the comment"),
    "an archive behind it": (SOUND + zip_of(*entries(storages={"0": OTHER})), "directory is not where it says"),
    "an end behind it": (SOUND + ending(b"", b"", 0), "directory is not where it says"),
    "an end in its comment": (zip_of(*entries(), comment=ending(b"", b"", 0)), "directory is not where it says"),
    "fewer entries": (zip_of(*entries(), count=2), "more entries than it says"),
    "more entries": (zip_of(*entries(), count=9), "fewer entries than it says"),
    "zip64 elsewhere": (zip64(place=0), "zip64 is not where it says"),
    "zip64 of another size": (zip64(size=45), "zip64 is not where it says"),
    "zip64 with another directory": (zip64(begin=0), "the two ends"),
    "two fields of zip64": (
        zip_of(*entries(Entry(b"archive/x", extra=struct.pack("<HHHH", 1, 0, 1, 0)))), "two fields of zip64"
    ),
    "an entry in the directory": (
        zip_of(*entries()[:1], Entry(b"archive/data/0", USUAL["0"][:9], sizes=(96, 96))), "in its place|is cut short"
    ),
    "another folder first": (zip_of(Entry(b"other/x"), *entries()), "in the folder of the archive's first entry"),
    "no folder first": (zip_of(Entry(b"x"), *entries()), "in the folder of the archive's first entry"),
    "a byte order in capitals": (zip_of(*entries(Entry(b"archive/ByteOrder", b"big"))), "taken for"),
    "constants in capitals": (zip_of(*entries(Entry(b"archive/Constants.pkl"))), "taken for"),
    "a storage in capitals": (
        in_zip({"a": tensor(of=storage("0a"))}, {"0A": USUAL["0"]}), "taken for 'archive/data/0a'"
    ),
    "half a character as a key": (in_zip({"a": tensor(of=storage("\ud800"))}), "storage '\\ud800' is missing"),
    "a byte order and more": (zip_of(*entries(Entry(b"archive/byteorder", b"little\n"))), "not little or big"),
    "an empty byte order": (zip_of(*entries(Entry(b"archive/byteorder"))), "not little or big"),
}  # fmt: skip


def refused(loader, path, content):
    path.write_bytes(content)
    with pytest.raises(ww.CorruptFileError) as caught:
        loader.open(path)
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize("case", TWICE)
def test_entries_that_are_one_under_case_folding_are_refused(case, tmp_path, loader):
    assert "names that some readers take for one" in refused(loader, tmp_path / "bad.pt", TWICE[case]())


@pytest.mark.parametrize("case", NULS)
def test_a_nul_in_a_name_is_refused(case, tmp_path, loader):
    assert "has a NUL in its name" in refused(loader, tmp_path / "bad.pt", NULS[case]())


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_an_archive_that_contradicts_itself_is_refused(case, tmp_path, loader):
    content, says = CONTRADICTIONS[case]
    message = refused(loader, tmp_path / "bad.pt", content)
    assert any(part in message for part in says.split("|")), message


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


ALL_RIGHT = {
    "as it is": SOUND,
    "with a comment": zip_of(*entries(), comment=b"by me"),
    "with zip64": zip64(),
    "with other entries": zip_of(
        *entries(Entry(b"archive/data/", b""), Entry("archive/é".encode(), b"1", flags=0x800))
    ),
    "with compressed code": zip_of(
        *entries(Entry(b"archive/code/a.py", b"x" * 99, method=8, stored=deflated(b"x" * 99)))
    ),
}


@pytest.mark.parametrize("case", ALL_RIGHT)
def test_archives_that_contradict_nothing_are_read(case, tmp_path, loader, contents):
    (tmp_path / "net.pt").write_bytes(ALL_RIGHT[case])
    assert contents(loader.open(tmp_path / "net.pt")) == {"fc.weight": ("float32", (4, 6), NUMBERS.tobytes())}


def test_what_python_packs_anew_is_read(tmp_path, loader, contents):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for entry in entries():
            with archive.open(entry.name.decode(), "w", force_zip64=entry.name.endswith(b"0")) as file:
                file.write(entry.content)
    assert contents(loader.open(tmp_path / "net.pt")) == {"fc.weight": ("float32", (4, 6), NUMBERS.tobytes())}


DIFFERENT = {
    "types": lambda: {"a": tensor(of=storage()), "b": tensor(of=storage(kind="torch.IntStorage"))},
    "types of what is no weight": lambda: {"optimizer": storage(kind="torch.IntStorage"), "a": tensor(of=storage())},
    "parts": lambda: {
        "a": tensor((4,), of=storage(view=(("v", 0, 4),))), "b": tensor((4,), of=storage(view=(("v", 8, 4),)))
    },
    "a whole and a part": lambda: {
        "a": tensor(of=storage(view=(None,))), "b": tensor((4,), of=storage(view=(("0", 8, 4),)))
    },
}  # fmt: skip


@pytest.mark.parametrize("wrap", [in_zip, in_legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", DIFFERENT)
def test_a_storage_that_is_told_of_in_two_ways_is_refused(case, wrap, tmp_path, loader):
    """PyTorch keeps the first telling, and reads every other tensor by it."""
    assert "is told of in two ways" in refused(loader, tmp_path / "bad.pt", wrap(DIFFERENT[case]()))


# --- checksums ---


def damaged(content: bytes, place: int = 0) -> bytes:
    begin = content.rindex(NUMBERS.tobytes()) + place
    return content[:begin] + bytes([content[begin] ^ 1]) + content[begin + 1 :]


DAMAGED = {
    "a tensor": (lambda: damaged(SOUND), ["fc.weight"]),
    "a view of a part that is whole": (
        lambda: damaged(in_zip({"fc.weight": tensor((2, 6), offset=12)})), ["fc.weight"],
    ),
    "two views": (
        lambda: damaged(in_zip({"a.weight": tensor((2, 6)), "b.weight": tensor((2, 6), offset=12)})),
        ["a.weight", "b.weight"],
    ),
    "a transposed tensor": (lambda: damaged(in_zip({"fc.weight": tensor((6, 4), (1, 6))})), ["fc.weight"]),
    "integers": (
        lambda: damaged(in_zip({"steps": tensor(of=storage(kind="torch.IntStorage")), "fc.weight": array(NUMBERS)})),
        ["steps"],
    ),
    "big-endian numbers": (
        lambda: damaged(zip_of(*entries(Entry(b"archive/byteorder", b"big")))), ["fc.weight"],
    ),
    "an array in the pickle": (lambda: damaged(in_zip({"fc.weight": array(NUMBERS)}, {})), ["fc.weight"]),
    "a negative": (lambda: damaged(in_zip({"n": lazy({"neg": True}), "fc.weight": array(NUMBERS)})), ["n"]),
}  # fmt: skip


def lazy(metadata, function="torch._utils._rebuild_tensor_v2"):
    more = (named("torch.float32"),) if function.endswith("v3") else ()
    return call(function, storage(), 0, (4, 6), (6, 1), False, call("collections.OrderedDict"), *more, metadata)


@pytest.mark.parametrize("case", DAMAGED)
def test_a_checksum_that_does_not_match_is_told_each_time(case, tmp_path):
    make, names = DAMAGED[case]
    path, store = tmp_path / "net.pt", ww.open_store()
    path.write_bytes(make())
    for _ in range(2):
        report = ww.analyze(path, store=store, metrics=["stable_rank"])
        [warning] = [warning for warning in report.warnings if "checksum" in warning]
        entry = "data.pkl" if "array" in case else "data/0"
        assert f"{path}: the checksum of entry 'archive/{entry}' does not match" in warning
        assert all(name in warning for name in names)


UNTOLD = {
    "sound": lambda: SOUND,
    "no checksum": lambda: damaged(without_checksums(SOUND)),
    "one that is not looked at": lambda: zip_of(*entries(Entry(b"archive/data/1", b"x", stored=b"y"))),
    "a legacy file": lambda: damaged(in_legacy({"fc.weight": tensor(of=storage(view=(None,)))})),
}


def without_checksums(content: bytes) -> bytes:
    for magic, place in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        begin = content.find(magic)
        while begin >= 0:
            content = content[: begin + place] + bytes(4) + content[begin + place + 4 :]
            begin = content.find(magic, begin + 4)
    return content


@pytest.mark.parametrize("case", UNTOLD)
def test_a_checksum_that_matches_or_is_none_is_not_told(case, tmp_path):
    (tmp_path / "net.pt").write_bytes(UNTOLD[case]())
    report = ww.analyze(tmp_path / "net.pt", metrics=["stable_rank"])
    assert not [warning for warning in report.warnings if "checksum" in warning]


def test_describe_reads_no_checksum(tmp_path):
    (tmp_path / "net.pt").write_bytes(damaged(SOUND))
    assert ww.describe(tmp_path / "net.pt").warnings == ()


def test_a_checksum_is_compared_once_for_all_tensors_of_its_bytes(tmp_path, monkeypatch):
    from ww_core.sources import checksums

    tensors = {f"{place}.weight": tensor((2, 3), (6, 1), offset=place) for place in range(4)}
    (tmp_path / "net.pt").write_bytes(in_zip({**tensors, "all.weight": tensor()}))
    seen = []
    monkeypatch.setattr(checksums.zlib, "crc32", lambda block, begin=0: seen.append(len(block)) or 0)
    ww.analyze(tmp_path / "net.pt", metrics=["stable_rank"])
    assert seen == [96]


# --- keys ---


class Color(enum.Enum):
    RED = 1


KEYS = {
    b"fc": "b'fc'",
    ("a", 1): "('a', 1)",
    ("a",): "('a',)",
    (): "()",
    None: "None",
    True: "True",
    0.5: "0.5",
    -1e300: "-1e+300",
    2**70: str(2**70),
    frozenset({1, 2}): "frozenset({1, 2})",
    frozenset(): "frozenset({})",
    Color.RED: "Color(1)",
    np.int64(7): "7",
    np.float32(1.5): "1.5",
    (b"x" * 300,): "<key 14>",
    "fc": "fc",
    5: "5",
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_key_is_told(protocol, tmp_path, loader, contents):
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({key: NUMBERS + place for place, key in enumerate(KEYS)}, protocol))
    read = contents(loader.open(path))
    assert list(read) == list(KEYS.values())
    assert all(read[name][2] == (NUMBERS + place).tobytes() for place, name in enumerate(KEYS.values()))
    assert sum(layer.weight.size for layer in loader.open(path).layers) == len(KEYS) * NUMBERS.size


@needs_torch
def test_every_key_is_told_of_what_pytorch_saves(tmp_path, loader):
    import torch

    for new in (True, False):
        tensors = {key: torch.full((3, 2), float(place)) for place, key in enumerate([*KEYS, torch.float16])}
        torch.save({"state_dict": tensors}, tmp_path / "net.pt", _use_new_zipfile_serialization=new)
        found = [layer.name for layer in loader.open(tmp_path / "net.pt").layers]
        assert found == [*KEYS.values(), "torch.float16"]


def keyed(*keys):
    return Code(b"}(" + b"".join(code(key) + tensor() for key in keys) + b"u")


EQUAL = {
    "1 and True": (1, True),
    "0.0 and False": (0.0, False),
    "2 and 2.0": (2, 2.0),
    "large numbers": (2.0**70, 2**70),
    "tuples of them": ((1, "a"), (True, "a")),
    "a key twice": (None, None),
    "frozen sets": (call("builtins.frozenset", [1, 2]), call("builtins.frozenset", [2, 1])),
}


@pytest.mark.parametrize("case", EQUAL)
def test_keys_that_are_one_for_python_are_refused(case, tmp_path, loader):
    assert "are equal for Python" in refused(loader, tmp_path / "bad.pt", in_zip(keyed("fc.weight", *EQUAL[case])))


@pytest.mark.parametrize("keys", [("None", None), ("1.5", 1.5), ("b'x'", b"x")], ids=str)
def test_keys_that_are_told_in_one_way_are_refused(keys, tmp_path, loader):
    assert "two tensors have the name" in refused(loader, tmp_path / "bad.pt", in_zip(keyed(*keys)))


def test_what_is_new_and_a_dict_is_empty(tmp_path, loader, contents):
    """Only a call of the class would fill it with its arguments."""
    new = Code(named("collections.OrderedDict") + code(([("ghost", tensor((2, 6)))],)) + b"\x81")
    path = tmp_path / "net.pt"
    path.write_bytes(in_zip({"fc.weight": tensor(), "odd": new}))
    assert set(contents(loader.open(path))) == {"fc.weight"}
    path.write_bytes(
        in_zip({"fc.weight": tensor(), "odd": call("collections.OrderedDict", [("ghost", tensor((2, 6)))])})
    )
    assert set(contents(loader.open(path))) == {"fc.weight", "odd.ghost"}


# --- tensors that are not the numbers in their storage ---

LAZY = {
    "negative": ({"neg": True}, "stored as its negative"),
    "negative, whatever is said": ({"neg": False}, "stored as its negative"),
    "conjugate": ({"conj": True}, "stored as its conjugate"),
    "both": ({"conj": True, "neg": True}, "conjugate and negative"),
    "another key": ({"backend": True}, "metadata that is not known here"),
    "no truth": ({"neg": 1}, "metadata that is not known here"),
    "an ordered dict": (call("collections.OrderedDict", [("neg", True)]), "metadata that is not known here"),
    "a list": ([("neg", True)], "metadata that is not known here"),
}


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("case", LAZY)
def test_metadata_of_a_tensor_is_told(case, version, tmp_path, loader, contents):
    metadata, says = LAZY[case]
    path = tmp_path / "net.pt"
    path.write_bytes(in_zip({"odd": lazy(metadata, f"torch._utils._rebuild_tensor_{version}"), "fc.weight": tensor()}))
    checkpoint = loader.open(path)
    assert set(contents(checkpoint)) == {"fc.weight"}
    [skipped] = checkpoint.skipped
    assert (skipped.name, skipped.shape) == ("odd", (4, 6))
    assert says in skipped.reason


@pytest.mark.parametrize("metadata", [None, {}], ids=str)
def test_no_metadata_is_no_matter(metadata, tmp_path, loader, contents):
    (tmp_path / "net.pt").write_bytes(in_zip({"fc.weight": lazy(metadata)}))
    assert contents(loader.open(tmp_path / "net.pt"))["fc.weight"][2] == NUMBERS.tobytes()


@needs_torch
def test_what_pytorch_negates_and_conjugates_is_listed(tmp_path, loader):
    import torch

    numbers = torch.arange(12.0).reshape(3, 4) * (1 + 2j)
    torch.save({"imag": numbers.conj().imag, "real": numbers.real}, tmp_path / "net.pt")
    checkpoint = loader.open(tmp_path / "net.pt")
    assert [layer.name for layer in checkpoint.layers] == ["real"]
    assert ["stored as its negative" in skipped.reason for skipped in checkpoint.skipped] == [True]
    torch.save({"conj": numbers.conj(), "real": torch.ones(3, 4)}, tmp_path / "net.pt")
    assert ["stored as its conjugate" in skipped.reason for skipped in loader.open(tmp_path / "net.pt").skipped] == [
        True
    ]


CHANGED = {
    "BUILD of a tensor": lambda: built(tensor(), (storage(), 1, (2, 2), (2, 1))),
    "BUILD of a parameter": lambda: built(call("torch._utils._rebuild_parameter", tensor(), True, {}), {}),
    "items of a tensor": lambda: Code(tensor() + code(0) + code(1.0) + b"s"),
    "elements of a tensor": lambda: Code(tensor() + code(1.0) + b"a"),
    "a tensor of a class": lambda: call("torch.FloatTensor", [1.0, 2.0]),
    "a new parameter": lambda: Code(named("torch.nn.parameter.Parameter") + code((tensor(),)) + b"\x81"),
    "rebuilt in an unknown way": lambda: call("torch._utils._rebuild_of_tomorrow", tensor()),
}


@pytest.mark.parametrize("case", CHANGED)
def test_no_tensor_vanishes_or_is_read_as_another(case, tmp_path, loader, contents):
    (tmp_path / "net.pt").write_bytes(in_zip({"odd": CHANGED[case](), "fc.weight": tensor()}))
    checkpoint = loader.open(tmp_path / "net.pt")
    assert set(contents(checkpoint)) == {"fc.weight"}
    [skipped] = checkpoint.skipped
    assert skipped.name == "odd"
    assert "is changed after it is made" in skipped.reason or "not known here" in skipped.reason


def new(*arguments):
    return Code(named("my.Pair") + code(arguments) + b"\x81")


WITHIN = {
    "a named tuple": (lambda one, two: new(one, {"b": two}), ["0", "1.b"]),
    "a call": (lambda one, two: call("my.Pair", one, [two]), ["0", "1.0"]),
    "a set": (lambda one, two: call("builtins.set", [one, two]), ["0.0", "0.1"]),
    "a state of three": (lambda one, two: built(new(), (one, None, two)), ["0", "2"]),
    "a state of two": (lambda one, two: built(new(), ({"a": one}, [two])), ["0.a", "1.0"]),
    "a state that is a list": (lambda one, two: built(new(), [one, two]), ["0", "1"]),
    "a state that is a tensor": (lambda one, two: built(new(two), one), ["0", "state"]),
    "attributes and slots": (lambda one, two: built(new(), ({"a": one}, {"b": two})), ["a", "b"]),
    "a deque": (lambda one, two: Code(call("collections.deque", ()) + b"(" + one + two + b"e"), ["0", "1"]),
}


@pytest.mark.parametrize("case", WITHIN)
def test_tensors_within_objects_are_told(case, tmp_path, loader, contents):
    make, names = WITHIN[case]
    thing = make(tensor((2, 6)), tensor((3, 2), (6, 1)))
    (tmp_path / "net.pt").write_bytes(in_zip({"fc.weight": tensor(), "own": thing}))
    assert sorted(contents(loader.open(tmp_path / "net.pt"))) == ["fc.weight", *(f"own.{name}" for name in names)]


@pytest.mark.parametrize("name", ["fc.weight", "embed.weight", "proj"])
def test_a_placeholder_of_a_parameter_that_is_elsewhere_is_told(name, tmp_path):
    (tmp_path / "net.pt").write_bytes(in_zip({name: tensor((0,)), "net.weight": tensor()}))
    report = ww.analyze(tmp_path / "net.pt", metrics=["stable_rank"])
    [said] = [own.reason for own in report.coverage.reasons if name.startswith(own.name)]
    assert "holds no numbers" in said
    assert "ZeRO-3" in said

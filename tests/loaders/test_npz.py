"""NumPy's files: what numpy writes is read where it lies, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import numpy as np
import pytest
from hostile.npz import FOUR, WRONG, header, packed
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.npz import NpzLoader

RNG = np.random.default_rng(0)
WEIGHTS = {
    "conv.weight": RNG.standard_normal((6, 4, 3, 3)).astype(np.float32),
    "conv.bias": RNG.standard_normal(6).astype(np.float32),
    "fc.weight": RNG.standard_normal((5, 7)),
    "half.weight": RNG.standard_normal((3, 4)).astype(np.float16),
    "big.weight": RNG.standard_normal((3, 4)).astype(">f4"),
    "fortran.weight": np.asfortranarray(RNG.standard_normal((4, 5))),
    "steps": np.arange(3),
    "none": np.empty((0, 3), np.float32),
    "scalar": np.float32(2.0),
}
SAVE = {"stored": np.savez, "compressed": np.savez_compressed}


@pytest.fixture
def npz():
    return ByName(NpzLoader())


def content(checkpoint):
    specs = {layer.weight.name: layer.weight for layer in checkpoint.layers}
    specs |= {layer.bias.name: layer.bias for layer in checkpoint.layers if layer.bias}
    found = {}
    for name, spec in specs.items():
        with checkpoint.read(spec) as array:
            found[name] = array.copy()
    return found


@pytest.mark.parametrize("save", SAVE)
def test_what_numpy_saves_is_read_number_by_number(tmp_path, npz, save):
    SAVE[save](tmp_path / "net.npz", **WEIGHTS)
    checkpoint = npz.open(tmp_path / "net.npz")
    found = content(checkpoint)
    for name in WEIGHTS.keys() - {"steps"}:
        np.testing.assert_array_equal(found[name], WEIGHTS[name])
        assert found[name].dtype == np.asarray(WEIGHTS[name]).dtype.newbyteorder("<")
    assert [skipped.name for skipped in checkpoint.skipped] == ["steps"]
    assert npz.probe(tmp_path / "net.npz") > 0.5
    digests = {ww.analyze(tmp_path / "net.npz").digest, ww.analyze({**WEIGHTS, "scalar": np.array(2.0, "f")}).digest}
    assert len(digests) == 1


def test_stored_numbers_stay_in_the_file(tmp_path, npz):
    np.savez(tmp_path / "net.npz", **{"fc.weight": WEIGHTS["fc.weight"]})
    checkpoint = npz.open(tmp_path / "net.npz")
    place = checkpoint.locate(checkpoint.layers[0].weight)
    raw = (tmp_path / "net.npz").read_bytes()[place.offset : place.offset + place.nbytes]
    assert raw == WEIGHTS["fc.weight"].tobytes()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_of_its_own_has_the_name_of_its_file(tmp_path, npz, version):
    with (tmp_path / "fc.npy").open("wb") as file:
        np.lib.format.write_array(file, WEIGHTS["fc.weight"], version)
    (layer,) = npz.open(tmp_path / "fc.npy").layers
    assert (layer.name, layer.kind, layer.shape) == ("fc", "dense", (5, 7))


def test_what_has_no_numbers_is_listed_and_digested(tmp_path):
    path = tmp_path / "net.npz"

    def digest_with(**others):
        np.savez(path, **{"fc.weight": np.eye(3)}, **others)
        report = ww.analyze(path)
        assert not report.provisional
        return report.digest

    described = ww.describe(path) if path.exists() else None
    assert described is None
    texts = digest_with(labels=np.array(["a", "b"]))
    assert texts != digest_with(labels=np.array(["a", "c"]))
    objects = np.array([None, 1], object)
    digest_with(things=objects, pairs=np.zeros(2, [("a", "f4")]))
    reasons = {own.name: own.reason for own in ByName(NpzLoader()).open(path).skipped}
    assert reasons["things"] == "what it holds is objects of Python, pickled"
    assert reasons["pairs"].startswith("what it holds is of the dtype")


# --- what is wrong ---


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(tmp_path, npz, case):
    content, said = WRONG[case]
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(ww.SourceError) as error:
        npz.open(tmp_path / "net.npz")
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "net.npz"))
    assert "\n" not in str(error.value)


def test_a_size_that_the_directory_lies_about_is_refused(tmp_path, npz):
    content = bytearray(packed(header() + FOUR, zipfile.ZIP_DEFLATED))
    size = struct.pack("<I", len(header() + FOUR))
    for lie in (len(header() + FOUR) - 1, len(header() + FOUR) + 1):
        (tmp_path / "net.npz").write_bytes(bytes(content).replace(size, struct.pack("<I", lie)))
        with pytest.raises(ww.CorruptFileError, match="does not unpack to the"):
            npz.open(tmp_path / "net.npz")


def test_a_checksum_that_does_not_fit_is_refused_where_it_is_unpacked(tmp_path, npz):
    content = packed(header() + FOUR, zipfile.ZIP_DEFLATED)
    crc = struct.pack("<I", zipfile.ZipFile(io.BytesIO(content)).infolist()[0].CRC)
    (tmp_path / "net.npz").write_bytes(content.replace(crc, bytes(4)))
    with pytest.raises(ww.CorruptFileError, match="its checksum differs"):
        npz.open(tmp_path / "net.npz")


def test_a_stored_array_whose_checksum_does_not_fit_is_a_warning(tmp_path):
    content = bytearray(packed(header() + FOUR))
    content[content.index(header()) + len(header()) + 3] ^= 1
    (tmp_path / "net.npz").write_bytes(content)
    (warning,) = ww.analyze(tmp_path / "net.npz").warnings
    assert "checksum" in warning
    assert "entry 'fc.weight.npy'" in warning


@pytest.mark.parametrize("save", SAVE)
def test_no_mutant_raises_anything_else(tmp_path, npz, save):
    SAVE[save](tmp_path / "net.npz", **{name: WEIGHTS[name] for name in ("conv.bias", "fc.weight", "half.weight")})
    whole = (tmp_path / "net.npz").read_bytes()
    random = np.random.default_rng(7)
    read = 0
    for number in range(300):
        mutant = bytearray(whole[: random.integers(1, len(whole))] if number % 3 == 0 else whole)
        for place in random.integers(0, len(mutant), random.integers(1, 9)):
            mutant[place] = random.integers(0, 256)
        (tmp_path / "mutant.npz").write_bytes(mutant)
        assert 0 <= npz.probe(tmp_path / "mutant.npz") <= 1
        with contextlib.suppress(ww.SourceError):
            read += len(content(npz.open(tmp_path / "mutant.npz")))
    assert read > {"stored": 20, "compressed": 0}[save]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_many_equal_texts_are_listed_whatever_they_pack_to(tmp_path, npz, save):
    save(tmp_path / "net.npz", weight=np.eye(3), labels=np.array(["same"] * 150_000))
    checkpoint = npz.open(tmp_path / "net.npz")
    (labels,) = checkpoint.skipped
    with checkpoint.read_bytes(labels) as content:
        assert len(content) > 150_000


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_many_tiny_arrays_are_no_overlap(tmp_path, npz, save):
    save(tmp_path / "net.npz", **{f"w{number}": np.ones(1) for number in range(2_000)})
    assert len(npz.open(tmp_path / "net.npz").layers) == 2_000


def test_an_archive_of_too_many_arrays_is_said_to_be_one(tmp_path, npz):
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        for number in range(60):
            archive.writestr(f"{number:02}{'w' * 65_000}.npy", header() + FOUR)
            archive.filelist[-1].extra = b"\xff\xff" + struct.pack("<H", 65_000) + bytes(65_000)
            archive.filelist[-1].comment = b" " * 65_000
    with pytest.raises(ww.SourceError, match="its directory of 60 entries has more than 8,388,608 bytes") as caught:
        npz.open(tmp_path / "net.npz")
    assert "damaged" not in str(caught.value)

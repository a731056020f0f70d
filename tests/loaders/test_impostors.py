"""Files that are not what their suffix says are told for what they are."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from naming import ByName
from torch_files import (
    NUMBERS,
    Entry,
    zip_of,
)

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


WEB = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def zipped(*names):
    return zip_of(*(Entry(name.encode(), b"1") for name in names))


IMPOSTORS = {
    "gzip": (b"\x1f\x8b\x08\0" + bytes(20), "gzip compressed"),
    "bzip2": (b"BZh91AY&SY" + bytes(20), "bzip2 compressed"),
    "xz": (b"\xfd7zXZ\0\0\4" + bytes(20), "xz compressed"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd compressed"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(20), "lz4 compressed"),
    "tar": (b"data.pkl".ljust(257, b"\0") + b"ustar\x0000" + bytes(999), "a tar archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(99), "a GGUF file"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:" + bytes(99), "a model of ONNX"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
    "a NumPy array": (b"\x93NUMPY\1\0v\0{'descr'", "a NumPy array"),
    "SQLite": (b"SQLite format 3\0" + bytes(99), "an SQLite database"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "a web page": (WEB, "a web page"),
    "an answer of a bucket": (b"<?xml version='1.0'?><Error/>", "a web page"),
    "nothing": (b"", "the file is empty"),
    "zeros": (bytes(4096), "only zeros"),
    "text": ("keine Gewichte heute: schön\n".encode() * 30, "plain text"),
    "JSON": (b'{"error": "Repository not found"}', "seems to be JSON"),
    "tfjs": (np.linspace(-1, 1, 99).astype("<f4").tobytes(), "TensorFlow.js"),
    "Core ML": (b"\x02\0\0\0\x02\0\0\0" + bytes(56) + b"\xef\xbe\xad\xde" + bytes(60), "Core ML"),
    "safetensors": (struct.pack("<Q", 2) + b"{}", "a safetensors file"),
    "npz": (zipped("a.npy", "b.npy"), "NumPy's .npz"),
    "Keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "a model of Keras"),
    "SavedModel": (zipped("m/saved_model.pb", "m/variables/variables.index"), "SavedModel"),
    "mlpackage": (zipped("m/Manifest.json", "m/Data/com.apple.CoreML/weights/weight.bin"), "a model of Core ML"),
    "zipped weights": (zipped("model/net.safetensors"), "weight files in it"),
    "another zip": (zipped("a/b.txt"), "no file of torch.save"),
}


@pytest.mark.parametrize("suffix", ["bin", "pt", "pkl"])
@pytest.mark.parametrize("case", IMPOSTORS)
def test_a_file_that_is_not_what_its_suffix_says_is_told(case, suffix, tmp_path, loader):
    content, says = IMPOSTORS[case]
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ww.CorruptFileError) as caught:
        loader.open(path)
    message = str(caught.value)
    assert (caught.value.exit_code, path.name in message, message.isprintable()) == (3, True, True)
    assert says in message
    assert "damaged" not in message


@pytest.mark.parametrize(("name", "case"), [("net.gguf", "GGUF"), ("net.pt.gz", "gzip"), ("net", "zstd")])
def test_a_file_that_no_loader_claims_is_told_too(name, case, tmp_path):
    content, says = IMPOSTORS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ww.SourceError, match=f"no loader recognises it: it is .*{says}"):
        ww.describe(tmp_path / name)


def test_the_program_tells_it_and_ends_with_3(tmp_path, ww_program):
    (tmp_path / "model.bin").write_bytes(IMPOSTORS["gzip"][0])
    done = ww_program("analyze", str(tmp_path / "model.bin"))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "gzip compressed: run `gunzip` on it first" in done.stderr


def test_headers_of_safetensors_of_any_length_are_no_archives(tmp_path):
    """Their first bytes are a length, which may be that of gzip's magic number."""
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 96]}}).encode()
    for magic in (b"\x1f\x8b\0", b"\x42\x5a\x00"):
        length = int.from_bytes(magic, "little")
        (tmp_path / "net.safetensors").write_bytes(struct.pack("<Q", length) + header.ljust(length) + NUMBERS.tobytes())
        assert [layer.name for layer in ww.describe(tmp_path / "net.safetensors").layers] == ["fc"]

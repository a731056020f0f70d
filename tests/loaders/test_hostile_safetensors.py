"""Damaged and hostile files, made here: each is one SourceError that names file and fault, soon, in little memory."""

from __future__ import annotations

import json
import os
import socket
import time
import tracemalloc

import numpy as np
import pytest
from hostile.safetensors import FILES, FOUR, HEADERS, entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naming import ByName
from safetensors.numpy import save, save_file
from torch_files import in_zip
from torch_files import tensor as tensor_of_torch

import ww_core as ww
from ww_plugins.loaders.safetensors import SafetensorsLoader

INDEX = "model.safetensors.index.json"


def refused(loader, path, name):
    """Open ``path``, and return the sentence of its refusal, which names ``name``."""
    assert 0 <= loader.probe(path) <= 1
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(ww.SourceError) as caught:
            loader.open(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 20
    assert peak < 30e6
    message = str(caught.value)
    assert name in message
    assert message.isprintable()
    assert len(message.replace(str(path.parent), "")) < 600
    return message


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_lies(case, tmp_path, raw, loader):
    header, data, says = HEADERS[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw(header, data))
    message = refused(loader, path, "bad.safetensors")
    assert says in message
    with pytest.raises(ww.CorruptFileError):
        loader.open(path)


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_something_else(case, tmp_path, loader):
    content, says = FILES[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    assert loader.probe(path) == 0.1
    assert says in refused(loader, path, "bad.safetensors")


ORIGINAL_ZIP = in_zip({"fc.weight": tensor_of_torch()})
WHOLE = save({"a.weight": np.ones((16, 16), np.float32), "b": np.ones(3, np.float16)}, {"format": "np"})


@pytest.mark.parametrize("length", sorted({*range(0, len(WHOLE), len(WHOLE) // 19), 7, 8, 9, len(WHOLE) - 1}))
def test_a_file_cut_short(length, tmp_path, loader):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(WHOLE[:length])
    message = refused(loader, path, "bad.safetensors")
    assert "cut short" in message or "empty" in message


def test_a_large_sparse_header(tmp_path, loader):
    path = tmp_path / "bad.safetensors"
    with path.open("wb") as file:
        file.write((90_000_000).to_bytes(8, "little") + b"{")
        file.truncate(10**11)
    assert "more than 32,000,000 bytes besides the numbers" in refused(loader, path, "bad.safetensors")


def test_a_header_larger_than_any_models(tmp_path, loader, raw):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw(b'{"a":{"dtype":"F32","shape":[' + b"1," * 16_000_000 + b'1],"data_offsets":[0,4]}}', FOUR))
    assert "more than 32,000,000 bytes besides the numbers" in refused(loader, path, "bad.safetensors")


def test_more_tensors_than_any_models(tmp_path, loader, raw):
    entry = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw(b"{" + b",".join(entry % number for number in range(50_001)) + b"}"))
    with pytest.raises(ww.SourceError, match=r"bad\.safetensors: it has more than 50,000 tensors"):
        loader.open(path)


def test_a_shape_of_as_many_axes_as_can_be(tmp_path, loader, raw, contents):
    """It is read, and nothing of what is computed may stumble over it."""
    path = tmp_path / "odd.safetensors"
    path.write_bytes(raw({"a": entry(shape=(1,) * 64), "b": entry("F64", (1, 2), (4, 20))}, FOUR + bytes(16)))
    assert contents(loader.open(path))["a"] == ("float32", (1,) * 64, FOUR)
    report = ww.analyze(path)
    assert report.failures == ()


@pytest.mark.parametrize("front", [ORIGINAL_ZIP[:4], b""], ids=["a zip's magic", "nothing"])
def test_a_zip_behind_the_tensors_is_no_part_of_them(front, tmp_path, loader):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(front + WHOLE + ORIGINAL_ZIP)
    refused(loader, path, "bad.safetensors")


ORIGINAL = save({"fc.weight": np.arange(8, dtype=np.float32).reshape(4, 2), "fc.bias": np.ones(4, np.float16)})


@st.composite
def mutants(draw):
    content = bytearray(ORIGINAL)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        piece = draw(
            st.binary(min_size=1, max_size=3) | st.sampled_from([b'"', b"{", b"}", b"0", b"9", b",", b"-", b"F16"])
        )
        match draw(st.sampled_from(["set", "insert", "delete", "cut", "double"])):
            case "set":
                content[place : place + len(piece)] = piece
            case "insert":
                content[place:place] = piece
            case "delete":
                del content[place : place + len(piece)]
            case "cut":
                del content[place:]
            case "double":
                content += content[place : place + 60]
    return bytes(content)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutants())
def test_a_mutant_opens_or_is_refused(content, tmp_path, loader, contents):
    path = tmp_path / "mutant.safetensors"
    path.write_bytes(content)
    loader.probe(path)
    try:
        checkpoint = loader.open(path)
    except ww.SourceError as error:
        message = str(error)
    else:
        contents(checkpoint)
        return
    assert "mutant.safetensors" in message
    assert message.isprintable()


# What is no regular file.


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def terminal(path):
    path.symlink_to("/dev/tty")


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_RDONLY)
        try:  # by way of the folder, because the path of a socket must be short
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


def folder(path):
    path.mkdir()


def link_to_nothing(path):
    path.symlink_to("nothing")


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def absent(path):
    pass


SPECIAL = {
    pipe: "a named pipe",
    device: "a device",
    terminal: "a device",
    unix_socket: "a socket",
    folder: "holds no .safetensors file",
    link_to_nothing: "a symbolic link to",
    link_to_itself: "leads back to itself",
    link_to_a_pipe: "a named pipe",
    absent: "there is no such file",
}


@pytest.mark.parametrize("make", SPECIAL, ids=lambda make: make.__name__)
def test_what_is_no_regular_file(make, tmp_path, loader):
    path = tmp_path / "bad.safetensors"
    make(path)
    assert SPECIAL[make] in refused(loader, path, "bad.safetensors")
    assert loader.probe(path) == 0.1


@pytest.mark.parametrize("make", [make for make in SPECIAL if make is not absent], ids=lambda make: make.__name__)
def test_a_shard_that_is_no_regular_file(make, sharded, loader):
    shard = sharded / "model-00001-of-00002.safetensors"
    shard.unlink()
    make(shard)
    says = "a folder, not" if make is folder else SPECIAL[make]
    for source in [sharded, sharded / INDEX]:
        assert says in refused(loader, source, shard.name)
    (sharded / INDEX).unlink()
    assert says in refused(loader, sharded, shard.name)


@pytest.mark.parametrize("name", ["a\0b.safetensors", "x" * 3000 + ".safetensors"])
def test_a_name_no_file_can_have(name, tmp_path, loader):
    with pytest.raises(ww.SourceError, match="cannot be read"):
        loader.open(tmp_path / name)


# Folders and indices.


def test_an_empty_folder(tmp_path, loader):
    assert loader.probe(tmp_path) == 0.0
    assert "holds no .safetensors file" in refused(loader, tmp_path, tmp_path.name)


def test_several_files_and_no_index(tmp_path, loader):
    for name in ["one.safetensors", "two.safetensors"]:
        (tmp_path / name).write_bytes(ORIGINAL)
    message = refused(loader, tmp_path, "one.safetensors, two.safetensors")
    assert "name one" in message


def test_many_files_and_no_index(tmp_path, loader):
    for number in range(50):
        (tmp_path / f"{number}.safetensors").write_bytes(ORIGINAL)
    assert "4.safetensors, ..." in refused(loader, tmp_path, tmp_path.name)


def test_files_that_cannot_be_shown(tmp_path, loader):
    for name in ["a\x1b[2J.safetensors", "b\n.safetensors"]:
        (tmp_path / name).write_bytes(ORIGINAL)
    refused(loader, tmp_path, r"a\x1b[2J.safetensors")


def test_two_sets_of_shards_and_no_index(tmp_path, loader):
    for name in ["a-1-of-1.safetensors", "b-1-of-1.safetensors"]:
        (tmp_path / name).write_bytes(ORIGINAL)
    assert "several" in refused(loader, tmp_path, "a-1-of-1.safetensors")


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ("model-00001-of-00003", "model-00002-of-00003.safetensors, model-00003-of-00003.safetensors"),
        ("model-00003-of-00003", "model-00001-of-00003.safetensors, model-00002-of-00003.safetensors"),
        ("m-1-of-999999999", "m-2-of-999999999.safetensors, m-3-of-999999999.safetensors"),
        ("m-0-of-1", "m-1-of-1.safetensors"),
    ],
)
def test_shards_that_are_missing_are_named(present, missing, tmp_path, loader):
    (tmp_path / f"{present}.safetensors").write_bytes(ORIGINAL)
    assert "shards are missing" in refused(loader, tmp_path, missing)


def test_a_shard_too_many(tmp_path, loader):
    for name in ["m-1-of-1.safetensors", "m-2-of-1.safetensors"]:
        (tmp_path / name).write_bytes(ORIGINAL)
    assert "not within its count" in refused(loader, tmp_path, "m-2-of-1.safetensors")


def test_several_indices(sharded, loader):
    (sharded / "model.fp16.safetensors.index.json").write_text("{}")
    assert "several indices" in refused(loader, sharded, INDEX)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no weight_map"),
        ('{"weight_map": []}', "no weight_map"),
        ('{"weight_map": {}}', "names no tensors"),
        ('{"weight_map": {"a": 1}}', "no file name for tensor 'a'"),
        ('{"weight_map": {"a": null}}', "no file name for tensor 'a'"),
        ('{"weight_map": {"a": ["model.safetensors"]}}', "no file name for tensor 'a'"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "'a' stands twice"),
        ('{"weight_map": {}, "weight_map": {"a": "x"}}', "'weight_map' stands twice"),
        ('{"weight_map": {"a\\u0000b": "x.safetensors"}}', "such stand in no text"),
        ('{"weight_map": NaN}', "NaN is not a JSON number"),
        ('{"weight_map": ' + "[" * 100_000, "nested too deeply"),
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("<!doctype html>", "web page"),
        ('{"weight_map": {"a": "missing.safetensors"}}', "missing: missing.safetensors"),
        ('{"weight_map": {"a": "' + "x" * 3000 + '"}}', "missing: 'xxx"),
    ],
)
def test_an_index_that_is_wrong(text, says, sharded, loader):
    (sharded / INDEX).write_text(text)
    for source in [sharded, sharded / INDEX]:
        assert says in refused(loader, source, INDEX)


def test_an_index_that_is_not_text(sharded, loader):
    (sharded / INDEX).write_bytes(b'{"weight_map": {"\xff": "x"}}')
    assert "not UTF-8" in refused(loader, sharded, INDEX)


def test_an_index_that_is_too_large(sharded, loader):
    os.truncate(sharded / INDEX, 10**10)
    assert "more than 32,000,000 bytes besides the numbers" in refused(loader, sharded, INDEX)


def test_an_index_that_is_a_pipe(sharded, loader):
    (sharded / INDEX).unlink()
    os.mkfifo(sharded / INDEX)
    assert "a named pipe" in refused(loader, sharded, INDEX)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "inner/secret.safetensors",
        "inner/../secret.safetensors",
        "./secret.safetensors",
        "secret.safetensors/",
        "secret.safetensors/.",
        "..\\secret.safetensors",
        "C:secret.safetensors",
        "\\\\server\\share\\secret.safetensors",
        "secret\0.safetensors",
        "secret\n.safetensors",
        "..",
        ".",
        "",
    ],
    ids=ascii,
)
def test_an_index_that_leads_out_of_its_folder(name, sharded, loader):
    (sharded / "inner").mkdir()
    for place in [sharded, sharded.parent, sharded / "inner"]:
        (place / "secret.safetensors").write_bytes(ORIGINAL)
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"fc.weight": name, "fc.bias": name}}))
    for source in [sharded, sharded / INDEX]:
        assert "no plain name of a file beside it" in refused(loader, source, INDEX)


def test_links_that_lead_out_of_the_folder(sharded, loader):
    secret = sharded.parent / "secret.safetensors"
    shard = sharded / "model-00001-of-00002.safetensors"
    shard.rename(secret)
    shard.symlink_to("../secret.safetensors")
    assert "leads out of its folder" in refused(loader, sharded, shard.name)
    assert "leads out of its folder" in refused(loader, sharded / INDEX, shard.name)
    (sharded / INDEX).unlink()
    assert "leads out of its folder" in refused(loader, sharded, shard.name)


def test_an_only_file_that_leads_out_of_its_folder(tmp_path, loader):
    (tmp_path / "secret").write_bytes(ORIGINAL)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").symlink_to("../secret")
    message = refused(loader, tmp_path / "model", "model.safetensors")
    assert "name that file itself" in message
    assert len(loader.open(tmp_path / "model" / "model.safetensors").layers) == 1


@pytest.mark.parametrize("target", ["../../../blobs/x", "../../blobs/inner/x", "../../x", "../other/x", "../../../x"])
def test_a_snapshot_leads_to_its_own_blobs_only(target, tmp_path, loader):
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    secret = snapshot.joinpath(target).resolve()
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_bytes(ORIGINAL)
    (snapshot / "model.safetensors").symlink_to(target)
    assert "leads out of its folder" in refused(loader, snapshot, "model.safetensors")


def test_blobs_that_are_elsewhere(tmp_path, loader):
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x").write_bytes(ORIGINAL)
    (snapshot.parent.parent / "blobs").symlink_to(tmp_path / "private")
    (snapshot / "model.safetensors").symlink_to("../../blobs/x")
    assert "leads out of its folder" in refused(loader, snapshot, "model.safetensors")


def test_a_tensor_that_its_shard_does_not_hold(sharded, loader):
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["layer.2.weight"] = "model-00001-of-00002.safetensors"
    (sharded / INDEX).write_text(json.dumps(index))
    assert "places tensor 'layer.2.weight' in model-00001-of-00002.safetensors" in refused(loader, sharded, INDEX)


def test_a_tensor_in_two_shards(sharded, loader):
    first, second = sorted(sharded.glob("*.safetensors"))
    save_file({"layer.2.weight": np.ones(2, "f4"), "layer.10.weight": np.ones(2, "f4"), "steps": np.ones(2)}, second)
    message = refused(loader, sharded, second.name)
    assert "'layer.10.weight' is also in" in message
    assert first.name in message


def test_a_damaged_shard(sharded, loader):
    shard = sharded / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-3])
    assert "cut short" in refused(loader, sharded, shard.name)


def test_the_library_has_a_word_too(tmp_path, monkeypatch):
    """What only safetensors' own reader refuses is refused."""
    from ww_plugins.loaders import safetensors

    monkeypatch.setattr(safetensors, "_refusal_of_library", lambda file: "it does not like it")
    path = tmp_path / "bad.safetensors"
    path.write_bytes(ORIGINAL)
    assert "safetensors refuses it: it does not like it" in refused(
        ByName(SafetensorsLoader()), path, "bad.safetensors"
    )

"""Damaged and hostile files of Keras: each is one error of ww's, soon, in little memory; no other file is read."""

from __future__ import annotations

import io
import json
import resource
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_core.contracts.budget import LIMITS, Budget
from ww_core.loading.files import FileSource
from ww_core.sources.digests import tensors_of
from ww_plugins.loaders.keras.loader import KerasLoader

h5py = pytest.importorskip("h5py")

SECRET = np.arange(12, dtype="float32").reshape(3, 4)


@pytest.fixture
def loader():
    return ByName(KerasLoader())


def refused(loader, path):
    """Open and read all of a file, and return the sentence of its refusal."""
    assert 0 <= loader.probe(path) <= 1
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(ww.SourceError) as caught:
            read_all(loader, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 10
    assert peak < 60e6
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable()
    assert len(message.replace(str(path.parent), "")) < 600
    return message


def read_all(loader, path):
    with loader.open(path) as checkpoint:
        for spec in tensors_of(checkpoint):
            with checkpoint.read(spec) as array:
                array.tobytes()
        for spec in checkpoint.skipped:
            if spec.readable:
                with checkpoint.read_bytes(spec) as content:
                    content.tobytes()
        return checkpoint


def refusal(loader, path):
    """Read all of a file, and return what it is refused with; nothing if it is read."""
    try:
        read_all(loader, path)
    except ww.SourceError as error:
        return str(error)
    return ""


def weights(path, **kinds):
    """A file of Keras 3 with one layer of two variables."""
    with h5py.File(path, "w", **kinds) as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "fc"
        group.create_dataset("0", data=SECRET)
        group.create_dataset("1", data=SECRET[0])
    return path


def changed(path, change):
    weights(path)
    with h5py.File(path, "r+") as file:
        change(file["layers/dense/vars"], file)
    return path


def external_link(group, file):
    group["2"] = h5py.ExternalLink("other.h5", "/layers/dense/vars/0")


def soft_link(group, file):
    file["layers/again"] = h5py.SoftLink("/layers/dense")


def dangling_link(group, file):
    group["2"] = h5py.SoftLink("/nowhere")


def virtual(group, file):
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "layers/dense/vars/0", shape=(3, 4))
    group.create_virtual_dataset("2", layout)


def external_storage(group, file):
    group.create_dataset("2", shape=(12,), dtype="u1", external=[("secret.txt", 0, 12)])


def cycle(group, file):
    group["again"] = file["layers"]


def deep(group, file):
    for number in range(80):
        group = group.create_group(f"g{number}")


ESCAPES = {
    "external link": (external_link, "a link to another place or file"),
    "soft link": (soft_link, "a link to another place or file"),
    "dangling link": (dangling_link, "a link to another place or file"),
    "virtual dataset": (virtual, "in other files"),
    "external storage": (external_storage, "in other files"),
    "cycle": (cycle, "in another place of the file"),
    "deep": (deep, "nested deeper than 64"),
}


@pytest.mark.parametrize("how", ESCAPES)
def test_what_leads_elsewhere_is_refused(how, tmp_path, loader, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights(tmp_path / "other.h5")
    (tmp_path / "secret.txt").write_text("top secret!!")
    change, says = ESCAPES[how]
    assert says in refused(loader, changed(tmp_path / "n.h5", change))


def test_a_link_among_the_optimizer_s_variables_is_never_looked_at(tmp_path, loader):
    def change(group, file):
        file.create_group("optimizer")["vars"] = h5py.ExternalLink("other.h5", "/")

    assert [layer.name for layer in read_all(loader, changed(tmp_path / "n.h5", change)).layers] == ["fc"]


def test_two_names_of_a_dataset_are_tied(tmp_path, loader):
    def change(group, file):
        file.create_group("layers/embedding/vars")["0"] = group["0"]

    checkpoint = read_all(loader, changed(tmp_path / "n.h5", change))
    assert len(checkpoint.layers) == 2  # one is transposed, so they are not the same matrix


def huge(group, file):
    group.create_dataset("2", shape=(1 << 40,), dtype="f4", chunks=(1 << 10,))


def bomb(group, file):
    group.create_dataset("2", shape=(1 << 25,), dtype="f4", chunks=(1 << 20,), compression="gzip")
    group["2"][:] = 0


def huge_chunk(group, file):
    held = group.create_dataset("2", shape=(4,), maxshape=(None,), dtype="f4", chunks=(1 << 28,), compression="gzip")
    assert held.chunks


def unallocated(group, file):
    group.create_dataset("2", shape=(1 << 40,), dtype="f4")


def odd_filter(group, file):
    group.create_dataset("2", shape=(64,), dtype="i4", chunks=(64,), scaleoffset=4)


def lzf(group, file):
    group.create_dataset("2", data=SECRET, chunks=(3, 4), compression="lzf")


def half_of_the_chunks(group, file):
    group.create_dataset("2", shape=(8,), dtype="f4", chunks=(4,))[:4] = 1


def text(group, file):
    group.create_dataset("2", data=["a", "b"])


LISTED = {
    "4 TB, none stored": (huge, "not all of its numbers are stored"),
    "128 MB of zeros": (bomb, "claims 134,217,728 bytes"),
    "a chunk of 1 GB": (huge_chunk, "not all of its numbers are stored"),
    "4 TB in a row": (unallocated, "not all of its numbers are stored"),
    "a filter of a plugin": (odd_filter, "filter 6 of HDF5"),
    "a filter of h5py": (lzf, "filter 32000 of HDF5"),
    "half of the chunks": (half_of_the_chunks, "not all of its numbers are stored"),
    "texts": (text, "no numbers of a type"),
}


@pytest.mark.parametrize("how", LISTED)
def test_what_cannot_be_read_is_listed(how, tmp_path, loader):
    change, says = LISTED[how]
    began = time.monotonic()
    checkpoint = read_all(loader, changed(tmp_path / "n.h5", change))
    assert time.monotonic() - began < 5
    [tensor] = checkpoint.skipped
    assert (tensor.name, tensor.readable) == ("fc/2", False)
    assert says in tensor.reason
    assert [layer.name for layer in checkpoint.layers] == ["fc"]


def test_hdf5_of_somebody_else_is_told(tmp_path, loader):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["a"] = SECRET
    assert "none with the weights of a model of Keras" in refused(loader, tmp_path / "n.h5")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(2000)])
@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_what_is_no_such_file_is_refused(content, suffix, tmp_path, loader):
    path = tmp_path / f"n.{suffix}"
    path.write_bytes(content)
    refused(loader, path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_is_cut_short_is_refused(libver, tmp_path, loader):
    whole = weights(tmp_path / "w.h5", libver=libver).read_bytes()
    path = tmp_path / "n.h5"
    for part in range(40):
        path.write_bytes(whole[: len(whole) * part // 40])
        refused(loader, path)


# Archives


def archive(path, entries, **how):
    with zipfile.ZipFile(path, "w", **how) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def inside(tmp_path):
    return weights(tmp_path / "inside.h5").read_bytes()


CONFIGS = {
    "no JSON": (b"{", "is no JSON"),
    "deep": (b"[" * 200_000, "nested too deep"),
    "many values": (b"[" + b"0," * 1_100_000 + b"0]", "values in its JSON"),
    "twice": (b'{"a": 1, "a": 2}', "twice"),
    "no UTF-8": (b'{"a": "\xff\xfe"}', "no text in UTF-8"),
    "digits": (b'{"a": ' + b"9" * 9999 + b"}", "thousands of digits"),
}


@pytest.mark.parametrize("how", CONFIGS)
def test_configurations_that_are_none_are_refused(how, inside, tmp_path, loader):
    content, says = CONFIGS[how]
    path = archive(tmp_path / "n.keras", {"config.json": content, "model.weights.h5": inside})
    assert says in refused(loader, path)


@pytest.mark.parametrize("config", [[], 3, None, {"config": 3}, {"config": {"layers": [3, {"class_name": "Dense"}]}},
                                    {"config": {"layers": [{"class_name": "Conv2D", "config": {"name": "fc",
                                     "groups": -1, "equation": [1], "dim_ordering": {}}}]}},
                                    {"config": {"x": float("inf"), "layers": {"class_name": "EinsumDense",
                                     "config": {"name": "fc", "equation": "," * 500}}}}])  # fmt: skip
def test_odd_configurations_change_no_number(config, inside, tmp_path, loader):
    path = archive(tmp_path / "n.keras", {"config.json": json.dumps(config), "model.weights.h5": inside})
    [layer] = read_all(loader, path).layers
    assert (layer.name, layer.weight.shape, layer.groups) == ("fc", (4, 3), 1)


def test_archives_that_hide_something_are_refused(inside, tmp_path, loader):
    entries = {"config.json": "{}", "model.weights.h5": inside}
    packed = archive(tmp_path / "a.keras", entries, compression=zipfile.ZIP_DEFLATED)
    assert "compressed or encrypted" in refused(loader, packed)
    none = archive(tmp_path / "b.keras", {"config.json": "{}"})
    assert "no model.weights.h5" in refused(loader, none)
    two = archive(tmp_path / "c.keras", {**entries, "MODEL.weights.h5": inside})
    assert "names that some readers take for one" in refused(loader, two)
    path = archive(tmp_path / "d.keras", entries)
    whole = path.read_bytes()
    for part in range(20):
        path.write_bytes(whole[: len(whole) * part // 20])
        refused(loader, path)


def test_without_a_configuration_an_archive_is_read(inside, tmp_path, loader):
    path = archive(tmp_path / "n.keras", {"model.weights.h5": inside})
    assert [layer.name for layer in read_all(loader, path).layers] == ["fc"]


# Names


@pytest.mark.parametrize("how", ["long", "no UTF-8", "half a character", "long in total"])
def test_names_that_are_none_are_refused(how, tmp_path, loader):
    groups = {"no UTF-8": b"layers/\xff\xfe", "half a character": b"layers/\xed\xa0\x80"}
    with h5py.File(tmp_path / "n.h5", "w") as file:
        inner = file
        for _ in range(30 if how == "long in total" else 0):
            inner = inner.create_group("x" * 100)
        group = inner.create_group(groups.get(how, b"layers/dense") + b"/vars")
        group["0"] = SECRET
        group.attrs["name"] = "x" * 3000 if how == "long" else "fc"
    refused(loader, tmp_path / "n.h5")


def test_names_that_cannot_be_printed_are_kept(tmp_path, loader):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"], group.attrs["name"] = SECRET, "a\x1b[2J"
    assert [layer.name for layer in read_all(loader, tmp_path / "n.h5").layers] == ["a\x1b[2J"]


def test_layers_that_share_names_are_told_apart(tmp_path, loader):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        file["a/kernel"], file["a/W"], file["a/kernel:0"] = SECRET, SECRET, SECRET[:2]
        file["a/a/x/kernel"], file["a/x"], file["a/y"], file["a/a/y"] = SECRET, SECRET, SECRET, SECRET
    checkpoint = read_all(loader, tmp_path / "n.h5")
    names = [layer.name for layer in checkpoint.layers]
    assert len(names) == len(set(names)) == 7
    assert not checkpoint.warnings


# Budgets


def test_forms_that_keras_does_not_write_are_refused(tmp_path, loader):
    with h5py.File(tmp_path / "n.h5", "w", libver="latest") as file:
        for number in range(20):
            file[f"layers/dense_{number}/vars/0"] = SECRET
    assert "save it by Keras again" in refused(loader, tmp_path / "n.h5")


@pytest.mark.parametrize("what", ["tensors", "names", "text", "visits"])
def test_it_draws_on_the_budget(what, tmp_path):
    source = FileSource(weights(tmp_path / "n.h5"))
    source.budget = Budget(source.label, {**LIMITS, what: 0})
    with pytest.raises(ww.SourceError, match="it has more than 0"):
        KerasLoader().open(source)


def test_many_datasets_are_refused_soon(tmp_path, loader):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        for number in range(2000):
            group.create_dataset(str(number), data=np.float32(number))
    source = FileSource(tmp_path / "n.h5")
    source.budget = Budget(source.label, {**LIMITS, "tensors": 1000})
    began = time.monotonic()
    with pytest.raises(ww.SourceError, match="more than 1,000 tensors"):
        KerasLoader().open(source)
    assert time.monotonic() - began < 3


def test_long_lists_of_long_texts_are_not_made(tmp_path, loader):
    """Each of thousands of texts may be the same long one: that takes little room in a file, and much in memory."""
    with h5py.File(tmp_path / "n.h5", "w") as file:
        names = np.array(["x" * 100_000] * 50, dtype=object)
        file.attrs.create("layer_names", names, dtype=h5py.string_dtype())
        file["a/kernel"] = SECRET
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [layer.name for layer in read_all(loader, tmp_path / "n.h5").layers] == ["a"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# Mutations


def bases(tmp_path):
    yield weights(tmp_path / "a.h5").read_bytes(), "h5"
    yield weights(tmp_path / "b.h5", libver="latest").read_bytes(), "h5"
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"a", b"b"])
        file.attrs["model_config"] = json.dumps({"config": {"layers": []}})
        for name in ("a", "b"):
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0".encode()])
            group.create_dataset(f"{name}/kernel:0", data=SECRET.repeat(9, 0), compression="gzip", chunks=(9, 2))
    yield (tmp_path / "c.h5").read_bytes(), "h5"
    entries = {"config.json": "{}", "model.weights.h5": weights(tmp_path / "d.h5").read_bytes()}
    yield archive(io.BytesIO(), entries).getvalue(), "keras"


def mutated(content, random):
    content = bytearray(content)
    head = min(len(content), 6000)
    for _ in range(random.integers(1, 12)):
        place = int(random.integers(0, head if random.random() < 0.8 else len(content)))
        match random.integers(0, 4):
            case 0:
                content[place] = random.integers(0, 256)
            case 1:
                content[place] ^= 1 << random.integers(0, 8)
            case 2:
                number = (0, 1, 255, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)[random.integers(0, 9)]
                content[place : place + 8] = struct.pack("<Q", number)[: len(content[place : place + 8])]
            case _:
                other = int(random.integers(0, head))
                content[place : place + 8] = content[other : other + len(content[place : place + 8])]
    return bytes(content)


def test_mutations_are_read_or_refused(tmp_path, loader):
    random = np.random.default_rng(20)
    sound = list(bases(tmp_path))
    refusals = 0
    for number in range(600):
        content, suffix = sound[number % len(sound)]
        path = tmp_path / f"m.{suffix}"
        path.write_bytes(mutated(content, random))
        began = time.monotonic()
        said = refusal(loader, path)
        assert said.isprintable()
        if said:
            refusals += 1
            assert path.name in said
        assert time.monotonic() - began < 5, number
    assert 50 < refusals < 590

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
from hostile.keras import CONFIGS, ESCAPES, LISTED, NAMES, NO_FILES, SECRET, archive, changed, weights
from naming import ByName

import ww_core as ww
from ww_core.contracts.budget import LIMITS, Budget
from ww_core.loading.files import FileSource
from ww_core.sources.digests import tensors_of
from ww_plugins.loaders.keras.loader import KerasLoader

h5py = pytest.importorskip("h5py")


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


@pytest.mark.parametrize("content", NO_FILES)
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


@pytest.fixture
def inside(tmp_path):
    return weights(tmp_path / "inside.h5").read_bytes()


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


@pytest.mark.parametrize("how", NAMES)
def test_names_that_are_none_are_refused(how, tmp_path, loader):
    refused(loader, NAMES[how](tmp_path))


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

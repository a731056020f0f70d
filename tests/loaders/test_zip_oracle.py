"""PyTorch is the oracle: of every archive that both read, it gives the same tensors as ww, byte for byte."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("torch")

from naming import ByName
from test_mutated_pytorch import as_numbers, read_by_torch
from zip_mutants import mutant, originals, zip_of

import ww_core as ww
from ww_plugins.loaders.pytorch import weights_only
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

FIRST = int(os.environ.get("WW_FUZZ_SEED", "0"))
MANY = int(os.environ.get("WW_FUZZ_COUNT", "10000"))

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def no_exotic(monkeypatch):
    """A mutant that PyTorch must read apart would take seconds."""
    monkeypatch.setattr(weights_only, "load_apart", lambda file, names, under: {})


def compare(seeds, folder, contents):
    """Read every mutant twice, and return how many both read."""
    loader, path, both = ByName(PyTorchLoader()), folder / "mutant.pt", 0
    for seed in seeds:
        path.write_bytes(mutant(seed))
        try:
            checkpoint = loader.open(path)
        except ww.SourceError:
            continue
        read = contents(checkpoint)
        told = {spec.name for spec in (*checkpoint.skipped, *checkpoint.buffers)} | set(read)
        found = read_by_torch(path)
        if found is None:
            continue
        both += 1
        # An odd key, such as a tuple with a tensor in it, may have another name in Python.
        vanished, others = set(found) - told, told - set(found)
        assert len(vanished) <= len(others), f"seed {seed}: these vanish: {vanished}"
        for name in read.keys() & found.keys():
            assert read[name] == as_numbers(found[name]), f"seed {seed}: tensor {name} differs"
    return both


def test_200_archives_are_read_as_by_pytorch(tmp_path, contents):
    assert compare(range(FIRST, FIRST + 200), tmp_path, contents) > 40


@pytest.mark.stress
def test_many_archives_are_read_as_by_pytorch(tmp_path, contents):
    assert compare(range(FIRST, FIRST + MANY), tmp_path, contents) > MANY / 5


def test_the_archives_before_they_are_changed_are_read_by_both(tmp_path, contents):
    """Else their mutants would say little."""
    for entries in originals():
        (tmp_path / "net.pt").write_bytes(zip_of(*entries))
        read = contents(ByName(PyTorchLoader()).open(tmp_path / "net.pt"))
        found = read_by_torch(tmp_path / "net.pt")
        assert read
        assert read == {name: as_numbers(found[name]) for name in read}

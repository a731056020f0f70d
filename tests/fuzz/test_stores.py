"""Stores that somebody has changed: five hundred of them, and as many as one likes by `make fuzz`."""

from __future__ import annotations

import os
from random import Random

import pytest
import stores

from ww_core.errors import WWError
from ww_core.store.store import Store, open_store


def test_no_change_of_a_store_is_more_than_one_sentence():
    assert stores.run(250, seed=15, quick=0.4, slow=0.02) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(4))
def test_no_change_of_many_is_more_than_one_sentence(part):
    """FUZZ_STORES of them in four parts, by FUZZ_SEED."""
    count, seed = int(os.environ.get("FUZZ_STORES", "10000")), int(os.environ.get("FUZZ_SEED", "1"))
    assert stores.run(count // 4, seed=4 * seed + part, slow=0.1) == []


def test_changes_are_found(tmp_path, monkeypatch):
    """Most mutations do change what a store says, and a door that fails is told."""
    original = stores.Original(tmp_path)
    made = stores.mutations(original, 3)
    damaged = 0
    for mutation in (next(made) for _ in range(25)):
        mutation.apply(tmp_path / "store.sqlite")
        try:
            with open_store(tmp_path / "store.sqlite", mode="read") as store:
                damaged += bool(store.verify().faults)
        except WWError:
            damaged += 1
    assert damaged > 8

    def fails(_store):
        raise ValueError("as a door of ours")

    monkeypatch.setattr(Store, "versions", fails)
    unchanged = stores.Mutation("none", lambda path: original.change(path, "SELECT 1"))
    (failure,) = stores.failures_of(unchanged, tmp_path, Random(0), quick=1.0, slow=0.0)
    assert failure.door == "read 0"
    assert "as a door of ours" in failure.cause

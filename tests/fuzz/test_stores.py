"""Five hundred stores that somebody has changed; `run` of the module takes any number."""

from __future__ import annotations

from random import Random

import stores

from ww_core.errors import WWError
from ww_core.store.store import Store, open_store


def test_no_change_of_a_store_is_more_than_one_sentence():
    assert stores.run(500, seed=15, quick=0.4, slow=0.02) == []


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

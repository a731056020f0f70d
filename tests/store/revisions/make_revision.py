"""Make the file of this program's schema revision, and its export: both are kept here and upgraded by tests ever after.

    python tests/store/revisions/make_revision.py

Run it with the program of that revision, once its script in migrations/versions is final: the file and the digests of
all scripts go into the same commit. A script that has landed is never changed; another one follows it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

import ww_core as ww
from ww_core.domain.column import Column
from ww_core.domain.outcome import Outcome, State
from ww_core.store.migrate import SCHEMA_HEAD, scripts_folder
from ww_core.store.records import DerivationRecord
from ww_core.store.store import open_store

FOLDER = Path(__file__).parent
DIGESTS = FOLDER / "scripts.json"


def main() -> int:
    target = FOLDER / f"{SCHEMA_HEAD}.sqlite.xz"
    if target.exists():
        print(f"{target.name} is there already: remove it first, if revision {SCHEMA_HEAD} has not landed yet")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        with open_store(path) as store:
            fill(store)
            faults = store.verify().faults
        if faults:
            print(f"the store has faults: {faults}")
            return 1
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
        target.write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
        keep_export(path, Path(folder) / "export")
    DIGESTS.write_text(json.dumps(script_digests(), indent=2) + "\n")
    print(f"{target.name}: {target.stat().st_size:,} bytes")
    return 0


def keep_export(store: Path, folder: Path) -> None:
    """Keep the folder that `ww export` writes of the same store."""
    ww.export_folder(folder, store=store)
    with tarfile.open(FOLDER / f"{SCHEMA_HEAD}-folder.tar.xz", "w:xz", preset=9) as archive:
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(f"{SCHEMA_HEAD}-folder/{path.name}")
            member.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(member, file)


def script_digests() -> dict[str, str]:
    """Return the SHA-256 of every migration script by its revision, whatever the ends of its lines."""
    scripts = sorted((scripts_folder() / "versions").glob("[0-9]*.py"))
    return {
        path.name.partition("_")[0]: hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()
        for path in scripts
    }


def fill(store: ww.Store) -> None:
    """Store some of everything that a store holds."""
    for version, number in (("checkpoint-500", 1), ("checkpoint-1000", 2)):
        ww.analyze(network(number), store=store, name="net", version=version, series="nets")
    ww.analyze(network(3), store=store, name="größe ✓", version="1", extractors=["slice", "fft"])
    ww.analyze(network(3), store=store, name="another name", version="a", metrics=["alpha"], keep_spectra=False)
    ww.analyze(network(4), store=store, name="net", version="checkpoint-500b", parameters={"power_law.ks": "two-sided"})
    _say(store)
    _relate(store)


def network(number: int) -> dict[str, np.ndarray]:
    """A small network of which the first layer is the same whatever the number."""
    random, fixed = (np.random.Generator(np.random.Philox(seed)) for seed in (number, 0))
    return {
        "first.weight": fixed.standard_normal((12, 9)).astype(np.float32),
        "second.weight": random.standard_t(3, (10, 12)).astype(np.float32),
        "second.bias": random.standard_normal(10).astype(np.float32),
        "conv.weight": random.standard_normal((6, 5, 3, 3)).astype(np.float32),
        "zero.weight": np.zeros((4, 4), np.float32),
        "steps": np.arange(4),
    }


def _say(store: ww.Store) -> None:
    """Scores, a correction, series, and a table of others."""
    error = ww.Score("net", "top1_error", "digits", 12.5, "our test set", "checkpoint-500", "lower", "%", 11.0, 14.0)
    reported = ww.Score("VGG13", "top1_error", "ImageNet", 30.0, "a paper", better="lower", unit="%")
    store.add_scores([error, reported, error._replace(version="checkpoint-1000")], without_weights=True)
    store.add_scores([error._replace(value=12.25, low=None, high=None)], correct=True)
    store.add_scores([error._replace(value=12.0, unit="")], correct=True)
    store.add_to_series("vggs", ["VGG13"])
    store.add_to_series("nets", ["größe ✓"])
    alpha = ww.ReportedColumn("alpha", "paper:alpha", "1", "The exponent.", better="lower", caveat="not over depth")
    kind = ww.ReportedColumn("kind", "paper:kind", "1", "The kind of the layer.", type="text")
    rows = (
        ww.ReportedEntry("VGG11", {"alpha": Outcome.of(3.25), "kind": Outcome.of("conv")}, layer="features.0"),
        ww.ReportedEntry("VGG11", {"alpha": Outcome(State.NAN, reason="the table says nan")}, layer="features.3"),
        ww.ReportedEntry("VGG13", {"alpha": Outcome.of(2.5)}, version="bn"),
    )
    score = ww.Score("VGG11", "top1_error", "ImageNet", 31.0, "Table 2", better="lower", unit="%")
    with store.writing() as writer:
        writer.record_reported_table(
            ww.ReportedTable("Table 2", "a paper", (alpha, kind), rows, {"VGG11": ("vggs",)}, (score,))
        )


def _relate(store: ww.Store) -> None:
    """A derivation, a pair, and a table that a metric has of a subject."""
    digests = {f"{own.model}@{own.version}": own.digest for own in store.versions()}
    child, parent = digests["net@checkpoint-1000"], digests["net@checkpoint-500"]
    with store._reading() as connection:
        ask = connection.exec_driver_sql
        (first,), (second,) = ask("SELECT digest FROM subject WHERE kind = 'matrix' ORDER BY id LIMIT 2")
        (identity,) = ask("SELECT digest FROM identity WHERE kind = 'metric' ORDER BY id LIMIT 1").scalars()
    with store.writing() as writer:
        writer.record_derivation(DerivationRecord(child, (parent, "f" * 64), "x:prune", "1", {"by": 0.5}))
        writer.record_pair(first, second)
        columns = [Column("sigma", unit="weight"), Column("what", "text")]
        table = [{"sigma": Outcome.of(3.5), "what": Outcome.of("spike")}, {"sigma": Outcome(State.INF, reason="inf")}]
        writer.record_table(first, identity, columns, table)


if __name__ == "__main__":
    sys.exit(main())

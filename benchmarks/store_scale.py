"""How long questions take in a large store, and how large it is: the store's own writer fills it, views answer.

    python benchmarks/store_scale.py --values 200000 2000000
    python benchmarks/store_scale.py --values 2000000 20000000 --store postgresql://ww@localhost/ww

Models of 100 versions of 100 layers, no two alike, each with 16 values of its matrix and 4 of the layer, fill the store
up to each count of values in turn; their versions come in turn, as if all models were trained at once. Each version has
a score, and each model is in one of two series. Then questions about one of these models, and about all of them, are
timed, as best, median and first of a number of times. The store is new, and goes away unless it is named. A server is
told to ANALYZE first, as it does by itself after a while; SQLite is not.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import text

import ww_core as ww
from ww_core.domain.answer import RunEnd
from ww_core.domain.column import Column
from ww_core.domain.identity import digest_of, extractor_identity, quantity_identity
from ww_core.domain.layer import Layer, LayerKind, TensorSpec
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import Aggregate
from ww_core.domain.score import Score
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject
from ww_core.store.records import (
    CheckpointRecord,
    ColumnRecord,
    CoverageRecord,
    IdentityRecord,
    LabelRecord,
    Result,
    RunRecord,
    SelectionRecord,
)
from ww_core.store.store import Store, open_store

VERSIONS = 100
LAYERS = 100
SERIES = 2
LEAST = 3
"""Models of a series that a trend has a line of."""
SCOPES = {"alpha": "matrix", **{f"m{n}": "matrix" for n in range(15)}, **{f"l{n}": "layer" for n in range(4)}}
MODEL_METRIC = "log_prod"
VALUES = LAYERS * len(SCOPES) + 1
EXTRACTOR = extractor_identity("bench:matrix", "1", {})
IDENTITIES = {name: quantity_identity(f"bench:{name}", "1", {}, {}) for name in (*SCOPES, MODEL_METRIC)}
RECORDS = [
    IdentityRecord(EXTRACTOR, "extractor", "bench:matrix", "bench:matrix", "1", {}, {}, ""),
    *(
        IdentityRecord(
            digest, "metric", f"bench:{name}", f"bench:{name}", "1", {}, {}, "", (Column(name, better="lower"),)
        )
        for name, digest in IDENTITIES.items()
    ),
]
SELECTION = SelectionRecord(
    profile="bench:default",
    experiment=False,
    narrowed=False,
    layers=(),
    extractors={"other": [EXTRACTOR]},
    columns=[
        ColumnRecord(name, SCOPES.get(name, "model"), digest, name, "float", None)
        for name, digest in IDENTITIES.items()
    ],
)
QUESTIONS = {
    "v_metrics: a column of a model": "SELECT * FROM v_metrics WHERE model = :model AND column_name = 'alpha'",
    "v_metrics: a column of a version": "SELECT * FROM v_metrics"
    " WHERE model = :model AND version = '50' AND column_name = 'alpha'",
    "v_metrics: the history of a layer": "SELECT * FROM v_metrics"
    " WHERE model = :model AND layer = 'blocks.50' AND column_name = 'alpha' ORDER BY step, position",
    "v_metrics: all of a version": "SELECT * FROM v_metrics WHERE model = :model AND version = '50'",
    "v_values: a column of a version": "SELECT * FROM v_values"
    " WHERE model = :model AND version = '50' AND column_name = 'alpha'",
    "v_summaries: a mean of every version of all": "SELECT * FROM v_summaries"
    " WHERE column_name = 'alpha' AND aggregate = 'mean'",
    "v_models: every version of all": "SELECT * FROM v_models",
}


def record_version(store: Store, model: str, number: int, count: int = LAYERS) -> None:
    """Record a version of so many layers as an analysis does: everything that is asked of the store's writer here."""
    drawn = random.Random(f"{model}@{number}")
    name = f"{model}@{number}"
    layers = []
    for place in range(count):
        weight = TensorSpec(f"blocks.{place}.weight", "float32", (512, 256))
        layers.append((Layer(f"blocks.{place}", LayerKind.DENSE, weight), f"{drawn.getrandbits(256):064x}", ""))
    tensors = {digest: layer.weight for layer, digest, _ in layers}
    digest = digest_of("checkpoint", {"tensors": list(tensors)})
    checkpoint = CheckpointRecord(digest, False, count * 512 * 256, tensors, layers, ())
    label = LabelRecord(model, str(number), number, True, True, f"{name}.safetensors", "", "", "safetensors", {}, False)
    wholes = [LayerSubject("dense", 1, own) for own in tensors]
    matrices = [MatrixSubject(own, 1, "", EXTRACTOR, 0, 512, 256, 1) for own in tensors]
    names = [layer.name for layer, _, _ in layers]
    subject = ModelSubject.named(
        digest,
        [(own, whole.digest) for own, whole in zip(names, wholes, strict=True)],
        [(own, matrix.digest) for own, matrix in zip(names, matrices, strict=True)],
    )

    def outcomes(scope: str) -> dict[tuple[str, str], Outcome]:
        wanted = [own for own in IDENTITIES if SCOPES.get(own, "model") == scope]
        return {(IDENTITIES[own], own): Outcome(State.OK, drawn.gauss(4.0, 1.0)) for own in wanted}

    results = [
        *(Result(whole, outcomes=outcomes("layer")) for whole in wholes),
        *(Result(matrix, outcomes=outcomes("matrix")) for matrix in matrices),
        Result(subject, outcomes=outcomes("model")),
    ]
    covered = [CoverageRecord(own, "analyzed", "", "matrix", EXTRACTOR, True, 1, 512, 256) for own, _, _ in layers]
    means = {own: Aggregate(drawn.gauss(4.0, 1.0), 4.0, 1.0, 9.0, count, 0) for own in IDENTITIES}
    record = RunRecord("default", label.source, {}, "benchmark", RECORDS, SELECTION, covered)
    with store.writing() as writer:
        ref = writer.record_checkpoint(checkpoint, label).ref
        run = writer.begin_run(record, ref)
        writer.record_results(run, results, keep_spectra=False)
        writer.record_model(run, subject)
        writer.finish_run(run, RunEnd("done", count, 0, 1.0, (), ()))
        writer.record_summaries(run, means, ())


def record_scores(store: Store, models: Sequence[str]) -> None:
    """Record the series of models, and a score of each of their versions."""
    for model in models:
        store.add_to_series(f"series-{int(model.rpartition('-')[2]) % SERIES}", [model])
        drawn = random.Random(model)
        versions = range(1, VERSIONS + 1)
        store.add_scores(
            Score(model, "top1_error", "images", drawn.gauss(20.0, 2.0), "bench", str(number), "lower", "%")
            for number in versions
        )


def seconds(question: Callable[[], object], times: int) -> list[float]:
    """Wall times of a question, in order."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        question()
        found.append(time.perf_counter() - started)
    return found


def fill(store: Store, first: int, models: int) -> None:
    """Write so many models, their versions in turn."""
    for number in range(1, VERSIONS + 1):
        for own in range(first, first + models):
            record_version(store, f"model-{own}", number)
    record_scores(store, [f"model-{own}" for own in range(first, first + models)])


def size_of(store: Store) -> int:
    """Bytes of the database."""
    with store._reading() as connection:  # noqa: SLF001 - no question of the store's own
        if connection.dialect.name == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    return store.info().size or 0


def measure(location: str, model: str, times: int) -> dict[str, list[float]]:
    """Time everything that is asked about a model."""
    found = {"open_store": seconds(lambda: open_store(location).close(), times)}
    with open_store(location, mode="read") as store:

        def ask(query: str) -> object:
            with store._reading() as connection:  # noqa: SLF001 - as any program asks
                return connection.execute(text(query), {"model": model} if ":model" in query else {}).all()

        for name, query in QUESTIONS.items():
            found[name] = seconds(partial(ask, query), times)
        found["Store.report of a version"] = seconds(lambda: store.report(f"{model}@50"), times)
        for name, question in questions(store, model).items():
            found[name] = seconds(question, times)
    return found


def questions(store: Store, model: str) -> dict[str, Callable[[], object]]:
    """Return what people ask, by name; of all models unless it says so."""
    board = partial(ww.leaderboard, "alpha", store=store)
    line = partial(ww.trend, ["alpha"], "top1_error", store=store)
    own = {
        "ww.history of a model": partial(ww.history, model, store=store, metrics=["alpha"]),
        "ww.diff of two versions": partial(ww.diff, f"{model}@49", f"{model}@50", store=store),
        "ww.leaderboard": partial(board, replicates=0),
        "ww.leaderboard, intervals": board,
        "ww.leaderboard of all versions": partial(board, every_version=True, replicates=0),
        "ww.leaderboard of all versions, intervals": partial(board, every_version=True),
        "ww.trend": partial(line, replicates=0),
        "ww.trend, intervals": line,
        "ww.trend of all versions": partial(line, every_version=True, replicates=0),
        "ww.trend of all versions, intervals": partial(line, every_version=True),
    }
    few = len(store.series(f"series-{SERIES - 1}")) < LEAST if len(store.series()) > 1 else True
    return {
        name: question for name, question in own.items() if not (few and name in {"ww.trend", "ww.trend, intervals"})
    }


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", type=int, nargs="+", default=[200_000, 2_000_000], help="counts, rising")
    parser.add_argument("--store", help="path or URL of a store that is not there yet; default a temporary file")
    parser.add_argument("--times", type=int, default=5, help="how often each question is asked")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = options.store or str(Path(folder) / "store.sqlite")
        written = 0
        for count in options.values:
            models = max(1, round(count / VALUES / VERSIONS) - written)
            started = time.perf_counter()
            with open_store(location) as store:
                fill(store, written, models)
                rate = models * VERSIONS * VALUES / (time.perf_counter() - started)
                written += models
                with store._writing() as connection:  # noqa: SLF001 - as an administrator does
                    if connection.dialect.name == "postgresql":
                        connection.execute(text("ANALYZE"))
                values, size = written * VERSIONS * VALUES, size_of(store)
            print(f"\n{values:,} values: {size / values:.0f} bytes each, written at {rate:,.0f} a second")
            print(f"{'question':<46} {'best':>8} {'median':>8} {'first':>8}   (ms, of {options.times})")
            for name, found in measure(location, f"model-{written - 1}", options.times).items():
                told = (min(found), statistics.median(found), found[0])
                print(f"{name:<46}" + "".join(f" {1000 * own:>8.1f}" for own in told), flush=True)


if __name__ == "__main__":
    main()

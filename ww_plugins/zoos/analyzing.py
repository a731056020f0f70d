"""Analyse the networks of a zoo like any model, many one after another, in several processes."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.zoos.places import check_zoo_name
from ww_plugins.zoos.records import imported_weights, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ww_core.store.records import ScoreCounts

WORTH_A_PROCESS = 400
"""Networks that take longer than a process takes to begin."""

MOST_MODELS = 10_000_000
TASK = 16
"""Networks that a process analyses before it tells how far it is."""


@dataclass(frozen=True, slots=True)
class Analyses:
    """What came of analysing networks of a zoo.

    Attributes:
        name: Name of the zoo.
        analyzed: How many checkpoints were analysed now.
        stored: How many had been before.
        scores: How many of their scores were stored now.
        corrected: How many of them replaced another number.
        failures: What was lost to exceptions, a sentence each.
        notes: Sentences the user should see.
    """

    name: str
    analyzed: int
    stored: int
    scores: int
    corrected: int
    failures: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return asdict(self) | {"failures": list(self.failures), "notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every network; it goes to other processes.

    Attributes:
        folder: The folder of the zoo.
        name: Its name.
        store: Path or URL of the store.
        profile: Name of the profile.
        metrics: Metrics that replace the profile's selection.
        plugin_files: Python files with hooks.
    """

    folder: str
    name: str
    store: str
    profile: str = "default"
    metrics: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()


def analyze_zoo(
    zoo: ww.Zoo,
    asked: Asked,
    about: Mapping[str, Any],
    *,
    jobs: int = 0,
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analyses:
    """Analyse checkpoints of a zoo, as versions of the models of its networks, and give them its scores.

    What has an analysis of the whole profile already is left out; a run that was interrupted goes on by the same call.

    Args:
        zoo: The checkpoints.
        asked: What is asked of each.
        about: What ``zoo.json`` says.
        jobs: Processes; 0 for one per core, and fewer for few networks.
        registry: Loaded plugins, for this process.
        progress: Is told how many checkpoints are done, of how many.

    Raises:
        UsageError: A name is unknown; or the zoo's cannot be one in a store; or a name of a network stands on other
            weights, as after the zoo was trained anew. Then nothing is stored.
        StoreError: The store cannot be written.
    """
    check_zoo_name(zoo.name)
    with ww.open_store(asked.store) as store:
        _refuse_other_weights(store, zoo)
        done = set() if asked.metrics else analyzed_models(store, zoo.name, asked.profile)
        labels = list(zip(zoo.models, zoo.versions, zoo.networks.tolist(), strict=True))
        left = [(network, int(version)) for model, version, network in labels if (model, version) not in done]
        failures: list[str] = []
        for count, failed in _analyzed(store, left, asked, jobs, registry):
            failures += failed
            if progress is not None:
                progress(len(labels) - len(left) + count, len(labels))
        counts, notes = _give_scores(store, zoo, about)
    return Analyses(
        name=zoo.name,
        analyzed=len(left),
        stored=len(labels) - len(left),
        scores=counts.added,
        corrected=counts.corrected,
        failures=tuple(failures),
        notes=(*zoo.notes, *notes),
    )


def _refuse_other_weights(store: ww.Store, zoo: ww.Zoo) -> None:
    """Raise if a name of the zoo stands on other weights, analysed or imported.

    Raises:
        UsageError: It does.
    """
    analyzed = [(own.model, own.version, own.digest) for own in store.versions()]
    others = ww.on_other_weights(zoo, [*analyzed, *imported_weights(store, zoo.name)])
    if others:
        raise ww.UsageError(
            f"{others[0]} stands on other weights in this store, of another zoo {zoo.name}: import this one under "
            "another --name, or in the place of that one by `ww zoo import --replace`"
        )


def analyzed_models(store: ww.Store, name: str, profile: str) -> set[tuple[str, str]]:
    """Return model and version of the checkpoints of a zoo that have a complete analysis under a profile."""
    wanted, prefix = (text.replace("'", "''") for text in (profile, name))
    # Names of its models begin with NAME/, and "0" follows "/" in the order of characters.
    query = (
        f"SELECT DISTINCT model, version FROM v_summaries WHERE profile = '{wanted}' "  # noqa: S608 - quoted, read-only
        f"AND model >= '{prefix}/' AND model < '{prefix}0'"
    )
    answer = store.sql(query, seconds=600.0, rows=MOST_MODELS)
    return {(str(model), str(version)) for model, version in answer.rows}


def _analyzed(
    store: ww.Store, left: Sequence[tuple[int, int]], asked: Asked, jobs: int, registry: ww.Registry | None
) -> Iterator[tuple[int, list[str]]]:
    """Analyse checkpoints; yield how many are done, and what was lost, after each part."""
    parts = [left[at : at + TASK] for at in range(0, len(left), TASK)]
    workers = min(jobs or min(_cores(), 1 + len(left) // WORTH_A_PROCESS), len(parts))
    count = 0
    if workers < 2:
        for part in parts:
            for network, epoch in part:
                count += 1
                yield count, _analyze_one(store, network, epoch, asked, registry)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_leave_interrupts) as pool:
        try:
            tasks = {pool.submit(_analyze_part, part, asked): len(part) for part in parts}
            for task in concurrent.futures.as_completed(tasks):
                count += tasks[task]
                yield count, task.result()
        except BaseException:  # Ctrl-C too: what has not begun does not begin
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the process that gives out the work: what has begun comes to its end, and is stored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _analyze_part(part: Sequence[tuple[int, int]], asked: Asked) -> list[str]:
    """Analyse some checkpoints in a process of their own."""
    with ww.open_store(asked.store) as store:
        registry = _registry(asked.plugin_files)
        return [own for network, epoch in part for own in _analyze_one(store, network, epoch, asked, registry)]


@functools.cache
def _registry(files: tuple[str, ...]) -> ww.Registry:
    return ww.load_plugins(files=files)


def _analyze_one(store: ww.Store, network: int, epoch: int, asked: Asked, registry: ww.Registry | None) -> list[str]:
    report = ww.analyze(
        Path(asked.folder),
        store=store,
        loader=f"zoo[network={network},epoch={epoch}]",
        name=f"{asked.name}/{network:05d}",
        version=str(epoch),
        series=asked.name,
        profile=asked.profile,
        metrics=asked.metrics,
        jobs=1,
        registry=registry,
    )
    return [f"{report.model}@{report.version}: {failure}" for failure in report.failures]


def _give_scores(store: ww.Store, zoo: ww.Zoo, about: Mapping[str, Any]) -> tuple[ScoreCounts, list[str]]:
    """Give the analysed models the scores of the zoo; a model that shares its weights with another may have none.

    All networks of one seed begin with the same weights: of content that has two accuracies, neither is kept.
    """
    scores = list(scores_of(zoo, about))
    try:
        return store.add_scores(scores, correct=True, without_weights=True), []
    except ww.UsageError:
        pass
    digest_of = {(own.model, own.version): own.digest for own in store.versions()}
    values: dict[tuple[str, str], set[float]] = {}
    for own in scores:
        values.setdefault((digest_of.get((own.model, own.version), str(own.about)), own.name), set()).add(own.value)
    kept = [
        own for own in scores if len(values[digest_of.get((own.model, own.version), str(own.about)), own.name]) == 1
    ]
    note = f"{len(scores) - len(kept)} scores are of weights that several networks have, with other numbers: left out"
    return store.add_scores(kept, correct=True, without_weights=True), [note]

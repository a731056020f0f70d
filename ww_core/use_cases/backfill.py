"""Fill in what the metrics of today say of everything that is stored, without the weights."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ww_core.compute.execution import Execution
from ww_core.compute.memory import Memory
from ww_core.contracts.observer import RunObserver
from ww_core.domain.backfill import BackfillReport, NotRepeatable, Refill, WeightsNeeded
from ww_core.domain.globs import choose_layers
from ww_core.domain.name import texts_of
from ww_core.domain.request import Request
from ww_core.errors import NotStoredError, UsageError
from ww_core.planning.layers import plan_layers
from ww_core.planning.reach import Reach, reach_of
from ww_core.planning.records import identity_records, selection_record
from ww_core.planning.tasks import known_of, plan_tasks
from ww_core.planning.weights import stored_weights
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import Asked, Selection, pinned, profile_name, select, shortened
from ww_core.plugins.variants import find_device, ready_executor
from ww_core.store.store import Store, open_existing_store
from ww_core.use_cases.analysis_command import command_of
from ww_core.use_cases.analyze import observers_of
from ww_core.use_cases.model_metrics import model_subject
from ww_core.use_cases.run import Run, cores

if TYPE_CHECKING:
    from ww_core.compute.task import Known
    from ww_core.plugins.registry import Registry
    from ww_core.store.records import CheckpointRef, StoredRequest


def backfill(
    store: Store | str | os.PathLike[str],
    *,
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
    profile: str | None = None,
    jobs: int = 0,
    memory: int = 0,
    executor: str = "threads",
    plugins: Sequence[object] = (),
    plugin_files: Sequence[str] = (),
    registry: Registry | None = None,
    observers: Sequence[RunObserver] = (),
    on_version: Callable[[int, int], None] | None = None,
) -> BackfillReport:
    """Repeat every stored analysis with what is registered today, from stored values and spectra alone.

    What a metric that is new, or has a new version, says of old models is computed and stored as a run of its own
    wherever it follows from what is stored; the rest is listed with the command that computes it. A version that lacks
    nothing gets no run. Interrupted, it goes on where it was.

    Args:
        store: An open store, or the path or URL of one that exists.
        models: ``MODEL`` for every version of a model, ``MODEL@VERSION``, or the prefix of a digest; empty for
            everything that has a label.
        metrics: Metrics or columns to fill in, also those on request; empty for what each analysis asked for.
        profile: Name of the profile whose analyses are repeated; None for all.
        jobs: Workers; 0 for one per core that this process may use.
        memory: Bytes that it may take; 0 for half of what is available.
        executor: Name of the executor. One whose workers share no memory is replaced by threads.
        plugins: Modules or objects with hooks, besides those that are installed.
        plugin_files: Python files with hooks.
        registry: Loaded plugins, if they are loaded already.
        observers: Observers of each run.
        on_version: Called with the count of versions done and of all, before the first and after each.

    Returns:
        What was filled in, what needs the weights, and what cannot be repeated.

    Raises:
        UsageError: A metric or a profile is unknown.
        StoreError: The store is missing, cannot be opened or written, or a model is not in it.
    """
    if jobs < 0:
        raise UsageError(f"jobs={jobs} is negative: 0 takes one worker per core")
    if memory < 0:
        raise UsageError(f"memory={memory} is negative: 0 takes half of what is available")
    warnings: list[str] = []
    if registry is None:
        registry = load_plugins(files=plugin_files, objects=plugins)
        warnings += [f"plugin {info.name}: {problem.message}" for info, problem in registry.problems()]
    metrics = texts_of(metrics, "metrics")
    if metrics:
        select(registry, Request(metrics=metrics))  # a name that nothing carries is no matter of what is stored
    workers = ready_executor(registry, executor).object
    with ExitStack() as stack:
        opened = store if isinstance(store, Store) else stack.enter_context(open_existing_store(store))
        room = Memory(memory, jobs or cores())
        filler = _Filler(
            registry=registry,
            store=opened,
            metrics=metrics,
            profile=profile or "",
            profile_key="" if profile is None else registry.profiles.find(profile).key,
            execution=stack.enter_context(Execution(jobs or cores(), workers, find_device(registry, "cpu"), room)),
            observers=observers_of(registry, observers),
            warnings=warnings,
        )
        versions = filler.versions(texts_of(models, "models"))
        for done, version in enumerate(versions):
            if on_version:
                on_version(done, len(versions))
            filler.fill(version)
        if on_version:
            on_version(len(versions), len(versions))
        return filler.report(len(versions))


@dataclass(slots=True, eq=False)
class _Filler:
    """One backfill: what it was asked, and what came of it so far."""

    registry: Registry
    store: Store
    metrics: tuple[str, ...]
    profile: str
    profile_key: str
    execution: Execution
    observers: Sequence[tuple[str, RunObserver]]
    warnings: list[str]
    filled: list[Refill] = field(default_factory=list)
    needed: list[WeightsNeeded] = field(default_factory=list)
    broken: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    profiles: dict[str, str] = field(default_factory=dict)
    followed: set[Request] = field(default_factory=set)
    selected: Callable[[Request], Selection] = field(init=False)

    def __post_init__(self) -> None:
        self.selected = functools.cache(functools.partial(select, self.registry))  # most versions were asked the same

    def versions(self, names: Sequence[str]) -> list[CheckpointRef]:
        """Find the versions to look at, each once."""
        with self.store.reading() as reader:
            found = [ref for name in names or ("",) for ref in reader.find_versions(name)]
        return list(dict.fromkeys(found))

    def fill(self, ref: CheckpointRef) -> None:
        """Repeat what was ever asked under a name, in its order, so that the newest analysis stays the newest."""
        with self.store.reading() as reader:
            stored = reader.requests(ref) if reader.is_stored(ref) else []
        asked: dict[tuple[str, Request], list[StoredRequest]] = defaultdict(list)
        self.profiles |= {old.profile_key: old.profile for old in stored}
        for old in stored:
            if self.profile_key in {"", old.profile_key}:
                try:
                    request = pinned(self.registry, Request.of(old.content))  # by the names of today
                    asked[old.structure, self._narrowed(request)].append(old)
                except UsageError as error:
                    self.broken[str(error)].add(ref.digest)
        overtaken = False
        for (structure, request), before in reversed(asked.items()):
            overtaken |= self._repeat(ref, structure, request, before, overtaken=overtaken)

    def report(self, versions: int) -> BackfillReport:
        """Put together what came of it.

        Raises:
            NotStoredError: There are analyses, and none under the profile.
        """
        if self.profile and self.profiles and self.profile_key not in self.profiles:
            found = ", ".join(sorted(self.profiles.values()))
            raise NotStoredError(f"nothing was analysed under profile {self.profile!r}: there is {found}")
        return BackfillReport(
            versions=versions,
            filled=tuple(self.filled),
            needs_weights=tuple(self.needed),
            not_repeatable=tuple(NotRepeatable(reason, len(digests)) for reason, digests in self.broken.items()),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    def _narrowed(self, request: Request) -> Request:
        """Ask for the metrics to fill in, with those parameters that have an effect on them."""
        if not self.metrics:
            return request
        narrowed = replace(request, metrics=self.metrics, parameters=())
        nodes = self.selected(narrowed).nodes
        owners = [self.registry.quantities.find(key.rpartition(".")[0]).qualified for key, _ in request.parameters]
        kept = tuple(pair for pair, owner in zip(request.parameters, owners, strict=True) if owner in nodes)
        return replace(narrowed, parameters=kept)

    def _repeat(
        self,
        ref: CheckpointRef,
        structure: str,
        request: Request,
        before: Sequence[StoredRequest],
        *,
        overtaken: bool,
    ) -> bool:
        """Ask again what was asked before, as far as that says anything new; tell whether there is a new run.

        An analysis that is ``overtaken``, because an older one has a new run, gets one that is newer again.
        """
        try:
            repetition = self._plan(ref, structure, request, before[0])
        except UsageError as error:
            self.broken[str(error)].add(ref.digest)
            return False
        if repetition is None:
            return False
        if not repetition.is_due(before, overtaken=overtaken):
            self._follow(request)
            return False
        run = repetition.run
        with self.store.writing() as writer:
            if not writer.is_stored(ref):
                return False
            run.begin(writer, ref._replace(structure=structure))
        report = run.execute(repetition.reach.tasks, repetition.known)
        self.filled.append(
            Refill(ref.model, ref.version, run.asked.profile, run.opened.number, run.values, report.failures)
        )
        self.warnings += report.warnings
        return True

    def _follow(self, request: Request) -> None:
        """Let what is stored be called and described as a new run would have done."""
        if request not in self.followed:
            self.followed.add(request)
            with self.store.writing() as writer:
                writer.follow_identities(identity_records(self.selected(request), self.registry))

    def _plan(self, ref: CheckpointRef, structure: str, request: Request, old: StoredRequest) -> _Repetition | None:
        """Plan a repetition, and list what of it needs the weights; None if the checkpoint is not there any more."""
        selection = self.selected(request)
        with self.store.reading() as reader:
            if not reader.is_stored(ref):
                return None
            weights = stored_weights(reader.structure(structure), old.source)
            chosen = choose_layers(weights.layers, request.layers)
            planned = plan_layers(chosen, selection, weights.contents, self.execution.memory)
            failures = [failure for layer in planned for failure in layer.failures]
            if failures:
                self.broken[str(failures[0])].add(ref.digest)
                return None
            tasks, known = plan_tasks(reader, planned, selection, weights.stamps)
            model = model_subject(planned, weights.digest).digest
            known |= known_of(reader, [model], selection)
        reach = reach_of(tasks, planned, known.get(model, {}), selection)
        asked = dict.fromkeys(column.qualified for column in selection.columns)
        beyond = {qualified: len(reach.beyond[qualified]) for qualified in asked if qualified in reach.beyond}
        profile = profile_name(self.registry, request.profile)
        if beyond:
            owners = {qualified: self.registry.quantities[qualified] for qualified in beyond}
            metrics = {self.registry.quantities.display(own, own.name): beyond[name] for name, own in owners.items()}
            command = command_of(
                shortened(self.registry, request), old, ref, self.store.location, self.registry.plugin_files
            )
            self.needed.append(WeightsNeeded(ref.model, ref.version, profile, metrics, command))
        run = Run(
            asked=Asked(self.registry, request, _cut(selection, reach, known), profile),
            weights=weights,
            planned=planned,
            store=self.store,
            execution=self.execution,
            observers=self.observers,
        )
        return _Repetition(run, reach, known, is_whole=not beyond)


@dataclass(frozen=True, slots=True, eq=False)
class _Repetition:
    """An analysis that is planned anew: its run, which has not begun, and what can be had without the weights.

    ``is_whole`` says that nothing of what it asks for needs them.
    """

    run: Run
    reach: Reach
    known: Mapping[str, Known]
    is_whole: bool

    def is_due(self, before: Sequence[StoredRequest], *, overtaken: bool) -> bool:
        """Tell whether a run would say anything that the runs before it do not.

        Args:
            before: The stored requests that it repeats.
            overtaken: Whether an analysis that was older than these has a new run.
        """
        if not self.is_whole and all(old.shown is None for old in before):
            return False  # an analysis that never ended must not end with what it lacks
        if self.reach.tasks or self.reach.model:
            return True
        asked = selection_record(self.run.asked.selection, self.run.asked.request)
        variants = {asked.variant_of(column) for column in asked.columns}
        shown = frozenset[str]().union(*(old.shown or () for old in before))
        return bool(variants) and (overtaken or not variants <= shown)


def _cut(selection: Selection, reach: Reach, known: Mapping[str, Known]) -> Selection:
    """Leave out the columns of which there would not be one value, for want of weights."""
    there = {qualified for metrics in known.values() for qualified in metrics} | set(reach.model)
    for task in reach.tasks:
        there.update(task.missing, *(matrix.missing for matrix in task.matrices))
    kept = [own for own in selection.columns if own.qualified in there or own.qualified not in reach.beyond]
    return replace(selection, columns=tuple(kept))

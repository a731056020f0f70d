"""Analyse a source: from a path or an object to a report, with everything stored on the way."""

from __future__ import annotations

import functools
import operator
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ww_core.compute.execution import Execution
from ww_core.compute.memory import Memory
from ww_core.contracts.observer import RunObserver
from ww_core.contracts.source import Source
from ww_core.domain.column import Scope
from ww_core.domain.control import TRANSFORM, VERSION, Control
from ww_core.domain.globs import choose_layers
from ww_core.domain.name import check_name, texts_of
from ww_core.domain.report import AnalysisReport
from ww_core.domain.request import Request
from ww_core.domain.spectrum import PRECISIONS
from ww_core.errors import NothingToAnalyzeError, UnknownNameError, UsageError
from ww_core.planning.layers import NoPlan, plan_layers, plan_of
from ww_core.planning.stored_digests import StoredDigests
from ww_core.planning.tasks import plan_tasks
from ww_core.planning.weights import checkpoint_record, opened_weights
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import Selection, understood
from ww_core.plugins.variants import ready_device, ready_executor
from ww_core.sources.asked_layers import asked_layers
from ww_core.sources.control import controlled
from ww_core.sources.default_names import default_name, step_of
from ww_core.sources.digests import digest_checkpoint
from ww_core.sources.opening import close_checkpoint, find_source, open_checkpoint
from ww_core.store.records import DerivationRecord, LabelRecord
from ww_core.store.store import Store, open_store
from ww_core.use_cases.run import Run, cores

if TYPE_CHECKING:
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import Layer
    from ww_core.domain.spectrum import Precision
    from ww_core.plugins.registry import Registry
    from ww_core.store.writer import Writer


def analyze(
    source: object,
    *,
    store: Store | str | os.PathLike[str] | None = None,
    name: str | None = None,
    version: str | None = None,
    series: str | None = None,
    profile: str = "default",
    extractors: Sequence[str] = (),
    metrics: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    layers: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    splits: Mapping[str, int] | None = None,
    include_buffers: bool = False,
    seed: int = 0,
    jobs: int = 0,
    memory: int = 0,
    executor: str = "threads",
    device: str = "cpu",
    precision: Precision = "float64",
    control: str | None = None,
    loader: str | None = None,
    layout: str | None = None,
    keep_spectra: bool = True,
    rehash: bool = False,
    move_label: bool = False,
    label: bool = True,
    plugins: Sequence[object] = (),
    observers: Sequence[RunObserver] = (),
    registry: Registry | None = None,
    plugin_files: Sequence[str] = (),
) -> AnalysisReport:
    """Analyse the weights of a source and return what they say; all of it is in the store.

    Args:
        source: A path, a ``file:`` URI, or an object such as a dict of NumPy arrays.
        store: An open store, a path or URL, or None for one in memory that lives as long as the report.
        name: Name of the model; default what a person would call it: the file without its suffix, the folder of
            ``model.safetensors``, ``owner/name`` of a hub's snapshot, the folder above ``checkpoint-500``. A default
            that means another network in this store is refused.
        version: Its label; default the one these weights have, what the path tells (``checkpoint-500``), or the next
            integer.
        series: Family that the model belongs to.
        profile: Name of the profile.
        extractors: Variants such as ``"slice"`` that replace the profile's choice for convolutions.
        metrics: Metrics or columns that replace the profile's selection.
        parameters: Values by ``"metric.parameter"``.
        layers: Globs that select layers by name.
        groups: Count of groups by glob, for grouped convolutions whose source does not tell.
        splits: Count of equal blocks of rows by glob, for fused matrices: each block has a spectrum of its own, as the
            gates of a recurrent layer (4 of an LSTM, 3 of a GRU) or queries, keys and values (3).
        include_buffers: Analyse buffers too, each as a layer of its own.
        seed: Random seed.
        jobs: Workers; 0 for one per core that this process may use.
        memory: Bytes that the analysis may take; 0 for half of what is available. What a layer would take is told from
            its header, and where it is more, nothing of it is allocated: it is among the failures.
        executor: Name of the executor.
        device: Where spectra are made: ``"cpu"``, or a device of torch's: ``"cuda"``, ``"cuda:1"``, and ``"torch"`` for
            its own routines on the CPU. In float64 the numbers agree to 1e-10 of the largest eigenvalue.
        precision: ``"float32"`` for spectra in single precision: faster, results of their own, and nothing is told
            apart below about 3e-4 sqrt(N) of the largest singular value.
        control: ``"permuted"`` or ``"random"``: analyse, in place of the network, the same with all elements of each
            tensor permuted, or one of the same shapes with weights drawn anew. It is stored as ``NAME~permuted`` or
            ``NAME~random``, under the version of the network; another ``seed`` gives another control.
        loader: Name of the loader; default the one that recognises the source.
        layout: In which order the axes of weights are stored, of a loader that has this option: ``pytorch``, ``mlx``,
            ``flax`` or ``keras``; default what the source tells.
        keep_spectra: Store the spectra, so that metrics can be added later without the weights.
        rehash: Read every tensor again, even of a file that looks unchanged.
        move_label: Let ``version`` leave other weights that it stands on.
        label: Give the weights a name. Without one, results are stored by content, and a digest asks for them.
        plugins: Modules or objects with hooks, besides those that are installed.
        observers: Observers of this run.
        registry: Loaded plugins, if they are loaded already.
        plugin_files: Python files with hooks.

    Returns:
        The report; what was lost to exceptions is in its ``failures``.

    Raises:
        UsageError: A name, parameter or label cannot be used.
        SourceError: The source cannot be read, or holds nothing that can be analysed.
        StoreError: The store cannot be opened or written.
    """
    request = Request(
        profile=profile,
        extractors=texts_of(extractors, "extractors"),
        metrics=texts_of(metrics, "metrics"),
        parameters=tuple((key, _plain(value)) for key, value in (parameters or {}).items()),
        layers=texts_of(layers, "layers"),
        groups=tuple((glob, int(count)) for glob, count in (groups or {}).items()),
        splits=tuple((glob, int(count)) for glob, count in (splits or {}).items()),
        include_buffers=bool(include_buffers),
        seed=_whole(seed),
        precision=precision,
        control="" if control is None else str(control),
    )
    for option, text in {"--name": name, "--version": version, "--series": series}.items():
        if text is not None:
            check_name(option, text)
            if not label:
                raise UsageError(f"{option} {text} is a name, and label=False sets none: leave one of them out")
    for option, text in {
        "profile": profile,
        "executor": executor,
        "control": control,
        "loader": loader,
        "layout": layout,
    }.items():
        if text == "":
            raise UsageError(f"{option} is empty: name one, or leave it out")
    asked_control = None if control is None else Control(request.control, request.seed)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", str(precision), PRECISIONS)
    if jobs < 0:
        raise UsageError(f"jobs={jobs} is negative: 0 takes one worker per core")
    if memory < 0:
        raise UsageError(f"memory={memory} is negative: 0 takes half of what is available")
    warnings: list[str] = []
    if registry is None:
        registry = load_plugins(files=plugin_files, objects=plugins)
        warnings += [f"plugin {info.name}: {problem.message}" for info, problem in registry.problems()]
    asked = understood(registry, request)
    workers = ready_executor(registry, executor).object
    spectra_on = ready_device(registry, device)
    with ExitStack() as stack:
        found = find_source(source, registry)
        checkpoint, loader_name = open_checkpoint(found, registry, loader or "", layout or "")
        stack.callback(close_checkpoint, checkpoint)
        network, checkpoint = checkpoint, controlled(checkpoint, loader_name, request)
        asked_for = asked_layers(checkpoint, request)
        chosen = choose_layers(asked_for, request.layers)
        _refuse_nothing(found, checkpoint, chosen, asked.selection)
        opened = store if isinstance(store, Store) else open_store(store)
        if opened is not store and not opened.in_memory:  # one in memory lives as long as the report
            stack.enter_context(opened)
        room = Memory(memory, jobs or cores())
        execution = stack.enter_context(Execution(jobs or cores(), workers, spectra_on, room))
        started = time.perf_counter()
        known_digests = StoredDigests(opened)
        digested = functools.partial(
            digest_checkpoint,
            memory=known_digests,
            loader=loader_name,
            rehash=rehash,
            jobs=min(execution.jobs, cores()),
            most_bytes=room.limit,
        )
        of_network = digested(network)
        digests = digested(checkpoint) if asked_control else of_network
        weights = opened_weights(found, checkpoint, loader_name, asked_for, digests)
        run = Run(
            asked=asked,
            weights=weights,
            planned=plan_layers(chosen, asked.selection, weights.contents, room),
            store=opened,
            execution=execution,
            observers=observers_of(registry, observers),
            keep_spectra=keep_spectra,
            started=started,
            warnings=[*warnings, *checkpoint.warnings, *dict.fromkeys([*of_network.warnings, *digests.warnings])],
        )
        record = checkpoint_record(weights, digests)
        options = _options(request, loader_name)
        with opened.writing() as writer:
            if label:
                named = _label_record(found, checkpoint.format, options, name, version, move=move_label)
                if asked_control:
                    of_which = asked_layers(network, request)
                    named = _control_label(writer, named, asked_control, of_network.checkpoint, of_which)
                ref, notice = writer.record_checkpoint(record, named)
                run.warnings += [notice] if notice else []
                if series is not None:
                    writer.record_members(series, [named.model])
            else:
                ref = writer.record_unlabelled(record)
            if asked_control:
                made = (TRANSFORM, VERSION, asked_control.parameters)
                writer.record_derivation(DerivationRecord(weights.digest, (of_network.checkpoint,), *made))
            run.begin(writer, ref)
        try:
            with opened.reading() as reader:
                tasks, known = plan_tasks(reader, run.planned, asked.selection, weights.stamps)
        except BaseException:
            run.interrupt()
            raise
        return run.execute(tasks, known)


def observers_of(registry: Registry, observers: Sequence[RunObserver]) -> list[tuple[str, RunObserver]]:
    """Return everybody's observers, those of plugins with the plugin's name."""
    return [*((owned.plugin, owned.object) for owned in registry.observers), *(("", own) for own in observers)]


def _options(request: Request, loader: str) -> dict[str, Any]:
    """Return what chose the layers that a label stands on."""
    options: dict[str, Any] = {"groups": sorted(map(list, request.groups)), "loader": loader}
    options |= {"splits": sorted(map(list, request.splits))} if request.splits else {}
    return options | ({"include_buffers": True} if request.include_buffers else {})


def _whole(seed: object) -> int:
    """Return a seed as Python's integer.

    Raises:
        UsageError: It is not a whole number.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise UsageError(f"seed {seed!r} is not a whole number")
    return operator.index(seed)


def _plain(value: Any) -> Any:
    """A parameter as plain Python, which a scalar of NumPy's is not."""
    return value.item() if hasattr(value, "item") else value


def _label_record(
    source: Source,
    source_format: str,
    options: Mapping[str, Any],
    name: str | None,
    version: str | None,
    *,
    move: bool,
) -> LabelRecord:
    """Return the label that a person gave, or would give, to the weights of a source."""
    default = default_name(source)
    return LabelRecord(
        model=default.model if name is None else name,
        version=default.version if version is None else version,
        step=default.step if version is None else step_of(version),
        model_is_given=name is not None,
        version_is_given=version is not None,
        source=source.label,
        location=source.location,
        home=default.home,
        format=source_format,
        options=options,
        move=move,
    )


def _control_label(
    writer: Writer, network: LabelRecord, control: Control, digest: str, layers: Sequence[Layer]
) -> LabelRecord:
    """Return the label of the control of a network: the network's own, after the mark of the control.

    A name that a person gives, and that this control has in the store, is the control's own.

    Args:
        writer: Reads which version the network is.
        network: The label that the network would get.
        control: The control.
        digest: Content address of the network.
        layers: Layers of the network.

    Raises:
        UsageError: The name is too long.
    """
    if network.model_is_given and writer.control_of_model(network.model) == control.label:
        model = network.model
    else:
        model = (control.name_of if network.model_is_given else control.default_name_of)(network.model)
    check_name("the name of the control", model)
    options = {**network.options, "control": control.label}
    record = network._replace(model=model, options=options)
    if network.version:
        return record
    version = writer.version_of_control(control.network_of(network.model), model, digest, layers)
    return record._replace(version=version, step=step_of(version), version_is_given=True)


def _refuse_nothing(source: Source, checkpoint: Checkpoint, layers: Sequence[Layer], selection: Selection) -> None:
    """Raise if nothing in the source can be analysed.

    Raises:
        NothingToAnalyzeError: The message lists what was found.
    """
    reasons = []
    if selection.wanted(Scope.MATRIX):
        for layer in layers:
            for variant in selection.extractors[layer.kind]:
                plan = plan_of(layer, variant)
                if not isinstance(plan, NoPlan):
                    return
                reasons.append(f"{layer.name} {_shape(layer.shape)} ({plan.reason})")
    elif layers:
        return
    reasons += [f"{tensor.name} {_shape(tensor.shape)} ({tensor.reason})" for tensor in checkpoint.skipped]
    reasons += [f"{spec.name} {_shape(spec.shape)} (a buffer)" for spec in checkpoint.buffers]
    shown = "; ".join(reasons[:8]) + (f"; and {len(reasons) - 8} more" if len(reasons) > 8 else "")
    said = "".join(f"; {warning}" for warning in checkpoint.warnings)
    found = shown or "no tensor at all"
    raise NothingToAnalyzeError(f"{source.label}: nothing in it can be analysed; found: {found}{said}")


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"

"""The command that analyses again, from the weights, what is stored."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.domain.request import Request
from ww_core.errors import NotStoredError
from ww_core.sources.opening import is_object_label
from ww_core.store.default_location import default_location
from ww_core.store.engine import Location

if TYPE_CHECKING:
    from ww_core.store.records import CheckpointRef, StoredRequest
    from ww_core.store.store import Store


def analysis_command(
    store: Store,
    model: str,
    metrics: Sequence[str],
    *,
    profile: str | None = None,
    extractors: Sequence[str] | None = None,
    seed: int | None = None,
) -> str:
    """Return the command that computes metrics of a stored version from its weights, for a sentence that proposes it.

    It reads the source of the newest analysis, with the options that chose layers and numbers: loader, groups, blocks,
    buffers, extractors, control, seed, precision. All layers are covered.

    Args:
        store: An open store.
        model: ``MODEL``, ``MODEL@VERSION`` or a digest prefix.
        metrics: Metrics or columns.
        profile: Name of the profile; None for the newest analysis's.
        extractors: Variants in place of those that were asked for; None for the same.
        seed: Seed of everything random; None for the same.

    Raises:
        NotStoredError: Nothing carries the name, or it has no analysis under the profile.
        UsageError: A newer program asked for that analysis.
        StoreError: The database could not be read.
    """
    with store.reading() as reader:
        ref = reader.find(model)
        stored = reader.requests(ref)
    old = next((own for own in stored if profile in {None, own.profile}), None)
    if old is None:
        raise NotStoredError(f"{model}: nothing was analysed under profile {profile!r}")
    request = replace(Request.of(old.content), profile=old.profile, metrics=tuple(metrics), parameters=(), layers=())
    if extractors is not None:
        request = replace(request, extractors=tuple(extractors))
    if seed is not None:
        request = replace(request, seed=seed)
    return command_of(request, old, ref, store.location)


def command_of(
    request: Request, old: StoredRequest, ref: CheckpointRef, location: str, plugin_files: Sequence[str] = ()
) -> str:
    """Return the command that does the whole of a request, from the weights.

    Args:
        request: What is asked.
        old: What was asked before: tells source and loader.
        ref: What it was asked of; its name is given to the weights.
        location: Of the store.
        plugin_files: Files with plugins that it needs.
    """
    plain = Request()
    words = ["ww", *(word for file in plugin_files for word in ("--plugin", file)), "analyze"]
    source = old.source
    words.append("FILE" if is_object_label(source) else f"./{source}" if source.startswith("-") else source)
    words += ["--loader", old.loader] if "[" in old.loader else []  # its options chose what was read
    if ref.model:
        words += ["--name", ref.model, "--version", ref.version]
    if request.profile != plain.profile:
        words += ["--profile", request.profile]
    for option, names in (("--extractor", request.extractors), ("--metrics", request.metrics)):
        words += [option, ",".join(names)] if names else []
    pairs = [("--param", *pair) for pair in request.parameters]
    pairs += [("--groups", *pair) for pair in request.groups] + [("--split", *pair) for pair in request.splits]
    words += [word for option, key, value in pairs for word in (option, f"{key}={value}")]
    words += [word for glob in request.layers for word in ("--layers", glob)]
    words += ["--control", request.control] if request.control else []
    words += ["--include-buffers"] if request.include_buffers else []
    if request.seed != plain.seed:
        words += ["--seed", str(request.seed)]
    if request.precision != plain.precision:
        words += ["--precision", request.precision]
    if location not in {str(Location()), str(Location.of(default_location()))}:
        words += ["--store", location]
    return shlex.join(words)

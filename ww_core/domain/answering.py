"""Which of its runs answers for a checkpoint: rules, on what is stored of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from ww_core.errors import NotStoredError, near_names


class AnsweringRun(NamedTuple):
    """A run, and what decides whether it answers.

    Attributes:
        number: Its number.
        state: ``done``, ``running`` or ``interrupted``.
        selection: Digest of its selection.
        profile: What its profile was called.
        profile_key: Permanent key of the profile.
        experiment: Whether something in it is no variant of the profile's own.
        narrowed: Whether only some metrics or layers were asked for.
        layers: The globs that chose layers, as stored.
        structure: Digest of the structure that it speaks of.
        started_at: When it began: UTC, ISO 8601.
    """

    number: int
    state: str
    selection: str
    profile: str
    profile_key: str
    experiment: bool
    narrowed: bool
    layers: str
    structure: str
    started_at: str


class Shown(NamedTuple):
    """A column that a selection shows: digest of the variant; identity, key and type of its column, of any matrices."""

    variant: str
    column: tuple[str, ...]


def in_order(runs: Iterable[AnsweringRun]) -> list[AnsweringRun]:
    """Put the run first that is to be shown first.

    That is the newest: the one that began last, for a number tells only when a run came into this store. After all
    others come those that did not end; before them those whose variants are not the profile's own; before these, those
    that asked for some metrics or layers only.
    """
    newest_first = sorted(runs, key=lambda run: (run.started_at, run.number), reverse=True)
    return sorted(newest_first, key=lambda run: (run.state != "done", run.experiment, run.narrowed))


def of_profile(runs: Sequence[AnsweringRun], name: str, profile: str) -> Sequence[AnsweringRun]:
    """Return those runs, in order, that were made under a profile; all of them for an empty one.

    Args:
        runs: The runs.
        name: What they speak of.
        profile: Name or permanent key of the profile.

    Raises:
        NotStoredError: There is none; the message lists what there is.
    """
    if not runs:
        raise NotStoredError(f"no analysis of {name} is stored: `ww analyze SOURCE` makes one")
    named = [run for run in runs if not profile or profile in {run.profile, run.profile_key}]
    if not named:
        profiles = ", ".join(sorted({run.profile for run in runs}))
        raise NotStoredError(f"{name} was never analysed under profile {profile!r}: there is {profiles}")
    return named


def showing(
    runs: Sequence[AnsweringRun], name: str, variant: str, labels: Mapping[str, Set[str]]
) -> Sequence[AnsweringRun]:
    """Return those runs that show a column or an extractor.

    Args:
        runs: The runs.
        name: What they speak of.
        variant: Label of the column or the extractor, such as ``alpha[ks=two-sided]``.
        labels: All that their selections show, by digest of the selection.

    Raises:
        NotStoredError: There is none; the message lists near ones.
    """
    found = [run for run in runs if variant in labels[run.selection]]
    if not found:
        known = {label for own in labels.values() for label in own if label}
        near = near_names(variant, known) or sorted(label for label in known if "[" in label)
        hint = f"did you mean {', '.join(near)}?" if near else "every run shows the profile's own variants"
        raise NotStoredError(f"no run of {name} shows {variant!r}: {hint}")
    return found


def likest(
    first: Sequence[AnsweringRun], second: Sequence[AnsweringRun], shown: Mapping[str, Set[Shown]]
) -> tuple[AnsweringRun, AnsweringRun]:
    """Return the runs of two checkpoints that have most variants in common, of equal ones those over the same layers.

    Where there is still a choice, those that are to be shown first.

    Args:
        first: Runs of one, in order, at least one.
        second: Runs of the other.
        shown: What their selections show, by digest of the selection.
    """

    def likeness(pair: tuple[AnsweringRun, AnsweringRun]) -> tuple[float, bool, float]:
        new, old = (shown[run.selection] for run in pair)
        columns = [{own.column for own in variants} for variants in (new, old)]
        variants = [{own.variant for own in variants} for variants in (new, old)]
        return _shared(*variants), pair[0].layers == pair[1].layers, _shared(*columns)

    new, old = max(itertools.product(_one_of_each_selection(second), _one_of_each_selection(first)), key=likeness)
    return old, new


def _one_of_each_selection(runs: Sequence[AnsweringRun]) -> list[AnsweringRun]:
    """Of runs that say the same of a checkpoint, the first."""
    first: dict[str, AnsweringRun] = {}
    for run in runs:
        first.setdefault(run.selection, run)
    return list(first.values())


def _shared(one: Set[Any], other: Set[Any]) -> float:
    """The part of all that both have."""
    return len(one & other) / len(one | other) if one or other else 1.0

"""Runs as the store tells of them: what was asked and when, and what each extractor made of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One analysis of one checkpoint under one profile.

    Attributes:
        number: Its number in this store, as in ``ww show MODEL --run NUMBER``.
        state: ``done``, ``running`` or ``interrupted``.
        profile: What its profile was called.
        source: Name of the source.
        asked: What was asked, as plain data: ``profile``, ``extractors``, ``metrics``, ``parameters``, ``layers``,
            ``groups``, ``seed``, ``precision``. Names are ``plugin:name``; what is empty or left out is the profile's
            own.
        experiment: Whether something in it is no variant of the profile's own.
        narrowed: Whether only some metrics or layers were asked for.
        started_at: When it began: UTC, ISO 8601.
        finished_at: When it ended; None if that is not known.
        computed: Spectra that it computed.
        reused: Spectra that were stored already, or shared with another layer.
        failed: How much was lost to exceptions.
        seconds: Wall time.
        program: The program and its version.
    """

    number: int
    state: str
    profile: str
    source: str
    asked: Mapping[str, Any]
    experiment: bool
    narrowed: bool
    started_at: str
    finished_at: str | None
    computed: int
    reused: int
    failed: int
    seconds: float
    program: str


@dataclass(frozen=True, slots=True)
class LayerCoverage:
    """What a run made of one layer by one extractor, or why it made nothing.

    Attributes:
        layer: Name of the layer.
        kind: Its kind, such as ``conv2d``.
        shape: Shape of its weight.
        groups: Its groups.
        extractor: Label of the extractor's variant, such as ``fft[n=32]``; empty if none was asked.
        extractor_key: Permanent key of the extractor, ``plugin:name``; empty if none was asked.
        parameters: Values of all parameters of the extractor, by name.
        is_primary: Whether means and model metrics are about these matrices.
        state: ``analyzed``; without a matrix ``statistics`` (the layer has metrics of the whole layer), ``skipped``, or
            ``failed`` (an exception).
        reason: Why nothing was made; empty where matrices were made.
        matrices: How many matrices.
        rows: Rows of an entry of a matrix.
        cols: Columns of an entry.
        eigenvalues: In the stored spectra of these matrices, multiplicities counted. The spectra are those of standard
            resolution, in the precision of the run.
        seconds: How long these spectra took when they were made, whichever run made them.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    extractor: str
    extractor_key: str
    parameters: Mapping[str, Any]
    is_primary: bool
    state: str
    reason: str
    matrices: int
    rows: int
    cols: int
    eigenvalues: int
    seconds: float

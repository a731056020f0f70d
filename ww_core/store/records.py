"""What the store is told and what it answers: plain data, without a row key."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.identity import canonical_json, digest_of

if TYPE_CHECKING:
    from ww_core.domain.column import Column
    from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import AnalysisReport
    from ww_core.domain.spectrum import Spectrum
    from ww_core.domain.subject import LayerSubject, Subject


# --- checkpoints and their names --------------------------------------------------------------------------------------


class CheckpointRef(NamedTuple):
    """A checkpoint under the name it was asked for; model and version are empty if it has none.

    ``structure`` is the digest of what the label stands on; of a checkpoint without a label, of the newest there is.
    """

    digest: str
    structure: str
    model: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """``MODEL@VERSION``; the digest of weights without a name."""
        return f"{self.model}@{self.version}" if self.model else self.digest


class CheckpointRecord(NamedTuple):
    """A checkpoint as its source presents it.

    Attributes:
        digest: Its content address.
        provisional: Whether some tensor could not be read.
        parameters: Numbers in all its tensors.
        tensors: Tensors that were read, by digest.
        layers: All layers in order, with the digests of weight and bias (empty for no bias, or for what could not be
            read).
        skipped: Tensors that belong to no layer, with their reasons and digests (empty for what could not be read).
    """

    digest: str
    provisional: bool
    parameters: int
    tensors: Mapping[str, TensorSpec | SkippedTensor]
    layers: Sequence[tuple[Layer, str, str]]
    skipped: Sequence[tuple[SkippedTensor, str]]


class LabelRecord(NamedTuple):
    """Under which name a checkpoint is to be stored, and where it came from.

    Attributes:
        model: Name of the model.
        version: The label; empty keeps the one it has, or takes the next integer.
        step: Place among the versions, if the label tells one.
        model_is_given: Whether a person chose the model's name: a default one must not meet another network.
        version_is_given: Whether a person chose the label.
        source: Name of the source it was read from.
        location: Absolute path of the source; empty if it is no file.
        home: The folder, or the repository of a hub, that gives the source its default name.
        format: Format it was read from.
        options: What a person said of the source, as plain data.
        move: Whether the label may leave what it stands on.
    """

    model: str
    version: str
    step: int | None
    model_is_given: bool
    version_is_given: bool
    source: str
    location: str
    home: str
    format: str
    options: Mapping[str, Any]
    move: bool


class Labelled(NamedTuple):
    """A checkpoint under its label, and what the user should be told of that."""

    ref: CheckpointRef
    notice: str = ""


class Renamed(NamedTuple):
    """A model or a version under its names before and after, and how many versions that concerns.

    ``controls`` are the names that the controls which it took along have now.
    """

    old: str
    new: str
    versions: int
    controls: tuple[str, ...] = ()


class StoredVersion(NamedTuple):
    """One line of the list of everything stored."""

    model: str
    version: str
    step: int | None
    digest: str
    format: str
    parameters: int
    source: str
    created_at: str
    series: tuple[str, ...]


class StoredLayer(NamedTuple):
    """A layer of a stored checkpoint, with the digests of its tensors (empty for no bias, or for what was not read)."""

    name: str
    kind: str
    groups: int
    shape: tuple[int, ...]
    weight: str
    bias: str
    is_read: bool = True


class StoredTensor(NamedTuple):
    """A tensor that belongs to no layer, and why it is not analysed.

    ``content`` is its digest, or the name of the tensor it is tied to; empty if it could not be read.
    """

    name: str
    reason: str
    content: str


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One side of a comparison: a checkpoint under its name, an analysis of it, its layers and its other tensors."""

    name: str
    report: AnalysisReport
    layers: tuple[StoredLayer, ...]
    others: tuple[StoredTensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StoredStructure:
    """A checkpoint as one source presented it, as far as the store knows.

    Attributes:
        digest: Content address of the checkpoint.
        provisional: Whether some tensor could not be read.
        layers: Its layers in order. What could not be read has no dtype.
        contents: What the layers consist of, by name; without those that could not be read.
    """

    digest: str
    provisional: bool
    layers: tuple[Layer, ...]
    contents: Mapping[str, LayerSubject]


# --- what is asked ----------------------------------------------------------------------------------------------------


class Maker(NamedTuple):
    """A plugin that had a hand in a result: its name, with distribution and version, empty for a file or an object."""

    plugin: str
    distribution: str = ""
    version: str = ""


NOBODY = Maker("")


@dataclass(frozen=True, eq=False)
class IdentityRecord:
    """An identity with its stored columns.

    Attributes:
        digest: Its content address.
        kind: ``extractor``, ``spectrum``, ``quantity`` or ``metric``.
        key: Its permanent key.
        name: What it is called today.
        version: Its version.
        parameters: Values of its parameters.
        needs: What of each need goes into it, by parameter.
        source_digest: Digest of its source code; empty if that is not known.
        columns: What is stored of it.
        maker: The plugin that it belongs to today.
        through: The other plugins that its needs belong to.
    """

    digest: str
    kind: str
    key: str
    name: str
    version: str
    parameters: Mapping[str, Any]
    needs: Mapping[str, Any]
    source_digest: str
    columns: tuple[Column, ...] = ()
    maker: Maker = NOBODY
    through: tuple[Maker, ...] = ()

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """Parameters and needs as JSON."""
        return {"parameters": canonical_json(dict(self.parameters)), "needs": canonical_json(dict(self.needs))}


class ColumnKey(NamedTuple):
    """What a stored value is a value of: digest of the identity, permanent key of the column, its type."""

    identity: str
    column: str
    type: str


class ColumnRecord(NamedTuple):
    """A column that is asked for: its label, what it is, and its place among the columns of tables for people.

    ``identity`` and ``column`` are the digest of the metric's identity and the permanent key of the column in it.
    """

    label: str
    scope: str
    identity: str
    column: str
    type: str
    headline: int | None


class SelectionRecord(NamedTuple):
    """What was asked, fully resolved.

    Attributes:
        profile: Permanent key of the profile.
        experiment: Whether something in it is no variant of the profile's own.
        narrowed: Whether only some metrics or layers were asked for.
        layers: Globs that choose layers; empty for all.
        extractors: Identities of the extractors by role, the primary one, which is part of what a variant is, first.
        columns: The columns asked for, in order.
    """

    profile: str
    experiment: bool
    narrowed: bool
    layers: Sequence[str]
    extractors: Mapping[str, Sequence[str]]
    columns: Sequence[ColumnRecord]

    def primary_of(self, scope: str) -> dict[str, str]:
        """Identities of the extractors that columns speak of, by role: columns of whole layers speak of none."""
        return {} if scope == "layer" else {role: variants[0] for role, variants in self.extractors.items()}

    def variant_of(self, column: ColumnRecord) -> str:
        """Content address of the variant that a column is."""
        return variant_digest(self.primary_of(column.scope), column.identity, column.column, column.type)


def variant_digest(extractors: Mapping[str, str], identity: str, column: str, kind: str) -> str:
    """Return the content address of a variant: a column of an identity, over the matrices of extractors by role.

    Args:
        extractors: Identities of the extractors by role; empty for a column of whole layers.
        identity: Digest of the metric's identity.
        column: Permanent key of the column.
        kind: Type of the column.
    """
    return _variant_digest(tuple(extractors.items()), identity, column, kind)


@functools.lru_cache(maxsize=1024)  # every run of a profile asks for the same
def _variant_digest(extractors: tuple[tuple[str, str], ...], identity: str, column: str, kind: str) -> str:
    content = {"extractors": dict(extractors), "identity": identity, "column": column, "type": kind}
    return digest_of("variant", content)


class CoverageRecord(NamedTuple):
    """One layer under one extractor: what is to be made of it, or why nothing is."""

    layer: Layer
    state: str
    reason: str = ""
    extractor: str = ""
    extractor_identity: str = ""
    is_primary: bool = False
    matrices: int = 0
    rows: int = 0
    cols: int = 0


class RunRecord(NamedTuple):
    """A run that begins: what was asked, fully resolved, and what it covers.

    Attributes:
        profile: What the profile is called now.
        source: Name of the source.
        request: What was asked, as plain data.
        program: What it runs in.
        identities: All that is asked for, with what it needs.
        selection: What was asked, fully resolved.
        coverage: What is to be made of each layer.
        loader: The plugin that read the weights, if one did.
    """

    profile: str
    source: str
    request: Mapping[str, Any]
    program: str
    identities: Sequence[IdentityRecord]
    selection: SelectionRecord
    coverage: Sequence[CoverageRecord]
    loader: Maker = NOBODY


class StoredRequest(NamedTuple):
    """Something that was asked of a checkpoint, by one run or several.

    Attributes:
        structure: Digest of the structure it was asked of.
        profile: What the profile was called.
        profile_key: Permanent key of the profile.
        source: Name of the source, as the newest of the runs had it.
        loader: Qualified name of the loader, with its options; empty if it is not known.
        content: The request's fields by name, as plain data.
        shown: Digests of the variants that the newest run that ended shows; None if none has ended.
    """

    structure: str
    profile: str
    profile_key: str
    source: str
    loader: str
    content: Mapping[str, Any]
    shown: frozenset[str] | None


# --- what was computed ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was computed of one subject: its spectrum, if one was made, and outcomes by (identity digest, column)."""

    subject: Subject
    spectrum: Spectrum | None = None
    outcomes: Mapping[tuple[str, str], Outcome] = field(default_factory=dict)


class OriginRecord(NamedTuple):
    """Who made results.

    Attributes:
        run: Number of the run.
        program: The program and its version.
        maker: The plugin of the metric, or of the extractor behind a spectrum.
        through: The other plugins behind it: loader, extractor, those of the metrics it needs.
        blas: What did the linear algebra.
    """

    run: int
    program: str
    maker: Maker
    through: tuple[Maker, ...] = ()
    blas: str = ""


class ColumnOrigin(NamedTuple):
    """Who made so many values of a column; of spectra the column is ``"(spectrum)"``. None: that was not recorded."""

    column: str
    values: int
    origin: OriginRecord | None


class StoredSummary(NamedTuple):
    """What a column comes to over a version of a model, by an analysis that is complete."""

    ref: CheckpointRef
    value: float


# --- what others say --------------------------------------------------------------------------------------------------


class ScoreFilter(NamedTuple):
    """Which scores are meant; what is empty chooses all.

    Attributes:
        models: Names of models, stored or reported; of stored ones also ``MODEL@VERSION`` and digest prefixes.
        names: Names of scores.
        datasets: Datasets.
        sources: Sources.
    """

    models: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


EVERY_SCORE = ScoreFilter()


class SeriesMember(NamedTuple):
    """A model in a series.

    Attributes:
        series: Name of the series.
        model: Name of the model.
        version: Version of a reported model, of which each is a member by itself; empty for none.
        is_reported: Whether it is a model without weights, of which only others speak.
    """

    series: str
    model: str
    version: str
    is_reported: bool


class StoredTable(NamedTuple):
    """A table of others that is stored.

    Attributes:
        source: What tells it from others.
        provider: The program that computed it, or the paper.
        rows: How many rows it has.
        created_at: When it was imported.
    """

    source: str
    provider: str
    rows: int
    created_at: str


class ScoreCounts(NamedTuple):
    """What became of scores that were to be stored.

    Attributes:
        added: How many are new.
        corrected: How many replaced another number, which is kept.
        known: How many were stored already, with the same number.
    """

    added: int
    corrected: int
    known: int


class ImportedTable(NamedTuple):
    """What was stored of a table of others.

    Attributes:
        source: What tells the table from others.
        provider: The program that computed it, or the paper.
        models: How many models it speaks of.
        rows: How many rows it has.
        values: How many values they hold, those that are no number counted.
        scores: How many scores stand in it.
        is_new: Whether it was stored now; not if the same table was there already.
    """

    source: str
    provider: str
    models: int
    rows: int
    values: int
    scores: int
    is_new: bool


class DerivationRecord(NamedTuple):
    """How a checkpoint was made from others.

    Attributes:
        checkpoint: Digest of the checkpoint, which is stored.
        parents: Digests of those it was made from, in order; they need not be stored.
        transform: What made it, as ``plugin:name``.
        version: Its version.
        parameters: Its parameters.
    """

    checkpoint: str
    parents: tuple[str, ...]
    transform: str
    version: str
    parameters: Mapping[str, Any]

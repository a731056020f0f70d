"""The columns of a model over its versions: the profile's own variants, of complete analyses in force."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, bindparam, or_, select

from ww_core.domain.history import History, HistoryColumn, HistoryPlace, HistoryVersion, LayerContent, Track
from ww_core.errors import NotStoredError, UnknownNameError, UsageError
from ww_core.store import tables as t
from ww_core.store.columnar import place_rows
from ww_core.store.labels import find_versions
from ww_core.store.rows import chunks, clean, execute

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.store.records import CheckpointRef

    Numbers = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


class _Column(NamedTuple):
    """A column of a selection, with its key and the digest of its variant."""

    told: HistoryColumn
    key: int
    variant: str


def history_columns(connection: Connection, model: str, profile: str) -> list[HistoryColumn]:
    """List the columns of the newest version of a model that has a complete analysis under a profile, in order.

    Raises:
        UsageError: The name is not that of a model.
        NotStoredError: There is no such model, or none of its versions has such an analysis.
    """
    newest = [row.selection_id for row in _versions(connection, model, profile) if row.analysis_id is not None][-1]
    return [own.told for own in _columns(connection, newest).values()]


def history(connection: Connection, model: str, profile: str, labels: Sequence[str]) -> History:
    """Return columns of a model over its versions, of the matrices that summaries speak of.

    Args:
        connection: An open transaction.
        model: Name of the model.
        profile: Name of the profile.
        labels: Labels of columns that are no texts.

    Raises:
        UsageError: The name is not that of a model, or a column is one of texts.
        UnknownNameError: No version has such a column.
        NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile.
    """
    import numpy as np

    rows = _versions(connection, model, profile)
    selections = dict.fromkeys(row.selection_id for row in reversed(rows) if row.analysis_id is not None)
    columns = {selection: _columns(connection, selection) for selection in selections}
    # By what a column is, and not by its label: a metric that was renamed keeps its history.
    variants = {selection: {own.variant for own in found.values()} for selection, found in columns.items()}
    newest = {label: own for selection in reversed(selections) for label, own in columns[selection].items()}
    for label in labels:
        if label not in newest:
            raise UnknownNameError("column", label, newest, "ww metrics")
        if newest[label].told.type == "text":
            raise UsageError(f"column {label!r} holds texts: a history has numbers")
    wanted = {name: newest[name] for label in labels for name in (label, newest[label].told.standard_error) if name}
    scopes = {own.told.scope for own in wanted.values()}
    # Metrics of the model come from matrices, too.
    grids = {
        scope: _Grid.of(connection, rows, scope) for scope in scopes | ({"matrix"} if "model" in scopes else set())
    }
    otherwise = grids["matrix"].made_otherwise if "matrix" in grids else {}
    with_buffers = _with_other_buffers(rows, list(grids.values()))
    comparable = {
        label: np.array(
            [
                own.variant in variants.get(row.selection_id, ())
                and not (own.told.scope == "model" and (at in otherwise or at in with_buffers))
                for at, row in enumerate(rows)
            ],
            dtype=bool,
        )
        for label, own in wanted.items()
    }
    values: dict[str, tuple[Numbers, Counts]] = {}
    for scope, grid in grids.items():
        keys = {label: own.key for label, own in wanted.items() if own.told.scope == scope}
        stored = _stored(connection, grid, sorted(set(keys.values())))
        values |= {label: _laid_out(grid, *stored[key], comparable[label]) for label, key in keys.items()}
    tracks = {}
    for label in labels:
        own = newest[label]
        numbers, missing = values[label]
        tracks[label] = Track(
            column=own.told,
            places=grids[own.told.scope].places,
            values=numbers,
            errors=values[own.told.standard_error][0] if own.told.standard_error else None,
            missing=missing,
            not_comparable={
                row.version: reason
                for at, row in enumerate(rows)
                if row.analysis_id is not None
                and (
                    reason := _why_not(columns[row.selection_id].get(label), own)
                    if own.variant not in variants[row.selection_id]
                    else with_buffers.get(at, "" if own.told.scope == "layer" else otherwise.get(at, ""))
                )
            },
            other_matrices=tuple(sorted({*with_buffers, *(otherwise if own.told.scope == "matrix" else ())})),
        )
    versions = tuple(
        HistoryVersion(row.version, row.step, row.created_at, row.digest, row.analysis_id is not None) for row in rows
    )
    return History(model, profile, versions, tracks)


def _with_other_buffers(rows: Sequence[Any], grids: Sequence[_Grid]) -> dict[int, str]:
    """Tell of versions whose buffers are layers where those of the newest analysed one are none, or the other way."""
    told = {at: _BUFFERS in row.options for at, row in enumerate(rows) if row.analysis_id is not None}
    newest = max(told)
    here, there = ("layers", "none") if told[newest] else ("none", "layers")
    return {
        at: f"buffers are {there} there, and {here} in the newest version"
        for at, own in told.items()
        if own is not told[newest]
        # A model may have no buffers.
        and any(((grid.at[at] >= 0).any(axis=-1) != (grid.at[newest] >= 0).any(axis=-1)).any() for grid in grids)
    }


_BUFFERS = '"include_buffers":true'


def layer_contents(connection: Connection, model: str, layer: str) -> list[LayerContent]:
    """Tell what a layer consists of in each version of a model, in order.

    Raises:
        UsageError: The name is not that of a model.
        NotStoredError: There is no such model.
        UnknownNameError: No version has such a layer.
    """
    refs = _refs(connection, model)
    found = {
        row.version: f"{row.weight} {row.bias or ''}" if row.weight and (row.bias or not row.bias_name) else ""
        for row in execute(connection, _CONTENTS, {"model": clean(model), "layer": clean(layer)})
    }
    if not found:
        newest = [row.name for row in execute(connection, _NAMES, {"structure": refs[-1].structure})]
        raise UnknownNameError("layer", layer, newest, f"ww show {model}")
    return [LayerContent(ref.version, found.get(ref.version)) for ref in refs]


def _refs(connection: Connection, model: str) -> list[CheckpointRef]:
    """Return the versions of a model in order.

    Raises:
        UsageError: The name is not that of a model.
        NotStoredError: There is no such model.
    """
    if not model:
        raise UsageError("the name is empty: give MODEL, whose versions are looked at")
    refs = find_versions(connection, model)
    if refs[0].model != clean(model):
        raise UsageError(f"{model} names one version: give MODEL, whose versions are looked at")
    return refs


_weight, _bias = t.tensor.alias("weight"), t.tensor.alias("bias")
_CONTENTS = (
    select(
        t.label.c.name.label("version"),
        _weight.c.digest.label("weight"),
        _bias.c.digest.label("bias"),
        t.layer.c.bias_name,
    )
    .select_from(t.label)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .join(t.layer, t.layer.c.structure_id == t.label.c.structure_id)
    .outerjoin(_weight, _weight.c.id == t.layer.c.weight_id)
    .outerjoin(_bias, _bias.c.id == t.layer.c.bias_id)
    .where(t.model.c.name == bindparam("model"), t.layer.c.name == bindparam("layer"))
)
_NAMES = (
    select(t.layer.c.name)
    .join(t.structure, t.structure.c.id == t.layer.c.structure_id)
    .where(t.structure.c.digest == bindparam("structure"))
)


def _versions(connection: Connection, model: str, profile: str) -> list[Any]:
    """Return a row for each version of a model, in order; analysis and selection are None without an analysis.

    Raises:
        UsageError: The name is not that of a model.
        NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile.
    """
    refs = _refs(connection, model)
    found = execute(connection, _VERSIONS, {"model": clean(model), "profile": clean(profile)})
    by_version = {row.version: row for row in found}
    rows = [by_version[ref.version] for ref in refs]
    if all(row.analysis_id is None for row in rows):
        others = [row.name for row in execute(connection, _PROFILES, {"model": clean(model)})]
        hint = f"there is {', '.join(others)}" if others else "`ww analyze` makes one"
        raise NotStoredError(f"no complete analysis of {model} under profile {profile!r} is stored: {hint}")
    return rows


_of_profile = (
    select(t.in_force.c.label_id, t.in_force.c.analysis_id)
    .where(or_(t.in_force.c.name == bindparam("profile"), t.in_force.c.profile == bindparam("profile")))
    .subquery()
)
_VERSIONS = (
    select(
        t.label.c.name.label("version"),
        t.label.c.step,
        t.label.c.created_at,
        t.label.c.options,
        t.checkpoint.c.digest,
        _of_profile.c.analysis_id,
        t.analysis.c.selection_id,
        t.analysis.c.model_subject_id,
    )
    .select_from(t.label)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .outerjoin(_of_profile, _of_profile.c.label_id == t.label.c.id)
    .outerjoin(t.analysis, t.analysis.c.id == _of_profile.c.analysis_id)
    .where(t.model.c.name == bindparam("model"))
)

_PROFILES = (
    select(t.in_force.c.name)
    .distinct()
    .join(t.label, t.label.c.id == t.in_force.c.label_id)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .where(t.model.c.name == bindparam("model"))
    .order_by(t.in_force.c.name)
)


def _columns(connection: Connection, selection: int) -> dict[str, _Column]:
    """Return the columns of a selection by label, in order."""
    rows = execute(connection, _COLUMNS, {"selection": selection})
    labels = {(row.identity_id, row.column): row.label for row in rows}
    return {
        row.label: _Column(
            HistoryColumn(
                name=row.label,
                scope=row.scope,
                type=row.type,
                better=row.better,
                unit=row.unit,
                metric=row.metric,
                metric_version=row.version,
                standard_error=labels.get((row.identity_id, row.standard_error), ""),
                headline=row.headline,
            ),
            row.column_id,
            row.digest,
        )
        for row in rows
    }


_COLUMNS = (
    select(
        t.selection_variant.c.label,
        t.selection_variant.c.scope,
        t.selection_variant.c.headline,
        t.variant.c.column_id,
        t.variant.c.digest,
        t.metric_column.c.type,
        t.metric_column.c.better,
        t.metric_column.c.unit,
        t.metric_column.c.standard_error,
        t.metric_column.c.identity_id,
        t.metric_column.c.key.label("column"),
        t.identity.c.key.label("metric"),
        t.identity.c.version,
    )
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .where(t.selection_variant.c.selection_id == bindparam("selection"))
    .order_by(t.selection_variant.c.position)
)


def _why_not(own: _Column | None, newest: _Column) -> str:
    """Say why the values of a version are not those of the newest version's column."""
    if own is None:
        return "its analysis lacks the column"
    if own.told.metric != newest.told.metric:
        return f"it is {own.told.metric} there, and {newest.told.metric} in the newest version"
    if own.told.metric_version != newest.told.metric_version:
        return (
            f"version {own.told.metric_version} of the metric, and {newest.told.metric_version} in the newest version"
        )
    return "other parameters or extractors, or another definition of what it needs"


class _Grid(NamedTuple):
    """The places of a scope, and what stands in them.

    Attributes:
        places: The places, in the order of the newest version that has each.
        subjects: Keys of all subjects, ascending, shape (s,).
        at: Indexes into ``subjects`` of what values of a place belong to, -1 for none, shape (versions, places, 2): a
            matrix, and the matrix as it stands in its layer.
        made_otherwise: By place among the versions, why some of its matrices are not those of the newest version that
            has them; these have no values.
    """

    places: tuple[HistoryPlace, ...]
    subjects: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    made_otherwise: Mapping[int, str]

    @classmethod
    def of(cls, connection: Connection, rows: Sequence[Any], scope: str) -> _Grid:
        """Find the places of the versions."""
        import numpy as np

        analyses = {row.analysis_id: row.model_subject_id for row in rows if row.analysis_id is not None}
        found = {key: list(own) for key, own in groupby(place_rows(connection, analyses, scope), itemgetter(0))}
        order: dict[HistoryPlace, int] = {}
        cells = array("q")  # version, column and subject of each: as tuples they would be much to collect as garbage
        labels: dict[int, str] = {}  # of extractors, by identity: one that was renamed makes the same matrices
        made: dict[HistoryPlace, tuple[int, str]] = {}
        otherwise: dict[int, str] = {}

        def column_of(name: str, *matrix: Any) -> int | str:
            """Return the column of a place, or why its matrices are not those of the newest version that has them."""
            place = HistoryPlace(name)
            if matrix:
                label, index, extractor, groups, split = matrix
                place = HistoryPlace(name, labels.setdefault(extractor, label), index)
                newest = made.setdefault(place, (groups, split))
                if newest != (groups, split):
                    return _why_not_matrices(name, (groups, split), newest)
            return order.setdefault(place, len(order))

        known: dict[tuple[Any, ...], int | str] = {}  # most places are in all versions
        for version in reversed(range(len(rows))):
            for row in found.get(rows[version].analysis_id, ()):
                subject, stored = row[1], row[2:]
                column = known.get(stored)
                if column is None:
                    column = known[stored] = column_of(*stored)
                if isinstance(column, str):
                    otherwise[version] = column
                elif subject is not None:
                    cells.extend((version, column, subject))
        versions, columns, keys = np.array(cells, dtype=np.int64).reshape(-1, 3).T
        subjects = np.unique(keys)
        second = np.zeros(len(keys), dtype=np.int64)
        second[1:] = (versions[1:] == versions[:-1]) & (columns[1:] == columns[:-1])
        at = np.full((len(rows), len(order), 2), -1)
        at[versions, columns, second] = np.searchsorted(subjects, keys)
        return cls(tuple(order), subjects, at, otherwise)


def _why_not_matrices(layer: str, there: tuple[int, str], newest: tuple[int, str]) -> str:
    """Say why the matrices of a layer are not made as in the newest version."""
    if there[0] != newest[0]:
        return f"{layer} has {there[0]} groups there, and {newest[0]} in the newest version"
    return f"{layer} has split {there[1] or 'none'} there, and {newest[1] or 'none'} in the newest version"


def _stored(connection: Connection, grid: _Grid, columns: Sequence[int]) -> dict[int, tuple[Numbers, Flags]]:
    """Return the numbers of columns, and whether anything is stored, by key of the column; shape (s + 1,) each.

    There is one entry more than there are subjects, at the end: what index -1 finds.
    """
    import numpy as np

    size = len(grid.subjects) + 1
    found = {column: (np.full(size, np.nan), np.zeros(size, dtype=bool)) for column in columns}
    for chunk in chunks(grid.subjects.tolist()):
        rows = execute(connection, _VALUES, {"subjects": chunk, "columns": columns})
        places = np.searchsorted(grid.subjects, [row[0] for row in rows])
        keys = np.array([row[1] for row in rows], dtype=np.int64)
        values = np.array([row[2] for row in rows], dtype=np.float64)  # NaN for None
        for column, (numbers, is_stored) in found.items():
            own = keys == column
            numbers[places[own]] = values[own]
            is_stored[places[own]] = True
    return found


def _laid_out(grid: _Grid, numbers: Numbers, is_stored: Flags, comparable: Flags) -> tuple[Numbers, Counts]:
    """Return the numbers of a column, shape (versions, places), and how many of each version are not stored.

    Args:
        grid: The places.
        numbers: Numbers by subject.
        is_stored: Whether anything is stored, by subject.
        comparable: Which versions have this column, shape (versions,).
    """
    import numpy as np

    plain, in_layer = grid.at[..., 0], grid.at[..., 1]
    values = np.where(is_stored[plain], numbers[plain], numbers[in_layer])
    values[~comparable] = np.nan
    missing = (plain >= 0) & ~is_stored[grid.at].any(axis=-1)
    return values, np.where(comparable, missing.sum(axis=1), 0)


_VALUES = select(t.value.c.subject_id, t.value.c.column_id, t.value.c.number).where(
    t.value.c.subject_id.in_(bindparam("subjects", expanding=True)),
    t.value.c.column_id.in_(bindparam("columns", expanding=True)),
)

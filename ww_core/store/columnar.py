"""Values of many versions, the profile's own variants of the analyses in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from ww_core.domain.columnar import ValueTable
from ww_core.errors import NotStoredError, UnknownNameError
from ww_core.store import tables as t
from ww_core.store.labels import find_versions
from ww_core.store.rows import chunks, clean, execute

if TYPE_CHECKING:
    from ww_core.domain.report import RowScope
    from ww_core.store.records import CheckpointRef

PLACES: Mapping[str, tuple[str, ...]] = {
    "matrix": ("layer", "extractor", "matrix_index"),
    "layer": ("layer",),
    "model": (),
}
"""What a row says of its place, besides the version."""

_LISTED = 3  # names in a message


def value_table(
    connection: Connection, columns: Sequence[str], scope: RowScope, profile: str, names: Sequence[str]
) -> ValueTable:
    """Return the values of columns, a row for each place of each version.

    Args:
        connection: An open transaction.
        columns: Labels of columns.
        scope: What the rows speak of.
        profile: Name of the profile.
        names: What names the versions: ``MODEL`` or ``MODEL@VERSION``; empty for all.

    Raises:
        NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
        UnknownNameError: No analysis has such a column in this scope.
    """
    import numpy as np

    versions = versions_in_force(connection, names, profile)
    labels = _labels(connection, {row.selection_id for row in versions}, columns, scope)
    rows_of = places_of(connection, versions, scope)
    places: list[tuple[Any, ...]] = []
    selection_of: list[int] = []
    of_subject: dict[int, list[int]] = defaultdict(list)  # one content may stand in many places
    for version in versions:
        for place, subjects in rows_of[version.analysis_id]:
            for subject in subjects:
                of_subject[subject].append(len(places))
            places.append((version.model, version.version, version.digest, *place))
            selection_of.append(version.selection_id)
    shape, types = len(places), {told[:2] for own in labels.values() for told in own.values()}
    numbers = {label: np.full(shape, np.nan) for label, kind in types if kind != "text"}
    texts = {label: np.full(shape, None, dtype=object) for label, kind in types if kind == "text"}
    states = {label: np.full(shape, "missing", dtype=object) for label in columns}
    variants = {label: np.full(shape, None, dtype=object) for label in columns}
    by_selection = {
        selection: [(label, variant) for label, _, variant in own.values()] for selection, own in labels.items()
    }
    for row, selection in enumerate(selection_of):
        for label, variant in by_selection.get(selection, ()):
            variants[label][row] = variant
    keys = sorted({key for own in labels.values() for key in own})
    for subject, key, state, number, words in stored_values(connection, of_subject, keys):
        for row in of_subject[subject]:
            told = labels[selection_of[row]].get(key)
            if told is not None:
                label = told[0]
                states[label][row] = state
                if number is not None:
                    numbers[label][row] = number
                elif words is not None:
                    texts[label][row] = words
    heads = ("model", "version", "digest", *PLACES[scope])
    return ValueTable(
        places={head: np.array([place[at] for place in places], dtype=object) for at, head in enumerate(heads)},
        numbers={label: numbers[label] for label in columns if label in numbers},
        texts={label: texts[label] for label in columns if label in texts},
        variants=variants,
        states=states,
    )


def versions_in_force(connection: Connection, names: Sequence[str], profile: str) -> list[Any]:
    """Return what is named and has an analysis in force under a profile, with the keys of the analysis.

    Raises:
        NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
    """
    refs = _named_versions(connection, names)
    in_force = {(row.model, row.version): row for row in execute(connection, _IN_FORCE, {"profile": clean(profile)})}
    versions = [in_force[ref.model, ref.version] for ref in refs if (ref.model, ref.version) in in_force]
    if not versions:
        what = ", ".join(names[:_LISTED]) or "any version"
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        raise NotStoredError(
            f"no complete analysis of {what}{more} under profile {profile!r} is stored: `ww analyze` makes one"
        )
    return versions


def _named_versions(connection: Connection, names: Sequence[str]) -> list[CheckpointRef]:
    """Return what is named, each once; all versions for no name.

    Raises:
        NotStoredError: Nothing carries a name.
    """
    every = find_versions(connection)
    if not names:
        return every
    by_name: dict[str, list[CheckpointRef]] = defaultdict(list)
    for ref in every:
        by_name[ref.model].append(ref)
        by_name[ref.name].append(ref)
    found = (by_name.get(clean(name)) or find_versions(connection, name) for name in names)
    return list(dict.fromkeys(ref for refs in found for ref in refs))


def _labels(
    connection: Connection, selections: Collection[int], columns: Sequence[str], scope: str
) -> dict[int, dict[int, tuple[str, str, str]]]:
    """Label, type and variant of the columns asked for, by selection and key.

    Raises:
        UnknownNameError: No selection has such a column.
    """
    labels: dict[int, dict[int, tuple[str, str, str]]] = defaultdict(dict)
    known: set[str] = set()
    for chunk in chunks(sorted(selections)):
        for selection, label, key, kind, variant in connection.execute(_COLUMNS, {"selections": chunk, "scope": scope}):
            known.add(label)
            if label in columns:
                labels[selection][key] = (label, kind, variant)
    for label in columns:
        if label not in known:
            raise UnknownNameError(f"column of scope {scope}", label, known, "ww metrics")
    return labels


Rows = list[tuple[tuple[Any, ...], list[int]]]
"""Places in order, each with the keys of the subjects that values of it belong to."""


def places_of(connection: Connection, versions: Sequence[Any], scope: str) -> dict[int, Rows]:
    """Return the places that values of versions speak of, in order, by the keys of their analyses."""
    found: dict[int, dict[tuple[Any, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    if scope == "model":
        for own in versions:
            found[own.analysis_id][()] = [own.model_subject_id] if own.model_subject_id else []
    else:
        query = _MATRICES if scope == "matrix" else _WHOLES
        for chunk in chunks(sorted({own.analysis_id for own in versions})):
            for analysis, subject, *place in connection.execute(query, {"analyses": chunk}):
                found[analysis][tuple(place)].append(subject)
    return defaultdict(list, {analysis: list(rows.items()) for analysis, rows in found.items()})


def place_rows(connection: Connection, analyses: Mapping[int, int | None], scope: str) -> list[tuple[Any, ...]]:
    """List what summaries speak of: the analysis, the subject that values belong to, and the place, in this order.

    A place is the name of a layer, empty for the model; of a matrix also the label of its extractor, its index, the key
    of the extractor's identity, and the groups and the split of the layer. Rows of an analysis stand together, and so
    do those of a place.

    Args:
        connection: An open transaction.
        analyses: Keys of analyses, with those of the subjects of their models.
        scope: What the places are: matrices, layers or the model.
    """
    if scope == "model":
        return [(analysis, subject, "") for analysis, subject in analyses.items()]
    query = _PRIMARY_MATRICES if scope == "matrix" else _WHOLES
    return [row for chunk in chunks(sorted(analyses)) for row in execute(connection, query, {"analyses": chunk})]


def subjects_by_place(
    connection: Connection, analyses: Mapping[int, int | None], scope: str
) -> Mapping[int, Mapping[tuple[Any, ...], list[int]]]:
    """Return the keys of the subjects that values belong to, by analysis and place, of what summaries speak of."""
    found: dict[int, dict[tuple[Any, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in place_rows(connection, analyses, scope):
        subjects = found[row[0]][row[2:]]
        if row[1] is not None:
            subjects.append(row[1])
    return found


def stored_numbers(
    connection: Connection, subjects: Collection[int], columns: Collection[int]
) -> dict[tuple[int, int], float | None]:
    """Return the numbers that are stored, by the keys of subject and column; None where the state is not ok."""
    return {(row.subject_id, row.column_id): row.number for row in stored_values(connection, subjects, columns)}


def stored_values(connection: Connection, subjects: Collection[int], columns: Collection[int]) -> Iterator[Any]:
    """Yield subject, column, state, number and text of what is stored of some columns."""
    for chunk in chunks(sorted(subjects)):
        yield from execute(connection, _VALUES, {"subjects": chunk, "columns": list(columns)})


_IN_FORCE = (
    select(
        t.model.c.name.label("model"),
        t.label.c.name.label("version"),
        t.label.c.step,
        t.label.c.position,
        t.label.c.created_at,
        t.checkpoint.c.digest,
        t.in_force.c.name.label("profile"),
        t.in_force.c.analysis_id,
        t.analysis.c.selection_id,
        t.analysis.c.model_subject_id,
    )
    .select_from(t.in_force)
    .join(t.label, t.label.c.id == t.in_force.c.label_id)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .join(t.analysis, t.analysis.c.id == t.in_force.c.analysis_id)
    .where(or_(t.in_force.c.name == bindparam("profile"), t.in_force.c.profile == bindparam("profile")))
)
_COLUMNS = (
    select(
        t.selection_variant.c.selection_id,
        t.selection_variant.c.label,
        t.variant.c.column_id,
        t.metric_column.c.type,
        t.variant.c.digest,
    )
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .where(
        t.selection_variant.c.selection_id.in_(bindparam("selections", expanding=True)),
        t.selection_variant.c.scope == bindparam("scope"),
    )
)
_matrix, _whole, _layer = t.matrix_subject.c, t.layer_subject.c, t.layer.c
_IS_LAYER = and_(
    _whole.weight_id == _layer.weight_id,
    _whole.kind == _layer.kind,
    _whole.groups == _layer.groups,
    _whole.rounding == _layer.rounding,
    func.coalesce(_whole.bias_id, 0) == func.coalesce(_layer.bias_id, 0),
)
_MATRICES = (
    select(t.coverage.c.analysis_id, _matrix.subject_id, _layer.name, t.coverage.c.extractor, _matrix.matrix_index)
    .select_from(t.coverage)
    .join(t.layer, _layer.id == t.coverage.c.layer_id)
    .join(
        t.matrix_subject,
        and_(
            _matrix.tensor_id == _layer.weight_id,
            _matrix.extractor_id == t.coverage.c.extractor_id,
            _matrix.groups == _layer.groups,
            _matrix.split == _layer.split,
            _matrix.rounding == _layer.rounding,
            _matrix.matrix_index < t.coverage.c.matrices,
        ),
    )
    .where(
        t.coverage.c.analysis_id.in_(bindparam("analyses", expanding=True)),
        t.coverage.c.state == "analyzed",
        or_(
            _matrix.context_id.is_(None),
            select(_whole.subject_id).where(_whole.subject_id == _matrix.context_id, _IS_LAYER).exists(),
        ),
    )
    .order_by(t.coverage.c.analysis_id, t.coverage.c.position, _matrix.matrix_index)
)
_PRIMARY_MATRICES = _MATRICES.where(t.coverage.c.is_primary).add_columns(
    t.coverage.c.extractor_id, _layer.groups, _layer.split
)
_WHOLES = (
    select(t.analysis.c.id, _whole.subject_id, _layer.name)
    .join(t.layer, _layer.structure_id == t.analysis.c.structure_id)
    .join(t.layer_subject, _IS_LAYER)
    .where(t.analysis.c.id.in_(bindparam("analyses", expanding=True)))
    .order_by(t.analysis.c.id, _layer.position)
)
_value = t.value.c
_VALUES = select(_value.subject_id, _value.column_id, _value.state, _value.number, _value.text).where(
    _value.subject_id.in_(bindparam("subjects", expanding=True)),
    _value.column_id.in_(bindparam("columns", expanding=True)),
)

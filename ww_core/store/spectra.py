"""Spectra of a layer, as a run made or found them."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Row, bindparam, select

from ww_core.domain.identity import NUMERICS_VERSION, PRECISION, spectrum_identity
from ww_core.domain.layer_spectrum import LayerSpectrum, MatrixSpectrum, PermutedSpectrum
from ww_core.domain.spectrum import PRECISIONS, Spectrum, SpectrumKind
from ww_core.errors import NotStoredError, UnknownNameError
from ww_core.store import tables as t
from ww_core.store.encoding import check_lengths, decode_spectrum
from ww_core.store.labels import newest_name
from ww_core.store.rows import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.domain.spectrum import Randomized
    from ww_core.store.records import CheckpointRef

_KINDS = [*(SpectrumKind("standard", own) for own in PRECISIONS), SpectrumKind("full", PRECISION)]
_BY_IDENTITY = {spectrum_identity(kind): kind for kind in _KINDS}


def layer_spectrum(
    connection: Connection,
    run: int,
    layer: str,
    extractor: str | None = None,
    ref: CheckpointRef | None = None,
    seed: int | None = None,
) -> LayerSpectrum:
    """Return the spectra of a layer that a run made or found.

    Args:
        connection: An open transaction.
        run: Number of the run.
        layer: Name of the layer.
        extractor: Label of the extractor variant; None for the one that summaries speak of.
        ref: The checkpoint under the name that is to be shown; None for the newest it has.
        seed: Seed of the permutations; None for the run's if it has any, else for the newest that is stored.

    Raises:
        UnknownNameError: There is no such layer, or it was not seen through this extractor.
        NotStoredError: There is no spectrum: the run is gone, the layer has none, or they were not kept.
    """
    covered = connection.execute(_OF_LAYER, {"run": run, "layer": clean(layer)}).all()
    covered = covered or connection.execute(_COVERED, {"run": run}).all()  # whose names the message lists
    if not covered:
        raise NotStoredError(f"run {run} is not stored any more: `ww show` lists what is")
    name = ref or newest_name(connection, covered[0].digest)
    own = _chosen(covered, name, layer, extractor)
    place = {
        "tensor": own.weight_id,
        "extractor": own.extractor_id,
        "groups": own.groups,
        "split": own.split,
        "rounding": own.rounding,
        "matrices": own.matrices,
    }
    # What the run itself made or found, before the SVD, before what another precision gave.
    request = json.loads(own.request)
    usual = SpectrumKind("standard", request.get("precision", PRECISION))
    best: dict[int, Any] = {}
    for row in connection.execute(_SPECTRA, place | {"identities": list(_BY_IDENTITY)}):
        rank = (row.singular_values is None, _BY_IDENTITY[row.identity] != usual, row.identity != _SVD)
        if row.matrix_index not in best or rank < best[row.matrix_index][0]:
            best[row.matrix_index] = (rank, row)
    if not best:
        why = _refusal(connection, place) or "analyse the weights again"
        raise NotStoredError(f"no spectrum of layer {layer!r} of {name.name} is stored: {why}")
    if any(row.singular_values is None for _, row in best.values()):
        raise NotStoredError(
            f"the spectra of {name.name} were not kept: analyse the weights again without --no-spectra"
        )
    kinds = _permutations(connection, usual)
    asked = connection.execute(_SPECTRA, place | {"identities": list(kinds)}) if kinds else ()
    every = [row for row in asked if row.singular_values is not None]
    own_seed = request.get("seed", 0)
    # An identity is recorded once, with the first spectrum of its seed.
    newest = {_seed(kinds[row.identity]): row.identity_id for row in sorted(every, key=lambda row: row.identity_id)}
    seeds = sorted(newest, key=lambda each: (each == own_seed, newest[each]), reverse=True)
    chosen = seed if seed is not None else next(iter(seeds), own_seed)
    beside = [row for row in every if _seed(kinds[row.identity]) == chosen]
    check_lengths((row.singular_values, row.length) for row in [*(row for _, row in best.values()), *beside])
    permuted: dict[int, list[PermutedSpectrum]] = defaultdict(list)
    for row in sorted(beside, key=lambda row: _number(kinds[row.identity])):
        permuted[row.matrix_index].append(_permuted(row, kinds[row.identity], own.tensor))
    return LayerSpectrum(
        model=name.model,
        version=name.version,
        digest=own.digest,
        profile=own.profile,
        run=run,
        layer=layer,
        extractor=own.extractor,
        extractor_identity=own.extractor_identity,
        matrices=tuple(
            MatrixSpectrum(
                index,
                row.rows,
                row.cols,
                _decoded(row, _BY_IDENTITY[row.identity]),
                tuple(permuted[index]),
            )
            for index, (_, row) in sorted(best.items())
        ),
        run_seed=own_seed,
        stored_seeds=tuple(seeds),
    )


def _refusal(connection: Connection, place: dict[str, Any]) -> str:
    """Return why values of a layer were refused, as that its weights are NaN; empty for none or many reasons."""
    reasons = connection.scalars(_REFUSALS, {name: own for name, own in place.items() if name != "matrices"}).all()
    # A value that needs another one says its name before the reason.
    shortest = min(map(str, reasons), key=len, default="")
    return shortest if all(reason.endswith(shortest) for reason in reasons) else ""


_SVD = spectrum_identity(SpectrumKind("full"))


def _decoded(row: Row[Any], kind: SpectrumKind) -> Spectrum:
    return Spectrum(
        singular_values=decode_spectrum(row.encoding, row.singular_values, row.length),
        noise_floor=float(row.noise_floor),
        resolution=kind.resolution,
        precision=kind.precision,
        route=row.route,
        seconds=row.seconds,
        randomized=kind.randomized,
    )


def _permutations(connection: Connection, usual: SpectrumKind) -> dict[str, SpectrumKind]:
    """Return the kinds of permuted spectra that the store knows of, by identity."""
    kinds = {}
    for row in connection.execute(_OF_PERMUTATIONS, {"key": f"ww:{usual.resolution}"}):
        kind = SpectrumKind.of(usual.resolution, json.loads(row.parameters))
        if kind.randomized is not None and kind._replace(randomized=None) == usual:
            kinds[row.digest] = kind
    return kinds


def _number(kind: SpectrumKind) -> int:
    return kind.randomized.number if kind.randomized is not None else -1


def _seed(kind: SpectrumKind) -> int:
    return kind.randomized.seed if kind.randomized is not None else 0


def _permuted(row: Row[Any], kind: SpectrumKind, tensor: str) -> PermutedSpectrum:
    randomized = cast("Randomized", kind.randomized)
    key = randomized.key(tensor, row.matrix_index)
    return PermutedSpectrum(randomized.number, randomized.seed, key.hex(), _decoded(row, kind))


def _chosen(covered: Sequence[Any], ref: CheckpointRef, layer: str, extractor: str | None) -> Any:
    """Return the row of coverage that is asked for."""
    of_layer = [row for row in covered if row.name == layer]
    if not of_layer:
        raise UnknownNameError("layer", layer, [row.name for row in covered], f"ww show {ref.name}")
    made = {row.extractor: row for row in of_layer if row.state == "analyzed"}
    if extractor is None:
        primary = [row for row in made.values() if row.is_primary] or list(made.values())
        if not primary:
            raise NotStoredError(f"layer {layer!r} of {ref.name} has no spectrum: {of_layer[0].reason}")
        return primary[0]
    if extractor not in made:
        reasons = {row.extractor: row.reason for row in of_layer}
        if reasons.get(extractor):
            raise NotStoredError(f"layer {layer!r} of {ref.name} has no spectrum by {extractor}: {reasons[extractor]}")
        raise UnknownNameError(f"extractor of layer {layer}", extractor, made)
    return made[extractor]


_COVERED = (
    select(
        t.layer.c.name,
        t.layer.c.groups,
        t.layer.c.split,
        t.layer.c.rounding,
        t.layer.c.weight_id,
        t.tensor.c.digest.label("tensor"),
        t.coverage.c.extractor,
        t.coverage.c.extractor_id,
        t.coverage.c.is_primary,
        t.coverage.c.state,
        t.coverage.c.reason,
        t.coverage.c.matrices,
        t.checkpoint.c.digest,
        t.run.c.profile,
        t.run.c.request,
        t.identity.c.digest.label("extractor_identity"),
    )
    .select_from(t.run)
    .join(t.coverage, t.coverage.c.analysis_id == t.run.c.analysis_id)
    .join(t.layer, t.layer.c.id == t.coverage.c.layer_id)
    .join(t.structure, t.structure.c.id == t.layer.c.structure_id)
    .join(t.tensor, t.tensor.c.id == t.layer.c.weight_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .outerjoin(t.identity, t.identity.c.id == t.coverage.c.extractor_id)
    .where(t.run.c.id == bindparam("run"))
    .order_by(t.coverage.c.position)
)
_OF_LAYER = _COVERED.where(t.layer.c.name == bindparam("layer"))
_OF_PERMUTATIONS = select(t.identity.c.digest, t.identity.c.parameters).where(
    t.identity.c.kind == "spectrum",
    t.identity.c.key == bindparam("key"),
    t.identity.c.version == NUMERICS_VERSION,
)
_matrix = t.matrix_subject.c
_SPECTRA = (
    select(t.spectrum, _matrix.matrix_index, _matrix.rows, _matrix.cols, t.identity.c.digest.label("identity"))
    .join(t.matrix_subject, _matrix.subject_id == t.spectrum.c.subject_id)
    .join(t.identity, t.identity.c.id == t.spectrum.c.identity_id)
    .where(
        _matrix.tensor_id == bindparam("tensor"),
        _matrix.extractor_id == bindparam("extractor"),
        _matrix.groups == bindparam("groups"),
        _matrix.split == bindparam("split"),
        _matrix.rounding == bindparam("rounding"),
        _matrix.context_id.is_(None),
        _matrix.matrix_index < bindparam("matrices"),
        t.identity.c.digest.in_(bindparam("identities", expanding=True)),
    )
)
_REFUSALS = (
    select(t.value.c.reason)
    .distinct()
    .join(t.matrix_subject, _matrix.subject_id == t.value.c.subject_id)
    .where(
        _matrix.tensor_id == bindparam("tensor"),
        _matrix.extractor_id == bindparam("extractor"),
        _matrix.groups == bindparam("groups"),
        _matrix.split == bindparam("split"),
        _matrix.rounding == bindparam("rounding"),
        t.value.c.state == "refused",
    )
)

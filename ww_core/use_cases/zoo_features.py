"""The features of a zoo: what feature sets make of its weights, and what the store knows of its models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ww_core.contracts.feature_set import PLUS
from ww_core.domain.column import Scope
from ww_core.domain.zoo import Zoo, ZooFeatures
from ww_core.errors import NotStoredError, PluginError, UsageError, WWError
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.plugins.registry import unknown_name
from ww_core.plugins.variants import configured, read_spec
from ww_core.store.new_files import place_of
from ww_core.use_cases.naming import opened_store
from ww_core.use_cases.value_files import (
    check_new_table,
    check_parquet,
    new_table,
    write_csv,
    write_json,
    write_parquet,
)
from ww_core.use_cases.zoo_weights import on_other_weights

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.feature_set import FeatureSet
    from ww_core.plugins.registry import Owned, Registry
    from ww_core.use_cases.naming import Place

FEATURE_SUFFIXES = (".csv", ".json", ".parquet", ".npz")
"""What names of files of features end in."""

WRITTEN_ROWS = 1_000


def zoo_features(
    zoo: Zoo,
    features: str,
    *,
    store: Place = None,
    profile: str = "default",
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
    plugin_files: Sequence[str] = (),
) -> ZooFeatures:
    """Return features of every checkpoint of a zoo, made for all of them at once.

    Args:
        zoo: The checkpoints.
        features: Feature sets, with options, and columns of the store, with ``+`` between them:
            ``statistics+hyperparameters``, ``weights[layer=4]``, ``alpha``. Of a column there is a feature for each
            layer of the network; a name that is both is the feature set.
        store: Where columns are: an open store, a path or URL; None if none are asked for.
        profile: Name of the profile whose values they are.
        plugins: Modules or objects with hooks, besides those that are installed.
        registry: Loaded plugins, if they are loaded already.
        plugin_files: Python files with hooks.

    Returns:
        The features. A network of which one is not a finite number, or was not analysed, is left out, with all its
        checkpoints.

    Raises:
        UsageError: A name or an option is unknown, the zoo has not what a set needs, nothing is left, or the store has
            other weights under a name of the zoo.
        NotStoredError: No network was analysed into the store under this profile.
        PluginError: A feature set failed.
        StoreError: The store cannot be read.
    """
    import numpy as np

    if registry is None:
        registry = load_plugins(files=plugin_files, objects=plugins)
    parts: list[tuple[tuple[str, ...], npt.NDArray[np.float64]]] = []
    versions: list[tuple[str, str]] = []
    for part in _parts_of(features):
        owned = _feature_set(registry, part)
        if owned is None:
            name, found = _columns_of_store(zoo, part, store, profile, registry)
            parts.append(found)
            versions.append((part, name))
        else:
            parts.append(_made(owned, zoo))
            versions.append((f"{owned.plugin}:{owned.object.label}", owned.object.version))
    names = tuple(name for own, _ in parts for name in own)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"features {features!r} have {twice!r} twice: name each set once")
    values = np.concatenate([own for _, own in parts], axis=1)
    is_bad = ~np.isfinite(values).all(axis=1)
    left_out = np.unique(zoo.networks[is_bad])
    kept = ~np.isin(zoo.networks, left_out)
    if not kept.any():
        raise UsageError(f"zoo {zoo.name}: no network has finite features {features!r}")
    return ZooFeatures(zoo.chosen(kept), features, tuple(versions), names, values[kept], tuple(left_out.tolist()))


def write_features(features: ZooFeatures, path: str | os.PathLike[str], *, replace: bool = False) -> int:
    """Write features into a file, a row a checkpoint, with the results that were measured, and return its bytes.

    Args:
        features: The features.
        path: The file, whose name ends in ``.csv``, ``.json``, ``.parquet`` or ``.npz``. The last holds ``network``,
            ``epoch``, ``names``, ``values``, and each result by its name.
        replace: Whether a file that is there already gives way.

    Raises:
        UsageError: The name ends otherwise, or the file is there already.
        MissingExtraError: pyarrow is not installed, which writes Parquet.
        OutputError: The file cannot be written.
    """
    target = features_place(path, replace=replace)
    form = target.suffix.lower()
    with new_table(target, replace=replace) as file:
        _write(features, file, form)
        return file.stat().st_size


def features_place(path: str | os.PathLike[str], *, replace: bool = False) -> Path:
    """Return the absolute path of a file of features; it raises before anything is computed if none can be there.

    Raises:
        WWError: As of `write_features`.
    """
    target = place_of(path)
    form = target.suffix.lower()
    if form not in FEATURE_SUFFIXES:
        raise UsageError(f"{target.name!r} is no name of a table: it ends in {', '.join(FEATURE_SUFFIXES)}")
    if form == ".parquet":
        check_parquet()
    check_new_table(target, replace=replace)
    return target


def _write(features: ZooFeatures, file: Path, form: str) -> None:
    import numpy as np

    columns = features.columns()
    if form == ".npz":
        own = {"names": np.array(features.names), "values": features.values}
        told = {"network": features.zoo.networks, "epoch": features.zoo.epochs}
        with file.open("wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, **own, **told, **features.zoo.results)
        return
    batches = _batches(columns)
    if form == ".parquet":
        types = {name: int if own.dtype.kind == "i" else float for name, own in columns.items()}
        write_parquet(file, types, batches)
        return
    with file.open("w", encoding="utf-8", newline="") as text:
        (write_csv if form == ".csv" else write_json)(text.write, tuple(columns), batches)


def _batches(columns: dict[str, npt.NDArray[Any]]) -> Iterator[list[tuple[Any, ...]]]:
    rows = len(columns["network"])
    for start in range(0, rows, WRITTEN_ROWS):
        cells = [_cells(own[start : start + WRITTEN_ROWS]) for own in columns.values()]
        yield list(zip(*cells, strict=True))


def _cells(column: npt.NDArray[Any]) -> list[Any]:
    return [None if own != own else own for own in column.tolist()]


def _parts_of(features: str) -> list[str]:
    """Split what was asked for at each ``+`` that stands in no brackets."""
    parts, depth = [""], 0
    for letter in features:
        depth += (letter == "[") - (letter == "]")
        if letter == PLUS and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    named = [part.strip() for part in parts]
    if not all(named):
        raise UsageError(f"features {features!r} name nothing between two {PLUS!r}, or at an end")
    return named


def _feature_set(registry: Registry, part: str) -> Owned[FeatureSet] | None:
    """Return the feature set that a part names; None if a column of metrics has that name."""
    name, options = read_spec("feature set", part)
    known = registry.feature_sets
    if not options and name not in known.known() and ":" not in name and name in registry.quantities.known():
        return None
    if name not in known.known() and ":" not in name:
        both = [*known.known(), *registry.quantities.known()]
        raise unknown_name("feature set or metric", name, both, "ww zoo feature-sets", registry.blocked)
    return configured(known, part)


def _made(owned: Owned[FeatureSet], zoo: Zoo) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Let a feature set make its features.

    Raises:
        WWError: What it says of the zoo.
        PluginError: It raised something else, or made another thing than features.
    """
    import numpy as np

    try:
        names: tuple[Any, ...] = tuple(owned.object.names(zoo))
        values: Any = owned.object.features(zoo)
        if type(values) is not np.ndarray or values.dtype != np.float64 or {*map(type, names)} - {str}:
            raise TypeError("features are an array of float64, and their names are texts")
        if values.shape != (len(zoo), len(names)):
            raise ValueError(f"it made {values.shape} features of {len(zoo)} checkpoints with {len(names)} names")
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"feature set {owned.qualified} failed: {sentence}") from error
    return names, values


def _columns_of_store(
    zoo: Zoo, column: str, store: Place, profile: str, registry: Registry
) -> tuple[str, tuple[tuple[str, ...], npt.NDArray[np.float64]]]:
    """Return the values of a column, a feature for each layer, and the version of the metric."""
    import numpy as np

    if store is None:
        raise UsageError(f"{column} is a metric, whose values are in a store: name the store that the zoo is in")
    quantity = registry.quantities.find(column).object
    scope: Any = {Scope.MATRIX: "matrix", Scope.LAYER: "layer", Scope.MODEL: "model"}[quantity.scope]
    row_of = {label: row for row, label in enumerate(zip(zoo.models, zoo.versions, strict=True))}
    with opened_store(store, mode="read") as opened:
        there = [own for own in opened.versions() if (own.model, own.version) in row_of]
        if not there:
            raise NotStoredError(f"no network of zoo {zoo.name} is analysed in this store: `ww zoo analyze` does it")
        if zoo.stored is not None:
            _refuse_other_weights(zoo, [(own.model, own.version, own.digest) for own in there])
        names = [f"{own.model}@{own.version}" for own in there]
        table = opened.features([column], names, scope=scope, profile=profile)
    values = np.full((len(zoo), len(table.names)), np.nan)
    rows = [row_of[label] for label in zip(table.models, table.versions, strict=True)]
    values[rows] = table.values
    return quantity.version, (table.names, values)


def _refuse_other_weights(zoo: Zoo, stored: Sequence[tuple[str, str, str]]) -> None:
    """Raise if what was analysed under a name of a zoo is another network.

    Raises:
        UsageError: It is.
    """
    others = on_other_weights(zoo, stored)
    if others:
        more = f", as do {len(others) - 1} more names" if len(others) > 1 else ""
        raise UsageError(
            f"{others[0]} stands on other weights in this store than in zoo {zoo.name}{more}: name the store that this "
            "zoo was analysed into"
        )

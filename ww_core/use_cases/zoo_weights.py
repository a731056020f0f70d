"""Which weights a zoo has: the content addresses of its checkpoints, and whether names in a store stand on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.domain.identity import digest_of
from ww_core.loading.layouts import placed
from ww_core.sources.digests import digest_tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.domain.zoo import Zoo


def zoo_digests(zoo: Zoo) -> list[str]:
    """Return the content address of each checkpoint of a zoo, as a store has it of the same network analysed alone.

    Raises:
        UsageError: Only a store knows the zoo.
    """
    file = zoo.stored_rows()
    native = file.dtype.newbyteorder("=")
    dtype = str(native)
    layout = [
        (own, zoo.name_of(own), None if zoo.layout == "pytorch" else placed(own.name, own.shape, zoo.layout))
        for own in zoo.tensors
    ]
    digests = []
    for row in zoo.rows.tolist():
        numbers = file[row].astype(native, copy=False)
        tensors = []
        for own, name, place in layout:
            array = numbers[own.start : own.stop].reshape(own.shape)
            tensors.append((name, digest_tensor(array if place is None else place.of_array(array), dtype)))
        digests.append(digest_of("checkpoint", {"tensors": sorted(tensors), "missing": 0}))
    return digests


def on_other_weights(zoo: Zoo, stored: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return the names of a zoo's checkpoints that stand on other weights in a store, as ``MODEL@VERSION``.

    Args:
        zoo: The checkpoints.
        stored: Model, version and content address, as the store has them. Names that the zoo has not are passed over.

    Raises:
        UsageError: Only a store knows the zoo.
    """
    import numpy as np

    place_of = {label: place for place, label in enumerate(zip(zoo.models, zoo.versions, strict=True))}
    known = [(place_of[model, version], digest) for model, version, digest in stored if (model, version) in place_of]
    if not known:
        return []
    own = zoo_digests(zoo.chosen(np.array([place for place, _ in known])))
    models, versions = zoo.models, zoo.versions
    return [
        f"{models[place]}@{versions[place]}"
        for (place, digest), wanted in zip(known, own, strict=True)
        if digest != wanted
    ]

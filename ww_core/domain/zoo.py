"""Zoos: many networks of one layout, their weights row by row, how they were trained and how well they do."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ww_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

BLOCK_BYTES = 32 * 2**20
"""Bytes in double precision of the rows that are read together."""


@dataclass(frozen=True, slots=True)
class ZooTensor:
    """A tensor that every network of a zoo has, and where it stands in a row of weights.

    Attributes:
        name: Its name, such as ``sequential/conv2d/kernel:0``.
        layer: Name of its layer, such as ``sequential/conv2d``.
        role: ``weight`` or ``bias``.
        start: First column.
        stop: Column after the last one.
        shape: Shape as it is stored; its product is ``stop - start``.
    """

    name: str
    layer: str
    role: Literal["weight", "bias"]
    start: int
    stop: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ZooLayer:
    """A layer of every network of a zoo.

    Attributes:
        name: Its name.
        weight: Its weight.
        bias: Its bias; None if it has none.
    """

    name: str
    weight: ZooTensor
    bias: ZooTensor | None


@dataclass(frozen=True, eq=False)
class Zoo:
    """Checkpoints of many networks that have the same layers. Arrays of shape (n,) speak of them in one order.

    Attributes:
        name: Its name.
        tensors: The tensors of a network, in the order of a row.
        layout: In which order the axes of weights are stored, as loaders call it: ``keras`` or ``pytorch``.
        stored: All rows of the file, floats of 2, 4 or 8 bytes in either byte order, shape (rows, parameters): a memory
            map, or an array; None where only the store knows the zoo.
        rows: Which of them the checkpoints are, int64, shape (n,).
        networks: Number of the network, int64, shape (n,): checkpoints of one network have one number.
        epochs: Epochs trained, int64, shape (n,).
        hyperparameters: What a network was trained with, by name: float64, or objects that are texts, shape (n,).
        results: What was measured, by name, such as ``test_accuracy``: float64, shape (n,); NaN where nothing was.
        notes: Sentences the user should see, such as which networks diverged.
    """

    name: str
    tensors: tuple[ZooTensor, ...]
    layout: Literal["keras", "pytorch"]
    stored: npt.NDArray[np.floating[Any]] | None
    rows: npt.NDArray[np.int64]
    networks: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    hyperparameters: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    results: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def parameters(self) -> int:
        """How many numbers a network has."""
        return max((tensor.stop for tensor in self.tensors), default=0)

    @property
    def models(self) -> list[str]:
        """Names of the checkpoints' models in a store, one each: ``digits/00042``."""
        return [f"{self.name}/{number:05d}" for number in self.networks.tolist()]

    @property
    def versions(self) -> list[str]:
        """Their versions in a store: the epoch."""
        return [str(epoch) for epoch in self.epochs.tolist()]

    @functools.cached_property
    def layers(self) -> tuple[ZooLayer, ...]:
        """The layers that have a weight, in the order of the network."""
        by_layer: dict[str, dict[str, ZooTensor]] = {}
        for tensor in self.tensors:
            by_layer.setdefault(tensor.layer, {})[tensor.role] = tensor
        return tuple(
            ZooLayer(name, roles["weight"], roles.get("bias")) for name, roles in by_layer.items() if "weight" in roles
        )

    def weights(self) -> npt.NDArray[np.floating[Any]]:
        """Read the weights of all checkpoints, shape (n, parameters), as they are stored.

        Raises:
            UsageError: Only the store knows the zoo.
        """
        return self.stored_rows()[self.rows]

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
        """Go through the weights, some checkpoints at a time: which ones, and their rows in double precision.

        Raises:
            UsageError: Only the store knows the zoo.
        """
        import numpy as np

        file = self.stored_rows()
        step = max(1, BLOCK_BYTES // (8 * self.parameters))
        for start in range(0, len(self), step):
            which = slice(start, min(start + step, len(self)))
            yield which, file[self.rows[which]].astype(np.float64)

    def chosen(self, which: npt.NDArray[Any]) -> Zoo:
        """Return some of the checkpoints, by their places or by one bool each."""
        return replace(
            self,
            rows=self.rows[which],
            networks=self.networks[which],
            epochs=self.epochs[which],
            hyperparameters={name: own[which] for name, own in self.hyperparameters.items()},
            results={name: own[which] for name, own in self.results.items()},
        )

    def last(self) -> Zoo:
        """Return the last checkpoint of each network, networks in ascending order of their numbers."""
        import numpy as np

        order = np.lexsort((self.epochs, self.networks))
        is_last = np.append(np.diff(self.networks[order]) != 0, True)[: len(order)]
        return self.chosen(order[is_last])

    def at(self, epoch: int) -> Zoo:
        """Return the checkpoints of one epoch."""
        return self.chosen(self.epochs == epoch)

    def name_of(self, tensor: ZooTensor) -> str:
        """Return the name of a tensor in a checkpoint: as state dicts have it; Keras's says by itself what it is."""
        return tensor.name if self.layout == "keras" else f"{tensor.layer}.{tensor.role}"

    def stored_rows(self) -> npt.NDArray[np.floating[Any]]:
        """Return all rows of the file, ``stored``.

        Raises:
            UsageError: Only the store knows the zoo.
        """
        if self.stored is None:
            raise UsageError(f"zoo {self.name}: its weights are not on this machine: name the folder that has them")
        return self.stored


@dataclass(frozen=True, eq=False)
class ZooFeatures:
    """Numbers of each checkpoint of a zoo, such as a predictor learns from.

    Attributes:
        zoo: The checkpoints, one for each row.
        spec: The feature sets and columns they were asked by.
        versions: Of each of them: its label and the version of its definition.
        names: Names of the features, in order.
        values: Shape (len(zoo), len(names)), float64, all of them finite.
        left_out: Numbers of networks of which some feature is not a finite number, as after they diverged.
    """

    zoo: Zoo
    spec: str
    versions: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    left_out: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.zoo)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return ``network``, ``epoch``, the features, and what was measured, by name, shape (len(zoo),) each."""
        features = {name: self.values[:, place] for place, name in enumerate(self.names)}
        return {"network": self.zoo.networks, "epoch": self.zoo.epochs} | features | dict(self.zoo.results)

    def to_pandas(self) -> pd.DataFrame:
        """Return the same as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.columns())

"""What is asked when a zoo is trained, checked, and which networks are then trained side by side."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ww_core as ww
from ww_plugins.zoos.places import check_zoo_name
from ww_plugins.zoos.training.hyperparameters import RANGES, TRAIN_FRACTIONS, Hyperparameters, drawn
from ww_plugins.zoos.training.networks import WIDTHS, Network, network_of
from ww_plugins.zoos.training.stack import Schedule

if TYPE_CHECKING:
    from ww_plugins.zoos.data import ImageSet

MOST_NETWORKS = 1_000_000
STACK = 12
"""Networks side by side, at most. It is part of a zoo's bits: products of other sizes are rounded in another way."""

PUBLISHED_CHECKPOINTS = (0, 1, 2, 3)
PUBLISHED_INTERVAL = 20
"""The published zoo has checkpoints at epochs 0, 1, 2 and 3, then at every 20th, and at the end."""


@dataclass(frozen=True, slots=True)
class ZooRequest:
    """A zoo that is to be trained.

    Attributes:
        name: Its name.
        data: Name of a built-in image set, or path of a file ``.npz``.
        count: How many networks.
        network: ``cnn`` or ``mlp``.
        width: Units of each hidden layer of an ``mlp``; 0 for a ``cnn``.
        seed: Random seed.
        fresh_seeds: Whether each network has a random seed of its own; else all have ``seed``.
        schedule: Epochs, checkpoints and batch.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    name: str
    data: str
    count: int
    network: Literal["cnn", "mlp"]
    width: int
    seed: int
    fresh_seeds: bool
    schedule: Schedule
    device: str

    def layout(self, images: ImageSet) -> Network:
        """Return the layout of the networks.

        Raises:
            UsageError: The images are too small.
        """
        return network_of(self.network, images.size, images.classes, self.width)

    def chosen(self) -> list[Hyperparameters]:
        """Draw what each network is trained with, by its number."""
        return [drawn(self.seed, number, fresh_seed=self.fresh_seeds) for number in range(self.count)]

    def about(self, images: ImageSet) -> dict[str, Any]:
        """Return what ``zoo.json`` says, but for its name and the networks that diverged."""
        import torch

        return {
            "network": self.network,
            **({"width": self.width} if self.network == "mlp" else {}),
            "data": images.about(),
            "seed": self.seed,
            "seeds": "fresh" if self.fresh_seeds else "one",
            "count": self.count,
            "epochs": self.schedule.epochs,
            "checkpoints": list(self.schedule.checkpoints),
            "batch": self.schedule.batch,
            "ranges": RANGES,
            "device": self.device.partition(":")[0],
            "made_by": {
                "ww": ww.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": str(torch.__version__),
            },
        }


def zoo_request(
    *,
    data: str,
    count: int,
    epochs: int,
    network: Literal["cnn", "mlp"] = "cnn",
    width: int | None = None,
    seed: int = 42,
    fresh_seeds: bool = False,
    checkpoints: Sequence[int] | None = None,
    batch: int = 32,
    device: str = "cpu",
    name: str | None = None,
    images: ImageSet,
) -> ZooRequest:
    """Check what is asked.

    Args:
        data: Name of a built-in image set, or path of a file ``.npz``.
        count: How many networks.
        epochs: Passes over the images that a network sees.
        network: ``cnn`` or ``mlp``.
        width: 8, 16, 32 or 64; 16 unless said. Only of an ``mlp``.
        seed: From which everything random is made; 0 or more.
        fresh_seeds: Whether each network has a random seed of its own.
        checkpoints: Epochs after which weights are kept; the last one always is. None: 0, 1, 2, 3 and every 20th.
        batch: Images per step.
        device: Where networks are trained.
        name: Name of the zoo; None: that of the data.
        images: The image set.

    Raises:
        UsageError: Something does not fit.
    """
    if not 1 <= count <= MOST_NETWORKS:
        raise ww.UsageError(f"--count {count}: a zoo has 1 to {MOST_NETWORKS} networks")
    if epochs < 1:
        raise ww.UsageError(f"--epochs {epochs}: networks are trained for 1 epoch or more")
    if not 0 <= seed < 2**63:
        raise ww.UsageError(f"--seed {seed}: a seed is a whole number from 0 on, of at most 63 bits")
    if width is not None and network == "cnn":
        raise ww.UsageError("--width is for --network mlp: the cnn has 16 filters in each layer")
    if width is not None and width not in WIDTHS:
        raise ww.UsageError(f"--width {width}: the widths are {', '.join(map(str, WIDTHS))}")
    smallest = int(min(TRAIN_FRACTIONS) * len(images.x_train))
    if not 1 <= batch <= smallest:
        raise ww.UsageError(
            f"--batch {batch}: some networks see {min(TRAIN_FRACTIONS):.0%} of the images, which are {smallest}, "
            f"and no batch may be larger{': more images are needed' if not smallest else ''}"
        )
    return ZooRequest(
        name=check_zoo_name(images.name if name is None else name),
        data=data,
        count=count,
        network=network,
        width=(width or 16) if network == "mlp" else 0,
        seed=seed,
        fresh_seeds=fresh_seeds,
        schedule=Schedule(epochs, _checkpoints(epochs, checkpoints), batch),
        device=_checked_device(device),
    )


def published_checkpoints(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which the published zoo would have checkpoints: 0, 1, 2, 3, every 20th, and the last."""
    every = range(PUBLISHED_INTERVAL, epochs + 1, PUBLISHED_INTERVAL)
    return tuple(sorted({epoch for epoch in (*PUBLISHED_CHECKPOINTS, *every) if epoch <= epochs} | {epochs}))


def stacks_of(chosen: Sequence[Hyperparameters]) -> list[list[int]]:
    """Say which networks are trained side by side: those of one stratum, some at a time, the longest work first.

    Returns:
        Numbers of the networks of each stack.
    """
    strata: dict[tuple[str, str, float], list[int]] = defaultdict(list)
    for number, own in enumerate(chosen):
        strata[own.stratum].append(number)
    stacks = [part.tolist() for own in strata.values() for part in np.array_split(np.array(own), -(-len(own) // STACK))]
    return sorted(stacks, key=lambda numbers: (-chosen[numbers[0]].train_fraction * len(numbers), numbers))


def _checkpoints(epochs: int, asked: Sequence[int] | None) -> tuple[int, ...]:
    if asked is None:
        return published_checkpoints(epochs)
    for epoch in asked:
        if not 0 <= epoch <= epochs:
            raise ww.UsageError(f"--checkpoints {epoch}: the epochs are 0 (before the training) to {epochs}")
    return tuple(sorted({*asked, epochs}))


def _checked_device(device: str) -> str:
    """Check that a device can be used.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: There is no such device.
    """
    try:
        import torch
    except ImportError:
        raise ww.MissingExtraError("torch is not installed: pip install 'ww-core[zoo]'") from None
    kind, _, number = device.partition(":")
    if kind not in {"cpu", "cuda"} or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise ww.UsageError(f"--device {device}: networks are trained on cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ww.UsageError(f"--device {device}: torch finds no such device here; cpu always works")
    return device

"""Controls: networks of the same shapes in which nothing was learnt, to compare a trained network with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ww_core.domain.name import LONGEST_NAME
from ww_core.errors import UnknownNameError

PERMUTED = "permuted"
RANDOM = "random"
CONTROLS = (PERMUTED, RANDOM)

MARK = "~"
"""Stands between the name of a model and what its control is."""

TRANSFORM = "ww:control"
"""What makes controls, as the store knows it."""

VERSION = "1"
"""Of how they are made. A new one gives every control other numbers."""

LISTED = 3
"""Names of networks in one sentence."""


@dataclass(frozen=True, slots=True)
class Control:
    """Which control of a network is meant.

    Attributes:
        kind: ``permuted``: every tensor with its own numbers in random order; ``random``: every weight drawn anew.
        seed: Other seeds give other controls.

    Raises:
        UnknownNameError: There is no such kind.
    """

    kind: str
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no kind."""
        if self.kind not in CONTROLS:
            raise UnknownNameError("control", str(self.kind), CONTROLS)

    @property
    def label(self) -> str:
        """What it is called after the name of its model."""
        return f"{self.kind}-seed{self.seed}" if self.seed else self.kind

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What made it, as plain data."""
        return {"kind": self.kind, "seed": self.seed}

    @property
    def mark(self) -> str:
        """What the name of a control ends in."""
        return f"{MARK}{self.label}"

    def network_of(self, model: str) -> str:
        """Return the name of the network of which a model is the control; a model without the mark is the network."""
        return model.removesuffix(self.mark) or model

    def name_of(self, model: str) -> str:
        """Return the name of the control of a model; one that ends in its mark has it already."""
        return self.network_of(model) + self.mark

    def default_name_of(self, model: str) -> str:
        """Return the name of the control of a model that nobody named: a long one is cut."""
        return self.name_of(model[: LONGEST_NAME - len(self.mark)].rstrip())


def is_control_of(name: str, network: str, label: str) -> bool:
    """Tell whether a control has the name that it got from its network, which is cut if nobody chose it.

    Args:
        name: Name of a model.
        network: Name of the network's model.
        label: Which control the model is, as ``random-seed1``; empty if it is none.
    """
    return bool(label) and name in {network + MARK + label, control_name(network, label)}


def control_name(network: str, label: str) -> str:
    """Return the name of a control of a network; that of a network with a long name is cut."""
    mark = MARK + label
    return network[: LONGEST_NAME - len(mark)].rstrip() + mark


@dataclass(frozen=True, slots=True)
class ControlledNetwork:
    """A network that a control was made from.

    Attributes:
        digest: Content address of its checkpoint, which need not be stored.
        model: Name of the model, as it is stored now; empty if it has none.
        version: Its version.
    """

    digest: str
    model: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """How people know it."""
        return f"{self.model}@{self.version}" if self.model else f"weights {self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class ControlInfo:
    """What a run analysed in place of a network.

    Attributes:
        kind: ``permuted`` or ``random``.
        seed: The seed it was made with.
        of: The networks that it was made from. Of ``random`` there may be several: it depends on shapes alone.
    """

    kind: str
    seed: int
    of: tuple[ControlledNetwork, ...] = ()

    def __str__(self) -> str:
        names = [own.name for own in self.of[:LISTED]]
        more = len(self.of) - LISTED
        networks = ", ".join(names) + (f" and {more} more" if more > 0 else "") if names else "a network"
        made = (
            f"{networks} with the elements of every tensor permuted"
            if self.kind == PERMUTED
            else f"weights drawn at random in the shapes of {networks}"
        )
        return f"a control, no trained network: {made} (seed {self.seed})"

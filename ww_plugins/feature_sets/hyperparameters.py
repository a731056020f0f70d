"""How a network was trained: what a predictor that sees no weights can know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.zoos.training.hyperparameters import ACTIVATIONS, INITIALIZERS, OPTIMIZERS

if TYPE_CHECKING:
    import numpy.typing as npt

VARIED = ("learning_rate", "l2reg", "dropout", "init_std", "train_fraction", "activation", "w_init", "optimizer")
"""What the paper varies, in the order of the features."""

CHOICES = {"activation": ACTIVATIONS, "w_init": INITIALIZERS, "optimizer": OPTIMIZERS}
"""What those that are texts may be: each is a feature of 0 and 1, also in a zoo in which it does not occur."""


@dataclass(frozen=True)
class Hyperparameters(ww.FeatureSet):
    """The eight hyperparameters that the paper varies: numbers as they are, and 0 or 1 for each choice.

    The paper's table calls seven of them hyperparameters and leaves the optimizer out, as ``optimizer=False`` does.
    Unterthiner et al., arXiv:2002.11448, appendix A.2.

    Attributes:
        optimizer: Whether the optimizer is among them.
    """

    name = "hyperparameters"
    version = "1"
    description = "learning rate, regularization, initialization, optimizer and so on: 15 numbers"
    optimizer: bool = True

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return ``learning_rate``, ``activation=relu`` and so on.

        Raises:
            UsageError: The zoo does not say one of them.
        """
        missing = [name for name in self._chosen if name not in zoo.hyperparameters]
        if missing:
            raise ww.UsageError(f"zoo {zoo.name}: it does not say the {missing[0]} of its networks")
        return tuple(
            name if choice is None else f"{name}={choice}"
            for name in self._chosen
            for choice in CHOICES.get(name, (None,))
        )

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints; NaN for a choice that is none of the paper's."""
        self.names(zoo)
        columns = []
        for name in self._chosen:
            own = zoo.hyperparameters[name]
            if name not in CHOICES:
                columns.append(_numbers(own))
                continue
            texts = own.astype(str)
            is_known = np.isin(texts, CHOICES[name])
            columns += [np.where(is_known, texts == choice, np.nan) for choice in CHOICES[name]]
        return np.column_stack(columns)

    @property
    def _chosen(self) -> tuple[str, ...]:
        return tuple(name for name in VARIED if self.optimizer or name != "optimizer")


def _numbers(own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return own if own.dtype == np.float64 else np.full(len(own), np.nan)

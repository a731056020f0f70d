"""A fully connected network on standardised features, with a sigmoid at its end: the paper's DNN. It needs torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

EPOCHS, PATIENCE = 300, 10
"""Epochs at most, and how many of them without progress end it, as in the paper's notebook."""

MOST_LAYERS = 64


@dataclass(frozen=True, eq=False)
class Layers:
    """A fitted network.

    Attributes:
        weights: Of each layer, float64, shape (in, out).
        biases: Of each layer, float64, shape (out,).
    """

    weights: tuple[npt.NDArray[np.float64], ...]
    biases: tuple[npt.NDArray[np.float64], ...]

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.float64]:
        """Return the predictions between 0 and 1, float64, shape (n,), for features of shape (n, k)."""
        from scipy.special import expit

        told = np.empty(len(features))
        for row, own in enumerate(features):  # one by one: a product of matrices rounds by how many rows there are
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                own = np.maximum(own @ weight + bias, 0.0)
            told[row] = (own @ self.weights[-1] + self.biases[-1])[0]
        result: npt.NDArray[np.float64] = expit(told)
        return result


@dataclass(frozen=True)
class DeepNetwork(ww.Estimator):
    """Layers of one width with ReLU and dropout, by Adam; ended early on a tenth of what it learns from."""

    name: ClassVar[str] = "dnn"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "a fully connected network (torch), for results between 0 and 1"
    extra: ClassVar[str] = "predictors"

    layers: int = 3
    units: int = 256
    dropout: float = 0.05
    l2: float = 1e-6
    learning_rate: float = 1e-3
    batch: int = 64

    def check(self) -> None:
        """Try to import torch.

        Raises:
            MissingExtraError: It is not installed.
        """
        try:
            import torch  # noqa: F401 - whether it is there
        except (ImportError, OSError):
            raise ww.MissingExtraError(f"torch is not installed: pip install 'ww-core[{self.extra}]'") from None

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched: the paper's ranges, but for learning rates that do not learn."""
        del columns
        return {
            "layers": ww.Between(3, 9),
            "units": ww.Between(256, 511),
            "dropout": ww.Between(0.0, 0.2),
            "l2": ww.Between(1e-8, 1e-3, log=True),
            "learning_rate": ww.Between(3e-4, 1e-2, log=True),
            "batch": ww.Among((64, 128, 256, 512)),
        }

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Layers:
        """Train on one core.

        Raises:
            UsageError: A target is not between 0 and 1, or there is no layer.
        """
        import torch

        if targets.min() < 0 or targets.max() > 1:
            raise ww.UsageError(f"estimator {self.name} learns results between 0 and 1, and some are not")
        if not 1 <= self.layers < MOST_LAYERS or self.units < 1 or self.batch < 1:
            raise ww.UsageError(f"estimator {self.label}: it has 1 to {MOST_LAYERS - 1} layers, and units and a batch")
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        order = np.random.default_rng(seed).permutation(len(targets))
        apart = max(1, len(targets) // 10) if len(targets) > 1 else 0
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            inputs = torch.from_numpy(((features - centre) / scale).astype(np.float32))[order]
            wanted = torch.from_numpy(targets.astype(np.float32))[order]
            best = self._trained(inputs, wanted, apart, seed)
        finally:
            torch.set_num_threads(threads)
        weights = [own.numpy().astype(np.float64) for own in best[0::2]]
        biases = [own.numpy().astype(np.float64) for own in best[1::2]]
        biases[0] = biases[0] - (centre / scale) @ weights[0]
        weights[0] = weights[0] / scale[:, None]
        return Layers(tuple(weights), tuple(biases))

    def _trained(self, inputs: torch.Tensor, targets: torch.Tensor, apart: int, seed: int) -> list[torch.Tensor]:
        """Return weights and biases where the error on the first networks, which are set apart, was least."""
        import torch

        generator = torch.Generator().manual_seed(seed % 2**63)
        sizes = [inputs.shape[1], *[self.units] * self.layers, 1]
        own: list[torch.Tensor] = []
        for before, after in itertools.pairwise(sizes):
            own.append(torch.randn((before, after), generator=generator) * (2.0 / before) ** 0.5)
            own.append(torch.zeros(after))
        own[-2] *= 0.1
        own[-1] += torch.logit(targets.mean().clamp(1e-3, 1 - 1e-3))
        for tensor in own:
            tensor.requires_grad_(True)
        rule = torch.optim.Adam(own, lr=self.learning_rate)
        best, error, waited = [tensor.detach().clone() for tensor in own], float("inf"), 0
        for _ in range(EPOCHS):
            order = torch.randperm(len(targets) - apart, generator=generator) + apart
            for batch in torch.split(order, self.batch):
                told = self._told(own, inputs[batch], generator)
                penalty = sum((weight**2).sum() for weight in own[0::2])
                rule.zero_grad()
                (((told - targets[batch]) ** 2).mean() + self.l2 * penalty).backward()  # type: ignore[no-untyped-call] # torch
                rule.step()
            with torch.no_grad():
                now = float(((self._told(own, inputs[:apart], None) - targets[:apart]) ** 2).mean()) if apart else 0.0
            if now < error:
                best, error, waited = [tensor.detach().clone() for tensor in own], now, 0
            elif (waited := waited + 1) >= PATIENCE:
                break
        return best

    def _told(self, own: list[torch.Tensor], inputs: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        import torch

        for place in range(self.layers):
            inputs = torch.relu(inputs @ own[2 * place] + own[2 * place + 1])
            if generator is not None and self.dropout > 0:
                kept = torch.rand(inputs.shape, generator=generator) >= self.dropout
                inputs = inputs * kept / (1.0 - self.dropout)
        return torch.sigmoid(inputs @ own[-2] + own[-1])[:, 0]

    def state(self, fitted: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Return weights and biases, by their places."""
        layers: Layers = fitted
        told = {f"weight{place}": own for place, own in enumerate(layers.weights)}
        return told | {f"bias{place}": own for place, own in enumerate(layers.biases)}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Layers:
        """Return the network, checked."""
        count = len(state) // 2
        names = [f"{what}{place}" for place in range(count) for what in ("weight", "bias")]
        if not 0 < count <= MOST_LAYERS or set(names) != set(state):
            raise ww.CorruptFileError("it has no layers of a network")
        before = columns
        for name in names:
            own = state[name]
            shape = (before, *own.shape[-1:]) if name.startswith("weight") else (before,)
            if own.dtype != np.float64 or own.shape != shape or not own.size or not np.isfinite(own).all():
                raise ww.CorruptFileError(f"{name} of its network does not fit")
            before = own.shape[-1]
        if before != 1:
            raise ww.CorruptFileError("its network has more than one output")
        return Layers(*(tuple(state[f"{what}{place}"] for place in range(count)) for what in ("weight", "bias")))

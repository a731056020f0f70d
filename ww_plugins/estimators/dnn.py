"""The paper's fully connected network, trained by PyTorch and evaluated by NumPy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.estimators.logit_linear import logit_of_mean, sigmoid
from ww_plugins.estimators.training import (
    Scaling,
    check_accuracies,
    check_columns,
    check_options,
    check_state_names,
    check_training,
    state_array,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

WATCHED = 10
"""One of so many networks is not trained on, and tells when to stop."""

MOST_LAYERS = 20
SEEDS = 1 << 63

_LIMITS = {
    "layers": (1, MOST_LAYERS),
    "units": (1, 10_000),
    "dropout": (0.0, 0.95),
    "l2": (0.0, 1e6),
    "learning_rate": (1e-9, 10.0),
    "batch": (1, 2**31 - 1),
    "epochs": (1, 1_000_000),
    "patience": (1, 1_000_000),
}


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A fully connected network of ReLU units, and a sigmoid at its end.

    Attributes:
        scaling: Of the features.
        weights: float32, shape (inputs, outputs), of each layer.
        biases: float32, shape (outputs,), of each layer.
    """

    scaling: Scaling
    weights: tuple[npt.NDArray[np.float32], ...]
    biases: tuple[npt.NDArray[np.float32], ...]

    def predict(self, features: Floats) -> Floats:
        """Return the predictions, shape (n,), from 0 to 1, for features of shape (n, k); computed in float64.

        A network is multiplied on its own, since a product of many rows is rounded by how many there are.
        """
        check_columns(features, len(self.scaling.mean))
        rows = self.scaling.applied(features)[:, None, :]
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if place:
                rows = np.maximum(rows, 0.0)
            rows = np.matmul(rows, weight.astype(np.float64)) + bias
        return sigmoid(rows[:, 0, 0])


@dataclass(frozen=True)
class Network(ww.Estimator):
    """A fully connected network, squared loss, Adam: the DNN of arXiv:2002.11448, section 4.

    A tenth of the networks that it is given tells when to stop: after ``patience`` epochs without a lower error on
    them the weights of the best epoch are taken. Standardised features, He's initialization, one thread; at first all
    predictions are the mean of the targets.

    Attributes:
        layers: Hidden layers.
        units: Of each.
        dropout: Share of the hidden units that are left out while training.
        l2: Penalty on the sum of squared weights.
        learning_rate: Of Adam.
        batch: Networks in a step.
        epochs: At most.
        patience: Epochs without a lower error after which it stops.
    """

    name = "dnn"
    version = "1"
    description = "fully connected network of 3 or more hidden layers, by PyTorch"
    extra = "predictors"
    layers: int = 3
    units: int = 256
    dropout: float = 0.0
    l2: float = 1e-6
    learning_rate: float = 1e-3
    batch: int = 32
    epochs: int = 300
    patience: int = 10

    def __post_init__(self) -> None:
        check_options(self, _LIMITS)

    def check(self) -> None:
        """Try whether PyTorch is installed.

        Raises:
            MissingExtraError: It is not.
        """
        try:
            import torch  # noqa: F401 - tried here, used later
        except (ImportError, OSError):
            raise ww.MissingExtraError(
                f"estimator {self.label!r} needs PyTorch: pip install 'ww-core[predictors]'"
            ) from None

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:  # noqa: ARG002 - the same for any
        """Return where options are searched: the paper's ranges, with rates and batches for some hundred networks."""
        return {
            "layers": ww.Between(3, 9),
            "units": ww.Between(256, 511),
            "dropout": ww.Between(0.0, 0.2),
            "l2": ww.Between(1e-8, 1e-3, log=True),
            "learning_rate": ww.Between(1e-4, 1e-2, log=True),
            "batch": ww.Among((32, 64, 128)),
        }

    def fit(self, features: Floats, targets: Floats, seed: int) -> FittedNetwork:
        """Learn from features of shape (n, k) and targets of shape (n,), from 0 to 1.

        Raises:
            UsageError: There is nothing to learn from, a number is not finite, or a target lies outside [0, 1].
            MissingExtraError: PyTorch is not installed.
        """
        self.check()
        check_training(features, targets, self.label)
        check_accuracies(targets, self.label)
        import torch

        scaling = Scaling.of(features)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums in one order, whatever the machine
        try:
            layers = _trained(self, scaling.applied(features), targets, seed)
        finally:
            torch.set_num_threads(threads)
        return FittedNetwork(scaling, tuple(weight for weight, _ in layers), tuple(bias for _, bias in layers))

    def state(self, fitted: FittedNetwork) -> Mapping[str, npt.NDArray[Any]]:
        """Return ``mean`` and ``spread``, float64, shape (k,); ``weight0``, ``bias0`` and so on, float32."""
        weights = {f"weight{at}": weight for at, weight in enumerate(fitted.weights)}
        return fitted.scaling.state() | weights | {f"bias{at}": bias for at, bias in enumerate(fitted.biases)}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> FittedNetwork:
        """Return the network.

        Raises:
            CorruptFileError: The arrays are none of one.
        """
        layers = len(state) // 2 - 1
        if not 1 <= layers <= MOST_LAYERS + 1:
            raise ww.CorruptFileError(f"the predictor has {len(state)} arrays, which are no network")
        check_state_names(
            state, {"mean", "spread", *(f"{of}{at}" for of in ("weight", "bias") for at in range(layers))}
        )
        weights, biases, inputs = [], [], columns
        for at in range(layers):
            outputs = 1 if at == layers - 1 else None
            weights.append(_small(state_array(state, f"weight{at}", np.float32, (inputs, outputs)), layers))
            inputs = weights[-1].shape[1]
            biases.append(_small(state_array(state, f"bias{at}", np.float32, (inputs,)), layers))
        return FittedNetwork(Scaling.from_state(state, columns), tuple(weights), tuple(biases))


def _small(array: npt.NDArray[np.float32], layers: int) -> npt.NDArray[np.float32]:
    """Return an array whose products over so many layers do not overflow."""
    if array.size and float(np.abs(array).max()) > 10.0 ** (250 / layers - 8):
        raise ww.CorruptFileError("the predictor's network has weights so large that its products overflow")
    return array


def _trained(
    options: Network, features: Floats, targets: Floats, seed: int
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Return weight and bias of each layer at the epoch with the lowest error on the networks that are watched."""
    import torch

    chance = torch.Generator().manual_seed(seed % SEEDS)
    inputs = torch.from_numpy(features.astype(np.float32))
    outputs = torch.from_numpy(targets.astype(np.float32))
    order = torch.randperm(len(inputs), generator=chance)
    few = len(inputs) // WATCHED
    watched, trained = (order[:few], order[few:]) if few else (order, order)
    layers = list(_initial(options, inputs.shape[1], chance))
    with torch.no_grad():
        layers[-1][0].zero_()
        layers[-1][1].fill_(logit_of_mean(targets))
    groups = [
        {"params": [weight for weight, _ in layers], "weight_decay": 2.0 * options.l2},  # the penalty's gradient
        {"params": [bias for _, bias in layers], "weight_decay": 0.0},
    ]
    adam = torch.optim.Adam(groups, lr=options.learning_rate)
    best, lowest, waited = _copied(layers), _error(layers, inputs[watched], outputs[watched]), 0
    for _ in range(options.epochs):
        shuffled = trained[torch.randperm(len(trained), generator=chance)]
        for rows in torch.split(shuffled, options.batch):
            adam.zero_grad()
            predictions = _forward(layers, inputs[rows], options.dropout, chance)
            ((predictions - outputs[rows]) ** 2).mean().backward()
            adam.step()
        error = _error(layers, inputs[watched], outputs[watched])
        if error < lowest:
            best, lowest, waited = _copied(layers), error, 0
            continue
        waited += 1
        if waited == options.patience:
            break
    return best


def _initial(options: Network, columns: int, chance: Any) -> Iterator[tuple[Any, Any]]:
    """Yield weight and bias of each layer: normal numbers of variance 2 / inputs, and zeros."""
    import torch

    sizes = [columns, *[options.units] * options.layers, 1]
    for inputs, outputs in itertools.pairwise(sizes):
        weight = torch.randn(inputs, outputs, generator=chance) * (2.0 / inputs) ** 0.5
        yield weight.requires_grad_(), torch.zeros(outputs, requires_grad=True)


def _error(layers: list[tuple[Any, Any]], rows: Any, outputs: Any) -> float:
    """Return the mean squared error, without dropout."""
    import torch

    with torch.no_grad():
        return float(((_forward(layers, rows, 0.0, None) - outputs) ** 2).mean())


def _forward(layers: list[tuple[Any, Any]], rows: Any, dropout: float, chance: Any) -> Any:
    import torch

    for place, (weight, bias) in enumerate(layers):
        if place:
            rows = torch.relu(rows)
        if place and dropout > 0.0:
            kept = torch.rand(rows.shape, generator=chance) >= dropout
            rows = rows * kept / (1.0 - dropout)
        rows = torch.addmm(bias, rows, weight)
    return torch.sigmoid(rows[:, 0])


def _copied(layers: list[tuple[Any, Any]]) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    return [(weight.detach().numpy().copy(), bias.detach().numpy().copy()) for weight, bias in layers]

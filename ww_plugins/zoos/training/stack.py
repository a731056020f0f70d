"""Train a stack: networks with one optimizer, activation and train fraction, side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_plugins.zoos.training.draws import Draws
from ww_plugins.zoos.training.engine import Engine, Layers, first_inputs, scales
from ww_plugins.zoos.training.hyperparameters import DROPOUT_STEPS
from ww_plugins.zoos.training.initial import initial_weights
from ww_plugins.zoos.training.optimizers import BY_NAME

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from ww_plugins.zoos.data import ImageSet
    from ww_plugins.zoos.training.hyperparameters import Hyperparameters
    from ww_plugins.zoos.training.networks import Network

RESULTS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
"""What is measured at a checkpoint, in the order of the last axis of ``TrainedStack.results``."""

EVALUATED_AT_ONCE = 64
"""Images: more of them leave the cache."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """For how long networks are trained, and what is kept.

    Attributes:
        epochs: Passes over the images that a network sees.
        checkpoints: Epochs after which weights and results are kept, ascending; 0 is before the training.
        batch: Images of a step; those that do not fill one are left out of the epoch.
    """

    epochs: int
    checkpoints: tuple[int, ...]
    batch: int


@dataclass(frozen=True, eq=False)
class TrainedStack:
    """What became of the networks of a stack.

    Attributes:
        weights: float32, (networks, checkpoints, parameters).
        results: float64, (networks, checkpoints, 4), as ``RESULTS`` names them: shares of images, and means of the
            cross entropy in nats without the L2 term, both without dropout.
        diverged: Epoch after which a network's weights or losses were first not finite; -1 if they always are,
            int64, (networks,). What it has from then on means nothing.
    """

    weights: npt.NDArray[np.float32]
    results: npt.NDArray[np.float64]
    diverged: npt.NDArray[np.int64]


class Images:
    """An image set on a device, in the form that the first layer of a network reads."""

    def __init__(
        self, images: ImageSet, network: Network, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        import torch

        def placed(array: npt.NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        self.train = placed(first_inputs(network, images.x_train)).to(dtype or torch.float32)
        self.test = placed(first_inputs(network, images.x_test)).to(dtype or torch.float32)
        self.train_labels, self.test_labels = placed(images.y_train), placed(images.y_test)
        self.device = device


def images_used(chosen: Hyperparameters, images: int) -> int:
    """How many of the training images a network sees."""
    return int(chosen.train_fraction * images)


def subset_of(seed: int, images: int, used: int) -> npt.NDArray[np.int64]:
    """Return which training images a network of this seed sees: the first ones of one order of all."""
    return Draws(seed, "subset").permutation(images)[:used]


def order_of(seed: int, epoch: int, used: int) -> npt.NDArray[np.int64]:
    """Return in which order a network sees its images in an epoch, counted from 1: places in its subset."""
    return Draws(seed, "order", epoch).permutation(used)


def dropout_field(seed: int, epoch: int) -> Draws:
    """Return the stream that dropout takes its bytes from in an epoch, one batch after the other.

    A batch takes (images, height, width, channels) bytes for each hidden layer, layer by layer. A unit is dropped where
    its byte is below 256 times the rate.
    """
    return Draws(seed, "dropout", epoch)


def train_stack(
    network: Network,
    images: Images,
    chosen: Sequence[Hyperparameters],
    schedule: Schedule,
    *,
    dtype: torch.dtype | None = None,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> TrainedStack:
    """Train networks of one stratum and measure them at every checkpoint.

    Args:
        network: Their layout.
        images: What they see.
        chosen: What each is trained with; all have one stratum.
        schedule: For how long.
        dtype: Of all arithmetic; float32 unless said.
        after_epoch: Called with the number of each epoch when it is over.
    """
    import torch

    with torch.inference_mode(), _one_thread():
        stack = _Stack(network, images, chosen, schedule, dtype)
        for epoch in range(schedule.epochs + 1):
            if epoch:
                stack.train(epoch)
            stack.look(epoch)
            if epoch in schedule.checkpoints:
                stack.keep(schedule.checkpoints.index(epoch), epoch)
            after_epoch(epoch)
            if stack.all_diverged:
                break
        return stack.trained()


class _Stack:
    def __init__(
        self,
        network: Network,
        images: Images,
        chosen: Sequence[Hyperparameters],
        schedule: Schedule,
        dtype: torch.dtype | None,
    ) -> None:
        import torch

        def placed(array: npt.NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy(array).to(images.device, dtype or torch.float32)

        self._network, self._images, self._schedule = network, images, schedule
        optimizer, activation, _ = chosen[0].stratum
        count = len(chosen)
        self._engine = Engine(network, activation, count, device=images.device, dtype=dtype)
        self._weights = placed(np.stack([initial_weights(network, own) for own in chosen]))
        rates = np.array([own.learning_rate for own in chosen])
        self._optimizer = BY_NAME[optimizer](self._weights, placed(rates[:, None]))
        dropout = np.array([own.dropout for own in chosen])
        self._drops = bool(dropout.any())
        self._thresholds = placed(dropout[:, None] * DROPOUT_STEPS)
        self._scales = placed(scales(network, dropout))
        self._decay = placed(_decay(network, np.array([own.l2reg for own in chosen])))
        seeds = [own.random_seed for own in chosen]
        self._seeds = seeds[:1] if len(set(seeds)) == 1 else seeds  # one seed: all see the same
        all_images = len(images.train)
        self._used = images_used(chosen[0], all_images)
        self._subsets = np.stack([subset_of(seed, all_images, self._used) for seed in self._seeds])
        self._scaled, self._gradients = torch.empty_like(self._weights), torch.empty_like(self._weights)
        self._layers, self._scaled_layers = Layers(network, self._weights), Layers(network, self._scaled)
        self._gradients_of_layers = Layers(network, self._gradients)
        self._dropout_bytes = schedule.batch * network.hidden_units
        kept = len(schedule.checkpoints)
        self._kept = np.full((count, kept, network.parameters), np.nan, np.float32)
        self._results = np.full((count, kept, len(RESULTS)), np.nan)
        self._diverged = np.full(count, -1, np.int64)

    @property
    def all_diverged(self) -> bool:
        return bool((self._diverged >= 0).all())

    def train(self, epoch: int) -> None:
        """Take the steps of one epoch."""
        batch = self._schedule.batch
        orders = [order_of(seed, epoch, self._used) for seed in self._seeds]
        places = np.take_along_axis(self._subsets, np.stack(orders), 1)
        fields = [dropout_field(seed, epoch) for seed in self._seeds]
        for start in range(0, self._used - batch + 1, batch):
            self._step(places[:, start : start + batch], fields)

    def _step(self, places: npt.NDArray[np.int64], fields: Sequence[Draws]) -> None:
        import torch

        inputs, labels = self._batch(places)
        keep = self._keep(fields) if self._drops else None
        torch.mul(self._weights, self._scales, out=self._scaled)
        self._engine.gradients(self._scaled_layers, inputs, labels, keep, self._gradients_of_layers)
        self._gradients.mul_(self._scales).addcmul_(self._weights, self._decay)
        self._optimizer.step(self._gradients)

    def _batch(self, places: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Take training images, (1 or networks, images), as the engine reads them, with their labels."""
        import torch

        which = torch.from_numpy(np.ascontiguousarray(places)).to(self._images.device)
        inputs = self._images.train.index_select(0, which.view(-1))
        return inputs.view(len(places), -1, inputs.shape[-1]), self._images.train_labels[which]

    def _keep(self, fields: Sequence[Draws]) -> list[torch.Tensor]:
        import torch

        drawn = np.stack([field.bytes(self._dropout_bytes) for field in fields])
        field = torch.from_numpy(drawn).to(self._images.device).to(self._engine.dtype)
        return self._engine.kept(field, self._thresholds, self._schedule.batch)

    def look(self, epoch: int) -> None:
        """Find the networks whose weights are not finite any more."""
        import torch

        finite = torch.isfinite(self._weights).all(1).cpu().numpy()
        self._diverged[~finite & (self._diverged < 0)] = epoch

    def keep(self, place: int, epoch: int) -> None:
        """Keep the weights and measure the networks, as the checkpoint at a place."""
        self._kept[:, place] = self._weights.float().cpu().numpy()
        count = len(self._images.test)
        images, labels = self._images.test, self._images.test_labels[None]
        test = ((images[a:b].flatten(0, 1)[None], labels[:, a:b]) for a, b in _pieces(count))
        train = (self._batch(self._subsets[:, a:b]) for a, b in _pieces(self._used))
        self._results[:, place] = np.concatenate([self._measured(test, count), self._measured(train, self._used)], 1)
        finite = np.isfinite(self._results[:, place]).all(1)
        self._diverged[~finite & (self._diverged < 0)] = epoch

    def _measured(self, pieces: Iterator[tuple[torch.Tensor, torch.Tensor]], count: int) -> npt.NDArray[np.float64]:
        """Return accuracy and mean cross entropy of each network, (networks, 2)."""
        import torch

        right: Any = 0
        loss: Any = 0
        for inputs, labels in pieces:
            logits = self._engine.logits(self._layers, inputs)
            own = labels.expand(len(logits), -1)[:, :, None]
            losses = torch.logsumexp(logits.transpose(1, 2).contiguous(), 1) - logits.gather(2, own)[:, :, 0]
            loss = loss + losses.double().sum(1)
            right = right + (logits.argmax(2) == own[:, :, 0]).sum(1)
        return np.stack([right.cpu().numpy() / count, loss.cpu().numpy() / count], 1)

    def trained(self) -> TrainedStack:
        """Return what became of the networks."""
        return TrainedStack(self._kept, self._results, self._diverged)


def _pieces(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + EVALUATED_AT_ONCE, count)) for start in range(0, count, EVALUATED_AT_ONCE))


def _decay(network: Network, factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By what a weight is multiplied in the gradient of the L2 term, (networks, parameters): 0 for biases."""
    decay = np.zeros((len(factors), network.parameters))
    for layer in network.layers:
        decay[:, layer.start + layer.outputs : layer.stop] = 2 * factors[:, None]
    return decay


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: bits then do not depend on how many there are, and processes do not disturb each other.

    Denormal numbers, which take a hundred times as long, count as zero meanwhile.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)

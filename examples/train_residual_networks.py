"""Train small residual networks of three widths, with hyperparameters drawn at random, and save each as safetensors.

    python examples/train_residual_networks.py --data digits --count 24 --out residual

Each network is a convolution, two residual blocks, a global average pooling and a dense layer; x2 and x4 have two and
four times the channels of x1. FOLDER/networks.csv says how each was trained and how well it does. A network that is in
the folder already is not trained again. It needs the extra `zoo`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

import ww_core as ww
from ww_plugins.zoos.data import BUILT_IN, ImageSet, image_set

WIDTHS = (1, 2, 4)
CHANNELS = 8  # of the first block of x1; the second block has twice as many
BATCH = 64
TABLE = "networks.csv"
TRAINING = "training"  # key in the metadata of a file


@dataclass(frozen=True)
class Training:
    """How one network is trained. It depends on the data, the seed, the width and the number alone."""

    data: str
    seed: int
    width: int
    number: int
    most_epochs: int
    epochs: int
    optimizer: str
    learning_rate: float
    l2reg: float
    dropout: float
    batch_norm: bool
    train_fraction: float

    @property
    def name(self) -> str:
        """What its file is called, without the suffix."""
        return f"x{self.width}-{self.number:02}"


@dataclass(frozen=True)
class Trained:
    """A network in the folder."""

    training: Training
    train_accuracy: float
    test_accuracy: float


def drawn(data: str, seed: int, width: int, number: int, most_epochs: int) -> Training:
    """Draw the hyperparameters of a network."""
    rng = np.random.default_rng([seed, width, number])
    return Training(
        data=data,
        seed=seed,
        width=width,
        number=number,
        most_epochs=most_epochs,
        epochs=round(log_uniform(rng, min(2, most_epochs), most_epochs)),
        optimizer=str(rng.choice(["sgd", "adam", "rmsprop"])),
        learning_rate=log_uniform(rng, 3e-4, 3e-2),
        l2reg=log_uniform(rng, 1e-8, 1e-2),
        dropout=rng.uniform(0, 0.5),
        batch_norm=bool(rng.integers(2)),
        train_fraction=float(rng.choice([0.1, 0.25, 0.5, 1.0])),
    )


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class Block(nn.Module):
    """Two 3x3 convolutions, added to a 1x1 convolution of the input. It halves the sides of an image if stride is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int, training: Training) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, stride)
        self.bn1 = normalization(outputs, training)
        self.dropout = nn.Dropout(training.dropout)
        self.conv2 = convolution(outputs, outputs, 3, 1)
        self.bn2 = normalization(outputs, training)
        self.shortcut = convolution(inputs, outputs, 1, stride) if (inputs, stride) != (outputs, 1) else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return images of shape (n, outputs, height, width) for images of shape (n, inputs, height, width)."""
        inner = self.dropout(torch.relu(self.bn1(self.conv1(images))))
        return torch.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


class ResidualNetwork(nn.Module):
    """Scores of shape (n, classes) for images of shape (n, 1, height, width).

    The name of the dense layer is the last one in the alphabet: safetensors orders a file by names, and ww takes the
    layer that stands last for the last layer.
    """

    def __init__(self, training: Training, classes: int) -> None:
        super().__init__()
        channels = CHANNELS * training.width
        self.conv1 = convolution(1, channels, 3, 2)
        self.bn1 = normalization(channels, training)
        self.layer1 = Block(channels, channels, 1, training)
        self.layer2 = Block(channels, 2 * channels, 2, training)
        self.linear = nn.Linear(2 * channels, classes)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        hidden = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(images)))))
        return self.linear(hidden.mean((2, 3)))


def convolution(inputs: int, outputs: int, side: int, stride: int) -> nn.Conv2d:
    """Make a convolution with weights as He et al. draw them, and biases of zero."""
    layer = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def normalization(channels: int, training: Training) -> nn.Module:
    """Return a batch normalization, or nothing where the network has none."""
    return nn.BatchNorm2d(channels) if training.batch_norm else nn.Identity()


def optimizer_of(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return the optimizer; as in the zoo, the loss has l2reg times the sum of the squares of all kernels."""
    kernels = [tensor for tensor in network.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in network.parameters() if tensor.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": kernels, "weight_decay": 2 * training.l2reg}, {"params": others}]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, training.learning_rate, momentum=0.9)
    if training.optimizer == "adam":
        return torch.optim.Adam(groups, training.learning_rate)
    return torch.optim.RMSprop(groups, training.learning_rate, alpha=0.9)


def train(training: Training, images: ImageSet) -> tuple[ResidualNetwork, Trained]:
    """Train one network; the same arguments give the same network on one machine."""
    torch.manual_seed(int(np.random.default_rng([training.seed, training.width, training.number, 1]).integers(2**62)))
    network = ResidualNetwork(training, images.classes)
    x_train, y_train = tensors(images.x_train, images.y_train)
    seen = torch.randperm(len(x_train))[: max(1, round(len(x_train) * training.train_fraction))]
    x_train, y_train = x_train[seen], y_train[seen]
    optimizer = optimizer_of(network, training)
    for _ in range(training.epochs):
        network.train()
        for batch in torch.randperm(len(x_train)).tensor_split(-(-len(x_train) // BATCH)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
    own = accuracy(network, x_train, y_train)
    return network, Trained(training, own, accuracy(network, *tensors(images.x_test, images.y_test)))


def tensors(images: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of shape (n, 1, height, width) and their classes."""
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels)


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images that are classified correctly, without dropout."""
    network.eval()
    return float((network(images).argmax(1) == labels).double().mean())


def save(network: ResidualNetwork, trained: Trained, file: Path) -> None:
    """Write a network whole or not at all, with what is told of it in the metadata."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    part = file.with_suffix(".part")
    save_file(state, part, metadata={TRAINING: json.dumps(asdict(trained))})
    part.replace(file)


def trained_of(file: Path) -> Trained:
    """Read what is told of a network in its file.

    Raises:
        SourceError: The file is none that `save` wrote.
    """
    try:
        with safe_open(file, framework="np") as opened:
            told = json.loads(opened.metadata()[TRAINING])
        return Trained(Training(**told.pop("training")), **told)
    except (SafetensorError, OSError, TypeError, AttributeError, KeyError, ValueError):
        raise ww.SourceError(f"{file} is no network of this script: remove it, or name another folder") from None


def write_table(networks: list[Trained], file: Path) -> None:
    """Write the table: a line for each network."""
    columns = ["file", *(own.name for own in fields(Training)), "train_accuracy", "test_accuracy"]
    part = file.with_suffix(".part")
    with part.open("w", newline="") as opened:
        table = csv.DictWriter(opened, columns, lineterminator="\n")
        table.writeheader()
        for own in networks:
            row = asdict(own)
            table.writerow({"file": f"{own.training.name}.safetensors"} | row.pop("training") | row)
    part.replace(file)


def train_missing(data: str, seed: int, count: int, most_epochs: int, folder: Path) -> list[Trained]:
    """Train ``count`` networks of each width but those that are in the folder already, and write the table.

    Raises:
        WWError: The images cannot be had, or a network in the folder was trained otherwise.
        OSError: The folder cannot be written.
    """
    torch.set_num_threads(1)  # on more, sums have another order; networks so small are no faster for them
    images = image_set(data)
    folder.mkdir(parents=True, exist_ok=True)
    networks = []
    for training in (drawn(data, seed, width, number, most_epochs) for width in WIDTHS for number in range(count)):
        file = folder / f"{training.name}.safetensors"
        if file.exists():
            networks.append(trained_of(file))
            if networks[-1].training != training:
                raise ww.SourceError(f"{file} was trained otherwise, as it says: name another folder with --out")
            continue
        began = time.perf_counter()
        network, trained = train(training, images)
        save(network, trained, file)
        networks.append(trained)
        accuracies = f"train {trained.train_accuracy:.3f}  test {trained.test_accuracy:.3f}"
        print(f"{training.name}  {accuracies}  {time.perf_counter() - began:5.1f} s", flush=True)
    write_table(networks, folder / TABLE)
    return networks


def main() -> None:
    """Train, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="digits", choices=sorted(BUILT_IN), help="images (digits)")
    parser.add_argument("--count", type=int, default=24, help="networks of each width (24)")
    parser.add_argument("--epochs", type=int, default=32, help="epochs at most; each network draws its own number (32)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("residual"), help="folder (residual)")
    options = parser.parse_args()
    if options.count < 1 or options.epochs < 1 or options.seed < 0:
        parser.error("--count and --epochs are at least 1, and --seed at least 0")
    try:
        networks = train_missing(options.data, options.seed, options.count, options.epochs, options.out)
    except (ww.WWError, OSError) as error:
        sys.exit(str(error))
    print(f"{len(networks)} networks in {options.out}")


if __name__ == "__main__":
    main()

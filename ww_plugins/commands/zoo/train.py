"""``ww zoo train``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, options, say
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_plugins.zoos.training.train import ZooTraining


class Kind(StrEnum):
    """Which network."""

    CNN = "cnn"
    MLP = "mlp"


@examples("ww zoo train --data digits --count 100 --epochs 20 --out zoo")
def train(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="NAME|FILE.npz",
            help="digits, textures, shapes or clutter; or arrays x_train, y_train, x_test, y_test.",
            callback=options.not_empty,
        ),
    ],
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="How many networks.")],
    epochs: Annotated[int, typer.Option("--epochs", min=1, metavar="E", help="Number of training epochs.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="A new folder, or the folder of the same interrupted command."),
    ],
    network: Annotated[
        Kind, typer.Option("--network", help="The paper's convolutional network, or one of three dense layers.")
    ] = Kind.CNN,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            metavar="W",
            help="Units of each layer of an mlp: 8, 16, 32 or 64.  [default: 16]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 42,
    fresh_seeds: Annotated[
        bool, typer.Option("--fresh-seeds", help="Give each network its own random seed instead of --seed.")
    ] = False,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoints",
            metavar="A,B",
            help="Epochs to keep; the last one is always kept.  [default: 0,1,2,3 and every 20th]",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="B", help="Images per step.")] = 32,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, help="Processes.  [default: one per core]", show_default=False)
    ] = 0,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:N.", callback=options.not_empty)
    ] = "cpu",
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the zoo.  [default: that of the data]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a zoo: many small networks.

    Each has its own hyperparameters, drawn at random.

    FOLDER gets the files of the published Small CNN Zoo, and zoo.json. The same command continues an interrupted
    training.
    """
    from ww_core.command.progress import counter
    from ww_plugins.zoos.data import image_set
    from ww_plugins.zoos.training.request import zoo_request
    from ww_plugins.zoos.training.train import train_zoo

    output = Output(as_json=as_json)
    images = image_set(data)
    request = zoo_request(
        data=data,
        count=count,
        epochs=epochs,
        network=network.value,
        width=width,
        seed=seed,
        fresh_seeds=fresh_seeds,
        checkpoints=_epochs(checkpoints),
        batch=batch,
        device=device,
        name=name,
        images=images,
    )
    finished = 0
    with counter("networks") as show, contextlib.redirect_stdout(sys.stderr):

        def note(done: int, of: int) -> None:
            nonlocal finished
            finished = done
            if show is not None:
                show(done, of)

        try:
            training = train_zoo(request, images, out, jobs=jobs, progress=note)
        except KeyboardInterrupt:
            say(f"{out}: {finished} of {count} networks are finished; the same command trains the others")
            raise
    _report(training, output)


def _epochs(texts: Sequence[str] | None) -> list[int] | None:
    if texts is None:
        return None
    epochs = []
    for text in options.listed(list(texts), "--checkpoints"):
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise ww.UsageError(f"--checkpoints: {text!r} is no epoch: name some as 0,1,2,3")
        epochs.append(int(text))
    return epochs


def _report(training: ZooTraining, output: Output) -> None:
    if output.format == "json":
        output.json(
            {
                "folder": str(training.folder),
                "name": training.name,
                "networks": training.networks,
                "trained": training.trained,
                "parameters": training.parameters,
                "diverged": list(training.diverged),
            }
        )
        return
    output.line(
        f"{training.name}: {training.networks} networks of {training.parameters} parameters in {training.folder}, "
        f"{training.trained} trained now"
    )
    for own in training.diverged:
        output.line(f"  network {own['network']} diverged in epoch {own['epoch']} and is left out: {own['reason']}")

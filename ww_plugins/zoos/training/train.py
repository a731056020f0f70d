"""Train a zoo: many networks with hyperparameters of their own, in one process or several, and write its folder."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_plugins.executors import interrupts
from ww_plugins.zoos.data import image_set
from ww_plugins.zoos.folder import read_about, read_zoo
from ww_plugins.zoos.training.networks import CONVOLUTIONS, FILTERS, HIDDEN_LAYERS
from ww_plugins.zoos.training.parts import Parts, noted
from ww_plugins.zoos.training.request import PUBLISHED_INTERVAL, ZooRequest, published_checkpoints, stacks_of
from ww_plugins.zoos.training.stack import RESULTS, Images, TrainedStack, train_stack
from ww_plugins.zoos.writing import ABOUT, write_zoo

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.zoos.data import ImageSet
    from ww_plugins.zoos.training.hyperparameters import Hyperparameters
    from ww_plugins.zoos.training.networks import Network


@dataclass(frozen=True, slots=True)
class ZooTraining:
    """What a training did.

    Attributes:
        folder: The zoo's folder.
        name: Its name.
        networks: How many networks are in it.
        trained: How many were trained now; the others were there before.
        parameters: Numbers in a network.
        diverged: Networks that are left out: number, epoch and reason.
    """

    folder: Path
    name: str
    networks: int
    trained: int
    parameters: int
    diverged: tuple[dict[str, Any], ...]


def train_zoo(
    request: ZooRequest,
    images: ImageSet,
    folder: Path,
    *,
    jobs: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> ZooTraining:
    """Train a zoo and write its folder, or go on with one that was begun.

    Finished stacks are kept in the folder until the zoo is complete. The same request gives the same bytes on one
    machine, however often it is ended and with however many processes.

    Args:
        request: The zoo.
        images: Its image set.
        folder: Where it goes: new, empty, or begun with the same request.
        jobs: Processes; 0: one for each core. On another device than the CPU there is always one.
        progress: Called with the number of networks that are finished, and of all.

    Raises:
        UsageError: The images are too small, or the folder holds something else.
        SourceError: The image set changed meanwhile.
        CorruptFileError: A note in the folder is damaged.
        OutputError: The folder cannot be written, or another training is at work there.
        LostResultsError: A process ended before its work, as by lack of memory, or all networks diverged.
    """
    request.layout(images)  # it says if they are too small, before there is a folder
    parts = Parts(folder)
    with parts.alone():
        return _trained(request, images, parts, jobs, progress)


def _trained(
    request: ZooRequest, images: ImageSet, parts: Parts, jobs: int, progress: Callable[[int, int], None]
) -> ZooTraining:
    folder = parts.folder
    network = request.layout(images)
    about = request.about(images)
    has_last_file = parts.begin({"name": request.name, **about})
    chosen = request.chosen()
    stacks = stacks_of(chosen)
    kept = len(request.schedule.checkpoints)
    shapes = [(len(numbers), kept, network.parameters) for numbers in stacks]
    if has_last_file and (complete := _complete(request, folder, network)) is not None:
        parts.remove()  # of a training that was ended after its last file
        return complete
    missing = [at for at, shape in enumerate(shapes) if parts.finished(at, shape) is None]
    done = request.count - sum(len(stacks[at]) for at in missing)
    trained = request.count - done
    progress(done, request.count)
    tasks = [_Task(request, images.digest, str(folder), at, [chosen[n] for n in stacks[at]]) for at in missing]
    for count in _worked(tasks, 1 if request.device != "cpu" else jobs or os.cpu_count() or 1, images):
        done += count
        progress(done, request.count)
    trained_networks = parts.together(stacks, shapes[0][1:])
    if trained_networks is None:
        raise ww.LostResultsError(f"{folder}: a part that was written is damaged: repeat the command")
    zoo, diverged = _assembled(request, images.name, network, chosen, trained_networks)
    if not len(zoo):
        raise ww.LostResultsError(
            f"all {request.count} networks diverged, so there is no zoo to write: look at the images of "
            f"{request.data}, or take another --seed and a new folder"
        )
    write_zoo(zoo, folder, {**about, "diverged": diverged})
    parts.remove()
    networks = request.count - len(diverged)
    return ZooTraining(folder, request.name, networks, trained, network.parameters, tuple(diverged))


def _complete(request: ZooRequest, folder: Path, network: Network) -> ZooTraining | None:
    """Return what is there; nothing if a file is missing, cut short or not of this zoo.

    Raises:
        CorruptFileError: A newer program wrote the description of the zoo, or it is damaged.
    """
    read_about(FileSource(folder))
    diverged = noted(folder / ABOUT).get("diverged", [])
    keys = {"network", "epoch", "reason"}
    if not isinstance(diverged, list) or not all(isinstance(own, dict) and keys <= own.keys() for own in diverged):
        raise ww.CorruptFileError(f"{folder / ABOUT} does not list the networks that diverged as ww does")
    try:
        zoo = read_zoo(folder)
    except ww.SourceError:
        return None
    rows = (request.count - len(diverged)) * len(request.schedule.checkpoints)
    if (len(zoo), zoo.parameters) != (rows, network.parameters):
        return None
    return ZooTraining(folder, request.name, request.count - len(diverged), 0, network.parameters, tuple(diverged))


@dataclass(frozen=True, slots=True)
class _Task:
    """A stack to train, by recipe: a process finds the images by itself."""

    request: ZooRequest
    digest: str
    folder: str
    number: int
    chosen: list[Hyperparameters]


def _worked(tasks: Sequence[_Task], jobs: int, images: ImageSet) -> Iterator[int]:
    """Train stacks, and yield how many networks each had as it is finished."""
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        prepared: Images | None = None
        for task in tasks:
            prepared = prepared or Images(images, task.request.layout(images), task.request.device)
            yield _train(task, task.request.layout(images), prepared)
        return
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_the_parent)
    try:
        with interrupts.left_to_the_parent():
            futures = [pool.submit(_work, task) for task in tasks]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    except concurrent.futures.BrokenExecutor:
        raise ww.LostResultsError(
            "a process ended too early, perhaps for lack of memory: repeat the command, or reduce --jobs"
        ) from None
    except BaseException:  # Ctrl-C too: what is half trained is lost, and nobody waits for it
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_parent() -> None:
    """Let a process end as soon as its parent does, even if that was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(task: _Task) -> int:
    images, prepared = _prepared(task.request, task.digest)
    return _train(task, task.request.layout(images), prepared)


@functools.lru_cache(maxsize=1)
def _prepared(request: ZooRequest, digest: str) -> tuple[ImageSet, Images]:
    images = image_set(request.data)
    if images.digest != digest:
        raise ww.SourceError(f"{request.data} has changed meanwhile: repeat the command")
    return images, Images(images, request.layout(images), request.device)


def _train(task: _Task, network: Network, images: Images) -> int:
    stack = train_stack(network, images, task.chosen, task.request.schedule)
    Parts(Path(task.folder)).keep(task.number, stack)
    return len(task.chosen)


def _assembled(
    request: ZooRequest, dataset: str, network: Network, chosen: Sequence[Hyperparameters], trained: TrainedStack
) -> tuple[ww.Zoo, list[dict[str, Any]]]:
    """Make the zoo of all networks in order of their numbers, and of each its checkpoints.

    Returns:
        The zoo, and the networks that it leaves out because they diverged.
    """
    checkpoints = request.schedule.checkpoints
    kept = len(checkpoints)
    reason = "weights or losses that are not finite"
    epoch_of = dict(enumerate(trained.diverged.tolist()))
    diverged = [{"network": n, "epoch": epoch, "reason": reason} for n, epoch in epoch_of.items() if epoch >= 0]
    numbers = np.flatnonzero(trained.diverged < 0)
    zoo = ww.Zoo(
        name=request.name,
        tensors=network.tensors,
        layout="keras",
        stored=trained.weights.reshape(-1, network.parameters),
        rows=(numbers[:, None] * kept + np.arange(kept)).ravel(),
        networks=np.repeat(numbers, kept),
        epochs=np.tile(np.array(checkpoints, np.int64), len(numbers)),
        hyperparameters=_columns(request, dataset, [chosen[n] for n in numbers.tolist()]),
        results={name: trained.results[numbers, :, at].ravel() for at, name in enumerate(RESULTS)},
    )
    return zoo, diverged


def _columns(request: ZooRequest, dataset: str, chosen: Sequence[Hyperparameters]) -> dict[str, npt.NDArray[Any]]:
    """Return the published columns ``config.*``, one value a checkpoint."""
    checkpoints = request.schedule.checkpoints
    as_published = checkpoints == published_checkpoints(request.schedule.epochs)
    constants: dict[str, str | float] = {
        "b_init": "zeros",
        "dataset": dataset,
        "dnn_architecture": request.network,
        "epochs": request.schedule.epochs,
        "epochs_between_checkpoints": PUBLISHED_INTERVAL if as_published else 0,
        "num_layers": CONVOLUTIONS if request.network == "cnn" else HIDDEN_LAYERS,
        "num_units": FILTERS if request.network == "cnn" else request.width,
    }
    names = ("activation", "dropout", "init_std", "l2reg", "learning_rate", "optimizer", "random_seed")
    columns: dict[str, list[Any]] = {name: [constant] * len(chosen) for name, constant in constants.items()}
    columns |= {name: [getattr(own, name) for own in chosen] for name in (*names, "train_fraction", "w_init")}
    return {
        name: np.repeat(np.array(own, dtype=object if isinstance(own[0], str) else np.float64), len(checkpoints))
        for name, own in columns.items()
        if own
    }

"""Finished stacks of a zoo that is being trained, kept in its folder, so that a training goes on where it was ended."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

import ww_core as ww
from ww_core.loading.json_text import parse_json
from ww_plugins.zoos.places import folder_locks
from ww_plugins.zoos.training.stack import RESULTS, TrainedStack
from ww_plugins.zoos.writing import ABOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PARTS, ASKED, TOGETHER = "parts", "asked.json", "together.unfinished"
DIGEST_BYTES = 32
MOST_JSON = 2**24
"""Bytes of ``zoo.json``."""


class Parts:
    """The folder ``parts`` of a zoo's folder.

    Args:
        folder: The zoo's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / PARTS

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make the zoo's folder, and keep other trainings out of it until the block has ended, or this process has.

        Raises:
            OutputError: Another training is at work there, or the folder cannot be made.
            UsageError: The system has no locks of folders.
        """
        fcntl = folder_locks()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ww.OutputError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        with contextlib.ExitStack() as stack:
            try:
                held = os.open(self.folder, os.O_RDONLY)
                stack.callback(os.close, held)
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ww.OutputError(
                    f"{self.folder}: another training runs in this folder: wait for its end, or name a new folder"
                ) from None
            except OSError:  # a file system without such locks takes none
                pass
            yield

    def begin(self, asked: Mapping[str, Any]) -> bool:
        """Begin a zoo, or go on with it, and tell whether its last file is there.

        Args:
            asked: What decides about the zoo.

        Raises:
            UsageError: The folder holds another zoo, or something else.
            CorruptFileError: The note of what was asked is damaged.
            OutputError: The folder cannot be written.
        """
        asked = json.loads(json.dumps(asked))  # lists for tuples, as they come back
        try:
            for note in (self.folder / ABOUT, self._parts / ASKED):
                if note.is_file():
                    self._compare(asked, noted(note))
                    return note.name == ABOUT
            if any(self.folder.iterdir()):
                raise ww.UsageError(f"{self.folder} holds other files and no interrupted zoo: name a new folder")
            self._write(ASKED, json.dumps(asked, indent=2).encode())
        except OSError as error:
            raise ww.OutputError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        return False

    def _compare(self, asked: Mapping[str, Any], noted: Mapping[str, Any]) -> None:
        for key, value in asked.items():
            if noted.get(key) != value:
                raise ww.UsageError(
                    f"{self.folder} is a zoo with {key} {_shown(noted.get(key))}, not {_shown(value)}: "
                    "repeat the arguments of that zoo, or name a new folder"
                )

    def keep(self, number: int, stack: TrainedStack) -> None:
        """Keep a finished stack.

        Raises:
            OutputError: It cannot be written.
        """
        content = io.BytesIO()
        np.savez(content, weights=stack.weights, results=stack.results, diverged=stack.diverged)
        try:
            self._write(_name(number), blake3(content.getvalue()).digest() + content.getvalue())
        except OSError as error:
            raise ww.OutputError(f"{self._parts} cannot be written: {error.strerror or error}") from error

    def finished(self, number: int, shape: tuple[int, int, int]) -> TrainedStack | None:
        """Return a finished stack, or nothing if it is missing or damaged.

        Args:
            number: Its number.
            shape: Networks, checkpoints and parameters that it must have.
        """
        try:
            content = (self._parts / _name(number)).read_bytes()
        except OSError:
            return None
        if blake3(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return None
        try:
            with np.load(io.BytesIO(content[DIGEST_BYTES:]), allow_pickle=False) as arrays:
                stack = TrainedStack(arrays["weights"], arrays["results"], arrays["diverged"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            return None
        shapes = (stack.weights.shape, stack.results.shape, stack.diverged.shape)
        return stack if shapes == (shape, (*shape[:2], len(RESULTS)), shape[:1]) else None

    def together(self, stacks: Sequence[Sequence[int]], shape: tuple[int, int]) -> TrainedStack | None:
        """Put all stacks together by the numbers of their networks; one stack is in memory, the weights are in a file.

        Args:
            stacks: Numbers of the networks of each.
            shape: Checkpoints and parameters.

        Returns:
            What became of all networks; nothing if a stack is missing or damaged.

        Raises:
            OutputError: The file cannot be written.
        """
        count = sum(map(len, stacks))
        results, diverged = np.empty((count, shape[0], len(RESULTS))), np.empty(count, np.int64)
        path = self._parts / TOGETHER
        try:
            with path.open("wb") as file:
                for at, numbers in enumerate(stacks):
                    stack = self.finished(at, (len(numbers), *shape))
                    if stack is None:
                        return None
                    results[numbers], diverged[numbers] = stack.results, stack.diverged
                    for number, own in zip(numbers, stack.weights, strict=True):
                        file.seek(number * math.prod(shape) * 4)
                        file.write(own.astype("<f4").tobytes())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ww.OutputError(f"{self._parts} cannot be written: {error.strerror or error}") from error
        return TrainedStack(np.memmap(path, "<f4", "r", shape=(count, *shape)), results, diverged)

    def remove(self) -> None:
        """Remove the parts of a zoo that is written as a whole."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        self._parts.mkdir(exist_ok=True)
        unfinished = self._parts / f"{name}.{os.getpid()}.unfinished"
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._parts / name)
        finally:
            unfinished.unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"{number:05d}.part"


def noted(path: Path) -> Mapping[str, Any]:
    """Read a note about a zoo.

    Raises:
        CorruptFileError: It is damaged.
    """
    with path.open("rb") as file:
        content = file.read(MOST_JSON + 1)
    if len(content) > MOST_JSON:
        raise ww.CorruptFileError(f"{path} has more than {MOST_JSON} bytes, as no note about a zoo has")
    noted = parse_json(content, str(path), "note about a zoo")
    if not isinstance(noted, dict):
        raise ww.CorruptFileError(f"{path} is not a note about a zoo")
    return noted


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

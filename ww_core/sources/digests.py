"""Content addresses of tensors and checkpoints, remembered for files that have not changed."""

from __future__ import annotations

import functools
import math
import platform
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ww_core.domain.identity import canonical_json, digest_of
from ww_core.domain.layer import SkippedTensor, TensorSpec
from ww_core.domain.report import Failure
from ww_core.domain.text import excess_text, size_text
from ww_core.errors import SourceError
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.sources.checksums import BLOCK, Checks
from ww_core.sources.reading import read_content, read_tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.loader import Checkpoint, FileRange
    from ww_core.contracts.source import Source

LISTED = 3
"""Names of tensors in one sentence."""


@dataclass(slots=True)
class Digests:
    """Digests of the tensors of a checkpoint, whatever their dtype.

    Attributes:
        tensors: Digests by name: of weights, biases, buffers, and of skipped tensors whose content can be read.
        stamps: Stamps they were taken under, by name.
        failures: What went wrong in reading.
        lost: The tensors that it went wrong with.
        unread: Skipped tensors whose content is not to be had at all. One that is tied is none of them.
        checks: What the source says of its bytes by checksums, compared with them.
    """

    tensors: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    lost: list[TensorSpec | SkippedTensor] = field(default_factory=list)
    unread: list[SkippedTensor] = field(default_factory=list)
    checks: Checks = field(default_factory=Checks)

    def lose(self, spec: TensorSpec | SkippedTensor, checkpoint: Checkpoint, error: BaseException) -> None:
        """Record what was raised where a tensor should have been read."""
        self.failures.append(Failure("read", checkpoint.format, spec.name, sentence_of(error, checkpoint)))
        self.lost.append(spec)

    @property
    def checkpoint(self) -> str:
        """Content address of the checkpoint: of all (name, tensor digest), and of what else is known to be there."""
        missing = sorted([own.name, own.dtype, list(own.shape)] for own in [*self.lost, *self.unread])
        return digest_of("checkpoint", {"tensors": sorted(self.tensors.items()), "missing": missing or 0})

    @property
    def provisional(self) -> bool:
        """Whether the content of some tensor is not in the digest, because it could not be read."""
        return bool(self.failures or self.unread)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences the user should see."""
        said = [
            f"{own.range.source.label}: the checksum of {own.entry} does not match its bytes, in which tensors lie "
            f"({_listed(names)}): they were changed after the file was written, so get it anew"
            for own, names in self.checks.damaged.items()
        ]
        if self.unread:
            count = len(self.unread)
            what = "1 tensor" if count == 1 else f"{count} tensors"
            names = _listed([own.name for own in self.unread])
            said.append(f"the content of {what} cannot be read ({names}): the digest does not cover it")
        return tuple(said)


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:LISTED], *(["..."] if len(names) > LISTED else [])])


def tensors_of(checkpoint: Checkpoint) -> list[TensorSpec]:
    """Return every floating-point tensor of a checkpoint once: weights, biases, buffers."""
    specs = [spec for layer in checkpoint.layers for spec in layer.tensors]
    return list({spec.name: spec for spec in [*specs, *checkpoint.buffers]}.values())


class DigestMemory(Protocol):
    """Remembers digests of tensors in files, by the host, the location of the file and the name of the tensor."""

    def recall(self, host: str, location: str, names: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return stamp and digest of the tensors that are known."""
        ...

    def remember(self, host: str, location: str, digests: Mapping[str, tuple[str, str]]) -> None:
        """Keep stamp and digest of tensors."""
        ...


def digest_checkpoint(
    checkpoint: Checkpoint,
    memory: DigestMemory,
    *,
    loader: str,
    rehash: bool,
    jobs: int,
    most_bytes: float = math.inf,
) -> Digests:
    """Digest every tensor, whatever its dtype, of which the content can be read.

    A tensor of a file that did not change since it was last read here is not read again.

    Args:
        checkpoint: What to digest.
        memory: Where digests are remembered.
        loader: Qualified name of the loader: another loader may see other numbers in the same bytes.
        rehash: Read everything, whatever is remembered.
        jobs: Threads of the hash.
        most_bytes: A tensor that has more is not read, unless it can be gone through in its file.
    """
    skipped = [tensor for tensor in checkpoint.skipped if not tensor.tied_to]
    digests = Digests(unread=[tensor for tensor in skipped if not tensor.readable])
    tensors: list[TensorSpec | SkippedTensor] = [*tensors_of(checkpoint)]
    tensors += [tensor for tensor in skipped if tensor.readable]
    marks_of = functools.cache(_marks)  # one question for each file
    by_path: dict[str, list[TensorSpec | SkippedTensor]] = defaultdict(list)
    for spec in tensors:
        try:
            where = checkpoint.locate(spec)
        except all_but_interrupts() as error:
            digests.lose(spec, checkpoint, error)
            continue
        by_path[where.source.location if where else ""].append(spec)
        try:
            digests.stamps[spec.name] = stamp_of(checkpoint, spec, loader, marks_of)
        except OSError:
            digests.stamps[spec.name] = ""  # it is gone, as reading it will say
    host = platform.node()
    read: dict[Hashable, str] = {}
    for path, specs in by_path.items():
        known: Mapping[str, tuple[str, str]] = {}
        if path and not rehash:
            known = memory.recall(host, path, [spec.name for spec in specs])
        fresh = {}
        for spec in specs:
            stamp, digest = known.get(spec.name, ("", ""))
            if not (stamp and stamp == digests.stamps[spec.name]):
                key = checkpoint.content_key(spec)
                digest = read.get(key) or _read_and_digest(checkpoint, spec, jobs, digests, most_bytes)
                if key is not None and spec.name not in digests.checks.damaged_tensors:
                    read[key] = digest
                fresh[spec.name] = (digests.stamps[spec.name], digest)
            if digest:
                digests.tensors[spec.name] = digest
        unchanged = functools.cache(_marks)
        kept = {
            spec.name: fresh[spec.name]
            for spec in specs
            if spec.name in fresh
            and fresh[spec.name][1]
            # What does not match its checksum is read each time, so that whoever asks again is told again.
            and spec.name not in digests.checks.damaged_tensors
            and _is_still(checkpoint, spec, loader, digests, unchanged)
        }
        if path and kept:
            memory.remember(host, path, kept)
    return digests


def _is_still(
    checkpoint: Checkpoint,
    spec: TensorSpec | SkippedTensor,
    loader: str,
    digests: Digests,
    marks_of: Callable[[Source], tuple[int | str, ...]],
) -> bool:
    """Tell whether a tensor's stamp is what it was before it was read: only then is the digest of these bytes."""
    try:
        return stamp_of(checkpoint, spec, loader, marks_of) == digests.stamps[spec.name] != ""
    except OSError:
        return False


def _marks(source: Source) -> tuple[int | str, ...]:
    return source.stamp()


def stamp_of(
    checkpoint: Checkpoint,
    spec: TensorSpec | SkippedTensor,
    loader: str,
    marks_of: Callable[[Source], tuple[int | str, ...]] = _marks,
) -> str:
    """Return what the digest of a tensor in a file depends on, short of its bytes; empty where that is not known.

    Args:
        checkpoint: The opened checkpoint.
        spec: The tensor.
        loader: Qualified name of the loader, with its options.
        marks_of: Gives the stamp of a file.

    Raises:
        OSError: The file is gone.
    """
    where = checkpoint.locate(spec)
    marks = marks_of(where.source) if where else ()
    if where is None or not marks:
        return ""
    return canonical_json([loader, where.offset, where.nbytes, spec.dtype, list(spec.shape), *marks])


def _read_and_digest(
    checkpoint: Checkpoint, spec: TensorSpec | SkippedTensor, jobs: int, digests: Digests, most_bytes: float
) -> str:
    try:
        where, nbytes = checkpoint.locate(spec), checkpoint.nbytes(spec)
        if nbytes > most_bytes and not _is_on_disk(where):
            raise SourceError(excess_text(f"{size_text(nbytes)} of memory", size_text(int(most_bytes)), nbytes))
        checksums = checkpoint.checksums(spec)
        running = digests.checks.begin(checksums, where)
        if isinstance(spec, SkippedTensor):
            with read_content(checkpoint, spec) as content:
                digest = digest_content(content, spec.dtype, spec.shape, jobs, running.update)
        else:
            with read_tensor(checkpoint, spec) as array:
                digest = digest_tensor(array, spec.dtype, jobs, running.update)
        digests.checks.end(spec.name, checksums, running)
    except all_but_interrupts() as error:
        digests.lose(spec, checkpoint, error)
        return ""
    return digest


def _is_on_disk(where: FileRange | None) -> bool:
    """Whether bytes can be gone through block by block, because a file of this machine holds them.

    A file of which most is holes holds less than it says, and to go through it takes long for nothing.
    """
    if where is None or where.source.path is None:
        return False
    status = where.source.path.stat()
    return 4 * 512 * getattr(status, "st_blocks", status.st_size) >= status.st_size


def digest_tensor(
    array: npt.NDArray[Any], dtype: str, jobs: int = 1, seen: Callable[[memoryview], object] = len
) -> str:
    """Return the blake3 digest of dtype, shape and bytes (little-endian, C order) of an array in its stored dtype.

    Args:
        array: The array.
        dtype: Its dtype by name.
        jobs: Threads of the hash.
        seen: Is given the bytes too, block by block.
    """
    import numpy as np

    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
    return digest_content(content, dtype, array.shape, jobs, seen)


def digest_content(
    content: npt.NDArray[np.uint8],
    dtype: str,
    shape: tuple[int, ...],
    jobs: int = 1,
    seen: Callable[[memoryview], object] = len,
) -> str:
    """Return the same digest of a tensor whose bytes are given as a row."""
    import blake3
    import numpy as np

    hasher = blake3.blake3(_tensor_header(dtype, shape), max_threads=jobs)
    row = np.ascontiguousarray(content).data
    for start in range(0, len(row), BLOCK):
        block = row[start : start + BLOCK]
        hasher.update(block)
        seen(block)
    return hasher.hexdigest()


@functools.lru_cache(maxsize=1024)
def _tensor_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    return f"ww:tensor\0{dtype}\0{canonical_json(list(shape))}\0".encode()

"""Tensors that are no rows of numbers, such as quantized and sparse ones, read by ``torch.load(weights_only=True)``.

PyTorch runs in a process of its own, with a limit of memory and of time: what its C++ makes of a stranger's file must
not cost more than this tensor. That process turns the tensors into plain ones and hands them over as safetensors, with
the rounding of those that were quantized.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.trees import Tree, find_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.budget import Budget

try:
    import resource
except ImportError:  # not on this system
    HAS_LIMITS = False
else:
    HAS_LIMITS = True

_SAFE_SINCE = (2, 6)  # before, weights_only could be made to execute code: CVE-2025-32434
_MOST_INSTRUCTIONS = 500_000  # of the pickles of a file: it takes PyTorch longer to follow them than to write them

_SECONDS = 120
_CPU_SECONDS, _OF_A_LARGE_FILE = 2, 8
_BYTES_A_SECOND = 1 << 26
_MEMORY = 6 << 30  # of address space; importing PyTorch takes a good part of it
_MOST_BYTES = 1 << 30
_ROOM = 1 << 26  # bytes that the tensors of any file may take, once they are plain
_TIMES_ON_DISK = 8  # quantized to four bits, and then of four bytes


def unavailable(file: ww.Source) -> str:
    """Say why PyTorch is not given a file; an empty text if it is."""
    try:
        found = tuple(int(part) for part in version("torch").split(".")[:2])
    except PackageNotFoundError:
        return "reading it needs PyTorch: pip install 'ww-core[torch]'"
    if found < _SAFE_SINCE:
        return "reading it safely needs PyTorch 2.6 or newer: pip install --upgrade torch"
    if not HAS_LIMITS:
        return "reading it safely needs a limit of memory, and this system sets none for a process: read it on Linux"
    if file.path is None:
        return "PyTorch reads files of this machine only: download it first"
    if file.budget.taken("instructions") > _MOST_INSTRUCTIONS:
        return f"PyTorch is not given a file with more than {_MOST_INSTRUCTIONS:,} instructions in its pickles"
    if file.size > _TIMES_ON_DISK * _on_disk(file.path):
        return "PyTorch is not given a file that takes little room on disk for what it claims to hold"
    return ""


class LoadedTensor(NamedTuple):
    """A tensor as PyTorch made it, and how precisely its numbers were stored."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes
    rounding: ww.Rounding


def load_apart(file: ww.Source, names: Sequence[str], under: str) -> dict[str, LoadedTensor]:
    """Read some tensors of a file in a process of its own.

    Args:
        file: The file.
        names: Names of the tensors, as ``find_weights`` gives them.
        under: Key under which the weights lie; empty for the usual ones.

    Returns:
        The tensors by name; nothing of what could not be read.
    """
    from safetensors import safe_open

    with tempfile.TemporaryDirectory(prefix="ww-") as folder:
        target = Path(folder) / "tensors.safetensors"
        # -P: the folder one stands in, which may be a stranger's, must not be where modules are found.
        command = [sys.executable, "-P", "-m", __name__, file.location, str(target), under]
        try:
            subprocess.run(  # noqa: S603 - this very module, on paths
                command, input=json.dumps(list(names)).encode(), timeout=_SECONDS, capture_output=True, check=True
            )
            with safe_open(target, framework="numpy") as made:
                told = made.metadata()
                loaded = {name: _loaded(made.get_tensor(name), told[name]) for name in made.keys()}  # noqa: SIM118 - it is no dict
        except (subprocess.SubprocessError, OSError, ValueError):
            return {}
    file.open().close()  # raises if it is not the file any more whose pickle was read
    return loaded


def _loaded(array: npt.NDArray[Any], rounding: str) -> LoadedTensor:
    return LoadedTensor(array.dtype.name, array.shape, array.tobytes(), ww.Rounding.parse(rounding))


def main(source: str, target: str, under: str, names: Sequence[str]) -> None:
    """Read the named tensors of ``source``, and write them to ``target`` as plain ones."""
    _limit_memory()
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)  # threads that wait for each other use up the time
    on_disk = _on_disk(Path(source))
    _limit_time(on_disk)
    # Else an index may point outside of its tensor, and PyTorch writes there.
    torch.sparse.check_sparse_tensor_invariants.enable()  # type: ignore[no-untyped-call]  # PyTorch left them out
    root = torch.load(source, map_location="cpu", weights_only=True)
    plain: dict[str, torch.Tensor] = {}
    roundings: dict[str, str] = {}
    room = min(_MOST_BYTES, _ROOM + _TIMES_ON_DISK * on_disk)
    wanted = frozenset(names)
    for name, tensor in find_weights(
        root, _LoadedTree(torch.Tensor, FileSource(Path(source)).budget), source, under
    ).tensors:
        if name not in wanted:
            continue
        nbytes = tensor.numel() * 8  # a sparse tensor is as large as it says only once it is dense
        if nbytes <= room:
            room -= nbytes
            plain[name] = _plain(torch, tensor.detach()).contiguous()
            roundings[name] = _rounding(torch, tensor).text
    save_file(plain, target, roundings or None)  # of an empty dict it makes a header that cannot be read


def _plain(torch: Any, tensor: Any) -> Any:
    """Return the numbers of a tensor in a storage of their own."""
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor.clone() if tensor.layout == torch.strided else tensor.to_dense()


def _on_disk(source: Path) -> int:
    """Return the bytes that a file takes on disk: a small one, or one that has holes, gets little room and time."""
    status = source.stat()
    return min(status.st_size, 512 * getattr(status, "st_blocks", status.st_size))


def _rounding(torch: Any, tensor: Any) -> ww.Rounding:
    """Tell how precisely a tensor was stored: a quantized one by its scales."""
    if not tensor.is_quantized:
        return ww.Rounding()
    along = [1] * tensor.dim()
    if tensor.qscheme() in {torch.per_tensor_affine, torch.per_tensor_symmetric}:
        scales = torch.tensor(tensor.q_scale(), dtype=torch.float64)
    else:
        scales = tensor.q_per_channel_scales().double()
        along[tensor.q_per_channel_axis()] = -1
    if not scales.isfinite().all():  # nor are the numbers, and so they are refused
        return ww.Rounding()
    return ww.Rounding.of_steps(scales.abs().reshape(along).numpy())


def _limit_memory() -> None:
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_FSIZE: 2 * _MOST_BYTES, resource.RLIMIT_CORE: 0}
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


def _limit_time(on_disk: int) -> None:
    # From here on: what importing PyTorch takes is no fault of the file.
    seconds = min(_OF_A_LARGE_FILE, _CPU_SECONDS + on_disk // _BYTES_A_SECOND)
    most = math.ceil(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))


class _LoadedTree(Tree):
    """What ``torch.load`` gives: tensors in dicts, lists and tuples."""

    def __init__(self, tensor_type: type, budget: Budget) -> None:
        super().__init__(budget)
        self._tensor_type = tensor_type

    def is_tensor(self, node: Any) -> bool:
        return isinstance(node, self._tensor_type)

    def is_dict(self, node: Any) -> bool:
        return isinstance(node, Mapping)

    def entries(self, node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, Mapping):
            yield from ((str(key), inner) for key, inner in node.items())
        elif isinstance(node, (list, tuple)):
            yield from ((str(place), inner) for place, inner in enumerate(node))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.stdin.read()))

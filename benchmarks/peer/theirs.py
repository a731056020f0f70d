"""The peer's side: its default analysis of a torch module, and its fits. Run as a program, a whole process of it."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    import weightwatcher
    from weightwatcher import WW_powerlaw

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


class Theirs:
    """WeightWatcher as its documentation calls it, silenced."""

    def __init__(self) -> None:
        logging.disable(logging.CRITICAL)

    def module_of(self, weights: Mapping[str, npt.NDArray[np.float32]]) -> torch.nn.Module:
        """Return a module with a Linear or Conv2d for each weight, at its dotted name, on the very same memory."""
        root = torch.nn.Module()
        for name, weight in weights.items():
            *path, last = name.removesuffix(".weight").split(".")
            parent = root
            for part in path:
                if not hasattr(parent, part):
                    parent.add_module(part, torch.nn.Module())
                parent = getattr(parent, part)
            parent.add_module(last, _layer(weight))
        return root

    def analyze(self, module: torch.nn.Module) -> Any:
        """Return its table of details."""
        with contextlib.redirect_stdout(io.StringIO()):
            return weightwatcher.WeightWatcher(model=module).analyze()

    def analyze_fully(self, module: torch.nn.Module) -> Any:
        """Return its table with all that profile ``weightwatcher-full`` has; its permutations start from seed 0."""
        np.random.seed(0)  # noqa: NPY002 - it permutes by the global stream
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return weightwatcher.WeightWatcher(model=module).analyze(mp_fit=True, randomize=True, detX=True)

    def analyze_bulk(self, module: torch.nn.Module) -> Any:
        """Return its table with the fits of the bulk."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return weightwatcher.WeightWatcher(model=module).analyze(mp_fit=True)

    def fit(self, eigenvalues: npt.NDArray[np.float64], package: str, distribution: str = "power_law") -> Any:
        """Return the fit of its own (``ww``) or of the package powerlaw (``powerlaw``), called as its analysis does."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return WW_powerlaw.pl_fit(
                data=eigenvalues, xmax=None, verbose=False, distribution=distribution, pl_package=package
            )


def _layer(weight: npt.NDArray[np.float32]) -> torch.nn.Module:
    out, into, *kernel = weight.shape
    if kernel:
        layer = torch.nn.Conv2d(into, out, tuple(kernel), bias=False, device="meta")
    else:
        layer = torch.nn.Linear(into, out, bias=False, device="meta")
    layer.weight = torch.nn.Parameter(torch.from_numpy(weight), requires_grad=False)
    return layer


if __name__ == "__main__":
    from safetensors.numpy import load_file

    peer = Theirs()
    peer.analyze(peer.module_of(load_file(sys.argv[1])))

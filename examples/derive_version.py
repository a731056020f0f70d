"""Make a second version of a model: some layers re-initialised, one pruned, every other byte as it was.

    python examples/derive_version.py model.safetensors model-2.safetensors
    python examples/derive_version.py model.safetensors model-2.safetensors "encoder.layer.5.*" --prune "pooler.dense"

A re-initialised weight is drawn anew from a Gaussian of the same standard deviation; a pruned one loses its smallest
half. Globs name layers as `ww analyze` does; only weights of two axes and more are changed, biases stay.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_plugins.loaders.safetensors import SafetensorsLoader

if TYPE_CHECKING:
    import numpy.typing as npt

REINITIALISED = ["*encoder.layer.2.attention.self.query", "*encoder.layer.3.intermediate.dense", "conv2"]
PRUNED = ["*encoder.layer.4.output.dense", "fc"]


def redrawn(weight: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return Gaussian numbers of the same standard deviation, shape and dtype."""
    spread = weight.astype(np.float64).std()
    return rng.normal(0, spread, weight.shape).astype(weight.dtype)


def pruned(weight: npt.NDArray[Any], fraction: float) -> npt.NDArray[Any]:
    """Return a copy in which the given fraction of the numbers, the smallest, is zero."""
    kept = weight.copy()
    order = np.argsort(np.abs(weight.astype(np.float64)), axis=None, kind="stable")
    kept.reshape(-1)[order[: int(fraction * weight.size)]] = 0
    return kept


def named(layers: list[ww.Layer], globs: list[str]) -> list[ww.Layer]:
    """Return the layers that match any of the globs."""
    return [layer for layer in layers if any(fnmatch.fnmatchcase(layer.name, glob) for glob in globs)]


def main() -> None:
    """Copy the file, then overwrite the chosen weights in the copy."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog=f"Defaults: {' '.join(REINITIALISED)} --prune {' '.join(PRUNED)}, those of them that the model has.",
    )
    parser.add_argument("source", type=Path, help="a safetensors file")
    parser.add_argument("destination", type=Path, help="where the second version is written")
    parser.add_argument("reinitialised", metavar="GLOB", nargs="*", help="layers to re-initialise")
    parser.add_argument("--prune", metavar="GLOB", nargs="*", help="layers to prune, if they are not re-initialised")
    parser.add_argument("--fraction", type=float, default=0.5, help="how much is pruned (0.5)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not 0 <= options.fraction <= 1:
        parser.error("--fraction is a number from 0 to 1")
    if not options.source.is_file():
        parser.error(f"{options.source} is no file")
    if options.destination.exists() and options.destination.samefile(options.source):
        parser.error("the destination is the source")

    rng = np.random.default_rng(options.seed)
    with SafetensorsLoader().open(FileSource(options.source)) as checkpoint:
        matrices = [layer for layer in checkpoint.layers if len(layer.shape) > 1]
        redraw = named(matrices, options.reinitialised or REINITIALISED)
        prune = [
            layer
            for layer in named(matrices, PRUNED if options.prune is None else options.prune)
            if layer not in redraw
        ]
        if not redraw and not prune:
            parser.error(f"no layer is named so; there are: {' '.join(layer.name for layer in matrices)}")
        shutil.copyfile(options.source, options.destination)
        with options.destination.open("r+b") as file:
            for layer in matrices:
                if layer in redraw:
                    done = "re-initialised"
                elif layer in prune:
                    done = f"pruned by {options.fraction:.0%}"
                else:
                    continue
                with checkpoint.read(layer.weight) as weight:
                    changed = redrawn(weight, rng) if layer in redraw else pruned(weight, options.fraction)
                file.seek(checkpoint.locate(layer.weight).offset)
                file.write(changed.tobytes())
                print(f"{layer.name}  {'x'.join(map(str, layer.shape))}  {done}")
    print(f"wrote {options.destination}: {len(redraw) + len(prune)} of {len(checkpoint.layers)} layers changed")


if __name__ == "__main__":
    try:
        main()
    except ww.SourceError as error:
        sys.exit(str(error))

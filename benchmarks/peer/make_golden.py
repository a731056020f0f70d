"""Write tests/golden/weightwatcher_0.7.7.json: what WeightWatcher says about a few matrices, in numbers.

It runs in an environment of its own, because WeightWatcher needs an older powerlaw than anything else here:

    make .venv-peer/.ww-peer
    .venv-peer/bin/python benchmarks/peer/make_golden.py

The matrices come from numpy's frozen legacy streams; ``tests/metrics/test_peer.py`` makes them again by ``weights``.
All are of full rank without ties, with every eigenvalue above the peer's absolute cut of 1e-5 and with at least 20 of
them, below which 0.7.7 takes another estimator.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "weightwatcher_0.7.7.json"

RECIPES: dict[str, dict[str, Any]] = {
    "gaussian_40x24": {"distribution": "gaussian", "seed": 10, "shape": [40, 24], "scale": 1.0},
    "gaussian_300x150": {"distribution": "gaussian", "seed": 11, "shape": [300, 150], "scale": 0.1},
    "gaussian_64x300": {"distribution": "gaussian", "seed": 12, "shape": [64, 300], "scale": 0.05},
    "student3_250x200": {"distribution": "student-t", "freedom": 3.0, "seed": 13, "shape": [250, 200], "scale": 0.1},
    "student2_128x96": {"distribution": "student-t", "freedom": 2.0, "seed": 14, "shape": [128, 96], "scale": 0.2},
    "student1.5_90x60": {"distribution": "student-t", "freedom": 1.5, "seed": 15, "shape": [90, 60], "scale": 0.5},
    "conv_32x16x3x3": {"distribution": "gaussian", "seed": 16, "shape": [32, 16, 3, 3], "scale": 0.3},
}

COLUMNS = [
    "alpha",
    "D",
    "sigma",
    "xmin",
    "xmax",
    "num_pl_spikes",
    "norm",
    "log_norm",
    "spectral_norm",
    "log_spectral_norm",
    "stable_rank",
    "alpha_weighted",
    "log_alpha_norm",
    "entropy",
    "num_evals",
]

FULL_COLUMNS = [
    "sigma_mp",
    "num_spikes",
    "mp_softrank",
    "bulk_max",
    "bulk_min",
    "W_scale",
    "rand_sigma_mp",
    "rand_num_spikes",
    "rand_mp_softrank",
    "rand_bulk_max",
    "rand_bulk_min",
    "max_rand_eval",
    "rand_distance",
    "ww_softrank",
    "ww_maxdist",
    "detX_num",
    "detX_val",
    "ERG_gap",
]
"""What ``mp_fit=True, randomize=True, detX=True`` add; those of the shuffled weights depend on its stream."""


def weights(recipe: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Make the matrix or kernel of a recipe, float64."""
    stream = np.random.RandomState(recipe["seed"])
    shape = tuple(recipe["shape"])
    drawn = stream.standard_t(recipe["freedom"], shape) if "freedom" in recipe else stream.randn(*shape)
    return np.asarray(recipe["scale"] * drawn, dtype=np.float64)


def main() -> None:
    """Run the peer on every recipe and write the numbers down."""
    import weightwatcher

    results = {}
    for name, recipe in RECIPES.items():
        entry = weights(recipe)
        slices = entry.reshape(*entry.shape[:2], -1).transpose(2, 0, 1)
        smallest = float(np.linalg.svd(slices, compute_uv=False).min()) ** 2
        if smallest / 2 <= 1e-5:
            raise SystemExit(f"{name}: the smallest eigenvalue {smallest:.3g} may fall under the peer's cut")
        frame = weightwatcher.WeightWatcher().analyze(model={"a.weight": entry})
        (row,) = frame.to_dict("records")
        np.random.seed(0)  # noqa: NPY002 - the peer shuffles by the global stream
        frame = weightwatcher.WeightWatcher().analyze(
            model={"a.weight": entry}, mp_fit=True, randomize=True, detX=True, plot=False
        )
        (full,) = frame.to_dict("records")
        results[name] = {
            "recipe": recipe,
            "values": {column: float(row[column]) for column in COLUMNS},
            "full": {column: float(full[column]) for column in FULL_COLUMNS},
        }
    versions = {
        package: importlib.metadata.version(package) for package in ("weightwatcher", "powerlaw", "numpy", "scipy")
    }
    golden = {"versions": {"python": platform.python_version(), **versions}, "results": results}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()

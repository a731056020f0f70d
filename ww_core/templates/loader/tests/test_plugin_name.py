from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import ww_core as ww
from ww_core.testing import LoaderContract

import plugin_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt


class TestContract(LoaderContract):
    plugin = plugin_name
    name = "object-name"

    def write(self, weights: Mapping[str, npt.NDArray[Any]], folder: Path) -> Path:
        for name, weight in weights.items():
            np.save(folder / f"{name}.npy", weight)
        return folder


def test_a_folder_has_the_values_of_the_arrays_in_it(tmp_path: Path) -> None:
    weights = {"fc.weight": np.random.default_rng(0).normal(size=(6, 4)), "fc.bias": np.zeros(6)}
    TestContract().write(weights, tmp_path)
    there = ww.analyze(tmp_path, name="net", metrics=["spectral_norm"])
    here = ww.analyze(weights, name="net", metrics=["spectral_norm"])
    assert (there.digest, there.layers) == (here.digest, here.layers)


@pytest.mark.parametrize("change", [b"", b"\x93NUMPY\x09\x00", b"no array"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: bytes) -> None:
    np.save(tmp_path / "fc.weight.npy", np.eye(3))
    (tmp_path / "fc.bias.npy").write_bytes(change)
    with pytest.raises(ww.CorruptFileError, match=r"fc\.bias\.npy"):
        ww.analyze(tmp_path, loader="object-name")

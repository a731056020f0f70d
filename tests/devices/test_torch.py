"""The route through torch, on its CPU tensors: the same code that a CUDA device runs."""

import ml_dtypes
import numpy as np
import pytest

from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import Refused, UsageError
from ww_core.spectral import spectrum_of
from ww_plugins.devices.torch import Cuda, Torch

torch = pytest.importorskip("torch")

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
DEVICES = [Torch(), pytest.param(Cuda(), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 30, 50), (1, 50, 30), (100, 16, 16), (3, 1, 4)])
@pytest.mark.parametrize("resolution", ["standard", "full"])
def test_agrees_with_the_cpu(device, dtype, shape, resolution):
    entries = np.random.default_rng(1).standard_normal(shape).astype(DTYPES[dtype])
    entries.flags.writeable = False
    here = spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution=resolution)
    there = spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution=resolution, device=device)
    largest = here.singular_values[0] ** 2
    assert np.abs(here.singular_values**2 - there.singular_values**2).max() <= 1e-12 * largest
    assert there.noise_floor == pytest.approx(here.noise_floor, rel=1e-12)
    assert there.route.endswith(f"on {device.label}")


@pytest.mark.parametrize("device", DEVICES)
def test_complex_entries_agree_with_the_cpu(device):
    rng = np.random.default_rng(2)
    entries = rng.standard_normal((20, 6, 9)) + 1j * rng.standard_normal((20, 6, 9))
    here = spectrum_of(entries, rounding=ROUNDINGS["float32"]).singular_values
    there = spectrum_of(entries, rounding=ROUNDINGS["float32"], device=device).singular_values
    assert np.abs(here**2 - there**2).max() <= 1e-12 * here[0] ** 2


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_of_a_large_matrix_add_up(device, monkeypatch):
    from ww_plugins.devices import torch as devices

    monkeypatch.setattr(devices, "UPLOAD_BYTES", 16 * 20 * 64)
    entries = np.random.default_rng(3).standard_normal((1, 20, 1000)).astype(np.float32)
    here = spectrum_of(entries, rounding=ROUNDINGS["float32"]).singular_values
    there = spectrum_of(entries, rounding=ROUNDINGS["float32"], device=device).singular_values
    np.testing.assert_allclose(there, here, rtol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_extreme_scales_and_what_is_not_finite(device):
    entries = np.random.default_rng(4).standard_normal((2, 8, 9))
    for scale in (1e-300, 1e300):
        here = spectrum_of(entries * scale, rounding=ROUNDINGS["float64"]).singular_values
        there = spectrum_of(entries * scale, rounding=ROUNDINGS["float64"], device=device).singular_values
        np.testing.assert_allclose(there, here, rtol=1e-12)
    entries[1, 2, 3] = np.nan
    for dtype in (np.float32, np.float64):
        with pytest.raises(Refused, match="1 of 144 weights"):
            spectrum_of(entries.astype(dtype), rounding=ROUNDINGS[np.dtype(dtype).name], device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_float32_arithmetic(device):
    entries = np.random.default_rng(5).standard_normal((1, 30, 50)).astype(np.float32)
    exact = spectrum_of(entries, rounding=ROUNDINGS["float32"]).singular_values
    single = spectrum_of(entries, rounding=ROUNDINGS["float32"], precision="float32", device=device)
    assert np.abs(single.singular_values**2 - exact**2).max() <= 2e-6 * exact[0] ** 2
    assert single.precision == "float32"


@pytest.mark.parametrize("device", [Cuda(index=77), Torch(on="gpu"), Torch(on="meta"), Torch(on="")])
def test_a_device_that_is_not_there_is_one_sentence(device):
    with pytest.raises(UsageError, match=r"cannot be used.*take cpu") as caught:
        device.check()
    assert "\n" not in str(caught.value)

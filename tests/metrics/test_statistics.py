import dataclasses

import ml_dtypes
import numpy as np
import pytest

from ww_core.errors import Refused
from ww_plugins.metrics import statistics


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("subject", ["weight", "bias"])
def test_the_columns_of_stored_numbers(subject, dtype):
    stored = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(dtype)
    wide = stored.astype(np.float64)
    moments = dataclasses.asdict(getattr(statistics, f"{subject}_moments")(stored))
    quantiles = dataclasses.asdict(getattr(statistics, f"{subject}_quantiles")(stored))
    assert moments == {
        f"{subject}_mean": pytest.approx(wide.mean(), rel=1e-12),
        f"{subject}_std": pytest.approx(wide.std(), rel=1e-12),
        f"{subject}_min": wide.min(),
        f"{subject}_max": wide.max(),
    }
    assert quantiles == {f"{subject}_q{q}": np.quantile(wide, q / 100) for q in (25, 50, 75)}


def test_what_is_not_finite_is_refused():
    with pytest.raises(Refused):
        statistics.weight_moments(np.array([1.0, np.nan]))
    with pytest.raises(Refused):
        statistics.bias_quantiles(np.array([1.0, np.inf]))

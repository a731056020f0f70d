import math

import numpy as np
import pytest

from ww_core.errors import Refused
from ww_plugins.metrics import model


def test_the_sum_of_logs_is_the_log_of_the_squared_product():
    spectral_norms = np.array([0.5, 3.0, 7.0])
    values = np.ma.array(np.log10(spectral_norms**2))
    assert model.log_prod_spectral_norm(values) == pytest.approx(math.log10(np.prod(spectral_norms) ** 2))


@pytest.mark.filterwarnings("error")
def test_a_product_of_no_matrix_is_refused():
    with pytest.raises(Refused, match="no matrix has a log_spectral_norm"):
        model.log_prod_spectral_norm(np.ma.array([]))


def test_a_missing_factor_refuses_the_product():
    values = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, True])
    with pytest.raises(Refused, match="2 of 3 matrices have no log_spectral_norm"):
        model.log_prod_spectral_norm(values)

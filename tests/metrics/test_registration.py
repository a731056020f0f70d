import inspect
import pickle

import pytest

import ww_core as ww
from ww_plugins import metrics

REGISTERED = metrics.ww_register_metrics()


def test_every_metric_of_the_package_is_registered():
    modules = [module for module in vars(metrics).values() if inspect.ismodule(module) and module is not ww]
    declared = {name for module in modules for name, value in vars(module).items() if isinstance(value, ww.Quantity)}
    assert declared == {quantity.name for quantity in REGISTERED}


@pytest.mark.parametrize("quantity", REGISTERED, ids=lambda quantity: quantity.name)
def test_every_column_says_what_it_is(quantity):
    assert bool(quantity.columns) == (quantity is not metrics.scaled.scaled_spectrum)  # which is stored nowhere
    assert quantity.summary.endswith((".", ";"))
    for column in quantity.columns:
        assert column.doc


@pytest.mark.parametrize("quantity", REGISTERED, ids=lambda quantity: quantity.name)
def test_metrics_travel_to_other_processes(quantity):
    assert pickle.loads(pickle.dumps(quantity)) is quantity

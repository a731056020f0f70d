"""What the core and its user rely on cannot be written to by the metrics and extractors that it is handed to."""

import ctypes
from contextlib import nullcontext
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww

SHAPES = {"fc.weight": (12, 8), "fc.bias": (12,), "half.weight": (9, 7), "conv.weight": (4, 3, 3, 3)}
DTYPES = {"half.weight": ml_dtypes.bfloat16, "conv.weight": np.float32}


def weights_of():
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape).astype(DTYPES.get(name, "f8")) for name, shape in SHAPES.items()}


def set_flags(array):
    array.setflags(write=True)
    array[...] = 0


def flag_a_view(array):
    shown = array.view()
    shown.flags.writeable = True
    shown.fill(0)


def write_to_base(array):
    base = array.base
    while isinstance(base, np.ndarray):
        base.setflags(write=True)
        base[...] = 0
        base = base.base
    np.asarray(base)[...] = 0


def compute_into(array):
    np.multiply(array, 0, out=array)


def lend(array):
    ctypes.c_char.from_buffer(array)


WAYS = (set_flags, flag_a_view, write_to_base, compute_into, lend)

SHARED = {
    "singular_values": "matrix",
    "eigenvalues": "matrix",
    "randomized_singular_values": "matrix",
    "randomized_eigenvalues": "matrix",
    "left_singular_vectors": "matrix",
    "right_singular_vectors": "matrix",
    "multiplicities": "matrix",
    "stored_weight": "layer",
    "stored_bias": "layer",
    "lent": "matrix",
}
OWN = {"matrix": "matrix", "weight": "layer", "bias": "layer"}


def vandal(need, scope):
    """A metric that writes to what it needs in every way, and tells in how many it could not."""

    def vandal(given):
        """A test."""
        failed = 0
        for way in WAYS:
            try:
                way(given)
            except (ValueError, TypeError, AttributeError):  # the last of what is no view
                failed += 1
        return failed

    return ww.metric(version="1", name=f"vandal_{need}", scope=scope, needs={"given": need}, batched=True)(vandal)


@ww.quantity(version="1")
def lent(singular_values):
    """An array of a plugin that others may need."""
    return singular_values * 2


@dataclass(frozen=True)
class Vandalising(ww.Extractor):
    """Writes to the weights before it shows them."""

    name = "vandalising"
    version = "1"

    def plan(self, layer):
        return ww.MatrixPlan(1, 1, layer.shape[0], layer.shape[1])

    def matrices(self, weight, layer):
        for way in WAYS:
            with pytest.raises((ValueError, TypeError)):
                way(weight)
        yield ww.Matrix(0, weight[None, :, :, 0, 0])


class Plugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [lent, *(vandal(need, scope) for need, scope in (SHARED | OWN).items())]

    @ww.hookimpl
    def ww_register_extractors(self):
        return [Vandalising]

    @ww.hookimpl
    def ww_register_loaders(self):
        return [Careless()]


class Careless(ww.Loader):
    """Hands out memory of its own."""

    name = "careless"
    description = "a test"
    held = weights_of()

    def probe(self, source):
        return 0.0

    def open(self, source):
        return CarelessCheckpoint()


class CarelessCheckpoint(ww.Checkpoint):
    format = "careless"
    layers = (ww.Layer("fc", ww.LayerKind.DENSE, ww.TensorSpec("fc.weight", "float64", (12, 8))),)

    def read(self, tensor):
        return nullcontext(Careless.held[tensor.name])


def in_dict(folder):
    held = weights_of()
    return held, held, {}


def mapped(folder):
    held = {}
    for name, array in weights_of().items():
        if array.dtype != ml_dtypes.bfloat16:
            array.tofile(folder / name)
            held[name] = np.memmap(folder / name, array.dtype, "r+", shape=array.shape)
    return held, held, {}


def in_file(folder):
    save_file(weights_of(), folder / "net.safetensors")
    return folder / "net.safetensors", {}, {}


def careless(folder):
    return object(), Careless.held, {"loader": "careless"}


SOURCES = {
    "dict": in_dict,
    "mapped": mapped,
    "file": in_file,
    "careless": careless,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_nobody_writes_to_what_is_shared(kind, tmp_path):
    source, held, options = SOURCES[kind](tmp_path)
    before = {name: array.copy() for name, array in held.items()}
    given = {"plugins": [Plugin()], "name": "net"} | options
    vandals = [f"vandal_{need}" for need in SHARED | OWN]
    said = ww.analyze(source, metrics=vandals, store=tmp_path / "s.sqlite", **given)
    assert not said.failures
    shown = [row.metrics[f"vandal_{need}"].value for row in said.layers for need in SHARED if SHARED[need] == "matrix"]
    shown += [
        row.metrics[f"vandal_{need}"].value for row in said.layer_metrics for need in SHARED if SHARED[need] == "layer"
    ]
    assert set(shown) <= {len(WAYS), None}, said.layers
    for name, array in held.items():
        assert np.array_equal(array, before[name]), name
    names = ["stable_rank", "spectral_norm", "frobenius_norm", "entropy", "hard_rank", "alpha"]
    later = ww.analyze(source, metrics=names, store=tmp_path / "s.sqlite", **given)
    alone = ww.analyze(source, metrics=names, **given)
    assert later.layers == alone.layers
    beside = ww.analyze(source, metrics=[*vandals, *names], **given)
    for row, other in zip(beside.layers, alone.layers, strict=True):
        assert row.metrics | other.metrics == row.metrics


def test_an_extractor_does_not_either(tmp_path):
    held = weights_of()
    report = ww.analyze(held, plugins=[Plugin()], extractors=["vandalising"], metrics=["stable_rank"])
    assert not report.failures
    assert all(np.array_equal(held[name], array) for name, array in weights_of().items())

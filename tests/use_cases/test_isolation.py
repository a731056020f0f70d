"""What plugins raise, return and hold costs what it touches, and nothing else."""

import gc
import json
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import ww_core as ww
from ww_core.plugins.discovery import load_plugins


class Plugin:
    """A plugin made of what it is given."""

    def __init__(self, **objects):
        self._objects = objects

    @ww.hookimpl
    def ww_register_metrics(self):
        return self._objects.get("metrics", [])

    @ww.hookimpl
    def ww_register_loaders(self):
        return self._objects.get("loaders", [])

    @ww.hookimpl
    def ww_register_extractors(self):
        return self._objects.get("extractors", [])

    @ww.hookimpl
    def ww_register_observers(self):
        return self._objects.get("observers", [])


def metric(function):
    return ww.metric(version="1", name=function.__name__)(function)


class Stubborn:
    def __float__(self):
        raise ValueError("I am no number")


def leaves(singular_values):
    """Ends the program."""
    raise SystemExit(0)


def gigantic(singular_values):
    """More than a float can hold."""
    return 10**400


def stubborn(singular_values):
    """Refuses to be a number."""
    return Stubborn()


def vectorial(singular_values):
    """An array."""
    return singular_values


def nothing(singular_values):
    """None."""
    return


def imaginary(singular_values):
    """A complex number."""
    return 1j


def meddling(singular_values):
    """Changes what it is given."""
    singular_values[0] = 0
    return 1.0


def surrogate(singular_values):
    """An exception no database can hold."""
    raise RuntimeError("bad \udcff text \0 end")


@pytest.mark.parametrize(
    "function",
    [leaves, gigantic, stubborn, vectorial, nothing, imaginary, meddling, surrogate],
    ids=lambda f: f.__name__,
)
def test_a_broken_metric_costs_itself_alone(function, weights, tmp_path):
    report = ww.analyze(weights, plugins=[Plugin(metrics=[metric(function)])], store=tmp_path / "s.sqlite")
    assert len(report.failures) == 3
    assert {failure.stage for failure in report.failures} == {"metric"}
    for row in report.layers:
        assert str(row.metrics[function.__name__].state) == "failed"
        assert row.metrics["alpha"].is_ok
    json.dumps(report.to_dict(), allow_nan=False).encode()
    assert report.coverage.analyzed == 3


class Odd(ww.Checkpoint):
    format = "odd"

    def __init__(self, broken):
        specs = [ww.TensorSpec(f"{name}.weight", "float32", (12, 8)) for name in ("good", "bad")]
        self.layers = tuple(ww.Layer(spec.name[:-7], ww.LayerKind.DENSE, spec) for spec in specs)
        self._broken = broken

    def read(self, tensor):
        from contextlib import nullcontext

        array = np.random.default_rng(len(tensor.name)).standard_normal((12, 8)).astype(np.float32)
        return nullcontext(self._broken(array) if tensor.name.startswith("bad") else array)


class OddLoader(ww.Loader):
    name = "odd"
    description = "A loader for tests."

    def __init__(self, broken):
        self._broken = broken

    def probe(self, source):
        return 1.0 if isinstance(source.value, OddSource) else 0.0

    def open(self, source):
        return Odd(self._broken)


class OddSource:
    pass


def raising(array):
    raise ValueError("the disk is on fire")


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (raising, "ValueError: the disk is on fire"),
        (lambda array: array.astype(np.float64), "announced as float32"),
        (lambda array: array.T, "is float32 (8, 12)"),
    ],
)
def test_a_tensor_that_is_not_what_was_promised_costs_its_layer(broken, text):
    report = ww.analyze(OddSource(), plugins=[Plugin(loaders=[OddLoader(broken)])])
    assert [failure.stage for failure in report.failures] == ["read"]
    assert text in report.failures[0].message
    assert (report.coverage.analyzed, report.coverage.failed) == (1, 1)
    assert [row.name for row in report.layers] == ["good"]


def test_a_loader_that_cannot_even_look_costs_nothing(weights):
    class Blind(OddLoader):
        name = "blind"

        def probe(self, source):
            raise RuntimeError("where am I?")

    report = ww.analyze(weights, plugins=[Plugin(loaders=[Blind(None)])])
    assert any("loader Plugin:blind failed to look" in warning for warning in report.warnings)
    assert report.coverage.analyzed == 3


def test_two_loaders_that_are_equally_sure_are_named():
    class Twin(OddLoader):
        name = "twin"

    with pytest.raises(ww.UsageError, match="--loader Plugin:odd or Plugin:twin"):
        ww.analyze(OddSource(), plugins=[Plugin(loaders=[OddLoader(None), Twin(None)])])


def extractor_of(plan=None, matrices=None):
    @dataclass(frozen=True)
    class Made(ww.Extractor):
        name = "made"
        version = "1"

        def plan(self, layer):
            return plan(layer) if plan else ww.MatrixPlan(2, 1, 16, 8)

        def matrices(self, weight, layer):
            return matrices(weight) if matrices else iter(())

    return Made


def raise_in_plan(layer):
    raise ValueError("I cannot plan")


def refuse_later(weight):
    raise ww.NotApplicable("not this one after all")


def one_of_two(weight):
    yield ww.Matrix(0, weight[None, :, :, 0, 0])


def wrong_shape(weight):
    yield ww.Matrix(0, weight[None, :, :, 0, 0].transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("options", "stages", "state"),
    [
        ({"plan": raise_in_plan}, ["extract"], None),
        ({"plan": lambda layer: None}, ["extract"], None),
        ({"plan": lambda layer: ww.MatrixPlan(0, 1, 16, 8)}, [], None),
        ({"matrices": refuse_later}, [], "not_applicable"),
        ({"matrices": one_of_two}, ["extract"], "failed"),
        ({"matrices": wrong_shape}, ["extract"], "failed"),
    ],
)
def test_an_extractor_that_breaks_its_word_costs_its_matrices(options, stages, state, weights):
    plugin = Plugin(extractors=[extractor_of(**options)])
    report = ww.analyze(weights, plugins=[plugin], extractors=["made"])
    assert [failure.stage for failure in report.failures] == stages
    rows = [row for row in report.layers if row.name == "conv"]
    if state is None:
        assert not rows
        assert [skip for skip in report.coverage.reasons if skip.name == "conv"]
    else:
        assert str(rows[-1].metrics["alpha"].state) == state
    assert {row.name for row in report.layers} >= {"first", "second"}


def test_describe_survives_what_an_extractor_raises(weights):
    plugin = Plugin(extractors=[extractor_of(plan=raise_in_plan)])
    description = ww.describe(weights, plugins=[plugin], extractors=["made"])
    made = {layer.name: layer.matrices[0] for layer in description.layers}
    assert made["conv"].reason.startswith("extractor made failed: ValueError: I cannot plan (test_isolation.py:")
    assert made["first"].matrices == 1


def test_coverage_follows_an_extractor_that_changes_its_mind(weights, tmp_path):
    moods = iter([raise_in_plan, lambda layer: ww.MatrixPlan(1, 1, 16, 8)])
    store = tmp_path / "s.sqlite"
    for state in ("failed", "analyzed"):
        plan = next(moods)
        made = extractor_of(plan=plan, matrices=lambda weight: iter([ww.Matrix(0, weight[None, :, :, 0, 0])]))
        report = ww.analyze(weights, plugins=[Plugin(extractors=[made])], extractors=["made", "pool"], store=store)
        extractors = [row.extractor for row in report.layers if row.name == "conv"]
        assert extractors == {"failed": ["pool"], "analyzed": ["made", "pool"]}[state]


def test_an_observer_that_raises_is_reported_and_stored(weights, tmp_path):
    class Nervous(ww.RunObserver):
        def on_layer(self, layer):
            raise RuntimeError("too much")

        def on_end(self, report):
            raise RuntimeError("at last")

    report = ww.analyze(weights, plugins=[Plugin(observers=[Nervous()])], store=tmp_path / "s.sqlite", name="net")
    assert {failure.stage for failure in report.failures} == {"observer"}
    assert any("on_end" in failure.message for failure in report.failures)
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        assert store.report("net") == report


@pytest.mark.parametrize("error", [ww.NotApplicable, ww.Refused, ValueError])
def test_an_exception_keeps_no_tensor_alive(error):
    held = []

    @ww.metric(version="1")
    def grumpy(matrix, weight):
        """Raises after it has seen the weights."""
        # Those of the layers before must be gone by now, without the help of the collector.
        assert not [ref for ref in held if ref() is not None]
        held.extend([weakref.ref(matrix), weakref.ref(weight)])
        raise error("no")

    weights = {f"{i}.weight": np.random.default_rng(i).standard_normal((30, 20)) for i in range(6)}
    gc.collect()
    gc.disable()
    try:
        report = ww.analyze(weights, plugins=[Plugin(metrics=[grumpy])], metrics=["grumpy"], jobs=1)
    finally:
        gc.enable()
    assert len(held) == 12
    assert not [failure for failure in report.failures if "AssertionError" in failure.message]


def test_objects_cannot_travel_so_threads_are_used(weights, model_file):
    registry = load_plugins(objects=[Plugin(metrics=[metric(harmless)])])
    report = ww.analyze(model_file, registry=registry, executor="processes")
    assert any("threads were used" in warning for warning in report.warnings)
    assert report.layers[0].metrics["harmless"].number == 1


def harmless(singular_values):
    """One."""
    return 1.0


def test_two_analyses_at_once_leave_blas_as_it_was(weights):
    with threadpool_limits(2, user_api="blas"):
        before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert set(before) == {2}
        threads = [threading.Thread(target=ww.analyze, args=(weights,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"] == before

"""The contracts that ww ships find what they are there to find."""

import abc
import contextlib
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

import ww_core as ww
from ww_core.plugins import discovery
from ww_core.testing import ExtractorContract, LoaderContract, MetricContract, PluginContract


class Peeking(ww.Extractor):
    """Makes a matrix that depends on what it should not see."""

    version = "1"

    @abc.abstractmethod
    def seen(self, layer):
        """Whether the weight is as it is, or negative."""

    def plan(self, layer):
        if len(layer.shape) != 2 or 0 in layer.shape:
            raise ww.NotApplicable("not two axes")
        return ww.MatrixPlan(1, 1, *layer.shape)

    def matrices(self, weight, layer):
        yield ww.Matrix(0, np.where(self.seen(layer), weight, -weight)[None])


def contract_of(extractor_class):
    class Plugin:
        @ww.hookimpl
        def ww_register_extractors(self):
            return [extractor_class]

    contract = ExtractorContract()
    contract.plugin = Plugin()
    return contract


def peeking(own_name, look):
    @dataclass(frozen=True)
    class Own(Peeking):
        name = own_name

        def seen(self, layer):
            return look(layer)

    return Own


@pytest.mark.parametrize(
    "look",
    [
        lambda layer: layer.name.startswith("layer"),
        lambda layer: layer.weight.name.startswith("layer"),
        lambda layer: layer.bias is None,
        lambda layer: layer.kind is ww.LayerKind.DENSE,
    ],
)
def test_an_extractor_that_looks_at_more_than_content(look):
    contract = contract_of(peeking("peeking", look))
    contract.test_it_keeps_what_it_promised()
    with pytest.raises(AssertionError, match="peeking makes another thing"):
        contract.test_it_looks_at_content_alone()


def test_an_extractor_that_refuses_by_name():
    class Choosy(peeking("choosy", lambda layer: True)):
        name = "choosy"

        def plan(self, layer):
            if not layer.name.startswith("layer"):
                raise ww.NotApplicable("another name")
            return super().plan(layer)

    with pytest.raises(AssertionError, match=r"refuses .* by name or bias"):
        contract_of(Choosy).test_it_looks_at_content_alone()


def test_an_extractor_may_refuse_by_kind():
    class Dense(peeking("dense-only", lambda layer: True)):
        name = "dense-only"

        def plan(self, layer):
            if layer.kind is not ww.LayerKind.DENSE:
                raise ww.NotApplicable("dense layers only")
            return super().plan(layer)

    contract_of(Dense).test_it_looks_at_content_alone()


def test_an_extractor_that_does_not_say_what_becomes_of_errors():
    class Summed(peeking("summed", lambda layer: True)):
        name = "summed"

        def plan(self, layer):
            if not layer.kind.is_convolution or layer.groups > 1 or 0 in layer.shape or layer.shape[0] % layer.groups:
                raise ww.NotApplicable("no convolution of one group")
            return ww.MatrixPlan(1, 1, *layer.shape[:2])

        def matrices(self, weight, layer):
            yield ww.Matrix(0, weight.reshape(*weight.shape[:2], -1).sum(axis=2)[None])

    class Told(Summed):
        name = "told"

        def plan(self, layer):
            plan = super().plan(layer)
            return replace(plan, gain=math.sqrt(math.prod(layer.shape[2:])))

    contract_of(Told).test_its_gain_is_that_of_errors()
    with pytest.raises(AssertionError, match="summed: gain of"):
        contract_of(Summed).test_its_gain_is_that_of_errors()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda weight: np.where(True, weight, -weight), 2),  # a copy of a copy
        (lambda weight: weight.astype(np.float64).astype(np.float32), 3),  # one on the way to another
        (lambda weight: weight * np.outer(*[np.ones(400)] * 2)[0, 0].astype("f"), 4),  # a table
    ],
)
def test_an_extractor_that_does_not_tell_what_it_allocates(made, told):
    class Silent(peeking("silent", lambda layer: True)):
        name = "silent"

        def matrices(self, weight, layer):
            yield ww.Matrix(0, made(weight)[None])

    class Telling(Silent):
        name = "telling"

        def plan(self, layer):
            return replace(super().plan(layer), making_bytes=told * layer.weight.nbytes)

    contract = ExtractorContract()
    contract.variants = lambda: [Telling()]
    contract.test_it_takes_no_more_memory_than_it_tells()
    contract.variants = lambda: [Silent()]
    with pytest.raises(AssertionError, match="silent tells of 0 bytes for dense"):
        contract.test_it_takes_no_more_memory_than_it_tells()


class Coarse(ww.Loader):
    """Gives one array, as whole tenths, and says so or not."""

    name = "coarse"
    description = "tenths"

    def __init__(self, rounding):
        self.rounding = rounding

    def probe(self, source):
        return 1.0

    def open(self, source):
        class Opened(ww.Checkpoint):
            spec = ww.TensorSpec("fc.weight", "float32", (4, 3), self.rounding)
            layers = (ww.Layer("fc", ww.LayerKind.DENSE, spec),)

            def read(self, tensor):
                return contextlib.nullcontext(np.full((4, 3), np.float32(0.1)))

        return Opened()


@pytest.mark.parametrize(("said", "passes"), [(ww.Rounding.of_steps(0.1), True), (ww.Rounding(), False)])
def test_a_loader_that_does_not_tell_how_numbers_were_rounded(said, passes):
    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Coarse(said)]

    class Contract(LoaderContract):
        plugin = Plugin()
        name = "coarse"

        def roundings(self):
            return {"fc.weight": ww.Rounding.of_steps(0.1)}

    with contextlib.nullcontext() if passes else pytest.raises(AssertionError, match=r"fc\.weight"):
        Contract().test_it_tells_how_precisely_numbers_were_stored(object())


@pytest.mark.parametrize("taken", [(), ("tensors",), ("names",), ("tensors", "names")])
def test_a_loader_that_lists_what_it_was_not_given_a_budget_for(taken, tmp_path):
    class Spending(Coarse):
        def open(self, source):
            for what in taken:
                source.budget.take(what)
            return super().open(source)

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Spending(ww.Rounding())]

    class Contract(LoaderContract):
        plugin = Plugin()
        name = "coarse"

    path = tmp_path / "fc.coarse"
    path.write_bytes(b"coarse")
    passes = len(taken) == 2
    with contextlib.nullcontext() if passes else pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        Contract().test_it_draws_on_the_budget_of_the_source(path)


@ww.metric(version="1")
def first(singular_values):
    """Largest singular value."""
    return singular_values[0]


class Behind:
    """What an entry point ``module:attribute`` names."""

    @ww.hookimpl
    def ww_register_metrics(self):
        return [first]


behind = Behind()


@pytest.mark.parametrize("contract_class", [PluginContract, MetricContract])
def test_a_plugin_behind_an_attribute_is_known_as_installed(contract_class, monkeypatch):
    candidate = discovery.Candidate("installed-name", "some-dist", "1", "some_module:behind", lambda: behind)
    installed = discovery._installed
    monkeypatch.setattr(discovery, "_installed", lambda: [*installed(), candidate])
    contract = contract_class()
    contract.plugin = behind
    contract.test_it_loads_without_a_problem()
    assert contract.info().name == "installed-name"
    assert [info.name for info in contract.registry().plugins].count("Behind") == 0
    assert len(contract.own(contract.registry().quantities)) == 1


def test_a_plugin_whose_name_is_taken_is_told_so():
    contract = PluginContract()
    contract.plugin = type("ww.metrics", (), {})()
    with pytest.raises(AssertionError, match=r"'ww\.metrics' is taken"):
        contract.test_it_loads_without_a_problem()


def test_a_flag_that_doubts_no_column():
    @ww.metric(version="1", doubts="entropi")
    def few(n_rows) -> bool:
        """Whether there are few rows."""
        return n_rows < 20

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [few]

    contract = MetricContract()
    contract.plugin = Plugin()
    with pytest.raises(AssertionError, match="unknown matrix column 'entropi'"):
        contract.test_it_loads_without_a_problem()

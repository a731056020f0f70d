"""What the names and parameters of a profile and a request mean."""

from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind
from ww_core.domain.request import Request
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import REMEMBERED, select, understood


@ww.metric(version="1")
def alpha(singular_values, *, factor: float = 1.0):
    """Not ww's."""
    return 42.0 * factor


def extractor(own_name, allowed=range(100)):
    @dataclass(frozen=True)
    class Own(ww.Extractor):
        """A slice of a kernel."""

        name = own_name
        version = "1"
        n: int = 1

        def __post_init__(self):
            if self.n not in allowed:
                raise ValueError(f"n is {self.n}")

        def plan(self, layer):
            if len(layer.shape) < 2:
                raise ww.NotApplicable("no matrix")
            return ww.MatrixPlan(1, 1, layer.shape[0], layer.shape[1])

        def matrices(self, weight, layer):
            yield ww.Matrix(0, weight.reshape(*layer.shape[:2], -1)[None, :, :, 0])

    return Own


def plugin(quantities=(), extractors=(), **profile):
    class Mine:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(quantities)

        @ww.hookimpl
        def ww_register_extractors(self):
            return list(extractors)

        @ww.hookimpl
        def ww_register_profiles(self):
            return [ww.Profile(name="mine", description="Mine.", **profile)]

    return Mine()


def selected(the_plugin, **request):
    return select(load_plugins(objects=[the_plugin]), Request(**{"profile": "mine", **request}))


def test_the_names_of_a_profile_are_its_plugins(weights):
    the_plugin = plugin(
        [alpha],
        [extractor("pool"), extractor("matrix")],
        metrics=("alpha", "stable_rank"),
        parameters={"alpha.factor": 2.0},
    )
    selection = selected(the_plugin)
    assert [column.qualified for column in selection.columns] == ["Mine:alpha", "ww.metrics:stable_rank"]
    assert selection.nodes["Mine:alpha"].parameters == {"factor": 2.0}
    assert {v.qualified for by_kind in selection.extractors.values() for v in by_kind} == {"Mine:pool", "Mine:matrix"}
    report = ww.analyze(weights, plugins=[the_plugin], profile="mine")
    assert report.layers[0].metrics["Mine:alpha"].number == 84.0


def test_the_names_of_a_request_are_everybodys():
    the_plugin = plugin([alpha], [extractor("pool")], metrics=("alpha",))
    selection = selected(
        the_plugin, metrics=("alpha",), extractors=("pool",), parameters=(("power_law.ks", "two-sided"),)
    )
    assert [column.qualified for column in selection.columns] == ["ww.metrics:power_law"]
    assert [variant.qualified for variant in selection.extractors[LayerKind.CONV2D]] == ["ww.extractors:pool"]


@pytest.mark.parametrize("spec", ["own", "Mine:own"])
def test_a_profiles_parameters_hold_however_its_extractor_is_named(spec):
    the_plugin = plugin(extractors=[extractor("own")], convolution_extractor="own[n=32]")
    plain = selected(the_plugin).extractors[LayerKind.CONV2D]
    named = selected(the_plugin, extractors=(spec,)).extractors[LayerKind.CONV2D]
    assert [v.extractor.n for v in named] == [32]
    assert (
        [(v.label, v.identity) for v in named] == [(v.label, v.identity) for v in plain] == [("own", named[0].identity)]
    )


def test_a_profiles_parameters_do_not_hold_for_anothers_extractor_of_that_name():
    the_plugin = plugin(extractors=[extractor("pool")], convolution_extractor="pool[n=32]")
    assert selected(the_plugin).extractors[LayerKind.CONV2D][0].extractor.n == 32
    assert selected(the_plugin, extractors=("pool",)).extractors[LayerKind.CONV2D][0].qualified == "ww.extractors:pool"


def test_an_extractor_of_a_profile_that_is_not_there_can_be_replaced():
    the_plugin = plugin(convolution_extractor="ghost")
    kinds = {kind: "pool" for kind in LayerKind if not kind.is_convolution}
    with pytest.raises(ww.UsageError, match="unknown extractor 'ghost'"):
        selected(the_plugin)
    the_plugin = plugin(convolution_extractor="ghost", extractors_by_kind=kinds)
    assert selected(the_plugin, extractors=("slice",)).extractors[LayerKind.CONV2D][0].label == "slice"


def test_an_extractor_that_refuses_a_value_is_wrong_usage():
    the_plugin = plugin(extractors=[extractor("own", allowed=[1])])
    with pytest.raises(ww.UsageError, match=r"extractor 'own\[n=3\]' \(Mine:own\) cannot be made: ValueError: n is 3"):
        selected(the_plugin, profile="default", extractors=("own[n=3]",))


def test_an_extractor_whose_values_cannot_be_had_is_wrong_usage():
    odd = extractor("own")
    odd.values = property(lambda self: 1 / 0)
    with pytest.raises(ww.UsageError, match=r"extractor 'own' .*ZeroDivisionError"):
        selected(plugin(extractors=[odd]), profile="default", extractors=("own",))


def test_scalars_of_numpy_are_values():
    plain = selected(plugin([alpha], metrics=("alpha",)), parameters=(("Mine:alpha.factor", 3.0),))
    scalar = selected(plugin([alpha], metrics=("alpha",)), parameters=(("Mine:alpha.factor", np.float32(3)),))
    assert scalar.nodes["Mine:alpha"].identity == plain.nodes["Mine:alpha"].identity
    assert scalar.columns[0].label == plain.columns[0].label == "Mine:alpha[factor=3.0]"


def test_columns_are_no_part_of_the_identity():
    @dataclass(frozen=True)
    class One:
        count: int = ww.column()

    @dataclass(frozen=True)
    class Typed:
        count: float = ww.column()

    @dataclass(frozen=True)
    class Two:
        count: int = ww.column()
        share: float = ww.column()

    @dataclass(frozen=True)
    class Documented:
        count: int = ww.column(better="lower", doc="Count")

    def identity(result):
        def pair(singular_values):
            """Columns."""

        pair.__annotations__["return"] = result
        nodes = selected(plugin([ww.metric(version="1")(pair)], metrics=("pair",))).nodes
        return nodes["Mine:pair"].identity

    assert len({identity(result) for result in (One, Typed, Two, Documented)}) == 1


def test_a_profile_that_names_no_extractor_has_those_of_the_default_one():
    mine, default = (selected(plugin(metrics=("stable_rank",)), profile=name) for name in ("mine", "default"))
    for kind in LayerKind:
        assert [v.identity for v in mine.extractors[kind]] == [v.identity for v in default.extractors[kind]]
    nothing = ww.Profile("default", "Of another.")
    assert nothing.extractor_for(LayerKind.DENSE) == ""

    class Alone:
        @ww.hookimpl
        def ww_register_profiles(self):
            return [nothing]

    registry = load_plugins(objects=[Alone()], environ={"WW_BLOCK_PLUGINS": "ww.profiles"})
    with pytest.raises(ww.UsageError, match="profile 'default' names no extractor for layers of kind"):
        select(registry, Request())


def test_a_request_is_understood_once_and_not_as_another_that_is_equal():
    registry = load_plugins(objects=[plugin([alpha], [extractor("pool"), extractor("matrix")], metrics=("alpha",))])

    def asked(factor, seed=0):
        return understood(registry, Request(profile="mine", parameters=(("Mine:alpha.factor", factor),), seed=seed))

    first = asked(1)
    assert asked(1) is first
    with pytest.raises(ww.UsageError):
        asked(True)  # which is 1 to Python
    for seed in range(1, REMEMBERED + 2):
        asked(1, seed)
    assert len(registry.understood) <= REMEMBERED
    assert asked(1).selection.nodes["Mine:alpha"].identity == first.selection.nodes["Mine:alpha"].identity

"""What a declaration says of columns and parameters, and which part of it is looked at."""

import sys
import textwrap
import types
from dataclasses import dataclass, field

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.parameter import Parameter


def declared(source, name="m"):
    """Run the source of a module with postponed annotations, and return one of its names."""
    scope = {"__name__": "declared"}
    text = "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport ww_core as ww\n"
    sys.modules.setdefault("declared", types.ModuleType("declared"))  # dataclasses look their module up
    exec(text + "if TYPE_CHECKING:\n    import numpy.typing as npt\n" + textwrap.dedent(source), scope)
    return scope[name]


def test_annotations_of_needs_are_not_looked_at():
    metric = declared(
        """
        @ww.metric(version="1")
        def m(singular_values: npt.NDArray, matrix: no + such / thing, *, eps: float = 0.5) -> int:
            "A count."
            return 0
        """
    )
    assert metric.columns[0].type == "int"
    assert [(p.name, p.type, p.default) for p in metric.parameters] == [("eps", float, 0.5)]


def test_a_return_annotation_that_cannot_be_resolved_is_a_float():
    metric = declared(
        """
        @ww.metric(version="1", better="lower")
        def m(matrix) -> npt.NDArray:
            "A number."
            return 0.0
        """
    )
    assert [(column.name, column.type, column.better) for column in metric.columns] == [("m", "float", "lower")]


def test_fields_of_a_result_that_cannot_be_resolved_are_floats():
    metric = declared(
        """
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Result:
            count: int
            share: npt.Whatever

        @ww.metric(version="1")
        def m(matrix) -> Result:
            "Two columns."
            return Result(1, 2.0)
        """
    )
    assert [(column.name, column.type) for column in metric.columns] == [("count", "int"), ("share", "float")]


def test_a_parameter_whose_type_cannot_be_resolved_is_a_fault():
    with pytest.raises(TypeError, match=r"metric 'm': parameter 'eps': type 'npt.Some' cannot be resolved"):
        declared('@ww.metric(version="1")\ndef m(matrix, *, eps: npt.Some = 1) -> int:\n    return 0\n')


@dataclass(frozen=True)
class Halves:
    rank: int = ww.column(unit="count")


@dataclass(frozen=True)
class Upward:
    rank: int = ww.column(better="up")


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Spoilt:
    rank: int = field(default=0, metadata={"ww": {"colour": "red"}})


def halves(matrix) -> Halves:
    """Halves."""
    return Halves(rank=1)


def upward(matrix) -> Upward:
    """Upward."""
    return Upward(rank=1)


def nothing(matrix) -> Nothing:
    """Nothing."""
    return Nothing()


def spoilt(matrix) -> Spoilt:
    """Spoilt."""
    return Spoilt()


@pytest.mark.parametrize(
    ("declare", "fault"),
    [
        (lambda: ww.metric(version="1", better="lower")(halves), r"by the fields of Halves.*ww\.column"),
        (lambda: ww.metric(version="1", unit="count")(halves), r"by the fields of Halves.*ww\.column"),
        (lambda: ww.metric(version="1", caveat="No.")(halves), r"by the fields of Halves.*ww\.column"),
        (
            lambda: ww.metric(version="1", caveat=3, name="m")(lambda matrix: 0),
            "caveat and doubts of column 'm' are texts",
        ),
        (lambda: ww.metric(version="1")(upward), "better='up'"),
        (lambda: ww.metric(version="1")(nothing), "its result has no fields"),
        (lambda: ww.metric(version="1")(spoilt), "colour"),
        (
            lambda: ww.metric(version="1", unit=3, name="m")(lambda matrix: 0),
            "unit, doc, key, standard_error, caveat and doubts of column 'm' are texts",
        ),
        (lambda: ww.metric(version="1", batched="yes", name="m")(lambda matrix: 0), "batched is True or False"),
        (lambda: ww.metric(version="1", extra=None, name="m")(lambda matrix: 0), "extra is a text, not None"),
        (lambda: ww.metric(version="1", needs=["x"], name="m")(lambda matrix: 0), "needs is no mapping"),
        (lambda: ww.metric(version="1", needs={"x": 3}, name="m")(lambda x: 0), "need 'x' is no text"),
        (lambda: ww.metric(version="1")(3), "a metric is made of a function, not of a int"),
        (lambda: ww.quantity(version="1", better="lower", name="m")(lambda matrix: 0), "unknown option 'better'"),
        (lambda: ww.quantity(lambda matrix: 0), r'a quantity needs a version: write @ww\.quantity\(version="1"\)'),
    ],
)
def test_more_wrong_declarations(declare, fault):
    with pytest.raises(TypeError, match=fault):
        declare()


def test_the_signature_says_the_options():
    import inspect

    assert list(inspect.signature(ww.metric).parameters)[:2] == ["version", "name"]
    assert "better" not in inspect.signature(ww.quantity).parameters
    assert ww.metric.__doc__.startswith("Make a metric")


def test_the_digest_of_the_source_covers_the_result(tmp_path):
    import importlib.util

    def digest(name, unit):
        path = tmp_path / f"{name}.py"
        path.write_text(
            "from dataclasses import dataclass\nimport ww_core as ww\n"
            f"@dataclass(frozen=True)\nclass Result:\n    rank: int = ww.column(unit={unit!r})\n"
            '@ww.metric(version="1")\ndef m(matrix) -> Result:\n    "Rank."\n    return Result(1)\n'
        )
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        __import__("sys").modules[name] = module
        spec.loader.exec_module(module)
        return module.m.source_digest

    assert digest("first", "count") == digest("second", "count")
    assert digest("first", "count") != digest("third", "share")


@pytest.mark.parametrize(
    ("kind", "given", "plain"),
    [
        (int, np.int64(3), 3),
        (float, np.int64(3), 3.0),
        (float, np.float32(0.5), 0.5),
        (float, np.float64(0.5), 0.5),
        (bool, np.bool_(True), True),
        (str, np.str_("a"), "a"),
        (int, np.array(3), 3),
    ],
)
def test_scalars_of_numpy_become_plain_values(kind, given, plain):
    value = Parameter("p", kind, None).check(given)
    assert value == plain
    assert type(value) is kind


@pytest.mark.parametrize(
    ("kind", "given"),
    [(int, np.float64(3)), (int, np.bool_(True)), (float, np.array([1.0])), (float, np.nan), (float, 10**400)],
)
def test_what_does_not_fit_is_refused(kind, given):
    with pytest.raises(ww.UsageError, match="parameter p takes"):
        Parameter("p", kind, None).check(given)

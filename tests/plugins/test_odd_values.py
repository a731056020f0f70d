"""What metrics return, and the reasons they give, ends up plain and limited, or is a failure of that metric alone."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.text import LONGEST_TEXT

WEIGHTS = {"fc.weight": np.random.default_rng(0).standard_normal((12, 8))}


def refuse(*_):
    raise BaseException("I will not")


class OddText(str):
    __len__ = __getitem__ = __iter__ = __str__ = __repr__ = __format__ = __hash__ = __eq__ = encode = isascii = refuse


class OddInt(int):
    __float__ = __index__ = __repr__ = refuse


class OddFloat(float):
    __float__ = __repr__ = is_integer = refuse


class TameFloat(float):
    __repr__ = __eq__ = is_integer = __hash__ = refuse


class Liar:
    def __init__(self, cls):
        self.cls = cls

    @property
    def __class__(self):
        return self.cls


class Touchy:
    __getattribute__ = __str__ = refuse


@dataclass(frozen=True)
class Two:
    first: float = 1.0
    second: float = 2.0


class Half:
    __dataclass_fields__ = Two.__dataclass_fields__
    first = 1.0


class Raising(Half):
    second = property(refuse)


class Silent(ww.Refused):
    def __init__(self):
        pass


class Secretive(ww.NotApplicable):
    def __init__(self):
        pass

    reason = property(refuse)
    __str__ = refuse


def metric_of(name, given, returns):
    """A metric that returns, or raises, what it is given."""

    def bad(singular_values):
        """A test."""
        value = given()
        if isinstance(value, ww.NotApplicable | ww.Refused):
            raise value
        return value

    bad.__annotations__["return"] = returns
    return ww.metric(version="1", name=name)(bad)


def analyzed(cases, store=None):
    """Analyse with a metric of each case, and one that is as it should be."""

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [metric_of(f"bad{number}", *case[:2]) for number, case in enumerate(cases)]

    names = [f"bad{number}" for number in range(len(cases))]
    report = ww.analyze(WEIGHTS, plugins=[Plugin()], metrics=["stable_rank", *names], store=store, name="net")
    (row,) = report.layers
    assert row.metrics["stable_rank"].is_ok
    return report, row.metrics


NONE = [
    (lambda: "x" * 30_000_000, str, "the text has 30,000,000 characters: 2,000 are allowed"),
    (lambda: "x" * (LONGEST_TEXT + 1), str, "the text has 2,001 characters"),
    (lambda: OddText("x" * 5000), str, "the text has 5,000 characters"),
    (lambda: OddText("x"), float, "BaseException: I will not"),
    (lambda: b"bytes" * 1000, str, "not bytes"),
    (lambda: 10**400, float, "OverflowError"),
    (lambda: -(10**400), int, "OverflowError"),
    (lambda: OddInt(3), int, "BaseException: I will not"),
    (lambda: OddFloat(3.5), float, "BaseException: I will not"),
    (lambda: TameFloat(3.5), int, "BaseException: I will not"),
    (lambda: Liar(str), str, "TypeError"),
    (lambda: Liar(float), float, "not Liar"),
    (Touchy, float, "BaseException: I will not"),
    (lambda: np.ones(2), float, "not ndarray"),
    (lambda: np.ones(1), float, "not ndarray"),
    (lambda: [1.0], float, "not list"),
]


def test_a_value_that_is_none_is_a_failure():
    report, metrics = analyzed(NONE)
    messages = {failure.message.partition(":")[0]: failure.message for failure in report.failures}
    assert len(report.failures) == len(messages) == len(NONE)
    for number, (_, _, says) in enumerate(NONE):
        assert str(metrics[f"bad{number}"].state) == "failed"
        assert says in messages[f"bad{number}"]
        assert len(messages[f"bad{number}"]) < 3000


@pytest.mark.parametrize(
    "case",
    [
        (lambda: (1.0, 2.0), Two, "it declares several columns and returned tuple"),
        (lambda: (1.0, 2.0, 3.0), Two, "it declares several columns and returned tuple"),
        (lambda: {"first": 1.0}, Two, "it declares several columns and returned dict"),
        (lambda: 1.0, Two, "it declares several columns and returned float"),
        (Raising, Two, "BaseException: I will not"),
        (Half, Two, "column second has no value"),
        (lambda: Two(1.0, OddFloat(1.0)), Two, "BaseException: I will not"),
    ],
)
def test_what_is_no_value_of_several_columns_is_a_failure(case):
    report, metrics = analyzed([case])
    (failure,) = report.failures
    assert case[2] in failure.message
    assert {str(metrics[name].state) for name in ("first", "second")} == {"failed"}


PLAIN = [
    (lambda: OddText("fine"), str, "fine"),
    (lambda: np.str_("fine"), str, "fine"),
    (lambda: "é" * LONGEST_TEXT, str, "é" * LONGEST_TEXT),
    (lambda: "\033[2J\u202e", str, "\033[2J\u202e"),
    (lambda: "a\udcff\0b", str, "a\\udcff\\x00b"),
    (lambda: TameFloat(3.5), float, 3.5),
    (lambda: np.float32(0.5), float, 0.5),
    (lambda: np.array(7), int, 7.0),
    (lambda: True, bool, 1.0),
]


def test_a_value_is_plain(tmp_path):
    report, metrics = analyzed(PLAIN, tmp_path / "s.sqlite")
    assert not report.failures
    for number, (_, _, value) in enumerate(PLAIN):
        assert metrics[f"bad{number}"].value == value
        assert type(metrics[f"bad{number}"].value) in {str, float, int, bool}
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        assert store.report("net") == report


REASONS = [
    (lambda: ww.Refused("x" * 30_000_000), float, "x" * LONGEST_TEXT + "..."),
    (lambda: ww.NotApplicable("one\n  two"), float, "one two"),
    (lambda: ww.Refused(b"bytes"), float, "b'bytes'"),
    (lambda: ww.Refused(OddText("odd")), float, ""),
    (lambda: ww.NotApplicable(Touchy()), float, ""),
    (lambda: ww.NotApplicable("a\udcff\0b"), float, "a\\udcff\\x00b"),
    (Silent, float, ""),
    (Secretive, float, ""),
]


def test_a_reason_is_plain(tmp_path):
    report, metrics = analyzed(REASONS, tmp_path / "s.sqlite")
    assert not report.failures
    for number, (_, _, reason) in enumerate(REASONS):
        outcome = metrics[f"bad{number}"]
        assert str(outcome.state) in {"refused", "not_applicable"}
        assert outcome.reason == reason
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        assert store.report("net") == report


def test_what_is_not_finite_is_a_state():
    values = [math.nan, math.inf, -math.inf]
    report, metrics = analyzed([(lambda value=value: TameFloat(value), float) for value in values])
    assert not report.failures
    assert [str(metrics[f"bad{number}"].state) for number in range(3)] == [str(value) for value in values]


@pytest.mark.parametrize(
    ("answer", "warned"),
    [
        (2.0, ""),
        (10**300, ""),
        (-0.5, "probe returns a number from 0 to 1, not -0.5"),
        (math.nan, "not nan"),
        (math.inf, "not inf"),
        (10**400, "OverflowError"),
        ("1.0", "not str"),
        (None, "not NoneType"),
        (OddFloat(1.0), "BaseException: I will not"),
        (Touchy(), "BaseException: I will not"),
    ],
    ids=type,
)
def test_a_probe_is_not_surer_than_certain(answer, warned, tmp_path):
    class Boasting(ww.Loader):
        name = "boasting"
        description = "a test"

        def probe(self, source):
            return answer

        def open(self, source):
            raise AssertionError

    class Sure(ww.Loader):
        name = "sure"
        description = "a test"

        def probe(self, source):
            return 1.0

        def open(self, source):
            raise ww.SourceError("the right one")

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Boasting(), Sure()]

    if not warned:
        with pytest.raises(ww.UsageError, match="several loaders are equally sure of it: choose by --loader Plugin:b"):
            ww.describe(WEIGHTS, plugins=[Plugin()])
        return
    with pytest.raises(ww.SourceError, match="the right one"):
        ww.describe(WEIGHTS, plugins=[Plugin()])
    with pytest.raises(ww.SourceError) as refused:
        ww.describe(
            tmp_path,
            plugins=[type("Plugin", (Plugin,), {"ww_register_loaders": ww.hookimpl(lambda self: [Boasting()])})()],
        )
    assert warned in str(refused.value)

"""Why the plain mean of a column does not rank models: stored beside the column, and as it is told today."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store

METRIC = """
from dataclasses import dataclass

import ww_core as ww


@dataclass(frozen=True)
class Result:
    first: float = ww.column({first})
    second: float = ww.column({second})


@ww.metric(version="1")
def two(singular_values) -> Result:
    return Result({code}, 2.0)


@ww.metric(version="1", {single})
def one(singular_values):
    return singular_values.sum()


@ww.hookimpl
def ww_register_metrics():
    return [two, one]
"""


@pytest.fixture
def plugin(tmp_path):
    """A function that returns a module of two metrics, whose columns have these options."""

    def make(first="", second="", single="", code="1.0"):
        number = len(list(tmp_path.glob("two_*.py")))
        path = tmp_path / f"two_{number}.py"
        path.write_text(METRIC.format(first=first, second=second, single=single, code=code))
        spec = importlib.util.spec_from_file_location("two", path)
        sys.modules["two"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield make
    sys.modules.pop("two", None)


def caveats(location):
    column = tables.metric_column.c
    query = select(column.name, tables.column_caveat.c.caveat).join(
        tables.metric_column, column.id == tables.column_caveat.c.column_id
    )
    with open_store(location) as store, store._reading() as connection:
        return {row.name: row.caveat for row in connection.execute(query)}


def identities(location):
    with open_store(location) as store, store._reading() as connection:
        return set(connection.scalars(select(tables.identity.c.digest)))


def test_a_caveat_is_stored_and_follows_what_the_metric_says_today(new_store_url, weights, plugin):
    def analyze(**declared):
        asked = {"metrics": ["two", "one"], "plugins": [plugin(**declared)]}
        return ww.analyze(weights, store=new_store_url, name="net", **asked)

    analyze(second='caveat="why"')
    assert caveats(new_store_url) == {"second": "why"}
    before = identities(new_store_url)
    for declared, expected in (
        ({"first": 'caveat="it too"', "second": 'caveat="why not"'}, {"first": "it too", "second": "why not"}),
        ({"second": 'caveat="why not"', "single": 'caveat="nor it"'}, {"second": "why not", "one": "nor it"}),
        ({}, {}),
    ):
        report = analyze(**declared)
        assert caveats(new_store_url) == expected
        assert identities(new_store_url) == before
        assert report.run.computed == 0
        assert not [text for text in report.warnings if "code" in text]
    # Other code without another caveat is told as ever.
    assert [text for text in analyze(code="3.0").warnings if "its code changed" in text]


def test_a_column_that_joins_an_identity_brings_its_caveat(new_store_url, weights, plugin):
    module = plugin()
    both = module.two.columns
    object.__setattr__(module.two, "columns", both[:1])
    ww.analyze(weights, store=new_store_url, name="net", metrics=["two"], plugins=[module])
    module = plugin(second='caveat="new"')
    ww.analyze(weights, store=new_store_url, name="net", metrics=["two"], plugins=[module])
    assert caveats(new_store_url) == {"second": "new"}


def listed(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_caveat_of_alpha_is_listed_and_stored(new_store_url, weights):
    command = [sys.executable, "-m", "ww_core", "metrics"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    (alpha,) = [row for row in json.loads(done.stdout) if row["column"] == "alpha"]
    assert alpha["caveat"].startswith("the mean of alpha over layers does not rank models")
    (marked,) = [line for line in listed(command) if line.startswith("alpha ")]
    assert "lower*" in marked
    (told,) = [line for line in listed([*command, "alpha"]) if line.strip().startswith("caveat")]
    assert told.split(maxsplit=1)[1] == alpha["caveat"]
    ww.analyze(weights, store=new_store_url, name="net")
    assert caveats(new_store_url) == {"alpha": alpha["caveat"]}
    page = Path(__file__).parents[2] / "docs/reference/metrics.md"
    assert "does not rank models of one architecture that differ in depth" in page.read_text(encoding="utf-8")

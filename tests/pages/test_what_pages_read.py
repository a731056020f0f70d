"""What the pages of ``ww serve`` read of a store: little, by keys, and once."""

import re
from collections import Counter

import numpy as np
import pytest
from sqlalchemy import text

import ww_core as ww
from ww_core.store import tables
from ww_core.store.engine import driver_of

pytest.importorskip("starlette", reason="the extra web is not installed")

from ww_plugins.pages.server import suggested
from ww_plugins.pages.server.asked import Asked
from ww_plugins.pages.server.views import PAGES

QUESTIONS = {
    "models": "",
    "show": "model=net@2",
    "history": "model=net&metrics=alpha",
    "regressions": "model=net&metrics=alpha",
    "spectrum": "model=net@1&layer=l1",
    "diff": "first=net@1&other=net@4",
    "leaderboard": "metric=alpha&score=error&all-versions=1",
    "trend": "metric=alpha&score=error&all-versions=1",
}
LISTS = {"label", "model", "score", "series", "series_member", "structure", "imported_table", "derivation"}
"""Tables with a row for each model or version, or with fewer: these may be read from end to end."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A store of a model of four versions with scores in a series, and another model."""
    path = tmp_path_factory.mktemp("read") / "store.sqlite"
    with ww.open_store(path) as store:
        for version in range(1, 5):
            random = np.random.default_rng(version)
            weights = {f"l{layer}.weight": random.standard_t(3, (14, 12)).astype(np.float32) for layer in range(60)}
            ww.analyze(weights, store=store, name="net", version=str(version))
        ww.analyze(weights, store=store, name="other")
        store.add_to_series("family", ["net"])
        store.add_scores(ww.Score("net", "error", "data", float(own), "us", str(own), "lower") for own in range(1, 5))
    return path


def shown(store, path, query):
    page = next(own for own in PAGES if own.form.path == path)
    return page.values(store, Asked.of(page.form, query))


def read(path, question, query):
    """Return what a page asks of SQLite, and how SQLite goes about each."""
    asked = []
    with ww.open_store(path, mode="read") as store:
        with store._reading() as connection:
            driver_of(connection).set_trace_callback(asked.append)
        shown(store, question, query)
        with store._reading() as connection:
            driver_of(connection).set_trace_callback(None)
            selects = [own for own in asked if own.startswith("SELECT")]
            plans = [[row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {own}"))] for own in selects]
    return selects, plans


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_page_reads_values_but_by_their_keys(path, question):
    selects, plans = read(path, question, QUESTIONS[question])
    assert len(selects) > 1
    for statement, steps in zip(selects, plans, strict=True):
        of_values = [step for step in steps if re.match(r"(SCAN|SEARCH) value\b", step)]
        assert all(step.startswith("SEARCH") and "subject_id=?" in step for step in of_values), (statement, steps)
        scanned = {step.split()[1] for step in steps if step.startswith("SCAN")}
        assert not scanned & ({*tables.metadata.tables} - LISTS), (statement, steps)


@pytest.mark.parametrize("question", ["history", "regressions", "leaderboard", "trend"])
def test_values_and_summaries_are_read_once(path, question):
    selects, _ = read(path, question, QUESTIONS[question])
    counts = Counter(own for own in selects if re.search(r"FROM (value|summary|coverage)\b", own))
    assert counts
    assert set(counts.values()) == {1}


def test_the_models_page_reads_versions_of_the_models_that_it_shows(path):
    selects, _ = read(path, "models", "")
    of_versions = [own for own in selects if re.search(r"checkpoint\.digest", own)]
    assert len(of_versions) == 1
    assert "name IN ('net', 'other')" in of_versions[0]


@pytest.mark.parametrize("question", ["leaderboard", "trend"])
def test_of_many_models_there_are_no_intervals_unasked(path, monkeypatch, question):
    def resamples(query):
        with ww.open_store(path, mode="read") as store:
            return shown(store, question, f"{QUESTIONS[question]}{query}")["asked"].text("bootstrap")

    assert resamples("") == "200"
    monkeypatch.setattr(suggested, "MOST_RESAMPLED", 4)  # there are two models, and five versions
    assert resamples("") == "0"
    assert resamples("&bootstrap=50") == "50"
    assert resamples("&models=net") == "200"

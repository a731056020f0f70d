"""Names come and go; what they stand on stays, and no two things ever have one name."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

import ww_core as ww
from ww_core.errors import NotStoredError
from ww_core.store import tables
from ww_core.store.store import open_existing_store, open_store


def net(number):
    return {"a.weight": np.random.default_rng(number).standard_normal((6, 5))}


def fill(store):
    for number in (1, 2, 3):
        ww.analyze(net(number), store=store, name="resnet", series="nets", metrics=["stable_rank"])
    ww.analyze(net(1), store=store, name="vgg", version="final", metrics=["stable_rank"])


@pytest.fixture
def store(make_copy):
    """A store of two models: resnet in three versions, a member of a series, and vgg in one."""
    with open_store(make_copy(fill)) as store:
        yield store


def names(store):
    return [(version.model, version.version) for version in store.versions()]


def rows(store, table):
    with store._reading() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


# --- forget -----------------------------------------------------------------------------------------------------------


def test_a_version_is_forgotten(store):
    digest = store.report("resnet@2").digest
    (forgotten,) = store.forget("resnet@2")
    assert (forgotten.model, forgotten.version, forgotten.digest) == ("resnet", "2", digest)
    assert names(store) == [("resnet", "1"), ("resnet", "3"), ("vgg", "final")]
    with pytest.raises(NotStoredError, match="it has 1, 3"):
        store.report("resnet@2")


def test_a_model_is_forgotten_with_all_its_versions_and_its_membership(store):
    assert [own.version for own in store.forget("resnet")] == ["1", "2", "3"]
    assert names(store) == [("vgg", "final")]
    assert rows(store, tables.series_member) == []
    assert [row["name"] for row in rows(store, tables.model)] == ["vgg"]


def test_a_model_goes_with_its_last_version(store):
    for version in ("1", "2", "3"):
        assert "resnet" in {model for model, _ in names(store)}
        store.forget(f"resnet@{version}")
    assert [row["name"] for row in rows(store, tables.model)] == ["vgg"]
    assert rows(store, tables.series_member) == []


def test_what_was_forgotten_is_found_by_its_digest_and_computed_never_again(store):
    before = store.report("resnet@2")
    store.forget("resnet@2")
    found = store.report(before.digest[:12])
    assert (found.model, found.version, found.layers) == ("", "", before.layers)
    assert {run["label_id"] is None for run in rows(store, tables.run) if run["id"] == before.run.id} == {True}
    again = ww.analyze(net(2), store=store, name="resnet", metrics=["stable_rank"])
    assert (again.version, again.run.computed, again.run.reused) == ("4", 0, 1)


def test_several_names_may_overlap(store):
    forgotten = store.forget("resnet@3", "vgg", "resnet")
    assert [(own.model, own.version) for own in forgotten] == [
        ("resnet", "3"),
        ("vgg", "final"),
        ("resnet", "1"),
        ("resnet", "2"),
    ]
    assert names(store) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("resnt", "did you mean resnet"), ("resnet@9", "it has 1, 2, 3"), ("vgg@", "it has final")],
)
def test_an_unknown_name_forgets_nothing(store, wrong, words):
    before = names(store)
    with pytest.raises(NotStoredError, match=words):
        store.forget("vgg", wrong)
    assert names(store) == before


def test_a_digest_is_no_name(store):
    digest = store.report("resnet@2").digest
    with pytest.raises(NotStoredError, match="is the digest of resnet@2, and no name"):
        store.forget(digest[:8])
    store.forget("resnet@2")
    with pytest.raises(NotStoredError, match="is the digest of weights without a name"):
        store.forget(digest)


def test_a_store_that_is_missing_is_not_made(tmp_path):
    with pytest.raises(ww.StoreError, match="there is no store"):
        open_existing_store(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []


# --- rename -----------------------------------------------------------------------------------------------------------


def test_a_model_gets_another_name(store):
    renamed = store.rename("resnet", "résnet ✓")
    assert renamed.versions == 3
    assert names(store) == [("résnet ✓", "1"), ("résnet ✓", "2"), ("résnet ✓", "3"), ("vgg", "final")]
    assert store.report("résnet ✓").version == "3"
    assert {version.series for version in store.versions() if version.model == "résnet ✓"} == {("nets",)}


def test_a_version_gets_another_name_and_keeps_its_place(store):
    store.rename("resnet@2", "resnet@best")
    assert names(store)[:3] == [("resnet", "1"), ("resnet", "best"), ("resnet", "3")]
    assert store.report("resnet").version == "3"


def test_a_version_moves_to_another_model_as_its_newest(store):
    digest = store.report("resnet@2").digest
    store.rename("resnet@2", "vgg@2")
    assert names(store) == [("resnet", "1"), ("resnet", "3"), ("vgg", "final"), ("vgg", "2")]
    assert store.report("vgg").digest == digest


def test_a_version_moves_to_a_new_model(store):
    store.rename("resnet@1", "alexnet@first")
    assert ("alexnet", "first") in names(store)
    assert ("resnet", "1") not in names(store)


def test_a_model_that_nothing_is_left_of_goes(store):
    store.rename("vgg@final", "resnet@vgg")
    assert [row["name"] for row in rows(store, tables.model)] == ["resnet"]
    assert names(store)[-1] == ("resnet", "vgg")


@pytest.mark.parametrize("name", ["resnet", "resnet@2"])
def test_renaming_to_itself_changes_nothing(store, name):
    before = names(store), rows(store, tables.label)
    store.rename(name, name)
    assert (names(store), rows(store, tables.label)) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("resnet", "vgg", "there is a model 'vgg' already.*ww rename resnet@VERSION vgg@VERSION"),
        ("resnet@1", "resnet@2", "resnet@2 is a version already.*ww forget resnet@2"),
        ("resnet@1", "vgg@final", "vgg@final is a version already"),
        ("resnet@1", "vgg", "not both models or both versions: write `ww rename MODEL NEW`"),
        ("resnet", "vgg@2", "not both models or both versions"),
        ("resnet", "", "the name of a model is empty"),
        ("resnet@1", "@2", "the name of a model is empty"),
        ("resnet@1", "resnet@", "the name of a version is empty"),
        ("resnet@1", "resnet@2@3", "'2@3' cannot be used"),
        ("resnet", " vgg", "' vgg' cannot be used"),
        ("resnet", "a\nb", "cannot be used"),
        ("resnet", "x" * 201, "201 characters: 200 are allowed"),
        ("resnet@1", f"resnet@{'x' * 201}", "201 characters"),
    ],
)
def test_a_name_that_cannot_be_given_changes_nothing(store, old, new, words):
    before = names(store)
    with pytest.raises(ww.UsageError, match=words):
        store.rename(old, new)
    assert names(store) == before


@pytest.mark.parametrize(("old", "new"), [("alexnet", "x"), ("resnet@9", "resnet@x"), ("resnet@", "a@b")])
def test_what_is_not_there_cannot_be_renamed(store, old, new):
    with pytest.raises(NotStoredError):
        store.rename(old, new)


# --- laws -------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a@1", "a@2", "b@1", "b@2", "c@1"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(NAMES, NAMES), max_size=12))
def test_versions_behave_like_a_map_from_names(steps):
    with open_store() as store:
        expected = {}
        for number, name in enumerate(["a@1", "a@2", "b@1"]):
            model, _, version = name.partition("@")
            expected[name] = ww.analyze(
                net(number), store=store, name=model, version=version, metrics=["stable_rank"]
            ).digest
        for old, new in steps:
            try:
                store.rename(old, new)
            except NotStoredError:
                assert old not in expected
            except ww.UsageError:
                assert new in expected
            else:
                expected[new] = expected.pop(old)
            assert {f"{own.model}@{own.version}": own.digest for own in store.versions()} == expected
            models = {name.partition("@")[0] for name in expected}
            assert {row["name"] for row in rows(store, tables.model)} == models

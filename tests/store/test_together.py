"""Two people at one store: what each writes and asks stays whole while the other works."""

import numpy as np
import pytest

import ww_core as ww

ROUNDS = 4

PEOPLE = ("ann", "bob")

pytestmark = [pytest.mark.slow, pytest.mark.migrations]


def drawn(*seed):
    return np.random.default_rng(seed).standard_normal((20, 15)).astype(np.float32)


def weights_of(person, number):
    """A version of a person's model: a layer that both people have, one that never changes, and one that always does.

    The last layer grows by a factor of two each time, so that every answer can be told from the labels.
    """
    own = PEOPLE.index(person)
    return {
        "shared.weight": drawn(100),
        "kept.weight": drawn(own, 0),
        "grows.weight": drawn(own, 1) * np.float32(2**number),
    }


def work(arguments):
    """Analyse the versions of one's own model and one's part of a common one; ask about them after each of them."""
    url, person, other = arguments
    registry = ww.load_plugins(objects=[])
    others_answers = 0
    with ww.open_store(url) as store:
        for number in range(1, ROUNDS + 1):
            for model, label in ((person, f"v{number}"), ("common", f"{person}-{number}")):
                weights = weights_of(person, number)
                report = ww.analyze(weights, store=store, name=model, version=label, registry=registry, jobs=1)
                assert not report.failures
                assert (report.model, report.version) == (model, label)
            check_own(store, person, number)
            check_common(store, person, number)
            others_answers += is_asked(store, other)
    return others_answers


def check_own(store, person, count):
    """What is known of one's own model: nobody else writes to it."""
    labels = [f"v{number}" for number in range(1, count + 1)]
    history = ww.history(person, store=store, metrics=["log_norm", "alpha"])
    assert [version.version for version in history.versions] == labels
    track = history.tracks["log_norm"]
    assert {place.name for place in track.places} == {"shared", "kept", "grows"}
    assert np.isfinite(track.values).all()
    grows = track.values[:, [place.name for place in track.places].index("grows")]
    np.testing.assert_allclose(np.diff(grows), 2 * np.log10(2), atol=1e-5)
    assert track.missing.tolist() == [0] * count
    answer = ww.blame(person, "grows", store=store)
    assert (answer.version, answer.previous) == (labels[-1], labels[-2] if count > 1 else "")
    for layer in ("shared", "kept"):
        assert ww.blame(person, layer, store=store).version == "v1"
    regressions = ww.regressions(person, store=store, metrics=["log_norm"])
    assert regressions.versions == tuple(labels)
    if count > 1:
        difference = ww.diff(f"{person}@v1", f"{person}@{labels[-1]}", store=store, metrics=["log_norm"])
        assert difference.counts == {"same": 2, "changed": 1, "added": 0, "removed": 0}
        (changed,) = difference.listed()
        assert changed.difference.change["log_norm"] == pytest.approx(2 * (count - 1) * np.log10(2), abs=1e-5)


def check_common(store, person, count):
    """What is known of the common model: one's own versions of it, between those of the other."""
    history = ww.history("common", store=store, metrics=["log_norm"])
    labels = [version.version for version in history.versions]
    own = [label for label in labels if label.startswith(person)]
    assert own == [f"{person}-{number}" for number in range(1, count + 1)]
    assert len(set(labels)) == len(labels)
    with_values = np.isfinite(history.tracks["log_norm"].values).all(axis=1)
    for version, complete in zip(history.versions, with_values, strict=True):
        whose, _, number = version.version.partition("-")
        if whose == person or version.is_analyzed:  # the other may be in the middle of it
            assert complete
            digest = store.report(f"{whose}@v{number}").digest if whose == person else version.digest
            assert version.digest == digest
    if count > 1:
        names = (f"common@{person}-{count - 1}", f"common@{person}-{count}")
        assert ww.diff(*names, store=store).counts == {"same": 2, "changed": 1, "added": 0, "removed": 0}
    answer = ww.blame(f"common@{own[-1]}", "grows", store=store)
    assert answer.version == own[-1]
    assert answer.previous in {"", *labels}


def is_asked(store, other):
    """Ask about the model that the other is writing; it may not be there yet."""
    try:
        history = ww.history(other, store=store, metrics=["log_norm"])
    except ww.NotStoredError:
        return 0
    labels = [version.version for version in history.versions]
    assert labels == [f"v{number}" for number in range(1, len(labels) + 1)]
    track = history.tracks["log_norm"]
    values = track.values[:, [place.name for place in track.places].index("grows")]
    known = values[[version.is_analyzed for version in history.versions]]
    assert np.isfinite(known).all()
    np.testing.assert_allclose(np.diff(known), 2 * np.log10(2), atol=1e-5)
    return 1


def test_two_people_analyse_and_ask_at_once(new_store_url, eight_processes):
    with ww.open_store(new_store_url):
        pass
    first, second = PEOPLE
    eight_processes.map(work, [(new_store_url, first, second), (new_store_url, second, first)], chunksize=1)
    with ww.open_store(new_store_url, mode="read") as store:
        assert len(store.versions()) == 4 * ROUNDS
        for person in PEOPLE:
            check_own(store, person, ROUNDS)
            check_common(store, person, ROUNDS)
            assert is_asked(store, person) == 1
        history = ww.history("common", store=store)
        assert len(history.versions) == 2 * ROUNDS
        assert all(version.is_analyzed for version in history.versions)
        # Equal content is stored once, whoever wrote it: the shared layer, and two kinds of layers for each person.
        assert store.info().counts["spectrum"] == 1 + 2 * (1 + ROUNDS)

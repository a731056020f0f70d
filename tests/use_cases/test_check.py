"""The gate from Python: which candidate, against which baseline, by which analyses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.use_cases.check import check

RULES = ["alpha: +5%", "warning: no new", "layers.*.log_norm: +-1%"]


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.sqlite"


@pytest.fixture
def changed(weights):
    """The same network with one layer twice as large."""
    return weights | {"first.weight": weights["first.weight"] * np.float32(2)}


@pytest.fixture
def files(tmp_path, weights, changed):
    """Both networks, as files in folders of their own that have one name."""
    found = []
    for folder, tensors in (("old", weights), ("new", changed)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "net.safetensors"
        save_file(tensors, path)
        found.append(path)
    return found


def passed(report):
    return {str(own.rule): own.passed for own in report.verdicts}


def test_a_stored_version_against_another(store, weights, changed):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(changed, store=store, name="net")
    report = ww.check("net@2", baseline="net@1", rules=RULES, store=store)
    assert (report.candidate.name, report.baseline.name, report.passed) == ("net@2", "net@1", False)
    assert passed(report) == {"alpha: +5%": True, "warning: no new": True, "layers.*.log_norm: +-1%": False}
    (own,) = report.verdicts[2].broken
    assert (own.layer, own.extractor, own.index) == ("first", "matrix", 0)
    assert own.change == pytest.approx(2 * np.log10(2))
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["rules"][2]["broken"][0]["change"] == own.change
    assert isinstance(report, ww.CheckReport)
    assert ww.check("net@1", baseline="net@1", rules=RULES, store=store).passed


def test_a_path_is_judged_and_gets_no_label(store, files, weights):
    ww.analyze(weights, store=store, name="net")
    for candidate in (files[1], str(files[1])):
        report = check(candidate, baseline="net", rules=RULES, store=store)
        assert (report.passed, report.candidate.name) == (False, str(files[1]))
    with ww.open_store(store, mode="read") as opened:
        assert [(own.model, own.version) for own in opened.versions()] == [("net", "1")]


def test_objects_and_reports_are_judged_without_any_store(weights, changed, tmp_path):
    old, new = ww.analyze(weights, name="old"), ww.analyze(changed, name="new")
    assert not check(new, baseline=old, rules=RULES).passed
    assert check(weights, baseline=old, rules=RULES).passed
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(old.to_dict()))
    for baseline in (file, str(file)):
        report = check(changed, baseline=baseline, rules=RULES)
        assert (report.passed, report.baseline.name) == (False, str(file))
        assert check(weights, baseline=baseline, rules=RULES).passed
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_gives_the_verdict_that_the_store_gives(store, weights, changed, tmp_path):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(changed, store=store, name="net")
    with ww.open_store(store, mode="read") as opened:
        (tmp_path / "base").write_text(json.dumps(opened.report("net@1").to_dict()))  # known by its first byte
    stored = check("net@2", baseline="net@1", rules=RULES, store=store).to_dict()
    from_file = check("net@2", baseline=str(tmp_path / "base"), rules=RULES, store=store).to_dict()
    assert from_file["rules"] == stored["rules"]


def test_a_stored_name_wins_over_a_file(store, weights, changed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ww.analyze(weights, store=store, name="base.json")
    file = tmp_path / "base.json"
    file.write_text(json.dumps(ww.analyze(changed, name="other").to_dict()))
    assert check(weights, baseline="base.json", rules=RULES, store=store).baseline.name == "base.json@1"
    assert check(changed, baseline=file, rules=RULES, store=store).passed  # a path object is no name


def test_files_of_weights_are_no_reports(weights, tmp_path):
    """Whatever their first byte is, and though the index of a model in shards is JSON."""
    matrices = {name: own for name, own in weights.items() if own.ndim > 1}
    save_file(matrices, tmp_path / "a.safetensors")
    raw = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    for wanted in (ord("{"), 0x227B):  # a length of the header that begins as JSON does
        blanks = next(more for more in range(2**16) if (length + more) % (256 if wanted < 256 else 2**16) == wanted)
        path = tmp_path / f"{wanted}.safetensors"
        path.write_bytes(
            (length + blanks).to_bytes(8, "little") + raw[8 : 8 + length] + b" " * blanks + raw[8 + length :]
        )
        assert path.read_bytes()[:1] == b"{"
        assert check(path, rules=["alpha: < 100"]).passed
    shard = {"metadata": {}, "weight_map": dict.fromkeys(matrices, "a.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shard))
    assert check(tmp_path / "model.safetensors.index.json", rules=["alpha: < 100"]).passed


# --- previous ---------------------------------------------------------------------------------------------------------


def test_previous_is_the_version_before_a_stored_candidate(store, weights):
    for factor in (1, 2, 3):
        tensors = weights | {"first.weight": weights["first.weight"] * np.float32(factor)}
        ww.analyze(tensors, store=store, name="net")
    for candidate, baseline in (("net", "net@2"), ("net@3", "net@2"), ("net@2", "net@1")):
        assert check(candidate, baseline="previous", rules=RULES, store=store).baseline.name == baseline
    with pytest.raises(ww.NotStoredError, match=r"no previous version to compare net@1 with: .* --allow-no-baseline"):
        check("net@1", baseline="previous", rules=RULES, store=store)
    first = check("net@1", baseline="previous", rules=[*RULES, "alpha: > 1"], store=store, allow_no_baseline=True)
    assert (first.passed, first.baseline) == (True, None)
    assert [own.word for own in first.verdicts] == ["skipped", "skipped", "skipped", "held"]


def test_weights_without_a_name_have_no_version_before_them(store, weights, changed):
    digest = ww.analyze(changed, store=store, label=False).digest
    ww.analyze(weights, store=store, name="net")
    with pytest.raises(ww.UsageError, match="has no name, and so previous means no version: give --name MODEL"):
        check(digest[:12], baseline="previous", rules=RULES, store=store)
    assert check(digest[:12], baseline="previous", name="net", rules=RULES, store=store).baseline.name == "net@1"


def test_a_candidate_may_be_called_as_a_baseline_that_is_sought(store, weights, changed):
    for model in ("previous", "best:alpha"):
        ww.analyze(weights, store=store, name=model)
        ww.analyze(changed, store=store, name=model)
        report = check(model, baseline="previous", rules=RULES, store=store)
        assert (report.candidate.name, report.baseline.name) == (f"{model}@2", f"{model}@1")
        assert not report.passed
    ww.analyze(weights, store=store, name="net")
    report = check("previous", baseline="net", rules=RULES, store=store)
    assert (report.candidate.name, report.baseline.name, report.passed) == ("previous@2", "net@1", False)


@pytest.mark.parametrize("candidate", ["previous", "best:alpha"])
def test_a_candidate_that_is_nowhere_is_told_whatever_it_is_called(store, weights, candidate):
    ww.analyze(weights, store=store, name="net")
    for baseline in ("net", "previous", "best:alpha"):
        with pytest.raises(ww.NotStoredError, match=candidate):
            check(candidate, baseline=baseline, rules=["alpha: +5%"], store=store, allow_no_baseline=True)


def test_previous_is_in_the_order_of_steps(store, weights, changed):
    ww.analyze(weights, store=store, name="net", version="200")
    ww.analyze(changed, store=store, name="net", version="100")
    assert check("net@200", baseline="previous", rules=RULES, store=store).baseline.name == "net@100"


def test_previous_of_a_path_is_the_newest_version_of_its_default_name(store, files, weights, changed):
    ww.analyze(files[0], store=store)
    report = check(files[1], baseline="previous", rules=RULES, store=store)
    assert report.baseline.name == "net@1"
    # What was turned down never becomes the baseline, and what is the candidate itself is none.
    assert check(files[1], baseline="previous", rules=RULES, store=store).baseline.name == "net@1"
    ww.analyze(files[1], store=store, name="net")
    assert check(files[1], baseline="previous", rules=RULES, store=store).baseline.name == "net@1"
    ww.analyze(weights, store=store, name="other", version="x")
    assert check(changed, baseline="previous", name="other", rules=RULES, store=store).baseline.name == "other@x"
    with pytest.raises(ww.NotStoredError, match="no previous version"):
        check(files[1], baseline="previous", name="nobody", rules=RULES, store=store)
    nobody = check(files[1], baseline="previous", name="nobody", rules=RULES, store=store, allow_no_baseline=True)
    assert nobody.passed


# --- best -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored():
    """A plugin with a column for each direction, whose values the tests set by the scale of a layer."""

    @ww.metric(version="1", better="higher")
    def quality(singular_values):
        """The largest singular value."""
        return singular_values[0]

    @ww.metric(version="1", better="lower")
    def cost(singular_values):
        """The same, where less is better."""
        return singular_values[0]

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [quality, cost]

    return Plugin()


def test_best_is_by_the_direction_of_the_column(store, weights, scored):
    for factor in (2, 1, 3, 4):
        scaled = {name: own * np.float32(factor) for name, own in weights.items() if own.ndim > 1}
        ww.analyze(scaled, store=store, name="net", plugins=[scored])

    def best(candidate, metric):
        return check(candidate, baseline=f"best:{metric}", rules=["alpha: +5%"], store=store).baseline.name

    assert best("net@1", "quality") == "net@4"
    assert best("net@1", "max(quality)") == "net@4"
    assert best("net@4", "quality") == "net@3"  # never the candidate itself
    assert best("net@1", "cost") == "net@2"
    assert best("net@2", "cost") == "net@1"


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("sigma", "neither direction of sigma is better"),
        ("warning", "neither direction of warning is better"),
        ("alhpa", "unknown column 'alhpa': did you mean alpha"),
        ("alpha / D", "is no column: write best:alpha"),
        ("", "is empty"),
        ("alpha +", "character 8"),
    ],
)
def test_best_of_what_has_no_best(store, weights, changed, metric, sentence):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(changed, store=store, name="net")
    with pytest.raises(ww.UsageError) as caught:
        check("net", baseline=f"best:{metric}", rules=RULES, store=store)
    assert sentence in str(caught.value)


def test_best_is_among_complete_analyses_of_what_means_the_same(store, weights, changed):
    ww.analyze(weights, store=store, name="net", profile="weightwatcher")
    ww.analyze(weights, store=store, name="net", version="narrow", layers=["first"])
    ww.analyze(changed, store=store, name="net", version="other")
    with pytest.raises(ww.NotStoredError, match="no best:alpha version"):
        check("net@other", baseline="best:alpha", rules=RULES, store=store, profile="default")
    ww.analyze(weights, store=store, name="net", version="narrow")
    report = check("net@other", baseline="best:alpha", rules=RULES, store=store, profile="default")
    assert report.baseline.name == "net@narrow"


# --- analyses ---------------------------------------------------------------------------------------------------------


def test_another_profile_is_not_compared(store, weights, changed, tmp_path):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(changed, store=store, name="net", profile="weightwatcher")
    report = check("net@2", baseline="net@1", rules=["alpha: +5%"], store=store)
    assert "cannot be compared" in report.verdicts[0].broken[0].reason
    with pytest.raises(ww.NotStoredError, match="never analysed under profile 'weightwatcher'"):
        check("net@2", baseline="net@1", rules=["alpha: +5%"], store=store, profile="weightwatcher")
    # A path is analysed as its baseline was.
    file = tmp_path / "b.json"
    file.write_text(json.dumps(ww.analyze(weights, name="x", profile="weightwatcher").to_dict()))
    assert check(weights, baseline=file, rules=["alpha: +0%"]).candidate.profile == "weightwatcher"


def test_an_interrupted_analysis_breaks_a_rule(weights):
    old = ww.analyze(weights, name="net")
    part = replace(old, run=replace(old.run, state="interrupted"))
    assert not check(part, baseline=old, rules=["alpha: +5%"]).passed
    assert check(part, baseline=old, rules=["alpha: +5% (partial allowed)"]).passed


def test_weights_that_could_not_all_be_read_break_a_rule(weights):
    part = weights | {"objects": np.array([None, {}], dtype=object)}
    (own,) = check(part, rules=["alpha: < 100"]).verdicts[0].broken
    assert "some weights of <dict object> could not be read, so that its analysis is provisional" in own.reason
    assert check(part, rules=["alpha: < 100 (partial allowed)"]).passed
    assert ww.AnalysisReport.from_dict(ww.analyze(part).to_dict()).provisional


def test_a_layer_of_nan_breaks_a_rule_about_the_mean(weights):
    old = ww.analyze(weights, name="net")
    weights["second.weight"][3, 3] = np.nan
    (own,) = check(weights, baseline=old, rules=["alpha: +50%"]).verdicts[0].broken
    assert (own.layer, own.second) == ("second", None)
    assert "1 of 600 weights are NaN or infinite" in own.reason
    assert not check(weights, rules=["alpha: < 100"]).passed


def test_without_a_rule_that_compares_no_baseline_is_looked_for(weights):
    report = check(weights, baseline="nobody", rules=["alpha: < 100"])
    assert (report.passed, report.baseline) == (True, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rules": []}, "there is no rule: give --rule"),
        ({"rules": [""]}, "not empty"),
        ({"rules": None}, "rules must be texts, not None"),
        ({"rules": ["alpha: +5%"]}, "the rule 'alpha: +5%' compares with a baseline: give --baseline"),
        ({"rules": ["alpha: +5%"], "baseline": ""}, "the baseline is empty"),
        ({"rules": ["alpha: < 5"], "profile": ""}, "the profile is empty"),
        ({"rules": ["alpha: < 5"], "name": "a@b"}, "--name 'a@b'"),
    ],
)
def test_wrong_usage(weights, arguments, sentence):
    with pytest.raises(ww.UsageError) as caught:
        check(weights, **arguments)
    assert sentence in str(caught.value)


def test_a_change_beyond_all_numbers_is_null(weights, changed):
    first, second = (ww.analyze(own).summary["log_norm"].mean for own in (weights, changed))
    middle, scale = (first + second) / 2, 3 / (second - first)
    report = check(changed, baseline=weights, rules=[f"(log_norm - {middle}) * {scale} * 1e308: +5%"])
    (own,) = report.verdicts[0].broken
    assert (own.first < 0 < own.second, own.change) == (True, None)
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_verdict_is_a_row_for_each_break_and_for_each_rule_without_one(store, weights, changed):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(changed, store=store, name="net")
    report = check("net@2", baseline="net@1", rules=[*RULES, "layers.*.log_norm: < 0"], store=store)
    rows = report.rows()
    assert [(row["rule"], row["verdict"], row["layer"]) for row in rows[:3]] == [
        ("alpha: +5%", "held", ""),
        ("warning: no new", "held", ""),
        ("layers.*.log_norm: +-1%", "broken", "first"),
    ]
    assert len(rows) == 3 + len(report.verdicts[3].broken)
    assert rows[2]["change"] == report.verdicts[2].broken[0].change
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["candidate"] == "net@2"
    assert rows[0]["baseline"] == "net@1"
    frame = report.to_pandas()
    assert frame["verdict"].tolist() == [row["verdict"] for row in rows]
    assert check("net@1", rules=["alpha: < 100"], store=store).rows()[0]["baseline"] == ""


def test_a_report_stands_in_no_order_of_versions(weights):
    report = ww.analyze(weights, name="net")
    with pytest.raises(ww.UsageError, match="stands in no order of versions"):
        check(report, baseline="previous", rules=RULES)


def test_what_is_nowhere_is_told(store, weights):
    ww.analyze(weights, store=store, name="net")
    with pytest.raises(ww.NotStoredError, match="no model 'nett' in this store: did you mean net"):
        check("net", baseline="nett", rules=RULES, store=store)
    with pytest.raises(ww.WWError, match=r"missing\.json"):
        check("net", baseline="missing.json", rules=RULES, store=store)

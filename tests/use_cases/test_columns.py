"""Reports say what their columns are, have rows of every scope, and are put together once."""

import warnings

import numpy as np
import pytest

import ww_core as ww
from ww_core.store import answers


@pytest.fixture
def report(weights):
    return ww.analyze(weights, name="net")


def test_every_label_has_a_column_and_every_column_says_what_it_is(report):
    columns = {column.name: column for column in report.columns}
    assert len(columns) == len(report.columns)
    for scope, labels in {
        "matrix": report.layers[0].metrics,
        "layer": report.layer_metrics[0].metrics,
        "model": report.model_metrics,
    }.items():
        assert set(labels) == {name for name, column in columns.items() if column.scope == scope}
        assert report.labels(scope) == list(labels)
    alpha = columns["alpha"]
    assert (alpha.metric, alpha.version, alpha.type, alpha.better) == ("ww.metrics:power_law", "1", "float", "lower")
    assert columns["n_tail"].type == "int"
    assert columns["short_tail"].type == "bool"
    assert columns["log_norm"].unit.startswith("log10")
    assert len({column.variant for column in report.columns}) == len(columns)
    content = report.to_dict()["columns"]
    assert {"name", "scope", "metric", "version", "variant", "type", "better", "unit"} <= content[0].keys()


def test_a_variant_follows_from_what_a_column_means_and_from_nothing_else(weights):
    def variants(**asked):
        return {column.name: column.variant for column in ww.analyze(weights, **asked).columns}

    plain = variants()
    assert variants(metrics=["alpha", "weight_std"]) == {name: plain[name] for name in ("weight_std",)} | {
        "alpha": plain["alpha"]
    }
    sliced = variants(extractors=["slice"])
    assert sliced["alpha"] != plain["alpha"]
    assert sliced["weight_std"] == plain["weight_std"]  # of whole layers
    assert variants(extractors=["pool", "slice"]) == plain  # it speaks of the first
    other = variants(parameters={"power_law.ks": "two-sided"})
    assert other["alpha[ks=two-sided]"] != plain["alpha"]
    assert other["log_norm"] == plain["log_norm"]


def test_rows_of_every_scope(report):
    pd = pytest.importorskip("pandas")
    matrices, layers, model = (report.to_pandas(scope=scope) for scope in ("matrix", "layer", "model"))
    assert list(matrices["layer"]) == [row.name for row in report.layers]
    assert list(layers["layer"]) == [row.name for row in report.layer_metrics]
    assert layers.set_index("layer").loc["first", "weight_std"] == report.layer_metrics[0].metrics["weight_std"].number
    assert pd.isna(layers.set_index("layer").loc["conv", "bias_mean"])
    assert model.iloc[0][["model", "version"]].tolist() == ["net", "1"]
    assert model.iloc[0]["log_prod_spectral_norm"] == report.model_metrics["log_prod_spectral_norm"].number
    assert report.rows() == report.rows("matrix")


def test_a_selection_that_yields_no_row_says_so(weights):
    report = ww.analyze(weights, metrics=["weight_std"])
    assert report.rows() == []
    assert "choose --scope layer" in report.why_no_rows("matrix")
    assert report.why_no_rows("layer") == ""
    assert len(report.rows("layer")) == 4
    pytest.importorskip("pandas")
    with pytest.warns(UserWarning, match="no metric of scope matrix was selected"):
        empty = report.to_pandas()
    assert empty.empty
    assert list(empty.columns[:2]) == ["layer", "kind"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not report.to_pandas(scope="layer").empty


def test_columns_of_layers_and_models_have_summaries_too(report):
    numbers = [row.metrics["weight_std"].number for row in report.layer_metrics]
    summary = report.summary["weight_std"]
    assert (summary.mean, summary.min, summary.max) == (pytest.approx(np.mean(numbers)), min(numbers), max(numbers))
    assert (summary.count, summary.missing) == (4, 0)
    bias = report.summary["bias_mean"]
    assert (bias.count, bias.missing) == (1, 3)
    whole = report.summary["log_prod_spectral_norm"]
    assert (whole.mean, whole.count) == (report.model_metrics["log_prod_spectral_norm"].number, 1)


def test_a_layer_whose_values_are_all_refused_is_not_skipped(weights, tmp_path):
    weights["second.weight"] = np.full((30, 20), np.nan, np.float32)
    report = ww.analyze(weights, store=tmp_path / "s.sqlite", name="net")
    cover = report.coverage
    assert (cover.analyzed, cover.refused, cover.skipped, cover.failed) == (2, 1, 0, 0)
    content = report.to_dict()["coverage"]
    assert content["layers"] == {"analyzed": 2, "statistics_only": 1, "skipped": 0, "failed": 0, "unread": 0}
    assert content["refused"] == 1
    assert "refused" in {skip.name: skip.reason for skip in cover.reasons}["second"]
    assert cover.parameters_analyzed == weights["first.weight"].size + weights["conv.weight"].size
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        assert store.report("net").coverage == cover


def test_a_report_is_put_together_once_and_is_what_the_store_says(weights, tmp_path, monkeypatch):
    made, put_together = [], answers.stored_analysis

    def counting(*arguments, **named):
        made.append(arguments)
        return put_together(*arguments, **named)

    monkeypatch.setattr(answers, "stored_analysis", counting)
    report = ww.analyze(weights, store=tmp_path / "s.sqlite", name="net")
    assert len(made) == 1
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        assert store.report("net") == report
    assert report.store == str(tmp_path / "s.sqlite")

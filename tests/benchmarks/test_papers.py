"""The papers' tables: on invented numbers of the same form, by NumPy and SciPy alone; and on the published ones."""

import csv
import gzip
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared/data/trends"
AVERAGES = (
    *("alpha", "alpha_weighted", "lognorm", "logpnorm", "spectralnorm", "logspectralnorm", "softranklog"),
    *("softrank", "alpha_compound", "lognorm_compound"),
)
LAYERS = (
    "alpha",
    "alpha_weighted",
    "log_norm",
    "log_alpha_norm",
    "spectral_norm",
    "log_spectral_norm",
    "log_stable_rank",
)
METRICS = {
    "log_norm": lambda own: own["lognorm"],
    "alpha": lambda own: own["alpha"],
    "alpha_hat": lambda own: own["alpha_weighted"],
    "log_alpha_norm": lambda own: own["logpnorm"],
    "log_spectral_norm": lambda own: own["logspectralnorm"],
    "mean_spectral_norm": lambda own: own["spectralnorm"],
    "ln_mean_spectral": lambda own: math.log(own["spectralnorm"]),
    "log_spectral_same_slices": lambda own: 2 * own["lognorm"] - own["softranklog"],
    "alpha_hat_repaired": lambda own: (
        own["old_alpha_weighted"] + 2 * own["alpha"] * (own["lognorm"] - own["old_lognorm"])
        if own["normalized"]
        else own["alpha_weighted"]
    ),
}
ARCHITECTURES = {"VGG/BN-VGG": 7, "ResNet": 5, "AlexNet": 3}
DATASETS = ("imagenet-1k", "cifar-10")


def write(path, rows):
    head = list(dict.fromkeys(name for row in rows for name in row))
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        writer = csv.DictWriter(file, head)
        writer.writeheader()
        writer.writerows(rows)


def averages(drawn, names=AVERAGES):
    return {name: round(float(drawn.uniform(1, 5)), 6) for name in names}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of invented numbers of the form of the published ones, and the rows in it."""
    folder, drawn = tmp_path_factory.mktemp("data"), np.random.default_rng(11)
    series = [
        {
            "series": family,
            "model": f"net{at}",
            "published_label": f"net{(at + 1) % 5 if family == 'DenseNet' else at}",
            "n_layers_analyzed": 5,
            **averages(drawn),
        }
        for family in ("VGG", "DenseNet")
        for at in range(5)
    ]
    errors = [
        {
            "model": f"net{at}",
            "series": family,
            "dataset": "ImageNet",
            "error_set": source,
            "top1_error": round(float(drawn.uniform(20, 40)), 2),
            "top5_error": 5.5,
            "used_in": "",
        }
        for family in ("VGG", "DenseNet")
        for at in range(5)
        for source in ("one", "two")
    ]
    layers = [
        {
            "series": "GPT2",
            "model": "small",
            "published_label": "small",
            "layer_id": layer,
            "layer_type": "DENSE",
            "slice_id": slice_id + 1,
            "n_slices": 2,
            "is_embedding": int(layer == 1),
            "N": 100,
            "M": 60,
            "checkTF": 1,
            "num_spikes": 3,
            "stable_rank": 2.5,
            **averages(drawn, LAYERS),
        }
        for layer in (1, 2, 3)
        for slice_id in range(2)
    ]
    log = [
        {"metric": name, "min": 0.1, "max": 9.0 + at, "avg": 1.0 + at / 10, "n_matrices": 50}
        for at, name in enumerate(("alpha", "lognorm", "alpha_weighted", "logpnorm", "spectralnorm"))
    ]
    zoo, old, readme = [], [], []
    for dataset in DATASETS:
        for group, count in ARCHITECTURES.items():
            for at in range(count):
                name, old_own = (
                    f"{group.split('/')[0].lower()}{at}-{dataset}",
                    averages(drawn, ("alpha", "alpha_weighted", "lognorm", "softrank")),
                )
                own = averages(drawn)
                outlier = int((group, at) == ("VGG/BN-VGG", 0))
                zoo.append(
                    {
                        "modelname": name,
                        "dataset": dataset,
                        "arch_group": group,
                        "readme_name": name,
                        "outlier_v1": outlier,
                        "outlier_natcom": outlier,
                        "batch": 1,
                        "normalized": int(at % 2),
                        **own,
                    }
                )
                old.append({"modelname": name, **old_own})
                for snapshot in ("2020-01-15", "2021-01-08"):
                    error = round(float(drawn.uniform(5, 40)), 2)
                    column = "top1_error" if dataset == "imagenet-1k" else "error"
                    readme.append(
                        {
                            "snapshot": snapshot,
                            "dataset": dataset,
                            "modelname": name,
                            "arch_group": group,
                            "top1_error": "",
                            "top5_error": "",
                            "error": "",
                            "pix_acc": "",
                            "miou": "",
                            "params": "1000",
                        }
                        | {column: error}
                    )
    sdm = [
        {
            "model": "net",
            "weights": "osmr",
            "top1_accuracy": 71.25,
            "top5_accuracy": 90.5,
            "alpha_hat": 1.375,
            "mean_log_norm": 0.5,
            "n_slices": 62,
            "printed_top1": "",
        }
    ]
    write(folder / "series_metrics.csv", series)
    write(folder / "models.csv", errors)
    write(folder / "layers.csv.gz", layers)
    write(folder / "gpt_openai_log.csv", log)
    write(folder / "osmr_models.csv", zoo)
    write(folder / "osmr_models_ww023.csv.gz", old)
    write(folder / "osmr_readme_errors.csv.gz", readme)
    write(folder / "sdm2019_models.csv", sdm)
    return folder, {
        "series": series, "errors": errors, "layers": layers, "log": log, "zoo": zoo, "old": old, "readme": readme,
    }  # fmt: skip


def fitted(x, y, stat):
    x, y = np.asarray(x, float), np.asarray(y, float)
    slope, intercept = np.polyfit(x, y, 1)
    sse = float(((y - slope * x - intercept) ** 2).sum())
    return {
        "rmse": math.sqrt(sse / len(x)),
        "mse": sse / len(x),
        "r2": 1 - sse / float(((y - y.mean()) ** 2).sum()),
        "ktau": stats.kendalltau(x, y).statistic,
    }[stat]


def cells_of(rows):
    """Cells of every recipe with the values that they must come to."""
    for family in ("VGG", "DenseNet"):
        for label in ("published_label", "model"):
            own = {row[label]: row for row in rows["series"] if row["series"] == family}
            error = {
                row["model"]: row["top1_error"]
                for row in rows["errors"]
                if (row["series"], row["error_set"]) == (family, "one")
            }
            names = sorted(own)
            for metric in METRICS.keys() - {"alpha_hat_repaired"}:
                for stat in ("rmse", "r2", "ktau"):
                    x = [METRICS[metric](own[name]) for name in names]
                    arguments = {"series": family, "metric": metric, "stat": stat, "error_set": "one"}
                    arguments |= {"label": "model"} if label == "model" else {}
                    yield "series", arguments, fitted(x, [100 - error[name] for name in names], stat)
    of_layers = {
        "log_norm": "log_norm",
        "alpha": "alpha",
        "alpha_hat": "alpha_weighted",
        "log_alpha_norm": "log_alpha_norm",
    }
    of_log = {"log_norm": "lognorm", "alpha": "alpha", "alpha_hat": "alpha_weighted", "log_alpha_norm": "logpnorm"}
    for metric, column in of_layers.items():
        for drop in (True, False):
            kept = [row[column] for row in rows["layers"] if row["layer_id"] != 1 or not drop]
            yield "gpt", {"model": "small", "metric": metric, "drop_token_embedding": drop}, np.mean(kept)
            (log,) = [row for row in rows["log"] if row["metric"] == of_log[metric]]
            mean = (50 * log["avg"] - log["max"]) / 49 if drop else log["avg"]
            yield "gpt", {"model": "gpt", "metric": metric, "drop_token_embedding": drop}, mean
    old = {row["modelname"]: row for row in rows["old"]}
    for exclude in ("none", "outlier_natcom"):
        groups = {}
        for row in rows["zoo"]:
            if exclude == "none" or not row["outlier_natcom"]:
                own = old[row["modelname"]]
                told = row | {"old_alpha_weighted": own["alpha_weighted"], "old_lognorm": own["lognorm"]}
                groups.setdefault((row["dataset"], row["arch_group"]), []).append(told)
        groups = {group: own for group, own in groups.items() if len(own) >= 4}
        error = {
            row["modelname"]: float(row["top1_error"] or row["error"])
            for row in rows["readme"]
            if row["snapshot"] == "2021-01-08"
        }
        about = {"snapshot": "2021-01-08", "exclude": exclude}
        for metric, value_of in METRICS.items():
            for stat in ("rmse", "mse", "r2", "ktau"):
                found = {
                    group: fitted([value_of(row) for row in own], [error[row["modelname"]] for row in own], stat)
                    for group, own in groups.items()
                }
                for (dataset, arch), value in found.items():
                    own = {"dataset": dataset, "arch": arch.split("/")[0], "metric": metric, "stat": stat}
                    yield "osmr", own | about, value
                own, values = {"metric": metric, "stat": stat}, list(found.values())
                yield "osmr_summary", own | about | {"agg": "mean"}, np.mean(values)
                yield "osmr_summary", own | about | {"agg": "std"}, np.std(values, ddof=1)
        yield "osmr_count", {"what": "groups", **about}, len(groups)
        yield "osmr_count", {"what": "models", **about}, sum(map(len, groups.values()))
        yield "osmr_count", {"what": "datasets", **about}, 2
        yield "osmr_count", {"what": "arch", **about}, 2
        yield "osmr_count", {"what": "regressions_x6", **about, "dataset": "cifar-10"}, 12
        yield "osmr_count", {"what": "regressions_x4", **about, "arch": "VGG"}, 8
    yield "sdm", {"model": "net", "weights": "osmr", "column": "alpha_hat"}, 1.375
    yield "sdm", {"model": "net", "weights": "osmr", "column": "top1_accuracy"}, 71.25
    slices = [row["alpha"] * (row["log_spectral_norm"] - math.log10(2 / 2)) for row in rows["layers"]]
    yield "sdm_from_layers", {"series": "GPT2", "model": "small"}, np.mean(slices)
    yield "count", {"what": "gpt_matrices", "model": "gpt", "minus": 1}, 49
    yield "count", {"what": "gpt_matrices", "model": "small"}, 6
    yield "count", {"what": "series_models", "series": "VGG"}, 5
    yield "count", {"what": "osmr_all"}, 30
    yield "count", {"what": "readme_rows", "snapshot": "2020-01-15"}, 30


def program(folder, expected, *options):
    command = [sys.executable, "-m", "benchmarks.papers", str(folder), "--expected", str(expected), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def run(monkeypatch, capsys):
    """The program, in this process."""
    monkeypatch.syspath_prepend(ROOT)
    main = importlib.import_module("benchmarks.papers.__main__").main

    def here(folder, expected, *options):
        command = ["benchmarks.papers", str(folder), "--expected", str(expected), *options]
        monkeypatch.setattr(sys, "argv", command)
        code = main()
        output = capsys.readouterr()
        return subprocess.CompletedProcess(command, code, output.out, output.err)

    return here


def test_every_recipe_on_invented_numbers(run, data, tmp_path):
    folder, rows = data
    wanted = list(cells_of(rows))
    assert len(wanted) > 400
    cells = [
        {"recipe": recipe, "args": arguments, "format": "{:.3f}", "printed": f"{value:.3f}", "match": True}
        for recipe, arguments, value in wanted
    ]
    (tmp_path / "cells.json").write_text(json.dumps({"cells": cells}))
    result = run(folder, tmp_path / "cells.json", "--json")
    assert result.returncode in {0, 1}, result.stderr
    told = json.loads(result.stdout)["cells"]
    for cell, (_, _, value) in zip(told, wanted, strict=True):
        assert cell["value"] == pytest.approx(value, rel=1e-9, abs=1e-9), cell
        assert cell["match"] or cell["printed"].startswith("-0.000"), cell
    assert len(told) == len(cells)


def test_a_cell_that_comes_out_otherwise_is_told_and_is_an_error(run, data, tmp_path):
    folder, _ = data
    cell = {"recipe": "count", "args": {"what": "osmr_all"}, "format": "int", "printed": "29", "table": "T", "row": "r"}
    (tmp_path / "cells.json").write_text(json.dumps({"cells": [cell]}))
    result = run(folder, tmp_path / "cells.json")
    assert result.returncode == 1
    assert "T, r, None: printed 29, is 30" in result.stdout
    known = cell | {"match": False}
    (tmp_path / "cells.json").write_text(json.dumps({"cells": [known, cell | {"printed": "30"}]}))
    assert run(folder, tmp_path / "cells.json").returncode == 0


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has no list of cells"),
        ('{"cells": 5}', "has no list of cells"),
        ('{"cells": [], "corrections": {}}', "has no list of corrections"),
        ('{"cells": [5]}', "cells 1: it has no args"),
        ('{"cells": [{"recipe": "count", "args": {}}]}', "cells 1: it has no format"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(run, data, tmp_path, expected, words):
    (tmp_path / "cells.json").write_text(expected)
    result = run(data[0], tmp_path / "cells.json")
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1)
    assert words in result.stderr


def test_a_cell_that_cannot_be_had_costs_the_others_nothing(run, data, tmp_path):
    folder, _ = data
    good = {"recipe": "count", "args": {"what": "osmr_all"}, "format": "int", "printed": "30"}
    bad = [
        {"recipe": "nobody's"},
        {"args": {"what": None}},
        {"args": {"what": ["osmr_all"]}},
        {"args": {"other": 1}},
        {"format": "{:d"},
        {"format": "%.2f"},
        {"format": "{x}"},
    ]
    cells = [good | own for own in bad]
    (tmp_path / "cells.json").write_text(json.dumps({"cells": [*cells, good]}))
    result = run(folder, tmp_path / "cells.json", "--json")
    assert (result.returncode, result.stderr) == (1, "")
    told = json.loads(result.stdout)["cells"]
    assert [own["match"] for own in told] == [False] * len(bad) + [True]
    assert all(own["error"] for own in told[:-1])


def test_a_folder_that_is_not_there_is_one_sentence(run, tmp_path):
    (tmp_path / "cells.json").write_text('{"cells": []}')
    result = run(tmp_path / "nowhere", tmp_path / "cells.json")
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published numbers are no part of ww")
def test_the_published_tables_come_out_to_the_last_digit():
    result = program(SHARED, SHARED / "expected_tables.json", "--json")
    cells = json.loads(result.stdout)["cells"]
    given = json.loads((SHARED / "expected_tables.json").read_text())["cells"]
    assert result.returncode == 0
    assert sum(own["match"] for own in cells) >= 132
    for cell, own in zip(cells, given, strict=True):
        assert cell["match"] == own["match"], cell
        assert cell["value"] == pytest.approx(own["recomputed"], rel=1e-6), cell

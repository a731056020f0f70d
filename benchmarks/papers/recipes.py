"""How each cell of a printed table is computed, by the public functions of ww alone.

The names of recipes, arguments and metrics are those of the data's README.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import ww_core as ww
from benchmarks.papers import tables

METRICS = {
    "log_norm": "lognorm",
    "alpha": "alpha",
    "alpha_hat": "alpha_weighted",
    "log_alpha_norm": "logpnorm",
    "log_spectral_norm": "logspectralnorm",
    "mean_spectral_norm": "spectralnorm",
    "ln_mean_spectral": "ln(spectralnorm)",
    "log_spectral_same_slices": "2 * lognorm - softranklog",
    # Where the eigenvalues were divided by N, the older run tells what alpha_hat was before.
    "alpha_hat_repaired": (
        "if(normalized < 0.5, alpha_weighted, "
        f"'{tables.OSMR_OLD}:alpha_weighted_ww023' + 2 * alpha * (lognorm - '{tables.OSMR_OLD}:lognorm_ww023'))"
    ),
}
"""Expressions over the model averages, by the names of the data's README."""

OF_LAYERS = {
    "lognorm": "log_norm",
    "logpnorm": "log_alpha_norm",
    "logspectralnorm": "log_spectral_norm",
    "spectralnorm": "spectral_norm",
    "softranklog": "log_stable_rank",
}
"""What the columns of the averages are called among layers."""

COLUMN = re.compile(r"\b(lognorm|softranklog|logpnorm|logspectralnorm|spectralnorm|alpha_weighted|alpha)\b")
"""A column in an expression."""

STATISTICS = {"mse": "mse", "rmse": "rmse", "r2": "r2", "ktau": "tau"}
"""Statistics of a line, by the names of the data's README."""

OUTLIERS = {"outlier_v1": "outlier_v1", "outlier_natcom": "outlier_natcom"}
"""Columns that say which models the authors left out."""

TOKEN_EMBEDDING = "1"  # the layer's name in the published tables
LEAST = 4
"""Models of the smallest group that the large-scale tables count."""


class Papers:
    """Answers what a cell asks, from a store that holds the published numbers."""

    def __init__(self, store: ww.Store) -> None:
        self._store = store
        self._recipes: Mapping[str, Callable[..., float]] = {
            "series": self._series,
            "gpt": self._gpt,
            "osmr": self._osmr,
            "osmr_summary": self._osmr_summary,
            "osmr_count": self._osmr_count,
            "sdm": self._sdm,
            "sdm_from_layers": self._sdm_from_layers,
            "count": self._count,
        }
        self._trend = functools.cache(self._uncached_trend)

    def value(self, recipe: str, arguments: Mapping[str, Any]) -> float:
        """Return the number of a cell.

        Raises:
            WWError: The recipe, an argument or what it names is unknown.
        """
        if recipe not in self._recipes:
            raise ww.UnknownNameError("recipe", recipe, self._recipes)
        try:
            return self._recipes[recipe](**arguments)
        except (TypeError, AttributeError) as error:  # an argument that is no text, or none of the recipe's
            raise ww.UsageError(f"recipe {recipe} with arguments {dict(arguments)}: {error}") from error

    def _series(self, series: str, metric: str, stat: str, error_set: str, label: str = "published_label") -> float:
        found = self._trend(
            _chosen("metric", metric, METRICS),
            score="top1_error",
            source=error_set,
            reading="accuracy",
            by=(),
            series=(series,),
            reported=tables.SERIES_RIGHT if label == "model" else tables.SERIES,
        )
        return _statistic(found.lines[0], stat)

    def _gpt(self, model: str, metric: str, drop_token_embedding: bool) -> float:
        expression = _chosen("metric", metric, METRICS)
        if model == "gpt":  # only smallest, largest and mean were published: the largest is the token embedding's
            kept = r"((n_matrices * \g<0>_avg - \g<0>_max) / (n_matrices - 1))"
            own = COLUMN.sub(kept if drop_token_embedding else r"\g<0>_avg", expression)
            return self._ranked(own, "GPT/gpt", tables.GPT_LOG)
        own = COLUMN.sub(lambda found: OF_LAYERS.get(found[0], found[0]), expression)
        out = [TOKEN_EMBEDDING] if drop_token_embedding else []
        return self._ranked(own, f"GPT2/{model}", tables.LAYERS, without_layers=out)

    def _osmr(self, dataset: str, arch: str, metric: str, stat: str, snapshot: str, exclude: str = "") -> float:
        for line in self._groups(metric, snapshot, exclude).lines:
            if line.dataset == dataset and arch in _names(line.series):
                return _statistic(line, stat)
        raise ww.UsageError(f"no group of {LEAST} models or more of {arch} on {dataset}")

    def _osmr_summary(
        self,
        metric: str,
        stat: str,
        agg: str,
        snapshot: str,
        exclude: str = "",
        describe_twice: bool = False,
        normalized: int | None = None,
    ) -> float:
        lines = self._groups(metric, snapshot, exclude, normalized).lines
        numbers = [own for own in (_statistic(line, stat) for line in lines) if math.isfinite(own)]
        if describe_twice:
            numbers = _described(numbers)
        return _chosen("aggregate", agg, {"mean": np.mean, "std": functools.partial(np.std, ddof=1)})(numbers)

    def _osmr_count(self, what: str, snapshot: str, exclude: str = "", dataset: str = "", arch: str = "") -> float:
        lines = [
            own
            for own in self._groups("log_norm", snapshot, exclude).lines
            if dataset in {"", own.dataset} and arch in {"", *_names(own.series)}
        ]
        counts = {
            "groups": len(lines),
            "models": sum(own.n for own in lines),
            "datasets": len({own.dataset for own in lines}),
            "arch": len({own.series for own in lines}),
            "regressions_x4": 4 * len(lines),
            "regressions_x6": 6 * len(lines),
        }
        return _chosen("count", what, counts)

    def _sdm(self, model: str, weights: str, column: str) -> float:
        name = f"{weights}/{model}"
        if column == "alpha_hat":
            return self._ranked("alpha_hat", name, tables.SDM)
        scores = list(self._store.scores([name], names=[column], sources=[f"sdm2019 {weights}"]))
        if len(scores) != 1:
            raise ww.UsageError(f"{len(scores)} scores {column} of {name}")
        return scores[0].value

    def _sdm_from_layers(self, series: str, model: str) -> float:
        table = self._store.reported_table(tables.LAYERS)
        chosen = [
            own.startswith(f"{series}/") and true == model
            for own, true in zip(table.places["model"], table.texts["true_model"], strict=True)
        ]
        alpha, spectral, slices = (table.numbers[own][chosen] for own in ("alpha", "log_spectral_norm", "n_slices"))
        return float(np.mean(alpha * (spectral - np.log10(slices / 2))))

    def _count(self, what: str, model: str = "", minus: int = 0, series: str = "", snapshot: str = "") -> float:
        if what == "gpt_matrices" and model == "gpt":
            return self._ranked("n_matrices", "GPT/gpt", tables.GPT_LOG) - minus
        if what == "gpt_matrices":
            models = self._store.reported_table(tables.LAYERS, ["alpha"]).places["model"]
            return int((models == f"GPT2/{model}").sum()) - minus
        if what == "series_models":
            models = self._store.reported_table(tables.SERIES, ["alpha"]).places["model"]
            return sum(own.startswith(f"{series}/") for own in models)
        if what == "osmr_all":
            return len(self._store.reported_table(tables.OSMR, ["alpha"]))
        if what == "readme_rows":
            return int((self._store.reported_table(tables.README, ["snapshot"]).texts["snapshot"] == snapshot).sum())
        known = ["gpt_matrices", "series_models", "osmr_all", "readme_rows"]
        raise ww.UnknownNameError("count", what, known)

    def _groups(self, metric: str, snapshot: str, exclude: str = "", normalized: int | None = None) -> ww.Trend:
        """Fit the error on a metric in every group of data set and architecture."""
        where = [f"{_chosen('list of outliers', exclude, OUTLIERS)} < 0.5"] if exclude not in {None, "", "none"} else []
        where += [] if normalized is None else [f"abs(normalized - {normalized}) < 0.5"]
        return self._trend(
            _chosen("metric", metric, METRICS),
            score="error",
            source=f"imgclsmob README {snapshot}",
            by=("dataset", "series"),
            min_models=LEAST,
            reported=tables.OSMR,
            where=tuple(where),
        )

    def _uncached_trend(self, metric: str, **choice: Any) -> ww.Trend:
        return ww.trend([metric], store=self._store, replicates=0, **choice)

    def _ranked(self, metric: str, model: str, table: str, without_layers: Sequence[str] = ()) -> float:
        """Return what a metric comes to over one reported model."""
        found = ww.leaderboard(
            metric,
            store=self._store,
            better="lower",
            models=[model],
            reported=table,
            without_layers=without_layers,
            replicates=0,
        )
        (ranked,) = found.models
        return ranked.value


def _statistic(line: ww.TrendLine, stat: str) -> float:
    figure = _chosen("statistic", stat, STATISTICS)
    return line.figures()[figure].value


def _names(series: str) -> tuple[str, str]:
    """Return what a group of architectures is called: all names of its heading in the README, and the first alone."""
    heading = series.removeprefix("imgclsmob ")
    return heading, heading.split("/")[0]


def _described(numbers: Sequence[float]) -> list[float]:
    """Return the eight numbers by which pandas describes others."""
    quartiles = np.percentile(numbers, [0, 25, 50, 75, 100])
    return [len(numbers), float(np.mean(numbers)), float(np.std(numbers, ddof=1)), *map(float, quartiles)]


def _chosen(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ww.UnknownNameError(what, name, known)
    return known[name]

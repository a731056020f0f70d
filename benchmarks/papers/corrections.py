"""What the tables say once their errors are taken out: right labels, and one definition of the spectral norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLUMNS = {
    "log norm": "log_norm",
    "log spectral norm": "log_spectral_same_slices",
    "weighted alpha": "alpha_hat",
    "weighted alpha, repaired": "alpha_hat_repaired",
    "log alpha-norm": "log_alpha_norm",
}
ARTICLE = {"snapshot": "2021-01-08", "exclude": "outlier_natcom"}


def corrections() -> Iterator[dict[str, Any]]:
    """Yield cells as files of expected cells have them, without what was printed."""
    for column, metric in COLUMNS.items():
        if metric == "alpha_hat_repaired":
            continue
        arguments = {"metric": metric, "error_set": "torchvision-1.4-docs"}
        for stat in ("rmse", "r2", "ktau"):
            own = {"series": "DenseNet", "stat": stat, "label": "model"}
            yield _cell("DenseNet under its own names", f"DenseNet {stat}", column, "series", arguments | own)
    for stat in ("rmse", "r2", "ktau"):
        for column, metric in COLUMNS.items():
            own = {"metric": metric, "stat": stat, "agg": "mean"}
            yield _cell("27 groups of the article, mean", stat, column, "osmr_summary", ARTICLE | own)
    for stat in ("r2",):
        for column, metric in COLUMNS.items():
            own = {"metric": metric, "stat": stat, "agg": "mean", "normalized": 0}
            what = "groups whose eigenvalues were not divided by N, mean"
            yield _cell(what, stat, column, "osmr_summary", ARTICLE | own)


def _cell(what: str, row: str, column: str, recipe: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"what": what, "row": row, "column": column, "recipe": recipe, "args": arguments}

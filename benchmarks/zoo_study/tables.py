"""The tables of the study, as Markdown, from what the steps answered."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.zoo_study.steps import fresh, mlps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.zoo_study.running import Answer
    from benchmarks.zoo_study.steps import Amount

    Answers = Mapping[str, Answer]


REACH = ("coverage", "mean_width", "outside")
"""What is said of intervals, and of networks that are called others."""


def page(answers: Answers, amount: Amount) -> str:
    """Return the page with all tables."""
    parts = (
        ("The zoos", zoos(answers, amount)),
        ("Feature sets (tables 1, 5 and 7)", feature_sets(answers, amount)),
        ("Estimators, of the statistics (tables 2, 6 and 8)", estimators(answers, amount)),
        ("Transfer, of the statistics (table 3)", transfer(answers, amount.transfers[0], amount)),
        ("Transfer, of every feature set", transfers(answers, amount)),
        ("Residual networks (table 4)", residual(answers)),
        ("Networks of dense layers (tables 10 and 11)", dense(answers)),
        ("One seed, or a fresh one each", seeds(answers, amount)),
        ("Earlier checkpoints", early(answers, amount)),
        ("Intervals and reach", reach(answers, amount)),
        ("Invariance (table 9)", invariance(answers)),
        ("Importance (figure 5)", importance(answers, amount)),
    )
    spent = sum(own.seconds for own in answers.values()) / 60
    head = f"# The study\n\n{spent:.1f} minutes of CPU time.\n"
    return "\n".join([head, *(f"## {title}\n\n{table}\n" for title, table in parts)])


def zoos(answers: Answers, amount: Amount) -> str:
    """Describe the zoos, and say what they cost."""
    rows: list[list[object]] = []
    for name in amount.data:
        found, spent = answers[f"show-{name}"].said, answers[f"zoo-{name}"].seconds
        percentiles = found["results"]["test_accuracy"]["percentiles"]
        rows.append([name, found["networks"], *percentiles[1:], found["at_chance"], round(spent)])
    for name in (fresh(amount), *(name for name, _, _ in mlps(amount))):
        step = answers[f"zoo-{name}"]
        rows.append([name, step.said["networks"], *[None] * 5, round(step.seconds)])
    return table(["zoo", "networks", "accuracy q25", "median", "q75", "best", "at chance", "CPU s"], rows)


def feature_sets(answers: Answers, amount: Amount) -> str:
    """R2 and tau of gradient boosting, by feature set and zoo."""
    return by_zoo(answers, amount, ("features", "wide"), "features")


def estimators(answers: Answers, amount: Amount) -> str:
    """R2 and tau of the other estimators, by zoo."""
    return by_zoo(answers, amount, ("estimators",), "estimator")


def by_zoo(answers: Answers, amount: Amount, steps: Sequence[str], what: str) -> str:
    """R2 and tau of what was compared on each zoo."""
    found: dict[str, dict[str, list[object]]] = {}
    for name in amount.tables:
        for row in (row for step in steps for row in answers[f"{step}-{name}"].said):
            found.setdefault(row[what], {})[name] = [row["r2"], row["kendall_tau"]]
    heads = [what, *(f"{name} {measure}" for name in amount.tables for measure in ("R2", "tau"))]
    rows = (
        [f"`{own}`", *(cell for name in amount.tables for cell in cells.get(name, [None, None]))]
        for own, cells in found.items()
    )
    return table(heads, rows)


def transfer(answers: Answers, features: str, amount: Amount) -> str:
    """Kendall's tau, a row for each zoo that was learned from."""
    return square(answers[transfer_step(features, amount)].said)


def transfer_step(features: str, amount: Amount) -> str:
    """Name the step of a feature set."""
    return f"transfer-{list(amount.transfers).index(features)}"


def square(rows: Iterable[Mapping[str, Any]]) -> str:
    """Kendall's tau, a row for each zoo that was learned from, a column for each that was asked about."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["fitted_on"], {})[row["tested_on"]] = row["kendall_tau"]
    heads = ["learned from", *next(iter(found.values()))]
    return table(heads, [[own, *cells.values()] for own, cells in found.items()])


def transfers(answers: Answers, amount: Amount) -> str:
    """Kendall's tau of each feature set: within zoos, and between them."""
    rows: list[list[object]] = []
    for features in amount.transfers:
        found = answers[transfer_step(features, amount)].said
        within = [own["kendall_tau"] for own in found if own["fitted_on"] == own["tested_on"]]
        between = [own["kendall_tau"] for own in found if own["fitted_on"] != own["tested_on"]]
        rows.append([f"`{features}`", fmean(within), fmean(between), min(between), max(between)])
    return table(["features", "within, mean", "between, mean", "smallest", "largest"], rows)


def residual(answers: Answers) -> str:
    """Kendall's tau of what last layers say and of accuracies, by width."""
    rows = [
        [own["predictor"].removeprefix("last-").removesuffix(".predictor"), own["width"], own["networks"]]
        + [own[name] for name in ("train", "test", "train_test", "chance")]
        for own in answers["residual-ranked"].said
    ]
    heads = ["learned from", "width", "networks", "with train", "with test", "train with test", "by chance"]
    return table(heads, rows)


def dense(answers: Answers) -> str:
    """Kendall's tau of forests of 32 trees, learned from networks of one width and data set."""
    return square(answers["transfer-mlps"].said)


def seeds(answers: Answers, amount: Amount) -> str:
    """R2 of feature sets where all networks have one seed, and where each has its own."""
    names = (amount.data[0], fresh(amount))
    found: dict[str, list[object]] = {}
    for name in names:
        for row in (row for what in ("narrow", "wide") for row in answers[f"seeds-{name}-{what}"].said):
            found.setdefault(row["features"], []).extend(
                [with_deviation(row, "r2"), with_deviation(row, "kendall_tau")]
            )
    heads = ["features", "one seed R2", "tau", "fresh seeds R2", "tau"]
    return table(heads, [[f"`{own}`", *cells] for own, cells in found.items()])


def early(answers: Answers, amount: Amount) -> str:
    """What the predictor of the last checkpoints says of earlier ones."""
    rows = []
    for epoch in (*amount.early, amount.epochs):
        own = answers[f"epoch-{epoch}"].said
        rows.append([epoch, own["r2"], own["kendall_tau"], own["coverage"], own["outside"]])
    return table(["epoch", "R2", "tau", "90 % intervals hold", "outside"], rows)


def reach(answers: Answers, amount: Amount) -> str:
    """How often intervals hold, and how many networks are called others; first over splits of the first zoo."""
    rows: list[list[object]] = []
    own = answers["coverage"].said[0]
    told = (f"{amount.data[0]}, {amount.splits} splits", *(with_deviation(own, name) for name in REACH))
    rows.append(list(told))
    for name in (*amount.data, "mlp"):
        own = answers[f"on-{name}"].said
        rows.append([own["zoo"], *(own[name] for name in REACH)])
    return table(["asked about", "90 % intervals hold", "mean width", "outside, at 1 %"], rows)


def invariance(answers: Answers) -> str:
    """How much predictions change with the weights."""
    found: dict[str, list[object]] = {}
    for name in ("statistics", "weights"):
        for row in answers[f"invariance-{name}"].said:
            found.setdefault(row["change"], []).append(row["mad"])
    return table(["change", "statistics", "weights"], [[own, *cells] for own, cells in found.items()])


def importance(answers: Answers, amount: Amount) -> str:
    """What the mean squared error grows by where features are permuted, in all and for the ten greatest."""
    return "\n\n".join(
        table(
            [what, "importance", "deviation"],
            [[row[what], row["importance"], row["importance_std"]] for row in answers[f"importance-{what}"].said[:10]],
        )
        for what in amount.importances
    )


def with_deviation(row: Mapping[str, Any], measure: str) -> str:
    """Write a measure, and its deviation if there is one."""
    deviation = row.get(f"{measure}_std")
    return cell(row[measure]) + (f" ± {cell(deviation)}" if deviation is not None else "")


def table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table of Markdown."""
    return "\n".join(_lines([heads, ["---"] * len(heads), *([cell(own) for own in row] for row in rows)]))


def _lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def cell(value: object) -> str:
    """Write what a cell holds: three digits after the point, none of what is missing."""
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)

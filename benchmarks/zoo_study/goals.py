"""What has to come out of the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.zoo_study.steps import fresh
from benchmarks.zoo_study.tables import transfer_step

if TYPE_CHECKING:
    from benchmarks.zoo_study.running import Answer
    from benchmarks.zoo_study.steps import Amount


class Goal(NamedTuple):
    """Something that has to hold.

    Attributes:
        claim: What.
        holds: Whether it does.
        told: The numbers that say so.
    """

    claim: str
    holds: bool
    told: str


def goals_of(answers: Mapping[str, Answer], amount: Amount) -> Iterator[Goal]:
    """Look at the answers of the whole study."""
    first = amount.data[0]
    found = {row["features"]: row for step in ("features", "wide") for row in answers[f"{step}-{first}"].said}
    statistics = found["statistics"]
    yield _least("R2 of statistics", statistics["r2"], 0.94)
    yield _least("tau of statistics", statistics["kendall_tau"], 0.80)
    r2 = {name: own["r2"] for name, own in found.items()}
    flat = min(r2["weights"], r2["weights[layer=4]"])
    yield _above("statistics, W", statistics["r2"], r2["weights"])
    yield _above("statistics, W_4", statistics["r2"], r2["weights[layer=4]"])
    norms = max(r2["norms"], r2["norms[p=1]"])
    yield _above("W and W_4, the better norms", flat, norms)
    yield _above("the better norms, hyperparameters", norms, r2["hyperparameters"])
    pairs = [own for own in answers[transfer_step("statistics", amount)].said if own["fitted_on"] != own["tested_on"]]
    least = min(pairs, key=lambda own: own["kendall_tau"])
    yield _least(f"tau of transfer, {least['fitted_on']} to {least['tested_on']}", least["kendall_tau"], 0.55)
    one, each = ({row["features"]: row["r2"] for row in _seeds(answers, name)} for name in (first, fresh(amount)))
    yield _above("loss of W by fresh seeds, of statistics", one["weights"] - each["weights"], _lost(one, each))
    coverage = answers["coverage"].said[0]["coverage"]
    yield Goal("90 % intervals hold for 87 to 93 %", 0.87 <= coverage <= 0.93, f"{coverage:.3f}")
    changes = {row["change"]: row["mad"] for row in answers["invariance-statistics"].said}
    moved = changes["permuted within each layer, biases apart"]
    yield Goal("permuting within layers changes no prediction from statistics", moved < 1e-9, f"{moved:.3g}")


def _seeds(answers: Mapping[str, Answer], name: str) -> list[dict[str, Any]]:
    return [row for what in ("narrow", "wide") for row in answers[f"seeds-{name}-{what}"].said]


def _lost(one: Mapping[str, float], each: Mapping[str, float]) -> float:
    return one["statistics"] - each["statistics"]


def _least(what: str, value: float, least: float) -> Goal:
    return Goal(f"{what} at least {least:g}", value >= least, f"{value:.3f}")


def _above(what: str, greater: float, smaller: float) -> Goal:
    return Goal(f"above one another: {what}", greater > smaller, f"{greater:.3f}, {smaller:.3f}")

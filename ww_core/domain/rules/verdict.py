"""What became of the rules of a check. ``to_dict`` is what ``ww check --json`` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.comparability import Side
    from ww_core.domain.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that breaks a rule.

    Attributes:
        condition: The condition that does not hold, as text; empty if the rule could not be judged at all.
        column: Label of the column, or the expression.
        layer: Name of the layer; empty for what speaks of the model.
        extractor: Label of the extractor that made the matrix; empty for what is no matrix.
        index: Index of the matrix; None for what is no matrix.
        first: Value in the baseline, if there is one.
        second: Value in the candidate, if there is one.
        change: Second minus first, where both are numbers that may be compared.
        limit: What the change, or the value, was held against.
        reason: What is wrong, as a sentence.
    """

    condition: str
    column: str
    reason: str
    layer: str = ""
    extractor: str = ""
    index: int | None = None
    first: float | str | None = None
    second: float | str | None = None
    change: float | None = None
    limit: float | None = None

    @property
    def place(self) -> str:
        """Where it is: layer, extractor and index, as far as there are such."""
        matrix = [self.extractor, str(self.index)] if self.extractor else []
        return " ".join([*([self.layer] if self.layer else []), *matrix])

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{place}{self.column} {self.reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule, and what became of it.

    Attributes:
        rule: The rule.
        measured: What was measured, for people.
        broken: What breaks it; empty if it holds.
        skipped: Conditions that were not judged, because there is no baseline and that was allowed.
    """

    rule: Rule
    measured: str = ""
    broken: tuple[Break, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing breaks it."""
        return not self.broken

    @property
    def word(self) -> str:
        """``held``, ``broken``, or ``skipped`` if nothing of it was judged."""
        if self.broken:
            return "broken"
        return "skipped" if len(self.skipped) == len(self.rule.conditions) else "held"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "rule": str(self.rule),
            "passed": self.passed,
            "measured": self.measured,
            "broken": [asdict(own) for own in self.broken],
            "skipped": list(self.skipped),
        }


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A side of a check: its name, and which analysis of which weights stands for it."""

    name: str
    digest: str
    profile: str
    source: str

    @classmethod
    def of(cls, side: Side) -> CheckedModel:
        """Return what is to be told of a side."""
        report = side.report
        return cls(side.name, report.digest, report.run.profile, report.source)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        candidate: What was checked.
        baseline: What it was compared with; None if there is none.
        verdicts: The rules in order, and what became of each.
        warnings: What analyses that were made for the check warned of, and what they lost.
    """

    candidate: CheckedModel
    baseline: CheckedModel | None
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def title(self) -> str:
        """What was checked against what."""
        return self.candidate.name if self.baseline is None else f"{self.candidate.name} against {self.baseline.name}"

    @property
    def outcome(self) -> str:
        """The result in one line."""
        broken = sum(not verdict.passed for verdict in self.verdicts)
        count = f"{len(self.verdicts)} rule{'s' if len(self.verdicts) > 1 else ''}"
        skipped = sum(verdict.word == "skipped" for verdict in self.verdicts)
        return f"{count}: {broken or 'none'} broken" + (f", {skipped} skipped" if skipped else "")

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each thing that breaks a rule, and one for each rule that nothing breaks."""
        names = {"candidate": self.candidate.name, "baseline": "" if self.baseline is None else self.baseline.name}
        nothing = Break("", "", "")
        return [
            names | {"rule": str(verdict.rule), "verdict": verdict.word, "measured": verdict.measured} | asdict(own)
            for verdict in self.verdicts
            for own in verdict.broken or (nothing,)
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return {
            "passed": self.passed,
            "candidate": asdict(self.candidate),
            "baseline": None if self.baseline is None else asdict(self.baseline),
            "rules": [verdict.to_dict() for verdict in self.verdicts],
            "warnings": list(self.warnings),
        }

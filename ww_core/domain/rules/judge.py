"""What rules make of a candidate and its baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.expressions.arithmetic import evaluate
from ww_core.domain.globs import matches
from ww_core.domain.outcome import State
from ww_core.domain.rules.evidence import Evidence, Measurement
from ww_core.domain.rules.rule import (
    PARTIAL_ALLOWED,
    ChangeLimit,
    Condition,
    LayerColumn,
    NothingNew,
    NothingWorse,
    Rule,
    ValueLimit,
    compares,
)
from ww_core.domain.rules.verdict import Break, Verdict
from ww_core.errors import NoValue, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ww_core.domain.comparability import Side
    from ww_core.domain.expressions.arithmetic import Expression
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import ReportColumn
    from ww_core.domain.rules.rule import ChangeSign

NO_CHANGE = 1e-7
"""Percent by which two machines may differ about one value: less is no change for the worse."""

NUMBERS = ("float", "int")


def judge(rules: Sequence[Rule], candidate: Side, baseline: Side | None) -> tuple[Verdict, ...]:
    """Judge a candidate by rules. Without a baseline, conditions that compare are skipped.

    Raises:
        UsageError: A rule names a column or a layer that neither side has, or says of a column what cannot be said of
            it.
    """
    evidence = Evidence(candidate, baseline)
    return tuple(_judged(rule, evidence) for rule in rules)


def _judged(rule: Rule, evidence: Evidence) -> Verdict:
    try:
        judgement = _Judgement(rule, evidence)
        return judgement.verdict()
    except UsageError as error:
        error.add_note(f"    in the rule {rule}")
        raise


class _Judgement:
    """One rule under judgement."""

    def __init__(self, rule: Rule, evidence: Evidence) -> None:
        self._rule = rule
        self._evidence = evidence
        self._columns = [evidence.column(label) for label in rule.columns]
        for condition in rule.conditions:
            for column in self._columns:
                _check_sense(condition, column)
        if isinstance(rule.subject, LayerColumn) and self._columns[0].scope == "model":
            label = self._columns[0].name
            raise UsageError(f"{label} is a column of the model, not of layers: write '{label}: ...'")

    def verdict(self) -> Verdict:
        """Judge the rule."""
        rule, evidence = self._rule, self._evidence
        asked = [own for own in rule.conditions if evidence.baseline is not None or not compares(own)]
        skipped = tuple(str(own) for own in rule.conditions if own not in asked)
        if not asked:
            return Verdict(rule, "no baseline", skipped=skipped)
        if broken := list(self._not_whole(asked)):
            return Verdict(rule, "not all there", tuple(broken), skipped)
        if isinstance(rule.subject, LayerColumn):
            measured, broken = self._of_layers(rule.subject, asked)
        elif isinstance(asked[0], NothingNew):  # of texts nothing else can be asked
            measured, broken = self._of_rows(evidence.measurements(rule.columns[0]), asked)
        else:
            measured, broken = self._of_model(rule.subject, asked)
        return Verdict(rule, measured, tuple(broken), skipped)

    def _not_whole(self, conditions: Sequence[Condition]) -> Iterator[Break]:
        """Yield what is partial or provisional, unless that is allowed."""
        if self._rule.partial_allowed:
            return
        evidence = self._evidence
        compared = [evidence.baseline] if evidence.baseline and any(map(compares, conditions)) else []
        for side in (evidence.candidate, *compared):
            for label in self._rule.columns:
                if reason := evidence.why_not_whole(side, label):
                    yield Break("", label, f"cannot be judged: {reason} (the rule may end in '{PARTIAL_ALLOWED}')")

    # --- the model as a whole -----------------------------------------------------------------------------------------

    def _of_model(self, subject: Expression, conditions: Sequence[Condition]) -> tuple[str, list[Break]]:
        evidence, name = self._evidence, str(subject)
        broken = list(self._missing_values(conditions))
        comparing = [own for own in conditions if compares(own)]
        reasons = {label: evidence.why_no_summaries(label) for label in self._rule.columns} if comparing else {}
        broken += [
            Break(str(comparing[0]), label, f"cannot be compared: {reason}")
            for label, reason in reasons.items()
            if reason
        ]
        try:
            second = evaluate(subject, lambda own: evidence.summary(evidence.candidate, own))
        except NoValue as missing:
            return "no value", [*broken, Break(str(conditions[0]), name, f"has no value: {missing}")]
        first = None
        if comparing and evidence.baseline is not None and not any(reasons.values()):
            baseline = evidence.baseline
            try:
                first = evaluate(subject, lambda own: evidence.summary(baseline, own))
            except NoValue as missing:
                broken.append(Break(str(comparing[0]), name, f"cannot be compared: {missing}"))
        for condition in conditions:
            if isinstance(condition, ValueLimit):
                broken += _over_limit(condition, second, Measurement(), name)
            elif first is not None:
                broken += self._moved(condition, first, second, Measurement(), name)
        measured = f"{second:.6g}" if first is None else f"{first:.6g} -> {second:.6g}{_percent(first, second)}"
        return measured, broken

    def _missing_values(self, conditions: Sequence[Condition]) -> Iterator[Break]:
        """Yield what has no value among the rows that a summary is about, so that the summary hides it."""
        for label in self._rule.columns:
            for row in self._evidence.measurements(label):
                if row.is_primary and row.second is not None:
                    told = [own for own in conditions if row.first is not None or not compares(own)]
                    reasons = (self._why_missing(condition, row) for condition in told)
                    if reason := next(filter(None, reasons), ""):
                        yield _broken(conditions[0], row, label, reason)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _of_layers(self, subject: LayerColumn, conditions: Sequence[Condition]) -> tuple[str, list[Break]]:
        rows = self._evidence.measurements(subject.column)
        chosen = [row for row in rows if matches(row.layer, subject.glob)]
        if not chosen:
            raise UnknownNameError("layer", subject.glob, [row.layer for row in rows], "ww show MODEL")
        return self._of_rows(chosen, conditions)

    def _of_rows(self, rows: Sequence[Measurement], conditions: Sequence[Condition]) -> tuple[str, list[Break]]:
        (label,) = self._rule.columns
        comparing = [own for own in conditions if compares(own)]
        if comparing and (reason := self._evidence.why_no_values(label)):
            return "not comparable", [Break(str(comparing[0]), label, f"cannot be compared: {reason}")]
        measured = sum(row.second is not None and row.second.is_ok for row in rows)
        by_row = [list(self._of_row(row, label, conditions)) for row in rows]
        broken = [own for breaks in by_row for own in breaks]
        if not measured and not broken:
            return "no value", [Break(str(conditions[0]), label, f"has no value in {self._evidence.candidate.name}")]
        return f"{measured} measured, {sum(map(bool, by_row)) or 'none'} broken", broken

    def _of_row(self, row: Measurement, label: str, conditions: Sequence[Condition]) -> Iterator[Break]:
        for condition in conditions:
            if reason := self._why_missing(condition, row):
                yield _broken(condition, row, label, reason)
            elif row.second is None or not row.second.is_ok:
                continue
            elif isinstance(condition, NothingNew):
                yield from _new_text(row, label)
            elif isinstance(condition, ValueLimit):
                yield from _over_limit(condition, _number(row.second), row, label)
            elif row.first is not None and row.first.is_ok:
                if row.not_comparable:
                    yield _broken(condition, row, label, f"cannot be compared: {row.not_comparable}")
                else:
                    yield from self._moved(condition, _number(row.first), _number(row.second), row, label)

    def _why_missing(self, condition: Condition, row: Measurement) -> str:
        """Say which value is missing that a condition needs; empty if none is."""
        candidate, baseline = self._evidence.candidate.name, self._evidence.baseline
        first, second = row.first, row.second
        if self._rule.partial_allowed and State.FAILED in {own.state for own in (first, second) if own is not None}:
            return ""
        if not compares(condition) or baseline is None:
            untrusted = second is not None and not second.is_ok and second.state is not State.NOT_APPLICABLE
            return f"has no value in {candidate}: {second.explain()}" if untrusted and second is not None else ""
        has_first, has_second = first is not None and first.is_ok, second is not None and second.is_ok
        if has_first and not has_second:
            if second is None:
                gone = isinstance(condition, NothingNew)
                return "" if gone else f"has a value in {baseline.name}, and {candidate} has no such matrix or layer"
            return f"has a value in {baseline.name} and none in {candidate}: {second.explain()}"
        if has_second and not has_first and not isinstance(condition, NothingNew):
            if first is None:
                return f"cannot be compared: {baseline.name} has no such matrix or layer"
            return f"cannot be compared: it has no value in {baseline.name}: {first.explain()}"
        return ""

    def _moved(
        self, condition: Condition, first: float, second: float, row: Measurement, label: str
    ) -> Iterator[Break]:
        """Yield the break if a number moved too far."""
        if isinstance(condition, NothingWorse):
            worse: ChangeSign = "+" if self._columns[0].better == "lower" else "-"
            limit, verdict = ChangeLimit(worse, NO_CHANGE, is_percent=True), "that is worse"
        elif isinstance(condition, ChangeLimit):
            limit, verdict = condition, f"{condition} is allowed"
        else:
            return
        if not limit.holds(first, second):
            change = second - first
            moved = f"{'rises' if change > 0 else 'falls'} by {abs(change):.4g}{_percent(first, second)}"
            yield Break(
                condition=str(condition),
                column=label,
                reason=f"{moved}, from {first:.6g} to {second:.6g}: {verdict}",
                layer=row.layer,
                extractor=row.extractor,
                index=row.index,
                first=first,
                second=second,
                change=change if math.isfinite(change) else None,
                limit=0.0 if isinstance(condition, NothingWorse) else limit.allowed(first),
            )


def _check_sense(condition: Condition, column: ReportColumn) -> None:
    """Raise unless a condition can be said of a column.

    Raises:
        UsageError: It cannot.
    """
    if isinstance(condition, NothingNew):
        if column.type in NUMBERS:
            raise UsageError(
                f"{column.name} is a number: 'no new' is for texts and for yes or no; write '+5%' or similar"
            )
    elif column.type not in NUMBERS:
        kind = "a text" if column.type == "text" else "yes or no"
        raise UsageError(f"{column.name} is {kind}: only 'no new' can be used for it")
    elif isinstance(condition, NothingWorse) and column.better == "none":
        raise UsageError(f"neither direction of {column.name} is worse: give a limit, such as '+-5%'")


def _over_limit(condition: ValueLimit, value: float, row: Measurement, label: str) -> Iterator[Break]:
    if not condition.holds(value):
        yield Break(
            condition=str(condition),
            column=label,
            reason=f"is {value:.6g}, not {condition}",
            layer=row.layer,
            extractor=row.extractor,
            index=row.index,
            first=_shown(row.first),
            second=value,
            limit=condition.number,
        )


def _new_text(row: Measurement, label: str) -> Iterator[Break]:
    before, after = _text(row.first), _text(row.second)
    if after and after != before:
        if row.not_comparable:
            yield _broken(NothingNew(), row, label, f"cannot be compared: {row.not_comparable}")
        else:
            was = f"before it was {before!r}" if before else "before there was none"
            yield _broken(NothingNew(), row, label, f"is new: {after!r}; {was}")


def _broken(condition: Condition, row: Measurement, label: str, reason: str) -> Break:
    return Break(
        condition=str(condition),
        column=label,
        reason=reason,
        layer=row.layer,
        extractor=row.extractor,
        index=row.index,
        first=_shown(row.first),
        second=_shown(row.second),
    )


def _shown(outcome: Outcome | None) -> float | str | None:
    return None if outcome is None else outcome.value


def _number(outcome: Outcome) -> float:
    return float(outcome.number or 0.0)


def _text(outcome: Outcome | None) -> str:
    """Return the text of a column of texts, and "yes" for a yes; empty for none."""
    if outcome is None or not outcome.is_ok:
        return ""
    return outcome.text if outcome.text is not None else "yes" if outcome.number else ""


def _percent(first: float, second: float) -> str:
    return f" ({100 * ((second - first) / abs(first)):+.3g} %)" if first else ""

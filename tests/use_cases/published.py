"""A store of models that a paper reports: their numbers, series and scores, given as a few lists."""

from __future__ import annotations

from dataclasses import dataclass, field

import ww_core as ww
from ww_core.domain.outcome import Outcome


@dataclass
class Paper:
    """A table of others, model by model.

    Attributes:
        source: What tells it from others.
        provider: Whose it is.
        better: Direction of the columns, by name; none where it is not said.
        caveats: Why a plain mean does not rank, by column.
        models: Values by column, of each model.
        series: Series of each model.
        scores: Scores that stand in it.
    """

    source: str = "paper"
    provider: str = "paper 1"
    better: dict[str, str] = field(default_factory=lambda: {"alpha": "lower", "rank": "higher"})
    caveats: dict[str, str] = field(default_factory=dict)
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    series: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scores: list[ww.Score] = field(default_factory=list)

    def add(self, model, series=(), *, score=None, dataset="imagenet", name="top1_error", better="lower", **values):
        """Add a model, with a score of it unless there is none."""
        self.models[model] = values
        self.series[model] = (series,) if isinstance(series, str) else tuple(series)
        if score is not None:
            self.score(model, score, dataset=dataset, name=name, better=better)
        return self

    def score(self, model, value, *, dataset="imagenet", name="top1_error", source="paper", better="lower", unit="%"):
        """Add another score of a model."""
        self.scores.append(ww.Score(model, name, dataset, value, source, better=better, unit=unit))
        return self

    def table(self):
        """Return it as an importer would."""
        names = dict.fromkeys(name for own in self.models.values() for name in own)
        columns = tuple(
            ww.ReportedColumn(
                name,
                f"{self.provider}:{name}",
                "1",
                f"What {self.provider} calls {name}.",
                better=self.better.get(name, "none"),
                caveat=self.caveats.get(name, ""),
            )
            for name in names
        )
        rows = tuple(
            ww.ReportedEntry(model, {name: Outcome.of(float(value)) for name, value in values.items()})
            for model, values in self.models.items()
        )
        return ww.ReportedTable(self.source, self.provider, columns, rows, self.series, tuple(self.scores))

    def record(self, store):
        """Store it, and return the store."""
        with store.writing() as writer:
            writer.record_reported_table(self.table())
        return store

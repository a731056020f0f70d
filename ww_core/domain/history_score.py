"""The scores of a model over its versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.scored import why_no_score

if TYPE_CHECKING:
    from ww_core.domain.columnar import StoredScore


class ScoreOfVersion(NamedTuple):
    """What was reported of a version, in the unit of the score; the ends of the interval are None for none."""

    value: float
    low: float | None
    high: float | None


class ScoreTrack(NamedTuple):
    """Numbers of one kind, by one source, over the versions of a model.

    Attributes:
        name: What it is, such as ``test_accuracy``.
        dataset: What it was measured on; empty if nobody says.
        source: Who says so.
        better: ``lower``, ``higher`` or ``none``.
        unit: Its unit; empty for none.
        numbers: One for each version, None where nothing was reported.
    """

    name: str
    dataset: str
    source: str
    better: str
    unit: str
    numbers: tuple[ScoreOfVersion | None, ...]

    def __str__(self) -> str:
        return f"{self.name}{f' on {self.dataset}' if self.dataset else ''} from {self.source}"

    def to_dict(self, version: int) -> dict[str, Any] | None:
        """Return what was reported of a version, by its place; None if nothing was."""
        number = self.numbers[version]
        told = {own: getattr(self, own) for own in ("name", "dataset", "source", "better", "unit")}
        return None if number is None else told | number._asdict()


def score_tracks(
    scores: Mapping[int, Sequence[StoredScore]], names: Sequence[str], versions: int, taken: Collection[str]
) -> dict[str, ScoreTrack]:
    """Return scores by the labels they are shown by, sorted: the name, with as much more as tells two apart.

    Args:
        scores: Scores by the place of their version.
        names: Of which scores; empty for all.
        versions: How many versions there are.
        taken: Labels that other columns have.

    Raises:
        UnknownNameError: There is no score of a name.
        NotStoredError: There is none at all, though one was named.
    """
    known = [score for own in scores.values() for score in own]
    for name in names:
        if name not in {score.name for score in known}:
            raise why_no_score(known, name, "", "")
    found: dict[tuple[str, str, str, str, str], list[ScoreOfVersion | None]] = defaultdict(lambda: [None] * versions)
    for at, own in scores.items():
        for score in own:
            if names and score.name not in names:
                continue
            kind = (score.name, score.dataset, score.source, score.better, score.unit)
            found[kind][at] = ScoreOfVersion(score.value, score.low, score.high)
    by_name: dict[str, list[ScoreTrack]] = defaultdict(list)
    for kind in sorted(found):
        by_name[kind[0]].append(ScoreTrack(*kind, tuple(found[kind])))
    tracks: dict[str, ScoreTrack] = {}
    used = set(taken)
    for several in by_name.values():
        for text, track in zip(_labels(several), several, strict=True):
            label = f"score {text}" if text in used else text
            tracks[label] = track
            used |= {label, f"{label}_low", f"{label}_high"}
    return tracks


def _labels(several: Sequence[ScoreTrack]) -> list[str]:
    """Return labels of scores of one name, which differ."""
    for told in (
        [own.name for own in several],
        [f"{own.name} on {own.dataset or '(no dataset)'}" for own in several],
        [f"{own.name} from {own.source}" for own in several],
        [str(own) for own in several],
    ):
        if len(set(told)) == len(told):
            return told
    return [f"{own}, {own.unit or 'no unit'}, better {own.better}" for own in several]

"""Asking plugins how sure they are of a source: a guess that fails costs nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from ww_core.errors import UsageError
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of

if TYPE_CHECKING:
    from ww_core.contracts.source import Source
    from ww_core.plugins.registry import Owned


class Probing(Protocol):
    """What has a probe."""

    def probe(self, source: Source) -> float:
        """Tell how sure it is of a source."""
        ...


P = TypeVar("P", bound=Probing)


def surest(asked: Iterable[Owned[P]], source: Source, what: str) -> tuple[Owned[P] | None, list[str]]:
    """Return the one that is surest of a source, None if nobody is, and a sentence of each that failed to look at it.

    Args:
        asked: Whom to ask.
        source: The source.
        what: What they are, as ``"loader"``, which is the name of the option that chooses one too.

    Raises:
        UsageError: Several are equally sure.
    """
    ranked, warnings = ranking(asked, source, what)
    return (ranked[0][1] if ranked else None), warnings


def ranking(asked: Iterable[Owned[P]], source: Source, what: str) -> tuple[list[tuple[float, Owned[P]]], list[str]]:
    """Return all that are sure of a source, the surest first, as `surest` does.

    Raises:
        UsageError: Several are the surest.
    """
    warnings: list[str] = []
    sure: list[tuple[float, Owned[P]]] = []
    for owned in asked:
        try:
            sure.append((_confidence(owned.object.probe(source)), owned))
        except all_but_interrupts() as error:
            sentence = sentence_of(error, owned.object)
            warnings.append(f"{what} {owned.qualified} failed to look at {source.label}: {sentence}")
    ranked = sorted((own for own in sure if own[0] > 0), key=lambda own: -own[0])
    best = [owned for confidence, owned in ranked if confidence == ranked[0][0]]
    if len(best) > 1:
        names = " or ".join(owned.qualified for owned in best)
        choose = f"name a file in it, or choose by --{what}" if source.is_folder else f"choose by --{what}"
        raise UsageError(f"{source.label}: several {what}s are equally sure of it: {choose} {names}")
    return ranked, warnings


def _confidence(answer: object) -> float:
    """Return how sure a probe is: nobody is surer than 1.

    Raises:
        TypeError: It is no number.
        ValueError: It is no number from 0 on.
    """
    if not hasattr(answer, "__float__"):
        raise TypeError(f"probe returns a number from 0 to 1, not {kind_of(answer)}")
    confidence = float(answer)
    if not 0.0 <= confidence < float("inf"):
        raise ValueError(f"probe returns a number from 0 to 1, not {confidence}")
    return min(confidence, 1.0)

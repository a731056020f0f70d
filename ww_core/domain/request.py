"""What a person asks of an analysis, besides the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.domain.spectrum import Precision


@dataclass(frozen=True, slots=True)
class Request:
    """Plain data, so that a worker process can be told the same.

    Attributes:
        profile: Name of the profile.
        extractors: Variants that replace the profile's choice for convolutions, the first being the primary one, which
            summaries and model metrics speak of; empty for the profile's own.
        metrics: Names of metrics or columns that replace the profile's selection; empty for the profile's own.
        parameters: Pairs of ``"metric.parameter"`` and a value, or its text.
        layers: Globs that select layers by name; empty for all.
        groups: Pairs of a glob and the count of groups of the convolutions it names.
        splits: Pairs of a glob and the count of equal blocks of rows into which the matrices it names fall.
        include_buffers: Whether buffers are layers too.
        seed: Random seed.
        precision: Of the arithmetic behind spectra of standard resolution.
        control: The control that is analysed in place of the network, ``permuted`` or ``random``; empty for none.
    """

    profile: str = "default"
    extractors: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()
    layers: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    splits: tuple[tuple[str, int], ...] = ()
    include_buffers: bool = False
    seed: int = 0
    precision: Precision = "float64"
    control: str = ""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Request:
        """Return the request whose fields were stored as this content; what it leaves out has its default.

        Raises:
            UsageError: It has fields that this program does not know.
        """
        try:
            return cls(**{name: _frozen(value) for name, value in content.items()})
        except TypeError:
            raise UsageError("a newer program asked for it: upgrade ww") from None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value

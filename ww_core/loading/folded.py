"""Batch norms that an exporter folded into the kernels before them, which changes the spectra of these."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED = re.compile(r"(?:.*[/;])?(?:batchnorm|FusedBatchNorm(?:V[0-9])?)(?:_?[0-9]+)?(?:[/;:].*)?", re.DOTALL)
_LISTED = 2


def names_batch_norm(name: str) -> bool:
    """Whether TensorFlow's batch norm is in the name of a value or a constant, which may be several joined by ``;``."""
    return _NAMED.fullmatch(name) is not None


def sentences_of_folded(known: Sequence[str], likely: Sequence[str]) -> list[str]:
    """Return what the user should see of kernels into which batch norms were folded.

    Args:
        known: Layers of which the file says it.
        likely: Layers of which only names suggest it.
    """
    said = [_sentence(known)] if known else []
    return [*said, f"it seems that {_sentence(likely)}"] if likely else said


def _sentence(layers: Sequence[str]) -> str:
    listed = " and ".join(map(quoted, layers[:_LISTED]))
    if len(layers) == 1:
        what, spectra = (
            f"1 kernel, {listed}, holds a batch norm that the exporter folded into it",
            "its spectrum is that",
        )
    else:
        among = f"{listed} among them" if len(layers) > _LISTED else listed
        what = f"{len(layers)} kernels, {among}, hold a batch norm that the exporter folded into them"
        spectra = "their spectra are those"
    return f"{what}: {spectra} of the folded weights"

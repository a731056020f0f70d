"""Content addresses: one canonical form, one hash."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.domain.spectrum import SpectrumKind

NUMERICS_VERSION = "2"
"""Version of what ``singular_values`` and the other core inputs mean. A new one makes every value new."""

PRECISION: Final = "float64"
"""Precision of the arithmetic behind the core inputs, unless another one is asked for of spectra."""


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(content: Any) -> str:
    """Return ``content`` as JSON with sorted keys and no spaces.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot say.
    """
    return _encoder.encode(content)


def digest_of(kind: str, content: Mapping[str, Any]) -> str:
    """Return the blake3 digest (64 hex digits) of ``content`` in canonical form, tagged with its ``kind``."""
    import blake3

    return blake3.blake3(f"ww:{kind}\0{canonical_json(content)}".encode()).hexdigest()


def random_key(content: str, index: int, name: str, seed: int) -> bytes:
    """Return the 16-byte key of the random numbers, or the permutation, of this name for a piece of content."""
    digest = digest_of("seed", {"content": content, "index": index, "name": name, "seed": seed})
    return bytes.fromhex(digest)[:16]


@functools.cache
def spectrum_identity(kind: SpectrumKind) -> str:
    """Return the identity of a kind of spectra. Route and device are provenance, and no part of it."""
    return digest_of("spectrum", {"numerics": NUMERICS_VERSION, "resolution": kind.resolution} | kind.parameters)


def extractor_identity(key: str, version: str, parameters: Mapping[str, Any]) -> str:
    """Return the identity of an extractor variant, by its permanent key."""
    return digest_of("extractor", {"key": key, "version": version, "parameters": dict(parameters)})


def quantity_identity(key: str, version: str, parameters: Mapping[str, Any], needs: Mapping[str, Any]) -> str:
    """Return the identity of a quantity or metric.

    Its columns are no part of it: a value is keyed by the identity and a column, so that a new column leaves the
    history of the others as it is.

    Args:
        key: Its permanent key.
        version: Its version.
        parameters: The values of its parameters.
        needs: What of each need goes into the identity, by parameter.
    """
    content = {"key": key, "version": version, "parameters": dict(parameters), "needs": dict(needs)}
    return digest_of("quantity", content)

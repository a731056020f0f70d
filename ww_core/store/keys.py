"""Integer keys of stored rows, by content. They never leave the store."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Keys:
    """Keys of a checkpoint, of one structure of it, and of what is said of it.

    Tensors, identities and subjects are keyed by digest, layers by name, columns by identity and the column's own key.
    """

    checkpoint: int = 0
    structure: int = 0
    tensors: dict[str, int] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[str, str], int] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)

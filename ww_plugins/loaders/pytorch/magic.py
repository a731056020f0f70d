"""How PyTorch's older files begin: all that recognising one takes."""

from __future__ import annotations

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

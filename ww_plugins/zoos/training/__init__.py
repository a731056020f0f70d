"""Training of a zoo: many networks at once. It needs the extra ``zoo``."""

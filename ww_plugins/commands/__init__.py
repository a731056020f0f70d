"""Commands that serve particular plugins; each is found by its entry point in group ``ww.commands``."""

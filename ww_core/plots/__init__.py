"""Pictures, drawn on matplotlib's axes: they need the extra ``plot``."""

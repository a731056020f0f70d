"""Pictures of spectra and of metrics, on matplotlib's axes: they need the extra ``plot``."""

from ww_plugins.commands.plot.esd import Tail, draw_esd, draw_starts

__all__ = ["Tail", "draw_esd", "draw_starts"]

"""Correlation traps: eigenvalues that stand out although the weights are in random order, one row each."""

from ww_plugins.commands.traps.traps import Trap, Traps, correlation_traps_of

__all__ = ["Trap", "Traps", "correlation_traps_of"]

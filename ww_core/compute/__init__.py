"""Spectra and values of tensors at hand: all that a worker needs, and no store."""

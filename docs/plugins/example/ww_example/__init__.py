"""Plugins of ww, one module for each kind of object that a plugin may add."""

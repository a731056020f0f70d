"""Plugins: the hooks on one page, discovery in isolation, the registry of names, the resolver of needs."""

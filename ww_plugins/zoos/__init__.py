"""Zoos: many networks of one layout in one folder, how they were trained and how well they do."""

"""Zoos: many small networks of one layout, trained here or read from folders."""

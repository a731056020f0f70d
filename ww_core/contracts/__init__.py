"""What a plugin author subclasses or fills in, one page a kind."""

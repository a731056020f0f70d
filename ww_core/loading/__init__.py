"""Public: what loaders share, from files read in place to the names of layers in state dicts."""

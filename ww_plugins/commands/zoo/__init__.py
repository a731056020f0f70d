"""``ww zoo``: thousands of small networks, trained, imported and read in bulk."""

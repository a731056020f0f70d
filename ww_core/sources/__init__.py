"""From what a person names to an opened checkpoint with the digests of its tensors."""

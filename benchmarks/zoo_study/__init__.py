"""The study of arXiv:2002.11448 done again on zoos of our own, and what it leaves open."""

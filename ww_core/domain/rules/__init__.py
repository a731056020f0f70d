"""Rules of ``ww check``: what they say, how they are read, and what they make of two analyses."""

"""The command line: parse, make one call, render. Heavy imports are inside the functions."""

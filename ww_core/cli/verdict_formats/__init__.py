"""How a verdict of ``ww check`` is printed, a module for each format."""

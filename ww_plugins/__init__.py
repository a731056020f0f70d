"""The plugins ww comes with. They are found by entry points and use the public names of ``ww_core``, like anybody's."""

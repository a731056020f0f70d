"""``ww serve``: look at a store in a browser."""

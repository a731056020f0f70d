"""``ww predictor``: accuracy from weights alone, with an interval and a refusal."""

"""Predictors: what accuracy the weights of a network suggest, with an interval and a refusal."""

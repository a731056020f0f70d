"""Measurements of ww: ``memory.py`` and ``startup.py`` by itself, ``peer`` beside WeightWatcher."""

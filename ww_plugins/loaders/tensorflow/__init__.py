"""Checkpoints of TensorFlow, alone or in a SavedModel, and graphs whose weights are constants (``frozen``).

Neither needs TensorFlow.

A checkpoint is a bundle: an index, which is a table of keys in LevelDB's format (``tables``) whose values are messages
of protocol buffers, and shards with the numbers (``bundle``). Names come from the graph of objects in it
(``objects``), and names and shapes tell what a tensor is (``kinds``).
"""

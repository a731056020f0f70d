"""Graphs of TensorFlow whose constants are the weights: frozen ones, and those of SavedModels without variables.

A file is read by the strict reader of protocol buffers (``messages``), and numbers stay where they lie (``tensors``).
The graph is walked once, each node after its inputs (``walk``); what a node does with a constant tells what it is
(``operators``, of ``values``), and nothing is run. Names of nodes give names of layers (``naming``).
"""

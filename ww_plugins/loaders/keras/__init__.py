"""Keras: models and weights in HDF5 files, alone or in the archive of a model.

HDF5 is read by code of our own, and nothing but what Keras writes of it (``hdf5``, ``datasets``, ``attributes``,
``types``); layers are told from groups and names (``weights``), with the configuration of the model where there is one
(``configs``); their variables become tensors in ww's layout (``classes``, ``layouts``).
"""

"""Keras: models and weights in HDF5 files, alone or in the archive of a model.

Files are read through h5py, which is given this one file and nothing else (``hdf5``, ``datasets``); layers are told
from groups and names (``weights``), with the configuration of the model where there is one (``configs``); their
variables become tensors in ww's layout (``classes``, ``layouts``).
"""

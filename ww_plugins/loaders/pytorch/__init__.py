"""PyTorch: files of ``torch.save`` old and new, alone or in shards, and modules in memory.

Files are read by a machine that executes nothing (``pickles``), tensors where they lie in the file (``archives``,
``tensors``), without PyTorch; which of them are the weights is said in ``ww_core.loading.trees``.
"""

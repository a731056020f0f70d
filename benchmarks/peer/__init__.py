"""ww beside WeightWatcher, in one process: ``make bench``."""

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # BLAS and torch look when they are loaded, and this is imported before them

"""What the package powerlaw finds in samples, whichever version it is. Run in an environment of its own.

python powerlaw_fits.py SAMPLES.npz FITS.json
"""

import json
import sys
import warnings

import numpy as np
import powerlaw

OTHERS = ("truncated_power_law", "lognormal", "exponential")
IS_2 = hasattr(powerlaw.Power_Law, "DEFAULT_PARAMETER_RANGES")


def fits(sample):
    """The fit with alpha free above 1, that with what the package takes by itself, and other shapes of the tail."""
    options = {"parameter_ranges": {"alpha": [0, None]}} if IS_2 else {}
    fit = powerlaw.Fit(sample, verbose=False, **options)
    found = {"alpha": fit.alpha, "xmin": fit.xmin, "D": fit.D, "n_tail": fit.n_tail}
    if not np.isfinite(fit.alpha):  # with few distinct values it tries none as xmin
        return found
    found["own_alpha"] = powerlaw.Fit(sample, verbose=False).alpha if IS_2 else fit.alpha
    for name in OTHERS:
        other = getattr(fit, name)
        R, p = fit.distribution_compare("power_law", name)
        numbers = [getattr(other, key) for key in ("alpha", "Lambda", "mu", "sigma") if hasattr(other, key)]
        found[name] = {"numbers": numbers, "log_likelihood": other.loglikelihood, "R": R, "p": p}
    return found


def plain(value):
    if isinstance(value, dict):
        return {key: plain(own) for key, own in value.items()}
    return [float(own) for own in value] if isinstance(value, list) else float(value)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with np.load(sys.argv[1]) as samples, open(sys.argv[2], "w") as file:  # noqa: PTH123
        json.dump({name: plain(fits(samples[name])) for name in samples.files}, file)

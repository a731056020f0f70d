"""The contract of devices."""

from __future__ import annotations

import numpy as np
import pytest

from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import MissingExtraError, Refused, UsageError
from ww_core.spectral import spectrum_of
from ww_core.testing.plugins import PluginContract

AGREEMENT = 1e-10
"""How far eigenvalues may be apart, relative to the largest one."""


class DeviceContract(PluginContract):
    """Tests that every device of a plugin must pass. Set ``plugin``. A device that is not there is left out."""

    @pytest.mark.parametrize("shape", [(1, 30, 50), (1, 50, 30), (100, 16, 16), (3, 1, 4)])
    @pytest.mark.parametrize("kind", ["real", "complex", "float32"])
    @pytest.mark.parametrize("resolution", ["standard", "full"])
    def test_it_gives_the_numbers_of_the_processor(self, shape: tuple[int, ...], kind: str, resolution: str) -> None:
        """Singular values agree, whatever the shape, type and route."""
        random = np.random.Generator(np.random.Philox(1))
        entries = random.standard_normal(shape) + (1j * random.standard_normal(shape) if kind == "complex" else 0.0)
        if kind == "float32":
            entries = entries.astype(np.float32)
        entries.flags.writeable = False
        rounding = ROUNDINGS["float32" if kind == "float32" else "float64"]
        here = spectrum_of(entries, rounding=rounding, resolution=resolution)  # type: ignore[arg-type] # a text by pytest
        for owned in self.own(self.registry().devices):
            try:
                owned.object.check()
            except (UsageError, MissingExtraError):
                continue
            there = spectrum_of(entries, rounding=rounding, resolution=resolution, device=owned.object)  # type: ignore[arg-type] # the same
            apart = np.abs(here.singular_values**2 - there.singular_values**2).max()
            assert apart <= AGREEMENT * here.singular_values[0] ** 2, owned.qualified

    def test_it_says_what_is_not_finite(self) -> None:
        """NaN and infinity are refused, whatever the type."""
        entries = np.ones((2, 8, 9))
        entries[1, 2, 3] = np.nan
        for owned in self.own(self.registry().devices):
            try:
                owned.object.check()
            except (UsageError, MissingExtraError):
                continue
            for dtype in (np.float32, np.float64):
                with pytest.raises(Refused, match="1 of 144 weights"):
                    spectrum_of(entries.astype(dtype), rounding=ROUNDINGS[np.dtype(dtype).name], device=owned.object)

    def test_one_that_is_not_there_is_one_sentence(self) -> None:
        """What is missing is said before there is work, with the name of the device."""
        for owned in self.own(self.registry().devices):
            try:
                owned.object.check()
            except (UsageError, MissingExtraError) as error:
                assert owned.object.label in str(error)
                assert "\n" not in str(error)

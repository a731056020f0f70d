"""The contract of profiles."""

from __future__ import annotations

from ww_core.testing.metrics import sample_weights
from ww_core.testing.plugins import PluginContract
from ww_core.use_cases.analyze import analyze


class ProfileContract(PluginContract):
    """Tests that every profile of a plugin must pass. Set ``plugin``."""

    def test_every_profile_can_be_used(self) -> None:
        """All names and parameters in it resolve, and an analysis under it has results and no failure."""
        registry = self.registry()
        for owned in self.own(registry.profiles):
            assert owned.object.description
            report = analyze(sample_weights(), profile=owned.qualified, registry=registry)
            assert report.layers
            assert not report.failures, report.failures
            assert set(owned.object.headline) <= {label.partition("[")[0] for label in report.layers[0].metrics}

from ww_core.domain.layer import LayerKind
from ww_plugins.profiles import ww_register_profiles


def test_the_default_profile_takes_every_metric_and_pools_convolutions():
    default = next(profile for profile in ww_register_profiles() if profile.name == "default")
    assert default.metrics is None
    assert default.extractor_for(LayerKind.DENSE) == "matrix"
    assert default.extractor_for(LayerKind.CONV2D) == "pool"
    assert not default.parameters

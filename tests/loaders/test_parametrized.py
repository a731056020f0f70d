"""Weights that a model holds as what they are made of: the tensor that acts is the layer's, in memory and in files."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import ww_core as ww
from ww_core.contracts.source import ObjectSource
from ww_core.loading.files import FileSource
from ww_core.loading.parametrized import _normed
from ww_core.plugins.discovery import load_plugins
from ww_core.sources.opening import open_checkpoint

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm  # noqa: E402


class Symmetric(nn.Module):
    def forward(self, weight):
        return (weight + weight.T) / 2


def pruned(module):
    prune.l1_unstructured(module, "weight", 0.3)
    prune.random_unstructured(module, "bias", 0.5)
    return module


def symmetric():
    module = nn.Linear(12, 12)
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


def stacked():
    module = parametrizations.spectral_norm(nn.Linear(12, 12))
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


TOLD = {
    "weight_norm": lambda: weight_norm(nn.Conv2d(8, 16, 3)),
    "weight_norm_of_columns": lambda: weight_norm(nn.Linear(8, 16), dim=1),
    "weight_norm_of_all": lambda: weight_norm(nn.Linear(8, 16), dim=None),
    "weight_norm_transposed": lambda: weight_norm(nn.ConvTranspose1d(6, 10, 4), dim=1),
    "weight_norm_recurrent": lambda: weight_norm(nn.LSTM(6, 5), "weight_hh_l0"),
    "spectral_norm": lambda: spectral_norm(nn.Conv2d(8, 16, 3)),
    "spectral_norm_transposed": lambda: spectral_norm(nn.ConvTranspose2d(8, 16, 3)),
    "pruned": lambda: pruned(nn.Linear(8, 16)),
    "registered_weight_norm": lambda: parametrizations.weight_norm(nn.Conv1d(8, 16, 3, groups=2)),
    "registered_spectral_norm": lambda: parametrizations.spectral_norm(nn.Conv2d(8, 16, 3)),
}


def acted(module, *inputs):
    """A module after some steps of training, as it acts."""
    with torch.no_grad():
        for _ in range(30):
            module(*inputs)
        module.eval()
        module(*inputs)
    return module


def pruned_spectral_norm():
    module = spectral_norm(nn.Linear(8, 6))
    prune.l1_unstructured(module, "weight_orig", 0.5)
    return acted(module, torch.ones(2, 8))


def pruned_weight_norm():
    module = weight_norm(nn.Linear(8, 6))
    prune.l1_unstructured(module, "weight_v", 0.5)
    return acted(module, torch.ones(2, 8))


def pruned_registered_spectral_norm():
    module = parametrizations.spectral_norm(nn.Linear(8, 6))
    prune.l1_unstructured(module.parametrizations.weight, "original", 0.5)
    return acted(module, torch.ones(2, 8))


STACKED = {
    "square": lambda: acted(spectral_norm(nn.Conv2d(8, 8, 3)), torch.ones(1, 8, 4, 4)),
    "square_transposed": lambda: acted(spectral_norm(nn.ConvTranspose2d(8, 8, 3)), torch.ones(1, 8, 4, 4)),
    "registered_square_transposed": lambda: acted(
        parametrizations.spectral_norm(nn.ConvTranspose2d(8, 8, 1)), torch.ones(1, 8, 4, 4)
    ),
    "pruned_spectral_norm": pruned_spectral_norm,
    "pruned_weight_norm": pruned_weight_norm,
    "pruned_registered_spectral_norm": pruned_registered_spectral_norm,
}
UNTOLD = {
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(12, 12)),
    "cayley": lambda: parametrizations.orthogonal(nn.Linear(12, 12), orthogonal_map="cayley", use_trivialization=False),
    "symmetric": symmetric,
    "stacked": stacked,
}


def network(makers):
    torch.manual_seed(5)
    return nn.ModuleDict({name: make() for name, make in makers.items()}).eval()


def saved(module, folder):
    torch.save(module.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def opened(source):
    registry = load_plugins()
    return open_checkpoint(FileSource(source) if hasattr(source, "exists") else ObjectSource(source), registry)[0]


def layers_of(checkpoint):
    found = {}
    for layer in checkpoint.layers:
        with checkpoint.read(layer.weight) as weight:
            found[layer.name] = (layer, weight.copy())
    return found


SOURCES = {
    "module": lambda module, folder: module,
    "mapping": lambda module, folder: dict(module.state_dict()),
    "file": saved,
    "wrapped": lambda module, folder: saved(nn.DataParallel(module), folder),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SOURCES)
def test_the_tensor_that_acts_is_the_layers(tmp_path, kind):
    module = network(TOLD)
    checkpoint = opened(SOURCES[kind](module, tmp_path))
    found = layers_of(checkpoint)
    for name, inner in module.items():
        recurrent = name == "weight_norm_recurrent"
        layer, weight = found[f"{name}.weight_hh_l0" if recurrent else name]
        if "forward_pre_hooks" in dir(inner) or inner._forward_pre_hooks:
            for hook in inner._forward_pre_hooks.values():
                hook(inner, ())
        acts = (inner.weight_hh_l0 if recurrent else inner.weight).detach().numpy()
        assert np.abs(weight - acts).max() <= 2e-6 * np.abs(acts).max(), name
        assert layer.bias is not None
    assert checkpoint.warnings == ()
    assert {layer.weight.name.removesuffix(".weight") for layer in checkpoint.layers} - set(TOLD) == {
        "weight_norm_recurrent.weight_hh_l0",
        "weight_norm_recurrent.weight_ih_l0",
    }
    reasons = {own.name: (own.reason, own.tied_to) for own in checkpoint.skipped}
    assert reasons["weight_norm.weight_g"] == ("weight norm makes weight_norm.weight of it", "")
    assert reasons["weight_norm.weight_v"] == ("weight norm makes weight_norm.weight of it", "weight_norm.weight")
    assert reasons["pruned.bias_mask"] == ("pruning makes pruned.bias of it", "")
    spectral = "registered_spectral_norm"
    assert reasons[f"{spectral}.parametrizations.weight.0._u"] == (
        f"spectral norm makes {spectral}.weight of it",
        "",
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("name", STACKED)
def test_norms_of_square_kernels_and_of_pruned_weights_are_those_that_act(tmp_path, name, kind):
    torch.manual_seed(8)
    module = nn.ModuleDict({name: STACKED[name]()}).eval()
    checkpoint = opened(SOURCES[kind](module, tmp_path))
    ((_, (layer, weight)),) = layers_of(checkpoint).items()
    acts = module[name].weight.detach().numpy()
    assert np.abs(weight - acts).max() <= 2e-6 * np.abs(acts).max()
    assert (layer.name, layer.bias is not None, checkpoint.warnings) == (name, True, ())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm, parametrizations.orthogonal])
def test_a_module_that_stands_twice_counts_once(tmp_path, norm, kind):
    inner = norm(nn.Linear(6, 6))
    module = nn.Sequential(inner, nn.ReLU(), inner)
    source = SOURCES[kind](module, tmp_path)
    described = ww.describe(source)
    assert [layer.name for layer in described.layers] == ["0"]
    assert described.parameters == ww.describe(SOURCES[kind](nn.Sequential(inner), tmp_path)).parameters
    assert any("tied" in own[3] for own in described.skipped)


@pytest.mark.filterwarnings("ignore")
def test_equal_content_has_equal_digests_wherever_it_lies(tmp_path):
    module = network(TOLD)
    reports = [ww.analyze(make(module, tmp_path), metrics=["spectral_norm"]) for make in SOURCES.values()]
    assert len({report.digest for report in reports}) == 1
    plain = dict(module.state_dict())
    plain["weight_norm.weight_g"] = plain["weight_norm.weight_g"] * 1.01
    assert ww.analyze(plain, metrics=["spectral_norm"]).digest != reports[0].digest


@pytest.mark.filterwarnings("ignore")
def test_all_parameters_count_once(tmp_path):
    module = weight_norm(nn.Linear(40, 30))
    count = sum(parameter.numel() for parameter in module.parameters())
    assert ww.describe(saved(module, tmp_path)).parameters == count
    report = ww.analyze(saved(module, tmp_path), metrics=["spectral_norm"])
    assert (report.coverage.parameters, report.coverage.parameters_analyzed) == (count, 40 * 30)


@pytest.mark.parametrize("name", UNTOLD)
def test_what_only_pytorch_can_make_is_made_in_memory(tmp_path, name):
    module = network({name: UNTOLD[name]})
    before = copy.deepcopy(module.state_dict())
    for mode in (module.train(), module.eval()):
        checkpoint = opened(mode)
        _, weight = layers_of(checkpoint)[name]
        acts = module.eval()[name].weight.detach().numpy()
        assert np.abs(weight - acts).max() <= 1e-6 * np.abs(acts).max()
        assert [layer.name for layer in checkpoint.layers] == [name]
        assert checkpoint.warnings == ()
    after = module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


# A step without tensors of its own, on top of a spectral norm, leaves no trace in a file.
@pytest.mark.parametrize("name", sorted(UNTOLD.keys() - {"stacked"}))
def test_what_a_file_does_not_tell_is_read_as_it_is_stored_with_a_warning(tmp_path, name):
    module = network({name: UNTOLD[name]})
    checkpoint = opened(saved(module, tmp_path))
    ((own, (layer, weight)),) = layers_of(checkpoint).items()
    assert (own, layer.kind, layer.bias is not None) == (name, "dense", True)
    assert np.array_equal(weight, module.state_dict()[f"{name}.parametrizations.weight.original"].numpy())
    (warning,) = checkpoint.warnings
    assert f"'{name}.weight'" in warning
    assert "not as they act" in warning


def test_a_parametrization_that_fails_is_named():
    class Failing(nn.Module):
        def forward(self, weight):
            if getattr(self, "armed", False):
                raise ZeroDivisionError("nothing to divide by")
            return weight

    module = nn.Linear(4, 4)
    parametrize.register_parametrization(module, "weight", Failing())
    module.parametrizations.weight[0].armed = True
    with pytest.raises(ww.SourceError, match=r"tensor weight of a module .* nothing to divide by"):
        opened(module)


@pytest.mark.parametrize("kind", ["mapping", "file", "wrapped"])
def test_a_pruned_weight_under_what_is_not_told_is_read_as_it_was_pruned(tmp_path, kind):
    module = symmetric()
    prune.l1_unstructured(module.parametrizations.weight, "original", 0.5)
    whole = nn.ModuleDict({"fc": module})
    checkpoint = opened(SOURCES[kind](whole, tmp_path))
    ((name, (_, weight)),) = layers_of(checkpoint).items()
    assert name == "fc"
    assert np.count_nonzero(weight) == 72
    assert "not as they act" in checkpoint.warnings[0]


def test_many_originals_of_one_place_are_gone_through_once():
    shapes = {f"m.parametrizations.weight.original{number}": (1,) for number in range(40_000)}
    began = time.process_time()
    _normed(shapes)
    assert time.process_time() - began < 2


def made(shapes):
    state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    checkpoint = opened(state)
    return {layer.weight.name for layer in checkpoint.layers}, {own.name for own in checkpoint.skipped}


@pytest.mark.parametrize(
    "shapes",
    [
        {"attn.W_v": (6, 6), "attn.W_g": (6, 6)},
        {"attn.W_v": (6, 6), "attn.W_g": (6, 1)},
        {"conv.weight_v": (6, 6), "conv.weight_g": (6, 6)},
        {"conv.weight_v": (6, 4), "conv.weight_g": (4, 1)},
        {"conv.weight_v": (6,), "conv.weight_g": (1,)},
        {"conv.weight_v": (6, 4)},
        {"conv.weight_orig": (6, 4), "conv.weight_u": (6,), "conv.weight_v": (5,)},
        {"conv.weight_orig": (6, 4), "conv.weight_mask": (4, 6)},
    ],
)
def test_what_does_not_fit_is_left_as_it_is(shapes):
    names, skipped = made(shapes)
    assert names == set(shapes)
    assert skipped == set()


def test_a_tensor_that_acts_and_is_stored_is_the_one_that_counts():
    shapes = {"c.weight": (6, 4), "c.weight_orig": (6, 4), "c.weight_u": (6,), "c.weight_v": (4,)}
    names, skipped = made(shapes)
    assert names == {"c.weight"}
    assert skipped == set(shapes) - names


FLOATS = st.floats(-4, 4, width=32).map(lambda value: value if abs(value) > 0.01 else 1.0)


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=FLOATS),
    st.floats(0.1, 9),
)
def test_weight_norm_does_not_depend_on_the_length_of_v(direction, factor):
    gain = np.linspace(0.5, 2, len(direction), dtype=np.float32).reshape(-1, *[1] * (direction.ndim - 1))
    state = {"c.weight_g": gain, "c.weight_v": direction.astype(np.float64)}
    scaled = {**state, "c.weight_v": state["c.weight_v"] * factor}
    (_, one), (_, other) = (layers_of(opened(own))["c"] for own in (state, scaled))
    assert np.allclose(one, other, rtol=1e-12, atol=0)
    norms = np.sqrt(np.square(one).sum(axis=tuple(range(1, one.ndim))))
    assert np.allclose(norms, gain.reshape(-1), rtol=1e-6)


def test_a_direction_of_length_zero_is_told_and_not_hidden():
    state = {"c.weight_g": np.ones((3, 1), np.float32), "c.weight_v": np.zeros((3, 4), np.float32)}
    report = ww.analyze(state, metrics=["spectral_norm"])
    assert report.summary["spectral_norm"].missing == 1
    assert "12 of 12 weights are NaN or infinite" in str(report.to_dict()["coverage"]["skipped"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_dtype_keeps_its_own(dtype):
    made = network({name: TOLD[name] for name in ("weight_norm", "spectral_norm", "pruned")})
    state = {name: tensor.to(getattr(torch, dtype)) for name, tensor in made.state_dict().items()}
    found = layers_of(opened(state))
    v = state["weight_norm.weight_v"].double()
    wanted = state["weight_norm.weight_g"].double() * v / v.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    for layer, weight in found.values():
        assert layer.weight.dtype == str(weight.dtype) == dtype
    step = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-22, "float64": 2**-50}[dtype]
    got = found["weight_norm"][1].astype(np.float64)
    assert np.abs(got - wanted.numpy()).max() <= step * wanted.abs().max().item()
    assert np.array_equal(
        found["pruned"][1].astype(np.float64),
        (state["pruned.weight_orig"].double() * state["pruned.weight_mask"].double()).numpy(),
    )

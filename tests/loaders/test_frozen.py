"""Frozen TorchScript, and calls of TorchScript that tell what a module's class does not."""

from __future__ import annotations

import io
import time
import zipfile

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")


class Own(torch.nn.Module):
    """Calls functions with tensors of its own, as many models do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(8, 2, 3, 3))
        self.bias = torch.nn.Parameter(torch.randn(8))
        self.scale = torch.nn.Parameter(torch.rand(8))
        self.table = torch.nn.Parameter(torch.randn(10, 4))
        self.head = torch.nn.Parameter(torch.randn(5, 4))
        self.cube = torch.nn.Parameter(torch.rand(2, 3, 4))

    def forward(self, image, index):
        found = F.conv2d(image, self.weight, self.bias, 1, 0, 1, 4)
        found = F.group_norm(found, 2, self.scale).sum() + F.linear(F.embedding(index, self.table), self.head).sum()
        return found + F.layer_norm(torch.ones(2, 3, 4), [2, 3, 4], self.cube).sum()


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.own = Own()
        self.conv = torch.nn.Conv2d(8, 8, 3, groups=2, bias=False)
        self.bn = torch.nn.BatchNorm2d(8)
        self.bn.running_mean += torch.rand(8)
        self.transposed = torch.nn.ConvTranspose2d(8, 4, 3, groups=2)
        self.lstm = torch.nn.LSTM(8, 6, bidirectional=True)
        self.head = torch.nn.Linear(8, 3)
        self.left = torch.nn.Parameter(torch.randn(9, 7))

    def forward(self, image, index):
        found = self.bn(self.conv(image))
        rows = image.mean(-1).transpose(1, 2)
        recurrent, _ = self.lstm(rows)
        other = self.transposed(found).sum() + self.head(rows).sum() + (rows.transpose(1, 2) @ self.left).sum()
        return self.own(image, index) + recurrent.sum() + other


INPUTS = (torch.ones(1, 8, 9, 9), torch.tensor([[1, 2]]))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder, net = tmp_path_factory.mktemp("frozen"), Net().eval()
    scripted, traced = torch.jit.script(net), torch.jit.trace(net, INPUTS)
    for name, made in {"scripted": scripted, "traced": traced}.items():
        made.save(folder / f"{name}.pt")
        torch.jit.freeze(made).save(folder / f"frozen {name}.pt")
    return folder, net


def opened(path):
    return ByName(PyTorchLoader()).open(path)


def told(checkpoint):
    return {layer.name: (str(layer.kind), layer.groups) for layer in checkpoint.layers}


def frozen(net, tmp_path):
    torch.jit.freeze(torch.jit.script(net.eval())).save(tmp_path / "net.pt")
    return opened(tmp_path / "net.pt")


def said(checkpoint, words):
    return [warning for warning in checkpoint.warnings if words in warning]


@pytest.mark.parametrize("way", ["scripted", "traced"])
def test_a_call_tells_what_a_tensor_of_ones_own_is(archives, way):
    folder, _ = archives
    checkpoint = opened(folder / f"{way}.pt")
    assert {name: own for name, own in told(checkpoint).items() if name.startswith("own")} == {
        "own": ("conv2d", 4),
        "own.scale": ("norm", 1),
        "own.table": ("embedding", 1),
        "own.head": ("dense", 1),
        "own.cube": ("norm", 1),
    }
    assert not said(checkpoint, "nothing tells")


@pytest.mark.parametrize("way", ["scripted", "traced"])
def test_constants_of_a_frozen_module_are_its_layers(archives, way):
    folder, net = archives
    checkpoint = opened(folder / f"frozen {way}.pt")
    numbers = []
    for layer in checkpoint.layers:
        with checkpoint.read(layer.weight) as weight:
            numbers.append((str(layer.kind), layer.groups, layer.bias is not None, np.array(weight)))
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}

    def layer_of(content):
        return [own[:3] for own in numbers if own[3].shape == content.shape and np.array_equal(own[3], content)]

    assert layer_of(state["own.weight"]) == [("conv2d", 4, True)]
    assert layer_of(state["own.scale"]) == [("norm", 1, False)]
    assert layer_of(state["own.table"]) == [("embedding", 1, False)]
    assert layer_of(state["transposed.weight"]) == [("conv2d", 2, True)]
    assert layer_of(state["head.weight"]) == [("dense", 1, True)]
    assert layer_of(state["lstm.weight_hh_l0_reverse"]) == [("recurrent", 1, True)]
    assert layer_of(state["left"].T) == [("dense", 1, False)]  # what is multiplied from the right is (in, out)
    folded = state["conv.weight"] * (state["bn.weight"] / np.sqrt(state["bn.running_var"] + 1e-5))[:, None, None, None]
    kernels = [own for own in numbers if own[3].shape == folded.shape and np.allclose(own[3], folded)]
    assert [own[:3] for own in kernels] == [("conv2d", 2, True)]  # folding made a bias


def test_biases_of_recurrent_layers_stand_beside_their_matrices(tmp_path):
    net = torch.nn.Sequential(torch.nn.LSTM(3, 5, proj_size=2, num_layers=2))
    checkpoint = frozen(net, tmp_path)
    state = {name: tensor.numpy() for name, tensor in net[0].state_dict().items()}
    biases = {}
    for layer in checkpoint.layers:
        with checkpoint.read(layer.weight) as weight:
            (name,) = [own for own, content in state.items() if np.array_equal(content, weight)]
        if layer.bias:
            with checkpoint.read(layer.bias) as bias:
                (biases[name],) = [own for own, content in state.items() if np.array_equal(content, bias)]
    matrices = {name for name in state if name.startswith("weight_")}
    assert biases == {name: name.replace("weight", "bias") for name in matrices if "hr" not in name}
    assert {layer.kind for layer in checkpoint.layers} == {"recurrent"}
    assert len(checkpoint.layers) == 6


def test_a_folded_batch_norm_is_a_warning(tmp_path):
    plain = torch.nn.Conv2d(8, 8, 3, bias=False)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), plain)
    checkpoint = frozen(net, tmp_path)
    (warning,) = said(checkpoint, "batch norm")
    assert "1 kernel holds a batch norm that was folded into it, it seems" in warning


def test_a_batch_norm_that_is_left_speaks_against_a_folded_one(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(8))
    checkpoint = frozen(net, tmp_path)
    assert set(told(checkpoint).values()) == {("conv1d", 1), ("norm", 1)}
    assert not said(checkpoint, "batch norm")


def test_numbers_that_a_traced_module_computes_with_are_no_part_of_it(archives, tmp_path):
    net = torch.nn.MultiheadAttention(4, 2).eval()
    inputs = torch.ones(3, 1, 4)
    torch.jit.trace(net, (inputs, inputs, inputs)).save(tmp_path / "traced.pt")
    with zipfile.ZipFile(tmp_path / "traced.pt") as archive:
        assert any("/constants/" in name for name in archive.namelist())
    assert set(told(opened(tmp_path / "traced.pt"))) == {"in_proj_weight", "out_proj"}
    assert not opened(tmp_path / "traced.pt").skipped


def test_weights_that_an_archive_does_not_hold_are_told(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3)).eval()
    torch.jit.optimize_for_inference(torch.jit.script(net)).save(tmp_path / "net.pt")
    with pytest.raises(ww.SourceError, match="uses 4 tensors that PyTorch does not write"):
        opened(tmp_path / "net.pt")


class Grouped(torch.nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.groups = groups
        self.kernel = torch.nn.Parameter(torch.rand(8, 8 // groups, 3))

    def forward(self, line):
        return F.conv1d(line, self.kernel, None, 1, 0, 1, self.groups)


def test_groups_may_be_a_number_that_an_object_holds(tmp_path):
    torch.jit.script(torch.nn.Sequential(Grouped(4), Grouped(2))).save(tmp_path / "net.pt")
    assert told(opened(tmp_path / "net.pt")) == {"0.kernel": ("conv1d", 4), "1.kernel": ("conv1d", 2)}


class Odd(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(8, 4, 3))
        self.inner = torch.nn.Conv1d(8, 8, 3, groups=4, bias=False)
        self.cubes = torch.nn.ParameterList([torch.rand(8, 4, 3) for _ in range(7)])
        self.register_buffer("cubic", torch.rand(3, 3, 3))

    def forward(self, line, half):
        found = F.conv1d(line, self.weight, None, groups=2).sum() + F.conv1d(half, self.weight).sum()
        for cube in self.cubes:
            found = found + (cube * 2).sum()
        return found + F.conv1d(line, self.inner.weight, groups=4).sum() + self.cubic.sum()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "odd.pt"
    torch.jit.trace(Odd(), (torch.ones(1, 8, 9), torch.ones(1, 4, 9))).save(path)
    return opened(path)


def test_one_kernel_in_several_groups_is_a_warning(odd):
    (warning,) = said(odd, "different numbers of groups")
    assert "'weight'" in warning
    assert told(odd)["weight"] == ("conv1d", 2)


def test_a_call_around_a_module_tells_its_groups(odd):
    assert told(odd)["inner"] == ("conv1d", 4)


def test_what_nothing_tells_is_named(odd):
    (warning,) = said(odd, "nothing tells what")
    assert "'cubes.0', 'cubes.1', 'cubes.2', 'cubes.3', 'cubes.4' and 2 more are" in warning


def test_groups_that_nothing_tells_are_named(tmp_path):
    class Unused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Conv1d(8, 8, 3, groups=4)

        def forward(self, line):
            return (self.inner.weight * line.sum()).sum()

    torch.jit.trace(Unused(), torch.ones(1, 8, 9)).save(tmp_path / "net.pt")
    (warning,) = said(opened(tmp_path / "net.pt"), "nothing tells the groups of")
    assert "'inner.weight'" in warning


class Standardised(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(8, 4, 3))

    def forward(self, line):
        return F.conv1d(line, self.weight - self.weight.mean(), groups=2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.utils.weight_norm(torch.nn.Conv1d(8, 8, 3, groups=2)),
        lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(8, 8, 3, groups=2)),
        lambda: torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv1d(8, 8, 3, groups=2)),
        Standardised,
    ],
    ids=["weight norm", "parametrized weight norm", "parametrized spectral norm", "standardised"],
)
def test_a_kernel_that_is_computed_has_the_groups_of_the_only_convolution(tmp_path, make):
    torch.jit.trace(torch.nn.Sequential(make()).eval(), torch.ones(1, 8, 9)).save(tmp_path / "net.pt")
    checkpoint = opened(tmp_path / "net.pt")
    assert told(checkpoint)["0"] == ("conv1d", 2)
    assert not said(checkpoint, "nothing tells")


def rewritten(path, change):
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            held = old.read(entry)
            new.writestr(entry.filename, change(held) if b"CONSTANTS.c0" in held else held)
    return content.getvalue()


_LINE = b"    y = torch.conv2d(x, CONSTANTS.c0, None, [1], [0], [1], 4)\n"
HOSTILE = {
    "brackets": lambda code: code + b"    y = " + b"(" * 500_000,
    "lines of brackets": lambda code: code + b"((((((((\n" * 20_000,
    "quotes": lambda code: code + b'"\\' * 400_000,
    "names that grow": lambda code: code + b"".join(b"    a%d = a%d.x\n" % (n + 1, n) for n in range(30_000)),
    "one list in many calls": lambda code: code
    + b"    l = [" + b"CONSTANTS.c0, " * 10_000 + b"]\n" + b"    torch.lstm(x, x, l)\n" * 10_000,
    "lists in lists": lambda code: code + b"    l = [x]\n" + b"    m = [l, l]\n    l = [m, m]\n" * 10_000,
    "no text": lambda _: b"\xff\xfe\x00" * 100_000,
    "groups that do not fit": lambda code: code.replace(b", 4, False", b", 3, False"),
    "many groups": lambda code: code + b"".join(_LINE.replace(b"4", b"%d" % n) for n in range(5_000)),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_code_of_any_kind_takes_no_more_than_its_length(archives, tmp_path, case):
    folder, _ = archives
    (tmp_path / "odd.pt").write_bytes(rewritten(folder / "frozen traced.pt", HOSTILE[case]))
    begun = time.process_time()
    assert len(opened(tmp_path / "odd.pt").layers) > 10
    assert time.process_time() - begun < 5

"""TorchScript and torch.fx: kinds and groups from what an archive says, whose code is not run."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest
from hostile.torchscript import ODD
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.grouped = torch.nn.Conv2d(32, 32, 3, groups=16)
        self.grouped_otherwise = torch.nn.Conv2d(32, 32, 3, groups=2)
        self.transposed = torch.nn.ConvTranspose2d(8, 16, 3, groups=2)
        self.line = torch.nn.Conv1d(4, 8, 5, groups=4)
        self.volume = torch.nn.Conv3d(2, 4, 3)
        self.norm = torch.nn.LayerNorm([4, 5, 6])
        self.table = torch.nn.Embedding(10, 4)
        self.bilinear = torch.nn.Bilinear(3, 4, 5)
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, image, other, line, volume):
        found = self.grouped(image).sum() + self.grouped_otherwise(image).sum() + self.transposed(other).sum()
        return found + self.line(line).sum() + self.volume(volume).sum()


INPUTS = ((1, 32, 5, 5), (1, 8, 4, 4), (1, 4, 9), (1, 2, 4, 4, 4))
TOLD = {
    "grouped": ("conv2d", 16),
    "grouped_otherwise": ("conv2d", 2),
    "transposed": ("conv2d", 2),
    "line": ("conv1d", 4),
    "volume": ("conv3d", 1),
    "norm": ("norm", 1),
    "table": ("embedding", 1),
    "bilinear": ("bilinear", 1),
    "fc": ("dense", 1),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The same network as a module, scripted and traced."""
    folder, net = tmp_path_factory.mktemp("scripted"), Net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(folder / "scripted.pt")
        torch.jit.trace(net, tuple(torch.ones(shape) for shape in INPUTS)).save(folder / "traced.pt")
    return {"module": net, "scripted": folder / "scripted.pt", "traced": folder / "traced.pt"}


@pytest.mark.parametrize("way", ["scripted", "traced"])
def test_types_and_code_tell_kinds_and_groups(archives, way):
    layers = ByName(PyTorchLoader()).open(archives[way]).layers
    assert {layer.name: (str(layer.kind), layer.groups) for layer in layers} == TOLD


def test_all_three_have_the_same_results(archives, tmp_path):
    reports = [ww.analyze(own, store=tmp_path / "s.sqlite", name=way) for way, own in archives.items()]
    assert len({report.digest for report in reports}) == 1
    assert [report.run.computed for report in reports[1:]] == [0, 0]
    described = next(row for row in ww.describe(archives["traced"]).rows() if row["layer"] == "grouped")
    assert (described["groups"], described["entries"]) == (16, 144)


def rewritten(archive, change):
    """Write an archive anew with its code changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename.endswith(".py") else content)
    return file.getvalue()


@pytest.mark.parametrize("case", ODD)
def test_code_that_says_nothing_of_groups_leaves_them_at_1(archives, tmp_path, case):
    (tmp_path / "odd.pt").write_bytes(rewritten(archives["scripted"], ODD[case]))
    layers = {layer.name: layer for layer in ByName(PyTorchLoader()).open(tmp_path / "odd.pt").layers}
    assert layers["grouped"].groups == 1
    assert layers["grouped"].kind == "conv2d"


def test_code_that_takes_more_than_the_budget_is_refused(archives, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(archives["scripted"]) as old, zipfile.ZipFile(content, "w") as new:
        for entry in old.infolist():
            is_conv = "/modules/conv" in entry.filename and entry.filename.endswith(".py")  # numbered, the second time
            method = zipfile.ZIP_DEFLATED if is_conv else zipfile.ZIP_STORED
            new.writestr(entry.filename, bytes(40_000_000) if is_conv else old.read(entry), method)
    (tmp_path / "bomb.pt").write_bytes(content.getvalue())
    with pytest.raises(ww.SourceError, match="more than 32,000,000 bytes besides"):
        ByName(PyTorchLoader()).open(tmp_path / "bomb.pt")


def test_a_bilinear_form_is_a_matrix_for_each_output():
    form = torch.nn.Bilinear(6, 7, 5)
    report = ww.analyze(form, metrics=["spectral_norm"], store=None)
    assert {row.kind for row in report.layers} == {"bilinear"}
    weight = form.weight.detach().numpy().astype(np.float64)
    largest = [np.linalg.norm(own, 2) for own in weight]
    found = [row.metrics["spectral_norm"].number for row in report.layers]
    np.testing.assert_allclose(found, largest, rtol=1e-12)


def test_a_module_of_torch_fx_has_the_names_of_its_state_dict(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, groups=4), torch.nn.Sequential(torch.nn.Linear(4, 3)))
    net.register_parameter("scale", torch.nn.Parameter(torch.ones(3, 3)))
    graph = torch.fx.symbolic_trace(net)
    torch.save(graph, tmp_path / "graph.pt")
    checkpoint = ByName(PyTorchLoader()).open(tmp_path / "graph.pt")
    tensors = {own.weight.name for own in checkpoint.layers} | {own.bias.name for own in checkpoint.layers if own.bias}
    assert tensors == {name for name in graph.state_dict() if "num_batches" not in name}
    assert {own.name: own.groups for own in checkpoint.layers}["0"] == 4
    assert any("asks to call torch.fx.graph_module.reduce_graph_module" in said for said in checkpoint.warnings)


class Own(torch.nn.Conv2d):
    """Somebody's own convolution, as timm has several."""


@pytest.mark.parametrize("way", ["pickled", "scripted"])
def test_a_convolution_of_ones_own_class_keeps_its_groups(tmp_path, way):
    net = torch.nn.Sequential(Own(16, 16, 3, groups=16), torch.nn.Linear(4, 3))
    if way == "pickled":
        torch.save(net, tmp_path / "net.pt")
    else:
        torch.jit.script(net).save(tmp_path / "net.pt")
    layers = {layer.name: layer for layer in ByName(PyTorchLoader()).open(tmp_path / "net.pt").layers}
    assert (layers["0"].kind, layers["0"].groups) == ("conv2d", 16)
    assert (layers["1"].kind, layers["1"].groups) == ("dense", 1)

"""PyTorch's files as people save them, against what torch itself reads in them."""

from __future__ import annotations

import collections
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.pytorch.loader import PyTorchLoader

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


def small_state():
    random = torch.Generator().manual_seed(0)
    return collections.OrderedDict({
        "conv1.weight": torch.randn(8, 3, 3, 3, generator=random),
        "bn1.weight": torch.randn(8, generator=random),
        "bn1.bias": torch.randn(8, generator=random),
        "bn1.running_mean": torch.randn(8, generator=random),
        "bn1.num_batches_tracked": torch.tensor(7),
        "layer.10.weight": torch.randn(12, 8, generator=random).to(torch.bfloat16),
        "layer.2.weight": torch.randn(10, 12, generator=random).double(),
        "layer.2.bias": torch.randn(10, generator=random).double(),
        "half.weight": torch.randn(6, 5, generator=random).half(),
    })  # fmt: skip


def as_bytes(tensor):
    flat = tensor.detach().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def wanted(state):
    floating = {name: tensor for name, tensor in state.items() if tensor.dtype.is_floating_point}
    return {n: (str(t.dtype).removeprefix("torch."), tuple(t.shape), as_bytes(t)) for n, t in floating.items()}


def save(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_legacy_anew(state, path):
    torch.save(state, path, pickle_protocol=4, _use_new_zipfile_serialization=False)


def save_pickle(state, path):
    path.write_bytes(pickle.dumps(state))


def save_arrays(state, path):
    floats = {name: tensor.float().numpy() for name, tensor in state.items()}
    path.write_bytes(pickle.dumps(floats))


def save_arrays_of_python_2(state, path):
    path.write_bytes(pickle.dumps({name: tensor.float().numpy() for name, tensor in state.items()}, 2))


@pytest.mark.parametrize("write", [save, save_legacy, save_legacy_anew, save_pickle])
@pytest.mark.parametrize("suffix", ["pt", "pth", "th", "bin", "ckpt"])
def test_every_container_gives_what_was_saved_in_its_order(write, suffix, tmp_path, loader, contents):
    path = tmp_path / f"model.{suffix}"
    write(small_state(), path)
    assert loader.probe(path) >= 0.4
    with loader.open(path) as checkpoint:
        assert contents(checkpoint) == wanted(small_state())
        names = ["conv1", "bn1", "layer.10", "layer.2", "half"]
        assert [layer.name for layer in checkpoint.layers] == names
        assert [spec.name for spec in checkpoint.buffers] == ["bn1.running_mean"]
        assert [(own.name, own.dtype) for own in checkpoint.skipped] == [("bn1.num_batches_tracked", "int64")]
        assert checkpoint.warnings == ()


@pytest.mark.parametrize("write", [save_arrays, save_arrays_of_python_2])
def test_arrays_of_numpy_in_a_pickle(write, tmp_path, loader, contents):
    state = {"fc.weight": torch.randn(40, 60), "small.weight": torch.randn(3, 2), "empty": torch.zeros(0, 3)}
    write(state, tmp_path / "model.pkl")
    assert contents(loader.open(tmp_path / "model.pkl")) == wanted({n: t.float() for n, t in state.items()})


@pytest.mark.parametrize("shape", [(3, 5), (60, 70)], ids=["held", "mapped"])
@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(">f8").T])
def test_arrays_in_any_layout(shape, change, tmp_path, loader, contents):
    array = change(np.random.default_rng(0).normal(size=shape).astype("f4"))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"w": array}))
    canonical = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    assert contents(loader.open(tmp_path / "m.pkl")) == {"w": (canonical.dtype.name, array.shape, canonical.tobytes())}


WRAPPED = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "best_acc1": 71.3},
    "model": lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(3, 3)}}}, "args": {"lr": 0.1}},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": s}}},
    "of another name": lambda s: {"step": 1, "my_network": s, "lr_scheduler": {"last": torch.ones(2, 2)}},
    "lightning": lambda s: {
        "epoch": 1, "pytorch-lightning_version": "2.1", "state_dict": s, "callbacks": {}, "loops": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4, 4)}}, "param_groups": [{"params": [0]}]}],
        "hyper_parameters": {"hidden": 3},
    },
    "data parallel": lambda s: {"state_dict": {f"module.{name}": tensor for name, tensor in s.items()}},
    "twice": lambda s: {f"module.module.{name}": tensor for name, tensor in s.items()},
    "compiled": lambda s: {f"_orig_mod.{name}": tensor for name, tensor in s.items()},
    "compiled and parallel": lambda s: {f"module._orig_mod.{name}": tensor for name, tensor in s.items()},
    "compiled in part": lambda s: {name.replace("layer.", "layer._orig_mod."): tensor for name, tensor in s.items()},
    "sharded data": lambda s: {name.replace("layer.", "_fsdp_wrapped_module.layer."): t for name, t in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_weights_are_found_under_their_own_names(wrap, tmp_path, loader, contents):
    torch.save(wrap(small_state()), tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert contents(checkpoint) == wanted(small_state())
    assert checkpoint.warnings == ()


AVERAGED = {
    "a module": lambda own: own,
    "a parallel module": nn.DataParallel,
    "a compiled module": lambda own: Compiled(own),
    "a dict": lambda own: own.state_dict(),
    "a checkpoint of training": lambda own: {"state_dict": own.state_dict(), "epoch": 3},
}


@pytest.mark.parametrize(("told", "wrap"), AVERAGED.items(), ids=AVERAGED)
@pytest.mark.filterwarnings("ignore:.*whose code was not run")
def test_an_averaged_model_has_the_layers_of_the_plain_one(told, wrap, net, tmp_path):
    averaged, plain = wrap(torch.optim.swa_utils.AveragedModel(net)), net if "module" in told else net.state_dict()
    torch.save(averaged, tmp_path / "averaged.pt")
    described = ww.describe(tmp_path / "averaged.pt")
    names = [layer.name for layer in ww.describe(plain).layers]
    assert [layer.name for layer in described.layers] == names
    assert "n_averaged" in {name for name, *_ in described.skipped}
    statuses = {layer.name: layer.status for layer in ww.diff(tmp_path / "averaged.pt", plain).layers}
    assert statuses == dict.fromkeys(names, "same")


def test_the_count_of_averaged_models_is_no_layer_and_makes_no_norm(tmp_path, loader):
    averaged = {"n_averaged": torch.ones(()), "module.weight": torch.ones(3, 4), "module.shift": torch.ones(3)}
    torch.save(averaged, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert [(layer.name, str(layer.kind)) for layer in checkpoint.layers] == [("weight", "dense"), ("shift", "other")]
    assert [own.name for own in checkpoint.buffers] == ["n_averaged"]


def test_an_average_of_averages_and_a_count_alone_are_answered(net, tmp_path, loader):
    averaged = torch.optim.swa_utils.AveragedModel
    torch.save(averaged(averaged(nn.Linear(3, 2))).state_dict(), tmp_path / "twice.pt")
    assert [layer.name for layer in loader.open(tmp_path / "twice.pt").layers] == ["module.module"]
    torch.save({"n_averaged": torch.ones(2, 2)}, tmp_path / "count.pt")
    assert loader.open(tmp_path / "count.pt").layers == ()


def test_what_else_may_be_weights_is_named(tmp_path, loader, contents):
    ema = {name: tensor + 1 for name, tensor in small_state().items()}
    torch.save({"model_ema": ema, "state_dict": small_state(), "loss": torch.ones(2)}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert contents(checkpoint) == wanted(small_state())
    [warning] = checkpoint.warnings
    assert "m.pt: tensors under these keys are not among the weights that are read: 'model_ema', 'loss'" in warning


def test_several_networks_of_one_file_keep_their_names_apart(tmp_path, loader):
    torch.save({"gen": {"fc.weight": torch.ones(2, 3)}, "dis": {"fc.weight": torch.ones(3, 2)}}, tmp_path / "gan.pt")
    assert [layer.name for layer in loader.open(tmp_path / "gan.pt").layers] == ["gen.fc", "dis.fc"]


def test_names_that_would_clash_without_their_wrapper_are_kept(tmp_path, loader):
    torch.save({"a.weight": torch.ones(2, 3), "_orig_mod.a.weight": torch.zeros(2, 3)}, tmp_path / "m.pt")
    assert [layer.name for layer in loader.open(tmp_path / "m.pt").layers] == ["a", "_orig_mod.a"]


VIEWS = {
    "transposed": lambda base: base.T,
    "rows": lambda base: base[3:7],
    "columns": lambda base: base[:, 2:5],
    "every other": lambda base: base[::2, 1::3],
    "permuted": lambda base: base.reshape(5, 4, 8).permute(2, 0, 1),
    "scalar": lambda base: base[3, 3],
    "empty": lambda base: base[:0],
    "one row": lambda base: base[4:5].T,
}


@pytest.mark.parametrize("write", [save, save_legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_read_as_the_tensor_it_shows(view, write, tmp_path, loader, contents):
    base = torch.arange(160.0).reshape(20, 8)
    write({"x": view(base), "base": base}, tmp_path / "m.pt")
    assert contents(loader.open(tmp_path / "m.pt")) == wanted({"x": view(base), "base": base})


@pytest.mark.parametrize("write", [save, save_legacy], ids=["zip", "legacy"])
def test_tied_weights_are_one_layer_and_one_content(write, tmp_path, loader, contents):
    shared = torch.randn(5, 4)
    write({"embed.weight": shared, "head.weight": shared, "head.bias": torch.ones(5)}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert [layer.name for layer in checkpoint.layers] == ["embed", "head.bias"]
    [tied] = checkpoint.skipped
    assert (tied.name, tied.tied_to, tied.size) == ("head.weight", "embed.weight", 0)
    assert "tied" in tied.reason
    once = {"embed.weight": shared, "head.bias": torch.ones(5)}
    assert contents(checkpoint) == wanted(once)
    assert ww.analyze(tmp_path / "m.pt").coverage.parameters == 25
    assert ww.analyze(tmp_path / "m.pt").digest == ww.analyze(once).digest


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_the_byte_order_of_an_archive_counts(byteorder, tmp_path, loader, contents):
    state = {"w": torch.randn(5, 4)}
    torch.save(state, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as old, zipfile.ZipFile(tmp_path / "n.pt", "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("byteorder"):
                content = byteorder.encode()
            elif "/data/" in entry.filename and byteorder == "big":
                content = np.frombuffer(content, "<f4").byteswap().tobytes()
            new.writestr(entry.filename, content)
    assert contents(loader.open(tmp_path / "n.pt")) == wanted(state)
    assert torch.equal(torch.load(tmp_path / "n.pt")["w"], state["w"])


class Net(nn.Module):
    """Something of everything."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 16)
        self.conv = nn.Conv2d(8, 16, 3, groups=4)
        self.up = nn.ConvTranspose2d(16, 8, 2, groups=2)
        self.bn = nn.BatchNorm2d(16)
        self.ln = nn.LayerNorm((4, 5, 6))
        self.lstm = nn.LSTM(16, 12)
        self.att = nn.MultiheadAttention(16, 4)
        self.blocks = nn.ModuleList([nn.Linear(16, 16), nn.Sequential(nn.Linear(16, 16), nn.ReLU())])
        self.again = self.blocks[0]
        self.head = nn.Linear(16, 20)
        self.head.weight = self.emb.weight
        self.free = nn.Parameter(torch.randn(3, 7))
        self.register_buffer("passing", torch.ones(5), persistent=False)
        self.register_buffer("scale", torch.ones(5))


KINDS = {
    "free": ("dense", 1), "emb": ("embedding", 1), "conv": ("conv2d", 4), "up": ("conv2d", 2), "bn": ("norm", 1),
    "ln": ("norm", 1), "lstm.weight_ih_l0": ("recurrent", 1), "lstm.weight_hh_l0": ("recurrent", 1),
    "att.in_proj_weight": ("qkv", 1), "att.out_proj": ("dense", 1), "blocks.0": ("dense", 1),
    "blocks.1.0": ("dense", 1), "head.bias": ("other", 1),
}  # fmt: skip


def kinds_of(checkpoint):
    return {layer.name: (str(layer.kind), layer.groups) for layer in checkpoint.layers}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return Net()


@pytest.mark.parametrize("write", [save, save_legacy], ids=["zip", "legacy"])
def test_a_pickled_module_is_read_with_its_kinds_and_not_made(write, net, tmp_path, loader, contents):
    write(net, tmp_path / "net.pt")
    checkpoint = loader.open(tmp_path / "net.pt")
    assert kinds_of(checkpoint) == KINDS
    assert {own.name for own in checkpoint.buffers} == {"scale", "bn.running_mean", "bn.running_var"}
    once = {n: t for n, t in net.state_dict().items() if n != "head.weight" and not n.startswith("again.")}
    assert contents(checkpoint) == wanted(once)
    [warning] = checkpoint.warnings
    assert f"net.pt: it holds objects of {Net.__module__}.Net, whose code was not run" in warning


def test_a_module_of_pytorchs_own_layers_is_no_cause_for_a_warning(tmp_path, loader):
    torch.save(nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.ReLU(), nn.Linear(6, 2)), tmp_path / "net.pt")
    checkpoint = loader.open(tmp_path / "net.pt")
    assert kinds_of(checkpoint) == {"0": ("conv1d", 2), "2": ("dense", 1)}
    assert checkpoint.warnings == ()


def test_a_scripted_module_is_read(tmp_path, loader, contents):
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Linear(6, 2))
    torch.jit.script(module).save(tmp_path / "net.pt")
    assert contents(loader.open(tmp_path / "net.pt")) == wanted(module.state_dict())


class Compiled(nn.Module):
    """What torch.compile makes of a module, as far as names go: importing all it needs takes twenty seconds."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, Compiled], ids=["plain", "parallel", "compiled"])
def test_a_module_in_memory_tells_its_kinds(wrap, net):
    from ww_plugins.loaders.pytorch.modules import ModuleLoader

    module = wrap(net)
    loader = ByName(ModuleLoader())
    assert loader.probe(module) >= 0.9
    checkpoint = loader.open(module)
    assert kinds_of(checkpoint) == KINDS
    tied = {own.name: own.tied_to for own in checkpoint.skipped if own.tied_to}
    assert tied == {
        "head.weight": "emb.weight", "again.weight": "blocks.0.weight", "again.bias": "blocks.0.bias",
    }  # fmt: skip
    assert ww.analyze(module).coverage.parameters == sum(p.numel() for p in net.parameters()) + 5 + 2 * 16 + 1


def test_a_module_is_read_as_it_is_now(net):
    module = nn.Linear(4, 3)
    before = ww.analyze(module).digest
    with torch.no_grad():
        module.weight += 1
    assert ww.analyze(module).digest != before


def test_a_module_whose_weights_are_not_there_yet_is_answered():
    report = ww.analyze(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, device="meta")))
    assert [row.name for row in report.layers] == ["0"]
    assert {skip.name for skip in report.coverage.reasons} >= {"1.weight", "1.bias"}
    assert any("device meta" in skip.reason for skip in report.coverage.reasons)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_tensors_without_a_shape_are_listed_beside_the_others():
    lazy = ww.analyze(nn.Sequential(nn.Linear(4, 3), nn.LazyLinear(2)))
    assert [row.name for row in lazy.layers] == ["0"]
    ragged = torch.nested.nested_tensor([torch.ones(3, 4), torch.ones(2, 4)])
    nested = ww.analyze({"0.weight": torch.eye(3), "1.weight": ragged})
    assert [row.name for row in nested.layers] == ["0"]
    for report in (lazy, nested):
        assert "no shape" in {skip.name: skip.reason for skip in report.coverage.reasons}["1.weight"]


def test_one_network_in_every_form_is_one_checkpoint(net, tmp_path):
    from safetensors.torch import save_file

    forms = {"module": net, "parallel": nn.DataParallel(net), "dict": net.state_dict()}
    save(net.state_dict(), tmp_path / "zip.pt")
    save_legacy({"state_dict": nn.DataParallel(net).state_dict()}, tmp_path / "legacy.th")
    save(net, tmp_path / "module.pt")
    once = {n: t for n, t in net.state_dict().items() if n != "head.weight" and not n.startswith("again.")}
    save_pickle(once, tmp_path / "plain.pkl")
    save_file(once, tmp_path / "a.safetensors")
    save_file({f"module.{name}": tensor for name, tensor in once.items()}, tmp_path / "b.safetensors")
    store = tmp_path / "s.sqlite"
    first = ww.analyze(net, store=store, name="first")
    assert first.run.computed == len(first.layers)
    computed = 0
    for form in [*forms.values(), *sorted(path for path in tmp_path.iterdir() if ".sqlite" not in path.name)]:
        again = ww.analyze(form, store=store, name="again", groups={"conv": 4, "up": 2})
        assert again.digest == first.digest
        metrics = {row.name: row.metrics for row in again.layers if row.name != "ln"}
        assert metrics == {row.name: row.metrics for row in first.layers}
        computed += again.run.computed
    assert computed == 1  # "ln", which is a norm of three axes: to who sees the shape alone, a convolution


def shards(folder, *, index=True, suffix="bin"):
    folder.mkdir()
    state = small_state()
    names = [f"pytorch_model-0000{n}-of-00002.{suffix}" for n in (1, 2)]
    parts = [dict(list(state.items())[:4]), dict(list(state.items())[4:])]
    for name, part in zip(names, parts, strict=True):
        torch.save(part, folder / name)
    if index:
        weight_map = {tensor: name for name, part in zip(names, parts, strict=True) for tensor in part}
        (folder / f"pytorch_model.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one_model(index, tmp_path, loader, contents):
    folder = shards(tmp_path / "model", index=index)
    (folder / "config.json").write_text("{}")
    assert loader.probe(folder) == 0.8
    assert contents(loader.open(folder)) == wanted(small_state())
    if index:
        path = folder / "pytorch_model.bin.index.json"
        assert loader.probe(path) == 1.0
        assert contents(loader.open(path)) == wanted(small_state())
    one = loader.open(folder / "pytorch_model-00001-of-00002.bin")
    assert "name its folder" in one.warnings[0]


def test_a_folder_of_a_trainer_is_its_model(tmp_path, loader, contents):
    torch.save(small_state(), tmp_path / "pytorch_model.bin")
    torch.save({"state": {0: torch.ones(3)}}, tmp_path / "optimizer.pt")
    torch.save({"lr": 0.1}, tmp_path / "training_args.bin")
    assert contents(loader.open(tmp_path)) == wanted(small_state())


def test_a_folder_with_both_formats_is_read_as_safetensors(tmp_path):
    from safetensors.torch import save_file

    torch.save({"fc.weight": torch.ones(3, 2)}, tmp_path / "pytorch_model.bin")
    save_file({"fc.weight": torch.ones(3, 2)}, tmp_path / "model.safetensors")
    assert ww.describe(tmp_path).format == "safetensors"


ODD = {
    "quantized": (lambda: torch.quantize_per_tensor(torch.randn(8, 6), 0.1, 3, torch.qint8), lambda t: t.dequantize()),
    "sparse": (lambda: torch.randn(6, 8).relu().to_sparse(), lambda t: t.to_dense()),
}


@pytest.mark.parametrize(("make", "plain"), ODD.values(), ids=ODD)
def test_what_is_no_row_of_numbers_is_read_by_torch_apart(make, plain, tmp_path, loader, contents):
    odd = make()
    torch.save({"model": {"odd.weight": odd, "fc.weight": torch.ones(4, 3)}}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert contents(checkpoint) == wanted({"odd.weight": plain(odd), "fc.weight": torch.ones(4, 3)})


def test_a_tensor_that_becomes_larger_than_its_file_is_read_too(tmp_path, loader, contents):
    """As a sparse table of embeddings does."""
    few = torch.sparse_coo_tensor(torch.tensor([[0, 999], [3, 5]]), torch.ones(2), (1000, 1000))
    blocks = torch.eye(900).to_sparse_csr()
    flat = torch.quantize_per_tensor(torch.ones(1, 1), 0.1, 3, torch.qint8).expand(900, 900)
    state = {"few.weight": few, "blocks.weight": blocks, "flat.weight": flat, "fc.weight": torch.ones(4, 3)}
    torch.save(state, tmp_path / "m.pt")
    plain = {name: t.dequantize() if t.is_quantized else t.to_dense() for name, t in state.items()}
    assert contents(loader.open(tmp_path / "m.pt")) == wanted(plain)


LOW_RANK = torch.randn(48, 3, generator=torch.Generator().manual_seed(4)) @ torch.randn(
    3, 40, generator=torch.Generator().manual_seed(5)
)


def quantized_by(axis):
    """A matrix of rank 3, quantized with a scale for the tensor or for each channel of an axis, and the scales."""
    if axis is None:
        scale = float(LOW_RANK.abs().max()) / 127
        return torch.quantize_per_tensor(LOW_RANK, scale, 3, torch.qint8), scale
    scales = LOW_RANK.abs().amax(1 - axis).double() / 127
    zeros = torch.zeros(len(scales), dtype=torch.long)
    return torch.quantize_per_channel(LOW_RANK, scales, zeros, axis, torch.qint8), scales


def test_a_quantized_tensor_has_the_rounding_of_its_scales(tmp_path, loader):
    made = {f"q{axis}.weight": quantized_by(axis) for axis in (None, 0, 1)}
    qparams = torch.quantize_per_channel(
        torch.rand(6, 5), torch.full((6,), 1 / 255), torch.zeros(6), 0, torch.quint8
    )  # with zero points between numbers, as embeddings have them
    state = {name: tensor for name, (tensor, _) in made.items()} | {"e.weight": qparams, "fc.weight": torch.ones(4, 3)}
    torch.save(state, tmp_path / "m.pth")
    specs = {layer.name: layer.weight for layer in loader.open(tmp_path / "m.pth").layers}
    for axis, name in ((None, "qNone"), (0, "q0"), (1, "q1")):
        scales = np.atleast_1d(np.asarray(made[f"{name}.weight"][1]))
        largest, mean = scales.max(), np.sqrt(np.square(scales).mean())
        rounding = specs[name].rounding
        assert rounding.epsilon == 2.0**-23
        expected = (mean, largest) if axis == 1 else (largest, mean)
        assert (rounding.row_step, rounding.col_step) == pytest.approx(expected, rel=1e-12)
    assert specs["e"].rounding.row_step == pytest.approx(1 / 255, rel=1e-6)
    assert specs["fc"].rounding == ww.ROUNDINGS["float32"]
    rows = {row.name: row.metrics["hard_rank"].value for row in ww.analyze(tmp_path / "m.pth").layers}
    assert [rows[name] for name in ("qNone", "q0", "q1")] == [3, 3, 3]


def test_a_scale_that_is_no_number_costs_no_other_tensor(tmp_path, loader):
    broken = torch._make_per_tensor_quantized_tensor(torch.ones(4, 3, dtype=torch.int8), float("nan"), 0)
    turned = torch._make_per_tensor_quantized_tensor(torch.ones(4, 3, dtype=torch.int8), -0.5, 0)
    torch.save({"broken.weight": broken, "turned.weight": turned}, tmp_path / "m.pth")
    specs = {layer.name: layer.weight for layer in loader.open(tmp_path / "m.pth").layers}
    assert specs["broken"].rounding == ww.ROUNDINGS["float32"]
    assert specs["turned"].rounding.row_step == 0.5


def test_a_quantized_tensor_of_a_module_in_memory_is_skipped_with_its_reason():
    module = torch.nn.Module()
    module.register_buffer("weight", quantized_by(0)[0])
    module.fc = torch.nn.Linear(3, 4)
    described = ww.describe(module)
    assert [layer.name for layer in described.layers] == ["fc"]
    assert described.skipped[0][-1] == "the tensor is quantized: its numbers do not lie in a row"


@pytest.mark.parametrize("found", ["", "2.5.1"], ids=["missing", "unsafe"])
def test_without_a_safe_torch_such_a_tensor_is_listed_with_the_next_step(found, tmp_path, loader, monkeypatch):
    from ww_plugins.loaders.pytorch import weights_only

    def version(_):
        if not found:
            raise weights_only.PackageNotFoundError
        return found

    monkeypatch.setattr(weights_only, "version", version)
    torch.save({"odd.weight": torch.randn(6, 8).to_sparse(), "fc.weight": torch.ones(4, 3)}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert [layer.name for layer in checkpoint.layers] == ["fc"]
    [skip] = checkpoint.skipped
    assert skip.name == "odd.weight"
    assert "the tensor is sparse: reading it" in skip.reason
    assert "pip install" in skip.reason


def test_an_expanded_tensor_is_listed_and_not_blown_up(tmp_path, loader):
    torch.save({"x": torch.ones(1).expand(10**6, 10**6), "w": torch.ones(3, 2)}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert [layer.name for layer in checkpoint.layers] == ["w"]
    assert checkpoint.skipped[0].reason == "the tensor shows 1 numbers as 1000000000000"
    assert ww.analyze(tmp_path / "m.pt", memory=10**8).failures == ()


def test_dtypes_that_are_not_analysed_are_listed(tmp_path, loader):
    kinds = [
        torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int8, torch.uint8, torch.bool, torch.uint16,
    ]  # fmt: skip
    torch.save({str(kind): torch.zeros(4, 3).to(kind) for kind in kinds}, tmp_path / "m.pt")
    names = [str(kind).removeprefix("torch.") for kind in kinds]
    assert [own.dtype for own in loader.open(tmp_path / "m.pt").skipped] == names


def test_neither_torch_nor_what_a_file_names_is_imported(tmp_path):
    torch.save({"state_dict": small_state()}, tmp_path / "m.pt")
    torch.save(Net(), tmp_path / "net.pt")
    program = (
        "import sys, ww_core as ww\n"
        "for path in sys.argv[1:]: ww.analyze(path)\n"
        "print([name for name in ('torch', 'collections.abc.x', 'tests', 'test_pytorch') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "m.pt"), str(tmp_path / "net.pt")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_reading_a_tensor_maps_its_bytes_and_nothing_else(tmp_path, loader):
    torch.save({"big": torch.zeros(2048, 2048), "w": torch.ones(3, 2)}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    place = checkpoint.locate(checkpoint.layers[0].weight)
    assert place is not None
    assert place.nbytes == 4 * 2048**2
    with checkpoint.read(checkpoint.layers[0].weight) as array:
        assert not array.flags.owndata


CHECKPOINTS = Path(__file__).parents[3] / "shared" / "data" / "checkpoints"


@pytest.mark.parametrize(("name", "matrices"), [("resnet20-cifar10.th", 20), ("resnet56-cifar10.th", 56)])
def test_real_checkpoints_of_2018(name, matrices, loader, contents, tmp_path):
    path = CHECKPOINTS / name
    if not path.exists():
        pytest.skip("the real checkpoints lie beside the project, not in it")
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    plain = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    assert contents(loader.open(path)) == wanted(plain)
    report = ww.analyze(path, store=tmp_path / "s.sqlite")
    assert len(report.layers) == report.run.computed == matrices
    again = ww.analyze(plain, store=tmp_path / "s.sqlite")
    assert (again.digest, again.run.computed, again.run.reused) == (report.digest, 0, matrices)


def test_an_optimizers_state_is_no_weight_whatever_its_key(net, tmp_path, loader):
    module = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    saved = {"gen": module.state_dict(), "dis": nn.Linear(3, 2).state_dict(), "g_opt": optimizer.state_dict()}
    torch.save(saved, tmp_path / "gan.pt")
    for source in (tmp_path / "gan.pt", saved):
        assert [row.name for row in ww.analyze(source).layers] == ["gen", "dis"]
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    with pytest.raises(ww.SourceError, match=r"optimizer\.pt: no tensor of a model is in it"):
        loader.open(tmp_path / "optimizer.pt")


def test_weights_that_stand_under_a_key_of_training_too_are_found(tmp_path, loader, contents):
    torch.save({"callbacks": {"best": small_state()}, "state_dict": small_state()}, tmp_path / "a.pt")
    state = small_state()
    torch.save({"callbacks": {"best": state}, "state_dict": state}, tmp_path / "b.pt")
    for path in (tmp_path / "a.pt", tmp_path / "b.pt"):
        assert contents(loader.open(path)) == wanted(small_state())


def test_a_state_dict_that_stands_twice_is_listed_twice_and_counted_once(tmp_path, loader):
    state = {"fc.weight": torch.ones(3, 2)}
    torch.save({"x": state, "y": state}, tmp_path / "m.pt")
    checkpoint = loader.open(tmp_path / "m.pt")
    assert [layer.name for layer in checkpoint.layers] == ["x.fc"]
    assert [(own.name, own.tied_to) for own in checkpoint.skipped] == [("y.fc.weight", "x.fc.weight")]


def test_two_tensors_of_one_name_are_an_error(tmp_path, loader):
    saved = {"a.b": torch.ones(2, 2), "a": {"b": torch.zeros(2, 2)}}
    torch.save(saved, tmp_path / "m.pt")
    with pytest.raises(ww.SourceError, match=r"m\.pt: two tensors have the name 'a\.b'"):
        loader.open(tmp_path / "m.pt")
    with pytest.raises(ww.SourceError, match=r"two tensors have the name 'a\.b'"):
        ww.analyze(saved)


def test_the_name_of_a_single_module_is_kept():
    report = ww.analyze({"params": {"Dense_0": {"kernel": torch.ones(5, 4), "bias": torch.ones(4)}}})
    assert [row.name for row in report.layers] == ["Dense_0.kernel"]


def test_tensors_that_a_mapping_makes_on_demand_are_not_taken_for_one():
    class OnDemand(dict):
        def __getitem__(self, key):
            return torch.full((4, 4), float(super().__getitem__(key)))

    report = ww.analyze(OnDemand({f"{number}.weight": number for number in range(1, 7)}))
    assert [row.name for row in report.layers] == list("123456")


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.ones(2, 8))])
def test_a_scripted_module_in_memory_is_the_module(make):
    module = nn.Sequential(nn.Linear(8, 9), nn.BatchNorm1d(9)).eval()
    assert ww.analyze(make(module)).digest == ww.analyze(module).digest


def test_a_call_beside_what_cannot_be_analysed_is_named_too(tmp_path):
    class Gift:
        def __reduce__(self):
            return print, ("opened",)

    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"vector": np.ones(3, "f4"), "gift": Gift()}))
    with pytest.raises(ww.SourceError, match=r"nothing in it can be analysed.*asks to call builtins\.print"):
        ww.analyze(tmp_path / "m.pkl")

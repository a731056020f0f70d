"""What is said of the calls in a pickle: nothing of tensors, one calm sentence of objects, a warning of the rest."""

from __future__ import annotations

import importlib.util

import pytest
from naming import ByName
from torch_files import (
    NUMBERS,
    USUAL,
    Code,
    Entry,
    array,
    built,
    call,
    code,
    in_plain,
    in_zip,
    named,
    pickled,
    tensor,
    zip_of,
)

from ww_plugins.loaders.pytorch.loader import PyTorchLoader

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


def scripted():
    """TorchScript as PyTorch lays it out: storages first, types of its own."""
    root = built(
        Code(named("__torch__.torch.nn.modules.linear.Linear") + code(()) + b"\x81"),
        {"training": False, "weight": tensor()},
    )
    return zip_of(
        Entry(b"net/data/0", USUAL["0"]),
        Entry(b"net/data.pkl", pickled(root)),
        Entry(b"net/code/__torch__.py", b"x" * 5000),
        Entry(b"net/constants.pkl", pickled(())),
        Entry(b"net/version", b"3\n"),
    )


@pytest.mark.parametrize("name", ["net.pt", "net.torchscript", "net"])
def test_torchscript_is_known_by_its_directory(name, tmp_path, loader, contents):
    path = tmp_path / name
    whole = zip_of(Entry(b"net/data/0", USUAL["0"]), *(Entry(b"net/extra/%d" % n, bytes(900)) for n in range(9)))
    path.write_bytes(whole)
    assert loader.probe(path) < 0.5
    path.write_bytes(scripted())
    assert loader.probe(path) == 0.9
    checkpoint = loader.open(path)
    assert contents(checkpoint)["weight"][2] == NUMBERS.tobytes()
    [warning] = checkpoint.warnings
    assert "it is TorchScript, whose code was not run" in warning
    assert "call" not in warning


def test_a_call_in_torchscript_is_an_attack_all_the_same(tmp_path, loader):
    evil = pickled({"a": tensor(), "evil": call("posix.system", "x"), "own": call("__torch__.os.system", "x")})
    content = zip_of(Entry(b"n/data.pkl", evil), Entry(b"n/data/0", USUAL["0"]), Entry(b"n/constants.pkl", pickled(())))
    (tmp_path / "net.pt").write_bytes(content)
    warnings = loader.open(tmp_path / "net.pt").warnings
    assert any("asks to call posix.system:" in warning for warning in warnings)


def new(dotted, *arguments, state=None):
    made = Code(named(dotted) + code(arguments) + b"\x81")
    return made if state is None else built(made, state)


CALM = {
    "one's own class": lambda: new("my_project.models.Net", state={"x": 1}),
    "another's class": lambda: new("ultralytics.nn.tasks.DetectionModel", state={"x": 1}),
    "of the script itself": lambda: new("__main__.Net", state=(None, {"x": 1})),
    "by copyreg": lambda: built(
        call("copy_reg._reconstructor", named("my.Net"), named("__builtin__.object"), None), {"x": 1}
    ),
    "by __newobj__": lambda: built(call("copyreg.__newobj__", named("my.Net")), {"x": 1}),
    "with arguments by name": lambda: Code(named("my.Net") + code(()) + code({"x": 1}) + b"\x92"),
}


@pytest.mark.parametrize("wrap", [in_zip, in_plain], ids=["zip", "plain"])
@pytest.mark.parametrize("case", CALM)
def test_an_object_of_a_class_of_ones_own_is_one_calm_sentence(case, wrap, tmp_path, loader):
    tensors = {"fc.weight": array(NUMBERS)}
    (tmp_path / "net.pt").write_bytes(wrap({"state_dict": tensors, "net": CALM[case]()}))
    [warning] = loader.open(tmp_path / "net.pt").warnings
    assert "it holds objects of" in warning
    assert "whose code was not run" in warning
    assert not any(word in warning for word in ("asks to", "call", "usual way"))


SILENT = {
    "paths": lambda: call("pathlib.PosixPath", "/", "home"),
    "times": lambda: call("datetime.timedelta", 1, 2, 3),
    "arguments": lambda: new("argparse.Namespace", state={"lr": 0.1}),
    "types of Python 2": lambda: {"of": named("__builtin__.long"), "range": call("__builtin__.xrange", 0, 3, 1)},
    "hints of types": lambda: {"ref_type": named("typing.Any"), "of": named("typing.Union")},
    "activations": lambda: {"act": named("torch.nn.functional.relu"), "gelu": named("torch._C._nn.gelu")},
}


@pytest.mark.parametrize("case", SILENT)
def test_what_can_do_nothing_is_no_cause_for_a_word(case, tmp_path, loader):
    (tmp_path / "net.pt").write_bytes(in_zip({"state_dict": {"fc.weight": tensor()}, "config": SILENT[case]()}))
    assert loader.open(tmp_path / "net.pt").warnings == ()


ATTACKS = {
    "a class of Python's own": (lambda: new("subprocess.Popen", ["x"]), "asks to call subprocess.Popen"),
    "an iterator that is run": (
        lambda: new("collections.deque", new("builtins.map", named("my.f"), [1])), "builtins.map",
    ),
    "an own class that is called": (lambda: call("my.Net", "x"), "asks to call my.Net"),
    "an own class that is new and called": (lambda: [new("my.Net"), call("my.Net", "x")], "asks to call my.Net"),
    "OBJ": (lambda: Code(b"(" + named("my.Net") + code("x") + b"o"), "asks to call my.Net"),
    "a base that begins": (
        lambda: call("copyreg._reconstructor", named("my.Net"), named("subprocess.Popen"), ["x"]),
        "my.Net, subprocess.Popen",
    ),
    "a base of another kind": (
        lambda: call("copyreg._reconstructor", named("my.Net"), named("my.Base"), None), "asks to call my.Net, my.Base",
    ),
    "a method put into an object": (
        lambda: built(new("my.Net", state={"__setstate__": named("posix.system")}), "touch x"), "names posix.system",
    ),
    "a method of a class": (lambda: built(named("my.Net"), {"x": 1}), "asks to call my.Net"),
    "code of torch.fx": (lambda: call("torch.fx.graph_module.reduce_graph_module", {}, ""), "reduce_graph_module"),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTACKS)
def test_the_words_for_an_attack_are_kept_for_calls(case, tmp_path, loader):
    make, says = ATTACKS[case]
    (tmp_path / "net.pt").write_bytes(in_zip({"state_dict": {"fc.weight": tensor()}, "odd": make()}))
    warnings = loader.open(tmp_path / "net.pt").warnings
    assert any(says in warning and "the usual way" in warning for warning in warnings), warnings


@needs_torch
def test_a_model_of_ones_own_class_is_one_calm_sentence(tmp_path, loader):
    import torch

    class Net(torch.nn.Module):
        pass

    Net.__qualname__ = Net.__name__ = "OwnNet"
    Net.__module__, globals()["OwnNet"] = __name__, Net
    net = Net()
    net.fc, net.act = torch.nn.Linear(3, 4), torch.nn.functional.relu
    for new_format in (True, False):
        torch.save(net, tmp_path / "net.pt", _use_new_zipfile_serialization=new_format)
        checkpoint = loader.open(tmp_path / "net.pt")
        assert [layer.name for layer in checkpoint.layers] == ["fc"]
        [warning] = checkpoint.warnings
        assert f"it holds objects of {__name__}.OwnNet, whose code was not run" in warning

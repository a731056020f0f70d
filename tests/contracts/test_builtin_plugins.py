"""ww's own plugins keep the contracts that ww ships for everybody's."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file

import ww_core as ww
import ww_plugins.devices
import ww_plugins.executors
import ww_plugins.extractors
import ww_plugins.importers
import ww_plugins.loaders
import ww_plugins.metrics
import ww_plugins.openers
import ww_plugins.profiles
from ww_core.testing import (
    CommandContract,
    DeviceContract,
    ExecutorContract,
    ExtractorContract,
    ImporterContract,
    LoaderContract,
    MetricContract,
    ObserverContract,
    OpenerContract,
    ProfileContract,
)


class TestMetrics(MetricContract):
    plugin = ww_plugins.metrics


class TestExtractors(ExtractorContract):
    plugin = ww_plugins.extractors


class TestProfiles(ProfileContract):
    plugin = ww_plugins.profiles


class TestExecutors(ExecutorContract):
    plugin = ww_plugins.executors


class TestDevices(DeviceContract):
    plugin = ww_plugins.devices


class TestFiles(OpenerContract):
    plugin = ww_plugins.openers

    def place(self, folder):
        return str(folder)

    def write(self, address, content):
        Path(address).write_bytes(content)

    def remove(self, address):
        Path(address).unlink()


class TestFileAddresses(TestFiles):
    def place(self, folder):
        return folder.as_uri()

    def write(self, address, content):
        super().write(address.removeprefix("file://"), content)

    def remove(self, address):
        super().remove(address.removeprefix("file://"))


class TestRemote(OpenerContract):
    plugin = ww_plugins.openers

    def place(self, folder):
        return f"memory://{folder.name}"

    def write(self, address, content):
        fsspec = pytest.importorskip("fsspec")
        with fsspec.open(address, "wb") as file:
            file.write(content)

    def remove(self, address):
        pytest.importorskip("fsspec").filesystem("memory").rm(address.removeprefix("memory:/"))


class TestSafetensors(LoaderContract):
    plugin = ww_plugins.loaders
    name = "safetensors"

    def write(self, weights, folder):
        path = Path(folder) / "sample.safetensors"
        save_file(dict(weights), path)
        return path


class TestNpz(LoaderContract):
    plugin = ww_plugins.loaders
    name = "npz"

    def write(self, weights, folder):
        path = Path(folder) / "sample.npz"
        np.savez(path, **dict(weights))
        return path


class TestCompressedNpz(TestNpz):
    def write(self, weights, folder):
        path = Path(folder) / "sample.npz"
        np.savez_compressed(path, **dict(weights))
        return path


class TestPyTorch(LoaderContract):
    plugin = ww_plugins.loaders
    name = "pytorch"

    def write(self, weights, folder):
        torch = pytest.importorskip("torch")
        path = Path(folder) / "sample.pt"
        torch.save({name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}, path)
        return path


class TestLegacyPyTorch(TestPyTorch):
    def write(self, weights, folder):
        path = Path(folder) / "sample.th"
        torch = pytest.importorskip("torch")
        state = {name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}
        torch.save(state, path, _use_new_zipfile_serialization=False)
        return path


class TestOnnx(LoaderContract):
    plugin = ww_plugins.loaders
    name = "onnx"

    def write(self, weights, folder):
        onnx = pytest.importorskip("onnx")
        nodes = []
        for name, weight in weights.items():
            bias = [f"{name.removesuffix('.weight')}.bias"] if name == "square.weight" else []
            if name.endswith(".weight") and weight.ndim == 2:
                nodes.append(onnx.helper.make_node("Gemm", ["x", name, *bias], [f"{name}:y"], transB=1))
            elif name.endswith(".weight") and weight.ndim == 4:
                nodes.append(onnx.helper.make_node("Conv", ["x", name], [f"{name}:y"]))
        tensors = [onnx.numpy_helper.from_array(np.asarray(weight), name) for name, weight in weights.items()]
        path = Path(folder) / "sample.onnx"
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [], [], tensors)), path)
        return path


class TestKeras(LoaderContract):
    """Files as Keras 2 writes them, which name every variable."""

    plugin = ww_plugins.loaders
    name = "keras"

    def write(self, weights, folder):
        h5py = pytest.importorskip("h5py")
        path = Path(folder) / "sample.h5"
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = np.array([b"square"])
            for name, weight in weights.items():
                layer, last = self.place(name, weight)
                file.require_group(f"{layer}/{layer}").create_dataset(last, data=self.stored(weight))
        return path

    def place(self, name, weight):
        layer, _, last = name.partition(".")
        usual = {"weight": "gamma" if weight.ndim == 1 else "kernel"}
        return layer, usual.get(last, last or "value")

    def stored(self, weight):
        if weight.dtype == bool or weight.ndim < 2:
            return weight
        return weight.transpose(*range(2, weight.ndim), 1, 0)

    def tensor_name(self, name):
        layer, _, last = name.partition(".")
        return f"{layer}/{'gamma' if name == 'norm.weight' else {'weight': 'kernel'}.get(last, last or 'value')}"


class TestModule(LoaderContract):
    plugin = ww_plugins.loaders
    name = "torch-module"

    def write(self, weights, folder):
        torch = pytest.importorskip("torch")
        root = torch.nn.Module()
        for name, weight in weights.items():
            *path, last = name.split(".")
            module = root
            for part in path:
                module = module._modules.setdefault(part, torch.nn.Module())  # add_module refuses the name "half"
            tensor = torch.from_numpy(weight.copy())
            if tensor.is_floating_point():
                module.register_parameter(last, torch.nn.Parameter(tensor))
            else:
                module.register_buffer(last, tensor)
        return root


class TestArrays(LoaderContract):
    plugin = ww_plugins.loaders
    name = "arrays"

    def write(self, weights, folder):
        return dict(weights)


class TestTFLite(LoaderContract):
    plugin = ww_plugins.loaders
    name = "tflite"

    def write(self, weights, folder):
        pytest.importorskip("flatbuffers")
        from tflite_files import of_weights

        path = Path(folder) / "sample.tflite"
        path.write_bytes(of_weights(weights))
        return path

    def layer_name(self, name):
        return name


class TestTensorFlow(LoaderContract):
    plugin = ww_plugins.loaders
    name = "tensorflow"

    def write(self, weights, folder):
        from tensorflow_files import write_checkpoint

        return write_checkpoint(
            Path(folder) / "sample",
            {
                self.tensor_name(name): weight.transpose(*range(2, weight.ndim), *(1, 0)[-weight.ndim :])
                if name.endswith(".weight") and weight.ndim > 1
                else weight
                for name, weight in weights.items()
            },
        )

    def tensor_name(self, name):
        last = {"weight": "gamma" if name.startswith("norm") else "kernel"}
        path, dot, own = name.rpartition(".")
        return f"{path}/{last.get(own, own)}" if dot else name


class TestFrozenGraph(TestTensorFlow):
    def write(self, weights, folder):
        from graph_files import of_weights

        path = Path(folder) / "sample.pb"
        stored = {
            self.tensor_name(name): np.ascontiguousarray(
                weight.transpose(*range(2, weight.ndim), 1, 0)
                if name.endswith(".weight") and weight.ndim > 1
                else weight
            )
            for name, weight in weights.items()
        }
        path.write_bytes(of_weights(stored))
        return path

    def others(self):
        return {"steps": np.arange(70)}  # of fewer it would be a setting of an operator


class TestFrames(ImporterContract):
    plugin = ww_plugins.importers
    name = "weightwatcher"

    def write(self, folder):
        path = folder / "net.csv"
        path.write_text(
            ",layer_id,name,longname,alpha,D,log_norm,status,warning\n"
            "0,2,Linear,fc1,3.5,0.1,1.25,success,\n"
            "1,3,Linear,fc2,-1,-1,,failed,over-trained\n"
        )
        return path


class TestDataFrames(TestFrames):
    def write(self, folder):
        return pytest.importorskip("pandas").read_csv(super().write(folder), index_col=0)


class TestSummaries(ImporterContract):
    plugin = ww_plugins.importers
    name = "weightwatcher-summary"

    def write(self, folder):
        path = folder / "net.txt"
        path.write_text("{'log_norm': 1.25, 'alpha': np.float64(3.5), 'mp_softrank': nan}\n")
        return path


class TestTablesOfSummaries(TestSummaries):
    def write(self, folder):
        path = folder / "all.csv"
        path.write_text("modelname,lognorm,lognorm_compound,alpha\na,1,2,3\nb,4,5,nan\n")
        return path


class TestReports(ImporterContract):
    plugin = ww_plugins.importers
    name = "report"

    def write(self, folder):
        weights = {"fc.weight": np.random.Generator(np.random.Philox(1)).standard_normal((40, 30))}
        path = folder / "net.json"
        path.write_text(json.dumps(ww.analyze(weights, name="net").to_dict()))
        return path


class TestMapped(ImporterContract):
    plugin = ww_plugins.importers
    name = "mapped"

    @pytest.fixture(autouse=True)
    def _mapping(self, tmp_path):
        self.mapping = tmp_path / "map.toml"
        self.mapping.write_text(
            'model = "{family}/{net}"\nseries = "{family}"\n[[columns]]\ncolumn = "*"\n'
            '[[scores]]\nname = "error"\nvalue = "err"\nsource = "paper"\n'
        )

    def importer(self):
        return replace(super().importer(), mapping=str(self.mapping))

    def least_for_others(self):
        return 0.9  # any text is a table for somebody who gives a mapping

    def write(self, folder):
        path = folder / "table.csv"
        path.write_text("family,net,alpha,err\nvgg,11,3.5,30.1\nvgg,13,3.25,\n")
        return path


class Watching:
    """An observer plugin, as a third party would write one."""

    @ww.hookimpl
    def ww_register_observers(self):
        class Watcher(ww.RunObserver):
            def on_start(self, start):
                self.left = start.layers

            def on_layer(self, layer):
                self.left -= 1

            def on_end(self, report):
                assert self.left == 0

        return [Watcher()]


class TestObservers(ObserverContract):
    plugin = Watching()


class Greeting:
    """A command plugin, as a third party would write one."""

    @ww.hookimpl
    def ww_register_commands(self):
        return [ww.Command("hello", greeting())]


def greeting(*options, doc="Say hello."):
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def hello(name: str = "you", other: Annotated[str, typer.Option(*options)] = ""):
        typer.echo(f"hello {name}")

    hello.__doc__ = doc
    app.command()(hello)
    return app


class TestCommands(CommandContract):
    plugin = Greeting()


@pytest.mark.parametrize(
    ("command", "method", "message"),
    [
        (ww.Command("hello", greeting(doc=None)), "test_its_help_says_what_it_does", "has no help"),
        (ww.Command("hello", greeting("--plugin")), "test_its_options_are_its_own", "which is ww's own"),
        (ww.Command("show", greeting()), "test_ww_has_no_command_of_its_name", "choose another name"),
        (ww.Command("-x", greeting()), "test_it_loads_without_a_problem", "read as an option"),
        (ww.Command("hello", 3), "test_it_loads_without_a_problem", "is not a typer.Typer"),
    ],
)
def test_the_contract_of_commands_finds_faults(command, method, message, capsys):
    class Plugin:
        @ww.hookimpl
        def ww_register_commands(self):
            return [command]

    contract = CommandContract()
    contract.plugin = Plugin()
    check = getattr(contract, method)
    with pytest.raises(AssertionError, match=message):
        check(*([capsys] if "capsys" in inspect.signature(check).parameters else []))

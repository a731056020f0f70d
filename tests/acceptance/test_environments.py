"""The core alone, and each extra alone, in fresh environments: what each promises works, and nothing else breaks.

Each environment is made by ``python -m venv`` and pip, with the pinned versions: a quarter of a minute for the core and
small extras, a minute for torch, three minutes in all, where pip has its packages at hand. The extras that no code of
ww's reads need no environment: ``tensorflow`` and ``onnx`` are for the tests.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import one_network as net
import one_network_files as files
import pytest
from safetensors.numpy import save_file
from tensorflow_files import write_checkpoint

ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]

pytestmark = [pytest.mark.acceptance, pytest.mark.install]


class Environment:
    """An environment of its own, with ww and one extra or none."""

    def __init__(self, folder, wheel, extra=""):
        self.folder = folder
        self._bin = folder / "env" / "bin"
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True, timeout=300)
        requirement = f"ww-core[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        self._checked("python", *PIP, "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", requirement)

    def run(self, program, *arguments, timeout=900):
        """Run a program of it, in its folder."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WW_"))}
        return subprocess.run(
            [self._bin / program, *map(str, arguments)],
            cwd=self.folder,
            env=environ | {"WW_STORE": "store.sqlite"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _checked(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def ww(self, *arguments):
        """Run ww, which must succeed, and return what it prints."""
        return self._checked("ww", *arguments)

    def python(self, code):
        return self._checked("python", "-c", code)

    def has(self, package):
        return self.run("python", "-c", f"import {package}").returncode == 0

    def works(self, model):
        """Whether what needs no extra does what it should."""
        assert "Usage" in self.ww("--help")
        assert all(row["install"] == "" for row in json.loads(self.ww("loaders", "--json")))
        assert all(row["install"] == "" for row in json.loads(self.ww("importers", "--json")))
        assert not any(row["problems"] for row in json.loads(self.ww("plugins", "--json")))
        assert json.loads(self.ww("analyze", model, "--json"))["failures"] == []


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    make = [sys.executable, *PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(make, check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with the network in every format."""
    folder = tmp_path_factory.mktemp("models")
    save_file(net.state_dict(), folder / "net.safetensors")
    np.savez(folder / "net.npz", **net.state_dict())
    files.write_keras(folder / "net.keras")
    files.write_weights_of_keras(folder / "net.weights.h5")
    files.write_old_keras(folder / "net.h5")
    files.write_onnx(folder / "net.onnx")
    files.write_tflite(folder / "net.tflite")
    files.write_saved_model(folder / "saved")
    write_checkpoint(folder / "checkpoint", net.keras_variables())
    return folder


@pytest.fixture(scope="session")
def torch_models(models):
    """The same folder, with what PyTorch saves too."""
    torch = pytest.importorskip("torch")
    whole = net.module()
    torch.save(whole.state_dict(), models / "net.pt")
    torch.save(whole.state_dict(), models / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(whole, models / "module.pt")
    torch.jit.script(whole).save(models / "script.pt")
    tensors = {"a.weight": torch.eye(4, 3).to_sparse(), "b.weight": torch.ones(4, 3)}
    torch.save(tensors, models / "sparse.pt")
    return models


STATE_DICT, KERAS = len(net.in_torch()) + 1, len(net.in_keras())  # one more for a buffer that no name tells
READ_BY_THE_CORE = {
    "net.safetensors": STATE_DICT,
    "net.npz": STATE_DICT,
    "net.pt": STATE_DICT,
    "old.pt": STATE_DICT,
    "module.pt": len(net.in_torch()),
    "script.pt": len(net.in_torch()),
    "net.keras": KERAS,
    "net.weights.h5": KERAS,
    "net.h5": KERAS,
    "saved": KERAS,
    "checkpoint.index": KERAS,
    "net.onnx": len(files.in_onnx()),
    "net.tflite": len(files.in_tflite()),
}
"""Layers of each source."""
FOREIGN = ("torch", "tensorflow", "onnx", "keras", "h5py", "pandas", "pyarrow", "matplotlib", "powerlaw", "fsspec")


@pytest.fixture(scope="module")
def core(tmp_path_factory, wheel):
    return Environment(tmp_path_factory.mktemp("core"), wheel)


@pytest.mark.filterwarnings("ignore")
def test_the_core_alone_reads_every_format(core, torch_models):
    core.works(torch_models / "net.safetensors")
    assert [package for package in FOREIGN if core.has(package)] == []
    told = {name: json.loads(core.ww("describe", torch_models / name, "--json")) for name in READ_BY_THE_CORE}
    assert {name: len(report["layers"]) for name, report in told.items()} == READ_BY_THE_CORE


@pytest.mark.filterwarnings("ignore")
def test_the_core_alone_says_what_to_install_for_a_tensor_that_only_pytorch_reads(core, torch_models):
    report = json.loads(core.ww("describe", torch_models / "sparse.pt", "--json"))
    assert [layer["name"] for layer in report["layers"]] == ["b"]
    assert "pip install 'ww-core[torch]'" in json.dumps(report, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------------- the extras


def stored(environment, models):
    environment.ww("analyze", models / "net.safetensors", "--name", "net")


def with_torch(environment, models):
    """A tensor that only PyTorch reads."""
    return environment.run("ww", "analyze", models / "sparse.pt", "--layers", "a")


def with_pandas(environment, models):
    code = "import ww_core as ww; print(len(ww.analyze('net.safetensors').to_pandas()))"
    (environment.folder / "net.safetensors").write_bytes((models / "net.safetensors").read_bytes())
    return environment.run("python", "-c", code)


def with_parquet(environment, models):
    stored(environment, models)
    return environment.run("ww", "export", "net", "-o", "values.parquet")


def with_plot(environment, models):
    stored(environment, models)
    return environment.run("ww", "history", "net", "--plot", "history.svg")


def with_remote(environment, models):
    handler = functools.partial(Quiet, directory=str(models))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = environment.run("ww", "describe", f"http://127.0.0.1:{server.server_port}/net.safetensors")
        server.shutdown()
    return done


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and ranges of its files."""

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        first, last = self.headers.get("Range", f"bytes=0-{len(content) - 1}").removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *said):
        pass


def with_dask(environment, models):
    return environment.run("ww", "analyze", models / "net.safetensors", "--executor", "dask", "--jobs", "1")


def with_powerlaw(environment, models):
    return environment.run("ww", "analyze", models / "net.safetensors", "--metrics", "powerlaw_alpha")


def with_web(environment, models):
    stored(environment, models)
    return environment.run("ww", "report", "net", "-o", "net.html")


EXTRAS = {
    "torch": with_torch,
    "pandas": with_pandas,
    "parquet": with_parquet,
    "plot": with_plot,
    "remote": with_remote,
    "dask": with_dask,
    "powerlaw": with_powerlaw,
    "web": with_web,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_does_what_it_promises(extra, tmp_path, wheel, torch_models):
    environment = Environment(tmp_path, wheel, extra)
    environment.works(torch_models / "net.safetensors")
    done = EXTRAS[extra](environment, torch_models)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra != "torch"])
def test_without_an_extra_a_sentence_says_what_to_install(extra, core, torch_models):
    done = EXTRAS[extra](core, torch_models)
    assert done.returncode != 0
    assert f"pip install 'ww-core[{extra}]'" in done.stderr
    assert ("Traceback" in done.stderr) == (extra == "pandas")  # which is asked for in Python


NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def test_a_store_on_a_server_takes_the_extra_postgres(core, tmp_path, wheel, models):
    done = core.run("ww", "show", "--store", NOWHERE)
    assert done.returncode != 0
    assert "pip install 'ww-core[postgres]'" in done.stderr
    environment = Environment(tmp_path, wheel, "postgres")
    environment.works(models / "net.safetensors")
    done = environment.run("ww", "show", "--store", NOWHERE)
    assert "pip install" not in done.stderr  # what is missing is the server
    assert "Traceback" not in done.stderr
    assert done.returncode != 0

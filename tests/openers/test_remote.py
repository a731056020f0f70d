"""Weights on other machines: a real web server, and fsspec's file system in memory."""

import functools
import http.server
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import ww_core as ww

fsspec = pytest.importorskip("fsspec")

RNG = np.random.default_rng(0)
WEIGHTS = {f"fc{n}.weight": RNG.standard_normal((24, 16)).astype(np.float32) for n in range(3)}


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that sends ranges, tells versions, and writes down what was asked of it."""

    asked: list
    etag = '"first"'

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.translate_path(self.path)
        self.asked.append((self.path, self.headers.get("Range")))
        try:
            content = Path(path).read_bytes()
        except OSError:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.send_response(206 if wanted else 200)
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.etag)
        super().end_headers()


@pytest.fixture
def server(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "www").mkdir()
    handler = type("Handler", (Ranges,), {"asked": []})
    serving = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "www"))
    )
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    serving.folder, serving.handler = tmp_path / "www", handler
    serving.address = f"http://127.0.0.1:{serving.server_port}"
    yield serving
    serving.shutdown()
    serving.server_close()


def test_a_web_server_gives_the_numbers_of_the_file(server, ww_program):
    save_file(WEIGHTS, server.folder / "net.safetensors")
    here = ww.analyze(server.folder / "net.safetensors")
    there = ww.analyze(f"{server.address}/net.safetensors?signature=secret")
    assert there.layers == here.layers
    assert (there.digest, there.model) == (here.digest, "net")
    assert "secret" not in there.source
    assert all(span is not None for _, span in server.handler.asked)  # never the whole file

    result = ww_program("analyze", f"{server.address}/net.safetensors", "--json", "--executor", "processes")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["digest"] == here.digest
    server.handler.asked.clear()
    again = ww_program("analyze", f"{server.address}/net.safetensors", "--json")
    assert json.loads(again.stdout)["run"]["computed"] == 0
    header = (server.folder / "net.safetensors").stat().st_size - sum(w.nbytes for w in WEIGHTS.values())
    assert all(int(span.rpartition("-")[2]) < max(header, 4096) for _, span in server.handler.asked)  # no tensor


def test_a_file_that_changes_under_a_run_is_not_taken_for_the_old_one(server):
    save_file(WEIGHTS, server.folder / "net.safetensors")

    class Changes(ww.RunObserver):
        def on_start(self, start):
            server.handler.etag = '"second"'

    report = ww.analyze(f"{server.address}/net.safetensors", observers=[Changes()])
    assert {failure.message for failure in report.failures} == {
        "the file changed while it was analysed: analyse it again"
    }


@pytest.mark.parametrize("torch_file", [False, True])
def test_a_folder_of_shards(torch_file):
    system = fsspec.filesystem("memory")
    if torch_file:
        import io

        torch = pytest.importorskip("torch")

        def saved(weights):
            torch.save({name: torch.from_numpy(weight) for name, weight in weights.items()}, held := io.BytesIO())
            return held.getvalue()
    else:
        saved = save
    stem, suffix = ("pytorch_model", "bin") if torch_file else ("model", "safetensors")
    root = f"/hub/{suffix}/tiny"
    index = {}
    for number, (name, weight) in enumerate(WEIGHTS.items(), 1):
        shard = f"{stem}-{number:05}-of-00003.{suffix}"
        system.pipe(f"{root}/{shard}", saved({name: weight}))
        index[name] = shard
    system.pipe(f"{root}/{stem}.{suffix}.index.json", json.dumps({"weight_map": index}).encode())
    report = ww.analyze(f"memory:/{root}")
    assert report.layers == ww.analyze(WEIGHTS).layers
    assert report.model == "tiny"


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_an_index_names_files_of_its_folder_only(name):
    system = fsspec.filesystem("memory")
    system.pipe("/out/secret.safetensors", save(WEIGHTS))
    system.pipe("/out/net/model.safetensors.index.json", json.dumps({"weight_map": {"fc0.weight": name}}).encode())
    with pytest.raises(ww.CorruptFileError, match="no plain name"):
        ww.analyze("memory://out/net")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("foo://x/m.safetensors", "error: foo://x/m.safetensors: nothing opens foo:// addresses: "),
        ("memory://nothing/here", "error: memory://nothing/here: there is no such file or folder"),
        (
            "https://me:hunter2@example.invalid/m",
            "error: https://example.invalid/m: this address holds a user name or a password: ",
        ),
        ("http://127.0.0.1:9/m.safetensors", "error: http://127.0.0.1:9/m.safetensors: it cannot be read: "),
        ("s3://bucket/m.safetensors", "error: s3://bucket/m.safetensors"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(ww_here, address, sentence):
    result = ww_here("analyze", address)
    assert result.returncode == 3
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr + result.stdout
    assert not ww_here.store.exists()


def test_a_server_that_lies_about_the_size(monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe("/lies/m.safetensors", save(WEIGHTS))
    told = type(system).info

    def info(self, path, **options):
        found = dict(told(self, path, **options))
        return {**found, "size": 10**15} if path.endswith("m.safetensors") else found

    monkeypatch.setattr(type(system), "info", info)
    with pytest.raises(ww.SourceError):
        ww.analyze("memory://lies/m.safetensors")


def test_without_fsspec_the_extra_is_named(ww_program):
    (ww_program.folder / "fsspec.py").write_text("raise ImportError('blocked')\n")
    result = ww_program("analyze", "https://example.invalid/m.safetensors")
    sentence = "error: https://example.invalid/m.safetensors needs fsspec: pip install 'ww-core[remote]'\n"
    assert (result.returncode, result.stderr) == (3, sentence)


def test_two_files_at_one_path_are_told_apart_by_the_query(server, tmp_path, monkeypatch):
    other = {name: -2 * weight for name, weight in WEIGHTS.items()}
    save_file(WEIGHTS, server.folder / "net.safetensors")
    save_file(other, server.folder / "other.safetensors")
    translate = server.handler.translate_path

    def chosen(self, path):
        return translate(self, "/" + path.partition("file=")[2] if "file=" in path else path)

    monkeypatch.setattr(server.handler, "translate_path", chosen)
    store = tmp_path / "s.sqlite"
    first = ww.analyze(f"{server.address}/get?file=net.safetensors", store=store, name="first")
    second = ww.analyze(f"{server.address}/get?file=other.safetensors", store=store, name="second")
    assert second.digest == ww.analyze(other).digest != first.digest
    assert second.run.reused == 0


def test_a_digest_is_remembered_only_if_nothing_changed_while_it_was_read(server, tmp_path, monkeypatch):
    other = {name: -2 * weight for name, weight in WEIGHTS.items()}
    save_file(WEIGHTS, server.folder / "net.safetensors")
    held = server.handler.do_GET
    state = {"asked": 0}

    def changing(self):
        state["asked"] += 1
        if state["asked"] == 8:  # after the headers and the stamp were read
            save_file(other, server.folder / "net.safetensors")
            server.handler.etag = '"second"'
        held(self)

    monkeypatch.setattr(server.handler, "do_GET", changing)
    store = tmp_path / "s.sqlite"
    ww.analyze(f"{server.address}/net.safetensors", store=store, name="torn")
    monkeypatch.setattr(server.handler, "do_GET", held)
    save_file(WEIGHTS, server.folder / "net.safetensors")
    server.handler.etag = '"first"'
    assert (
        ww.analyze(f"{server.address}/net.safetensors", store=store, name="whole").digest == ww.analyze(WEIGHTS).digest
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://SECRET@127.0.0.1:9/m.safetensors",
        "sx://user:SECRET@y/z?token=SECRET",
        "http://[x/?token=SECRET",
        "http://user:pa/SECRET@127.0.0.1:9/m.safetensors",
        "https://127.0.0.1:9/m.safetensors?token=SECRET",
    ],
)
def test_no_secret_of_an_address_is_shown(ww_here, address):
    result = ww_here("analyze", address)
    assert result.returncode == 3
    assert result.stderr.count("\n") == 1
    assert "SECRET" not in result.stderr


def test_a_server_that_sends_no_parts(server, monkeypatch):
    save_file(WEIGHTS, server.folder / "net.safetensors")

    def whole(self):
        del self.headers["Range"]
        Ranges.do_GET(self)

    monkeypatch.setattr(server.handler, "do_GET", whole)
    with pytest.raises(ww.SourceError, match="does not send parts of a file: download it first"):
        ww.analyze(f"{server.address}/net.safetensors")

"""``ww serve`` as a program: what it refuses, where it listens, how it ends."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import ww_core as ww
from ww_core.command import run_app

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("uvicorn", reason="the extra web is not installed")

from ww_plugins.commands.serve.command import app

TOKEN = "a token of many letters"
PROGRAM = [sys.executable, "-m", "ww_core", "serve"]


@pytest.fixture
def store(tmp_path):
    ww.open_store(tmp_path / "store.sqlite").close()
    return tmp_path / "store.sqlite"


@pytest.fixture
def serve(store, capsys, monkeypatch):
    """Run the command in this process, which must not come so far as to serve, and return its code and sentence."""
    monkeypatch.setattr("ww_plugins.commands.serve.command._run", lambda *_: pytest.fail("it serves"))

    def run(*arguments, **environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = run_app(app, [*arguments, *([] if "--store" in arguments else ["--store", str(store)])], name="ww serve")
        printed = capsys.readouterr()
        assert printed.out == ""
        return code, printed.err

    return run


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "box.example", "127.0.0.1.evil.example", "2130706433"]
)
def test_other_machines_need_a_token(serve, host):
    code, said = serve("--host", host)
    assert code == 2
    assert said.count("\n") == 1
    assert "give a --token (or WW_TOKEN)" in said


def test_a_token_that_can_be_guessed_is_refused_and_not_repeated(serve):
    for code, said in (serve("--token", "hunter2"), serve(WW_TOKEN="hunter2")):
        assert code == 2
        assert "16 or more" in said
        assert "hunter2" not in said


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"a\n{TOKEN}", " " * 20, f"{TOKEN}\t", f" {TOKEN}", f"{TOKEN}\u202e"])
def test_a_token_that_no_reader_can_send_is_refused_and_not_repeated(serve, token):
    code, said = serve("--token", token)
    assert (code, said.count("\n")) == (2, 1)
    assert "the token has a line break or another control character" in said
    assert "letters" not in said


def test_a_token_that_is_too_long_is_refused(serve):
    code, said = serve("--token", "a" * 2_000)
    assert (code, said.count("\n")) == (2, 1)
    assert "the token has 2,000 characters, and may have 1,000" in said


def test_empty_options_are_refused(serve):
    assert serve("--token", "") == (2, "error: --token is empty: give one, or leave it out\n")
    assert serve("--host", "") == (2, "error: --host is empty: give one, or leave it out\n")


def test_a_store_that_is_not_there_is_told_at_once(serve, tmp_path):
    code, said = serve("--store", str(tmp_path / "nothing.sqlite"))
    assert (code, said.count("\n")) == (3, 1)
    assert "there is no store" in said
    assert not (tmp_path / "nothing.sqlite").exists()


def test_a_port_in_use_is_one_sentence(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve("--port", str(port)) == (
            2, f"error: port {port} of 127.0.0.1 is in use: name another --port, or 0 for any free one\n"
        )  # fmt: skip


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "x" * 300, "a\u202eb"])
def test_a_host_that_is_not_ours_is_one_sentence(serve, host):
    code, said = serve("--host", host, "--token", TOKEN)
    assert (code, said.count("\n")) == (2, 1)
    assert "nothing can listen on" in said
    assert "\u202e" not in said


def test_without_its_packages_it_says_what_to_install(serve, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert serve() == (3, "error: uvicorn is not installed: pip install 'ww-core[web]'\n")


@pytest.fixture
def program(store):
    """Start the program on any free port, and give it with that port; it is ended."""
    started = []

    def start(*arguments, **environ):
        process = subprocess.Popen(
            [*PROGRAM, "--store", str(store), "--port", "0", *arguments],
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        address = process.stdout.readline()
        assert address, process.stderr.read()
        return process, address.strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def get(address, path, **headers):
    """Ask on a connection that stays open, which is returned too."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), connection


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.stress)])
def test_it_prints_its_address_serves_and_ends_at_once_when_it_is_told_to(program, store, how):
    process, address = program(WW_TOKEN=TOKEN)
    assert address.startswith("http://127.0.0.1:")
    status, _, refused = get(address, "/models")
    assert status == 401
    status, text, held = get(address, "/models", Authorization=f"Bearer {TOKEN}")
    assert (status, "Nothing is stored yet" in text) == (200, True)
    begin = time.perf_counter()
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    assert time.perf_counter() - begin < 10
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert out == ""
    assert err.splitlines()[-1] == "interrupted: the server has ended, and nothing was written"
    assert TOKEN not in err
    refused.close()
    held.close()
    assert [own.name for own in store.parent.iterdir()] == ["store.sqlite"]


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.stress)])
def test_it_leaves_nothing_behind_while_it_answers(program, store, how):
    process, address = program()
    over = threading.Event()

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):  # it has ended
            while not over.is_set():
                get(address, "/models")[2].close()

    readers = [threading.Thread(target=ask) for _ in range(4)]
    for reader in readers:
        reader.start()
    time.sleep(0.3)
    process.send_signal(how)
    _, err = process.communicate(timeout=20)
    over.set()
    for reader in readers:
        reader.join()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert "Traceback" not in err
    assert [own.name for own in store.parent.iterdir()] == ["store.sqlite"]

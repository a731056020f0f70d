"""``ww serve`` on stores of both kinds, and while they are written."""

import contextlib
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest

import ww_core as ww

pytest.importorskip("starlette", reason="the extra web is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra web is not installed")

from ww_plugins.commands.serve.command import config  # noqa: E402
from ww_plugins.pages.server.application import application  # noqa: E402


def weights(seed):
    random = np.random.Generator(np.random.Philox(seed))
    return {f"{name}.weight": random.standard_t(3, (14, 12)).astype(np.float32) for name in ("first", "second")}


@contextlib.contextmanager
def served(url):
    """Serve a store in a thread, and give what asks it: it returns status and text."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(config(application(url, shown_location="the store", host="127.0.0.1")))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def ask(address):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", address)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join(20)


ADDRESSES = (
    "/models",
    "/models.json",
    "/show?model=net@2",
    "/history?model=net",
    "/history.json?model=net",
    "/regressions?model=net",
    "/spectrum?model=net@2&layer=first",
    "/diff?first=net@1&other=net@2",
    "/leaderboard?metric=alpha&all-versions=1",
)


def test_every_page_of_a_store_of_any_kind(store_url):
    with ww.open_store(store_url) as store:
        for number in (1, 2):
            ww.analyze(weights(number), store=store, name="net", version=str(number))
    with served(store_url) as ask:
        for address in ADDRESSES:
            status, text = ask(address)
            assert status == 200, (address, text)
            assert "net" in text


@pytest.mark.stress
def test_twenty_readers_beside_four_writers(store_url):
    with ww.open_store(store_url) as store:
        for number in (1, 2):
            ww.analyze(weights(number), store=store, name="net", version=str(number))
    wrong, asked, seen, over = [], [], [], threading.Event()

    def write(writer):
        try:
            with ww.open_store(store_url) as store:
                for number in range(3, 11):
                    name = "net" if writer == 0 else f"net-{writer}"
                    ww.analyze(weights(100 * writer + number), store=store, name=name, version=str(number))
        except BaseException as error:  # told below
            wrong.append(error)

    def read(reader, ask):
        at = reader
        while not over.is_set() and not wrong:
            address = ADDRESSES[at % len(ADDRESSES)]
            begin = time.perf_counter()
            try:
                status, text = ask(address)
                if status != 200:
                    wrong.append((address, status, text[-2000:]))
                elif address == "/models.json":
                    seen.append(sum(own["model"] == "net" for own in json.loads(text)))
            except OSError as error:
                wrong.append(error)
            asked.append(time.perf_counter() - begin)
            at += 1

    with served(store_url) as ask:
        writers = [threading.Thread(target=write, args=(own,)) for own in range(4)]
        readers = [threading.Thread(target=read, args=(own, ask)) for own in range(20)]
        for own in (*writers, *readers):
            own.start()
        for own in writers:
            own.join()
        over.set()
        for own in readers:
            own.join()
        assert not wrong
        assert sum(own["model"] == "net" for own in json.loads(ask("/models.json")[1])) == 10
    assert len(asked) >= 20
    assert seen == [] or max(seen) <= 10
    with ww.open_store(store_url, mode="read") as store:
        assert len(store.versions()) == 10 + 3 * 8
        store.verify()

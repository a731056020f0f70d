"""How long the pages of `ww serve` take in a large store, alone and beside writers, and what memory they take.

    python benchmarks/store_scale.py --values 20000000 --store large.sqlite
    python -m benchmarks.page_times large.sqlite

A server is started as people start it. Each page, and its JSON, is asked a number of times, one after the other: its
row has the median of the time that the server computed, and of the time that its reader waited, in ms. Then readers ask
pages at once, the same again beside writers, which add versions of models of their own to the store.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from benchmarks.store_scale import MODEL_METRIC, record_version
from ww_core.store.store import open_store

BOARD = {"metric": "alpha", "score": "top1_error"}


def addresses(model: str) -> dict[str, str]:
    """Return the addresses of all pages by what they show, of a model of `store_scale.py` where they show one."""
    asked: dict[str, tuple[str, dict[str, str]]] = {
        "models": ("models", {}),
        "version": ("show", {"model": f"{model}@50"}),
        "history": ("history", {"model": model}),
        "history of the model's metric": ("history", {"model": model, "metrics": MODEL_METRIC}),
        "history of a layer, all columns": ("history", {"model": model, "layers": "blocks.50"}),
        "regressions of a column": ("regressions", {"model": model, "metrics": "alpha"}),
        "comparison": ("diff", {"first": f"{model}@49", "other": f"{model}@50"}),
        "leaderboard, nothing chosen": ("leaderboard", {}),
        "leaderboard": ("leaderboard", BOARD),
        "leaderboard of all versions": ("leaderboard", BOARD | {"all-versions": "1"}),
        "trend, nothing chosen": ("trend", {}),
        "trend": ("trend", BOARD | {"by": "none"}),
        "trend of all versions": ("trend", BOARD | {"by": "none", "all-versions": "1"}),
    }
    return {name: f"/{path}?{urlencode(given)}" if given else f"/{path}" for name, (path, given) in asked.items()}


def of_json(address: str) -> str:
    """Return the address of the JSON of a page."""
    path, mark, query = address.partition("?")
    return f"{path}.json{mark}{query}"


class Server(NamedTuple):
    """A running server.

    Attributes:
        process: Its process.
        port: The port that it listens on.
    """

    process: subprocess.Popen[str]
    port: int

    def ask(self, address: str) -> tuple[int, bytes]:
        """Return the status and the text of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", address)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def computed(self) -> float:
        """Return the seconds that it has computed since it started."""
        return time.clock_gettime(~self.process.pid << 3 | 2)  # the clock of a process, as clock_getcpuclockid has it

    def memory(self) -> dict[str, int]:
        """Return the memory that it takes, and the most that it ever took, in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return {name: int(told[field].split()[0]) // 1024 for name, field in (("now", "VmRSS"), ("most", "VmHWM"))}


@contextmanager
def served(location: str) -> Iterator[Server]:
    """Start a server of a store, and end it."""
    command = [sys.executable, "-m", "ww_core", "serve", "--port", "0", "--store", location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(process, urlsplit(process.stdout.readline().strip()).port or 0)
        finally:
            process.terminate()


def measure(server: Server, address: str, times: int) -> tuple[float, float, int]:
    """Return the median of what the server computes for a page, of what its reader waits, in ms, and its bytes."""
    computed, waited, size = [], [], 0
    for _ in range(times):
        started, had = time.perf_counter(), server.computed()
        status, text = server.ask(address)
        waited.append(time.perf_counter() - started)
        computed.append(server.computed() - had)
        size = len(text)
        if status != 200:
            sys.exit(f"{address}: {status} {text[:300]!r}")
    return 1000 * statistics.median(computed), 1000 * statistics.median(waited), size


def write(location: str, model: str, ended: Event, written: multiprocessing.Queue[int]) -> None:
    """Add versions to a model until it is time to end; tell how many."""
    count = 0
    with open_store(location) as store:
        have = sum(own.model == model for own in store.versions())
        while not ended.is_set():
            count += 1
            record_version(store, model, have + count)
    written.put(count)


def read_at_once(server: Server, readers: int, seconds: float, pages: list[str]) -> list[tuple[int, float]]:
    """Let readers ask pages at once for some time; return the status and the wait of each."""
    until = time.monotonic() + seconds

    def read(number: int) -> list[tuple[int, float]]:
        found = []
        for address in itertools.islice(itertools.cycle(pages), number, None):
            if time.monotonic() > until:
                break
            started = time.perf_counter()
            status, _ = server.ask(address)
            found.append((status, time.perf_counter() - started))
        return found

    with ThreadPoolExecutor(readers) as pool:
        return [own for found in pool.map(read, range(readers)) for own in found]


def tell(what: str, found: list[tuple[int, float]], seconds: float, server: Server) -> None:
    """Print what readers at once have seen."""
    waits = sorted(1000 * wait for _, wait in found)
    statuses = collections.Counter(status for status, _ in found)
    print(
        f"{what}: {len(found) / seconds:.1f} pages a second, statuses {dict(statuses)}, waits in ms: "
        f"median {statistics.median(waits):.0f}, 95% {waits[int(0.95 * len(waits))]:.0f}, most {waits[-1]:.0f}; "
        f"memory {server.memory()} MB",
        flush=True,
    )


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", help="path of a store that store_scale.py filled")
    parser.add_argument("--times", type=int, default=5, help="how often each page is asked")
    parser.add_argument("--readers", type=int, default=20, help="how many ask at once")
    parser.add_argument("--writers", type=int, default=4, help="how many write meanwhile; 0 leaves the store as it is")
    parser.add_argument("--seconds", type=float, default=20, help="how long they do")
    options = parser.parse_args()
    with open_store(options.store, mode="read") as store:
        models = {own.model for own in store.versions() if own.model.startswith("model-")}
    pages = addresses(f"model-{len(models) - 1}")
    with served(options.store) as server:
        print(f"{'page':<34} {'computed':>9} {'waited':>9} {'kB':>7} | {'JSON':>9} {'waited':>9} {'kB':>7}")
        for name, address in pages.items():
            html = measure(server, address, options.times)
            json = measure(server, of_json(address), options.times) if "nothing" not in name else (0.0, 0.0, 0)
            told = " | ".join(f"{own[0]:>9.0f} {own[1]:>9.0f} {own[2] / 1000:>7.0f}" for own in (html, json))
            print(f"{name:<34} {told}", flush=True)
        print(f"memory after all pages: {server.memory()} MB", flush=True)
        ask = partial(read_at_once, server, options.readers, options.seconds, list(pages.values()))
        tell(f"{options.readers} readers at once", ask(), options.seconds, server)
        if options.writers:
            ended = multiprocessing.Event()
            written: multiprocessing.Queue[int] = multiprocessing.Queue()
            writers = [
                multiprocessing.Process(target=write, args=(options.store, f"written-{own}", ended, written))
                for own in range(options.writers)
            ]
            for own in writers:
                own.start()
            found = ask()
            ended.set()
            counts = [written.get(timeout=120) for _ in writers]
            for own in writers:
                own.join()
            tell(f"{options.readers} readers beside {options.writers} writers", found, options.seconds, server)
            print(f"the writers wrote {sum(counts) / options.seconds:.1f} versions a second, {counts}")


if __name__ == "__main__":
    main()

"""How long a store takes to go through a folder into another one, and how much memory that takes.

    python -m benchmarks.exchange --values 1000000
    python -m benchmarks.exchange --values 1000000 --target postgresql://ww@localhost/empty

The store's own writer fills a store as benchmarks/store_scale.py does, one model for every 200,000 values. It is
exported, imported, and imported once more, each in a process of its own, and so are tables of its values. Told are rows
a second of wall time and of this program's processor time, and the peak of its memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ww_core as ww
from benchmarks.store_scale import VALUES, VERSIONS, fill
from ww_core.store.store import open_store

MEGABYTE = 1024 if sys.platform == "linux" else 2**20  # in the units of ru_maxrss


def measure(name: str, work: Callable[[], int]) -> None:
    """Do some work, and print how fast it was by the rows that it returns."""
    began, rows = time.perf_counter(), work()
    wall, own = time.perf_counter() - began, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    print(f"{name:<22} {rows:>10,} {wall:>8.1f} {rows / wall:>10,.0f} {rows / own:>10,.0f} {peak:>8.0f}", flush=True)


def export(path: str, store: str) -> None:
    """Export to a folder or a table."""
    write = ww.export if Path(path).suffix else ww.export_folder
    measure(f"export {Path(path).suffix or 'folder'}", lambda: write(path, store=store).rows)


def take(name: str, folder: str, store: str) -> None:
    """Import a folder."""
    measure(name, lambda: ww.import_folder(folder, store=store).rows)


def main() -> None:
    """Fill, move, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", type=int, default=200_000, help="how many values there are")
    parser.add_argument("--target", help="path or URL of the store that takes them; default a temporary file")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")

    def alone(work: Callable[..., None], *arguments: str) -> None:
        process = processes.Process(target=work, args=arguments)
        process.start()
        process.join()

    with tempfile.TemporaryDirectory() as name:
        folder, store = f"{name}/folder", f"{name}/store.sqlite"
        with open_store(store) as opened:
            fill(opened, 0, max(1, round(options.values / VALUES / VERSIONS)))
        print(f"{'':<22} {'rows':>10} {'seconds':>8} {'rows/s':>10} {'rows/cpu s':>10} {'MiB':>8}")
        target = options.target or f"{name}/target.sqlite"
        alone(export, folder, store)
        alone(take, "import", folder, target)
        alone(take, "import again", folder, target)
        alone(export, f"{name}/again", target)
        for suffix in (".csv", ".json", ".parquet"):
            alone(export, f"{name}/table{suffix}", store)
        same = [(Path(name) / own / "value.jsonl").read_bytes() for own in ("folder", "again")]
        print("the same bytes" if same[0] == same[1] else "OTHER BYTES")


if __name__ == "__main__":
    main()

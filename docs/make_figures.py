"""Draw the pictures of docs/explanation/figures.md by the commands that stand on the page.

``python docs/make_figures.py TRENDS CHECKPOINTS MINILM`` is run by hand: TRENDS is the folder of layers.csv.gz,
CHECKPOINTS that of resnet20-cifar10.th and resnet56-cifar10.th, MINILM the file model.safetensors. None of them is part
of ww.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "explanation/figures.md"
PICTURES = PAGE.with_suffix("")
LARGEST = 120_000
"""Bytes that a picture may have."""

COLORS = 64


def files_of(page: str) -> dict[str, str]:
    """Return the files that stand on the page, by name."""
    return dict(re.findall(r'(?ms)^```toml title="([^"]+)"\n(.*?)^```$', page))


def commands_of(page: str) -> list[str]:
    """Return the commands of the page, each in one line."""
    blocks = "".join(re.findall(r"(?ms)^```console setup\n(.*?)^```$", page))
    joined = re.sub(r"\s*\\\n>\s*", " ", blocks)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def draw(folder: Path, variables: dict[str, str]) -> list[Path]:
    """Run the commands of the page in a folder, and return the pictures."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in files_of(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | variables | {"WW_STORE": str(folder / "figures.sqlite"), "PATH": path}
    for command in commands_of(page):
        print(f"$ {command}", flush=True)
        subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True)
    return sorted(folder.glob("*.png"))


def save_small(picture: Path, target: Path) -> int:
    """Save a picture with a palette, and return its bytes: a diagram needs few colours."""
    from PIL import Image  # comes with matplotlib

    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)
    return target.stat().st_size


def main() -> None:
    """Draw all, and put the pictures in their place."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("trends", "checkpoints", "minilm"):
        parser.add_argument(name, type=Path)
    given = {name.upper(): str(path.resolve()) for name, path in vars(parser.parse_args()).items()}
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for picture in draw(Path(folder), given):
            size = save_small(picture, PICTURES / picture.name)
            print(f"{picture.name}: {size:,} bytes{', which is too large' if size > LARGEST else ''}")


if __name__ == "__main__":
    main()

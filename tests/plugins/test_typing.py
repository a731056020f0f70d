"""What mypy --strict says of a plugin: right ones pass, and what is wrong is found before it runs."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
    from __future__ import annotations

    from collections.abc import Iterator
    from dataclasses import dataclass
    from typing import TYPE_CHECKING, Any

    import ww_core as ww

    if TYPE_CHECKING:
        import numpy as np
        import numpy.typing as npt


    @dataclass(frozen=True)
    class Halves:
        rank: int = ww.column(unit="count")


    @ww.quantity(version="1", scope="matrix")
    def shares(singular_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        "Shares."
        return singular_values / float(singular_values.sum())


    @ww.metric(version="1", better="lower", unit="count")
    def half(shares: npt.NDArray[np.float64], layer: ww.LayerContent, *, part: float = 0.5) -> float:
        "A number."
        return float(shares.sum()) * part


    @ww.metric(version="1")
    def halves(shares: npt.NDArray[np.float64]) -> Halves:
        "Columns."
        return Halves(rank=1)


    @ww.metric(version="1", scope="model")
    def widest(matrices: tuple[ww.MatrixPlace, ...], layers: tuple[ww.Layer, ...]) -> int:
        "Largest side."
        return max(place.rows for place in matrices)


    @dataclass(frozen=True)
    class Own(ww.Extractor):
        name = "own"
        version = "1"

        def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
            if len(layer.shape) != 2:
                raise ww.NotApplicable("two axes")
            return ww.MatrixPlan(1, 1, *layer.shape)

        def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
            yield ww.Matrix(0, weight[None])


    @ww.hookimpl
    def ww_register_metrics() -> list[ww.Quantity]:
        return [shares, half, halves, widest]


    @ww.hookimpl
    def ww_register_extractors() -> list[type[ww.Extractor]]:
        return [Own]
"""

BAD = """
    import ww_core as ww

    ww.no_such_name  # attr-defined


    @ww.metric  # call-arg
    def bare(alpha: float) -> float:
        return alpha


    @ww.metric()  # call-arg
    def versionless(alpha: float) -> float:
        return alpha


    @ww.metric(version=1)  # arg-type
    def number(alpha: float) -> float:
        return alpha


    @ww.quantity(version="1", scope="world")  # arg-type
    def world(alpha: float) -> float:
        return alpha


    @ww.quantity(version="1", better="lower")  # call-arg
    def better(alpha: float) -> float:
        return alpha
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Both plugins, and what mypy says of them. It is asked once: most of its time goes into what they import."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("plugins")
    paths = {name: folder / f"{name}.py" for name in ("right", "wrong")}
    for path, source in zip(paths.values(), (GOOD, BAD), strict=True):
        path.write_text(textwrap.dedent(source).lstrip("\n"))
    # With the project's own settings, which are strict, what `make lint` has found out is not found out again.
    settings = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}"]
    command = [sys.executable, "-m", "mypy", *settings]
    done = subprocess.run([*command, *paths.values()], cwd=folder, capture_output=True, text=True, check=False)
    found = re.findall(r"(\w+)\.py:(\d+): error: .*\[([\w-]+)\]", done.stdout)
    return paths, found, done.stdout + done.stderr


@pytest.mark.slow
def test_a_right_plugin_passes(judged):
    paths, found, said = judged
    assert [line for name, line, _ in found if name == "right"] == [], said
    assert "wrong.py" in said  # it was asked
    from ww_core.plugins.discovery import load_plugins

    registry = load_plugins(files=[paths["right"]])
    assert not registry.problems()
    assert len(registry.plugins[-1].objects) == 5


@pytest.mark.slow
def test_a_wrong_plugin_is_told_so(judged):
    paths, found, said = judged
    told = {(int(line), code) for name, line, code in found if name == "wrong"}
    lines = paths["wrong"].read_text().splitlines()
    expected = {(number, line.partition("  # ")[2]) for number, line in enumerate(lines, 1) if "  # " in line}
    assert {number for number, _ in expected} == {number for number, _ in told}, said
    assert expected <= told, said

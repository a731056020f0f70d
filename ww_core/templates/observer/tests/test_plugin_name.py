from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import ww_core as ww
from ww_core.testing import ObserverContract

import plugin_name

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WEIGHTS = {"fc.weight": np.diag([3.0, 2.0])}


class TestContract(ObserverContract):
    plugin = plugin_name


def test_every_run_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "runs.jsonl"
    monkeypatch.setenv(plugin_name.LOG, str(log))
    for name in ("first", "second"):
        ww.analyze(WEIGHTS, name=name, metrics=["spectral_norm"])
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(line["model"], line["spectra"], line["failures"]) for line in lines] == [("first", 1, 0), ("second", 1, 0)]


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(plugin_name.LOG, raising=False)
    ww.analyze(WEIGHTS, metrics=["spectral_norm"])
    assert not list(tmp_path.iterdir())

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import ww_core as ww
from ww_core.command import run_app
from ww_core.testing import CommandContract

import plugin_name

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class TestContract(CommandContract):
    plugin = plugin_name


def test_the_median_is_that_of_the_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store.sqlite")
    weights = {f"layer{number}.weight": number * np.eye(3) for number in (1, 2, 7)}
    ww.analyze(weights, store=store, name="net", profile="fast")
    arguments = ["spectral_norm", "--profile", "fast", "--store", store, "--json"]
    assert run_app(plugin_name.app, arguments) == 0
    assert json.loads(capsys.readouterr().out) == [{"model": "net", "version": "1", "layers": 3, "median": 2.0}]


def test_a_store_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "none.sqlite")
    code = run_app(plugin_name.app, ["spectral_norm", "--store", store])
    assert code == ww.StoreError.exit_code
    assert "Traceback" not in capsys.readouterr().err

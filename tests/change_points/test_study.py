"""The study behind docs/explanation/steps.md runs; its numbers are read by people."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("steps_study", ROOT / "benchmarks" / "steps.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REAL = [pytest.param(part, marks=pytest.mark.stress) for part in ("drawn matrices", "trainings")]


@pytest.mark.parametrize("part", ["false alarms", "true alarms", *REAL])
def test_every_part_has_rows(study, part, monkeypatch):
    monkeypatch.setattr(study, "NOISES", {"Gaussian": study.NOISES["Gaussian"]})
    monkeypatch.setattr(study, "SIZES", (50.0,))
    rows = list(study.PARTS[part](study.QUICK))
    assert rows
    if part == "true alarms":
        assert max(row["exactly"] for row in rows) > 0.5

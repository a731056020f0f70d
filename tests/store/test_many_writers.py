"""Sixteen writers and four readers at one store, by the benchmark that measures how long each of them waits."""

import subprocess
import sys
from pathlib import Path

import pytest

import ww_core as ww

pytestmark = pytest.mark.migrations

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.stress
def test_sixteen_writers_and_four_readers_lose_nothing(new_store_url):
    ww.open_store(new_store_url).close()
    command = [sys.executable, "-m", "benchmarks.store_writers", "--store", new_store_url, "--seconds", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all that was written is there, and whole" in done.stdout
    assert "locked" not in done.stderr
    with ww.open_store(new_store_url, mode="read") as store:
        assert {own.model for own in store.versions()} == {f"model-{number}" for number in range(16)}

"""Mutants of models' files: whatever is changed, ww says one sentence, and no file makes it do anything else.

What leads to a sentence that was not heard yet is mutated further, and kept: a later run goes on from there.
"""

from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path

import pytest
from model_files import CANARY, Source, mutant, originals
from watched import Watched

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured in /proc")
HERE = Path(__file__).parent
CORPUS = HERE / "corpus.zip"


def test_mutants_of_models_do_no_harm(tmp_path):
    """Some hundreds, the same ones every time."""
    Fuzz(tmp_path, saved(CORPUS)).run(120, seed=0)


@pytest.mark.fuzz
def test_many_mutants_of_models_do_no_harm(tmp_path):
    """FUZZ_MODELS of them by FUZZ_SEED; what is new is kept in FUZZ_FOLDER, and a later run goes on from there."""
    folder = Path(os.environ.get("FUZZ_FOLDER", ".cache/fuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    fuzz = Fuzz(tmp_path, saved(CORPUS) + saved(folder / "models.zip"))
    try:
        fuzz.run(int(os.environ.get("FUZZ_MODELS", "20000")), seed=int(os.environ.get("FUZZ_SEED", "1")))
    finally:
        save(folder / "models.zip", fuzz.new)
        save(folder / "models-findings.zip", fuzz.findings)


class Fuzz:
    """Mutates sources, and has them judged."""

    def __init__(self, folder, pool):
        self._folder = folder / "work"
        self._folder.mkdir()
        self._pool = [*originals(), *pool]
        self._heard = set()
        self._judge = Watched(HERE / "judged_models.py", folder, [self._question(own, True) for own in originals()])
        self.new: list[Source] = []
        self.findings: list[Source] = []

    def run(self, count, seed):
        problems = []
        try:
            for number in range(count):
                source = mutant(random.Random(f"{seed} {number}"), self._pool)
                judged = self._judge.ask(self._question(source, False))
                if judged["wrong"]:
                    problems.append(f"{seed} {number}: {judged['wrong']}")
                    self.findings.append(source)
                elif judged["told"] not in self._heard:
                    self._heard.add(judged["told"])
                    self._pool.append(source)
                    self.new.append(source)
        finally:
            self._judge.close()
        assert not list(self._folder.parent.rglob(CANARY)), "something in a file was run"
        assert not problems, "\n".join(problems[:50])

    def _question(self, source, is_sound):
        folder = self._folder / ("sound" if is_sound else "mutant")
        if is_sound:
            folder = folder / str(len(list(folder.iterdir())) if folder.exists() else 0)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in source.files.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(content)
        return [str(folder / source.main), is_sound]


def saved(path) -> list[Source]:
    """Read sources that were kept."""
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        folders = json.loads(archive.read("sources.json"))
        return [
            Source(main, {name: archive.read(f"{place}/{name}") for name in names})
            for place, (main, names) in enumerate(folders)
        ]


def save(path, sources) -> None:
    """Keep sources beside those that are kept already."""
    every = saved(path) + sources
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sources.json", json.dumps([(own.main, sorted(own.files)) for own in every]))
        for place, own in enumerate(every):
            for name, content in own.files.items():
                archive.writestr(f"{place}/{name}", content)

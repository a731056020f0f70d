"""The hostile corpus through the program: whatever a file says, one sentence, and nothing that a file may not cause."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("h5py")
pytest.importorskip("flatbuffers")
from hostile.corpus import CORPUS
from hostile.lie import CANARY, READ, REFUSED
from sound_sources import SOUND
from watched import SECONDS, Watched

HERE = Path(__file__).parent
MOST_MEMORY = 300e6
"""Bytes for a file that has less than 10 MB, as docs/explanation/safety.md promises."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured in /proc")


class Program:
    """``ww describe`` in a watched process, which has read sound files of all formats before."""

    def __init__(self, folder):
        self._folder = folder
        self._watched = Watched(HERE / "hostile" / "describing.py", folder, list(self._usual()))

    def _usual(self):
        for place, write in enumerate(SOUND.values()):
            own = self._folder / f"sound-{place}"
            own.mkdir()
            path = write(own)
            yield [str(path), str(own), True]
            whole = path.read_bytes() if path.is_file() else b""
            (own / "cut").mkdir()
            (own / "cut" / path.name).write_bytes(whole[: len(whole) // 2])
            yield [str(own / "cut" / path.name), str(own), True]

    def about(self, path, folder):
        return self._watched.ask([str(path), str(folder), False])

    def close(self):
        self._watched.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    own = Program(tmp_path_factory.mktemp("program"))
    yield own
    own.close()


def wrong_with(answer, codes):
    """Say what is wrong with an answer, which should be nothing."""
    if "wrong" in answer:
        return answer["wrong"]
    errors = [line for line in answer["said"].splitlines() if line.startswith("error: ")]
    checks = {
        "the exit code": answer["code"] in codes,
        "a traceback": "Traceback" not in answer["said"],
        "no single sentence": len(errors) == (answer["code"] == REFUSED),
        "unprintable": all(line.isprintable() for line in answer["said"].splitlines()),
        "something was done": not answer["happened"],
        "the time": answer["seconds"] < SECONDS,
        "the memory": answer["memory"] < MOST_MEMORY,
    }
    failed = [name for name, holds in checks.items() if not holds]
    return f"{', '.join(failed)}: {answer}" if failed else ""


def test_the_corpus_is_large():
    assert sum(map(len, CORPUS.values())) >= 200
    assert min(map(len, CORPUS.values())) >= 10


@pytest.mark.parametrize("form", CORPUS)
def test_every_hostile_source_is_answered_and_does_nothing(form, program, tmp_path):
    wrong = {}
    for place, (name, source) in enumerate(CORPUS[form].items()):
        folder = tmp_path / f"source-{place}"
        folder.mkdir()
        answer = program.about(source.write(folder), folder)
        if said := wrong_with(answer, source.codes):
            wrong[name] = said
    assert not wrong
    assert not list(tmp_path.rglob(CANARY))


def test_it_is_noticed_when_another_file_is_opened(program, tmp_path):
    """So the watch does watch."""
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    path = SOUND["npz"](tmp_path / "other")
    assert wrong_with(program.about(path, tmp_path / "other"), (READ,)) == ""
    assert "something was done" in wrong_with(program.about(path, tmp_path / "own"), (READ,))


def alone(path, folder):
    """Run ``ww describe`` in a process of its own, which has ten seconds of a processor, and waits no minute."""
    arguments = [sys.executable, "-m", "ww_core", "describe", str(path)]
    limit = partial(resource.setrlimit, resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    return subprocess.run(arguments, cwd=folder, preexec_fn=limit, capture_output=True, text=True, timeout=60)


@pytest.mark.stress
@pytest.mark.parametrize("form", CORPUS)
def test_every_hostile_source_is_answered_in_a_process_of_its_own(form, tmp_path):
    for place, (name, source) in enumerate(CORPUS[form].items()):
        folder = tmp_path / f"source-{place}"
        folder.mkdir()
        done = alone(source.write(folder), tmp_path)
        assert done.returncode in source.codes, (name, done)
        assert "Traceback" not in done.stderr + done.stdout, (name, done)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == (done.returncode == REFUSED), (name, done)
    assert not list(tmp_path.rglob(CANARY))


def mutated(content, draw):
    """Change some bytes of a file, more of them where its headers are likely."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        head = min(len(content), 4096) if draw.random() < 0.7 else len(content)
        at = draw.randrange(head)
        match draw.choice(["set", "flip", "number", "delete", "insert", "cut", "copy"]):
            case "set":
                content[at] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
            case "flip":
                content[at] ^= 1 << draw.randrange(8)
            case "number":
                number = draw.choice([0, 1, 2**15, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])
                content[at : at + 8] = number.to_bytes(8, draw.choice(["little", "big"]))
            case "delete":
                del content[at : at + draw.choice([1, 4, 64])]
            case "insert":
                content[at:at] = draw.randbytes(draw.choice([1, 4, 64]))
            case "cut" if draw.random() < 0.2:
                del content[at:]
            case "copy":
                other = draw.randrange(len(content))
                content[at : at + 16] = content[other : other + 16]
        if not content:
            return b""
    return bytes(content)


def mutants_are_answered(form, count, program, folder):
    own = folder / "mutant"
    own.mkdir()
    path = SOUND[form](own)
    files = {file: file.read_bytes() for file in sorted(own.rglob("*")) if file.is_file() and file.stat().st_size}
    wrong, codes = {}, set()
    for number in range(count):
        draw = random.Random(f"{form} {number}")
        changed = draw.choice(list(files))
        for file, content in files.items():
            file.write_bytes(mutated(content, draw) if file == changed else content)
        answer = program.about(path, own)
        codes.add(answer.get("code"))
        if said := wrong_with(answer, (READ, REFUSED)):
            wrong[number] = said
    assert not wrong
    assert REFUSED in codes


@pytest.mark.parametrize("form", SOUND)
def test_mutants_of_every_format_do_no_harm(form, program, tmp_path):
    mutants_are_answered(form, 5, program, tmp_path)


@pytest.mark.stress
@pytest.mark.parametrize("form", SOUND)
def test_many_mutants_of_every_format_do_no_harm(form, program, tmp_path):
    mutants_are_answered(form, 500, program, tmp_path)

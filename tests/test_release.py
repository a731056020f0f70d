"""`.ci/release`: what it refuses, and a dry run from beginning to end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATED = "## [0.1.0] - 2026-01-31\n\n### Added\n\n- Everything.\n"
EMPTY = "## [0.1.0] - 2026-01-31\n\n## [0.0.9] - 2026-01-01\n\n- Less.\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def git(monkeypatch):
    """Run git in a folder, for somebody without settings."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "somebody@example.org")

    def run(folder, *arguments):
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout

    return run


@pytest.fixture
def committed(git, tmp_path):
    """A repository that could be released, as far as the first checks look."""
    tree = tmp_path / "tree"
    (tree / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/release", tree / ".ci")
    (tree / ".ci/run").write_text("#!/bin/sh\necho the gates fail\nexit 7\n")
    (tree / ".ci/run").chmod(0o755)
    (tree / "pyproject.toml").write_text('[project]\nname = "ww-core"\nversion = "0.1.0"\n')
    (tree / "CHANGELOG.md").write_text(DATED)
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "All")):
        git(tree, *arguments)
    return tree


def release(tree, *options):
    return subprocess.run([".ci/release", *options], cwd=tree, capture_output=True, text=True, check=False)


def write(name, content):
    def change(tree, git):
        (tree / name).write_text(content)
        if content:
            git(tree, "commit", "--quiet", "--all", "--message", "Change")

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (write("left.txt", ""), "files are changed or new"),
        (write("CHANGELOG.md", "# Changelog\n"), "CHANGELOG.md has no section [0.1.0]"),
        (write("CHANGELOG.md", DATED.replace("0.1.0", "0x1y0")), "CHANGELOG.md has no section [0.1.0]"),
        (write("CHANGELOG.md", EMPTY), "the section [0.1.0] of CHANGELOG.md is empty"),
        (write("CHANGELOG.md", DATED.replace("2026-01-31", "unreleased")), "CHANGELOG.md has no date"),
        (lambda tree, git: git(tree, "tag", "v0.1.0"), "v0.1.0 is tagged already"),
    ],
    ids=["a new file", "no section", "another version", "nothing changed", "no date", "tagged"],
)
def test_a_tree_that_is_not_ready_is_refused_before_anything_runs(committed, git, change, sentence):
    change(committed, git)
    tags = git(committed, "tag")
    done = release(committed)
    assert done.returncode == 1
    assert done.stderr.startswith("no release: ")
    assert sentence in done.stderr
    assert "the gates" not in done.stdout
    assert git(committed, "tag") == tags


def test_an_unknown_option_is_refused(committed):
    done = release(committed, "--now")
    assert (done.returncode, done.stderr) == (1, "no release: the one option is --dry-run\n")


def test_gates_that_fail_end_it(committed, git):
    done = release(committed)
    assert done.returncode == 7
    assert "the gates fail" in done.stdout
    assert git(committed, "tag") == ""
    assert not (committed / "dist").exists()


@pytest.mark.acceptance
@pytest.mark.install
@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "release"])
def test_a_release_is_built_tried_and_tagged(git, tmp_path, options):
    tree = tmp_path / "tree"
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    (tree / ".ci/run").write_text("#!/bin/sh\n")  # they take long, and this is one of them
    changes = tree / "CHANGELOG.md"
    if not options:
        changes.write_text(changes.read_text().replace("[0.1.0] - unreleased", "[0.1.0] - 2026-01-31"))
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "All")):
        git(tree, *arguments)
    done = release(tree, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(file.name for file in (tree / "dist").iterdir()) == [
        "ww_core-0.1.0-py3-none-any.whl",
        "ww_core-0.1.0.tar.gz",
    ]
    assert git(tree, "tag") == ("" if options else "v0.1.0\n")
    assert git(tree, "status", "--porcelain") == ""
    if not options:
        assert git(tree, "tag", "--list", "--format=%(contents)").startswith("ww 0.1.0\n\n\n### Added\n")

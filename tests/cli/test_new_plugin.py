"""``ww plugins new``: what it writes is installed, passes its tests and is listed; what it cannot write, it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ww_core
from ww_core.plugins import hookspecs
from ww_core.use_cases.new_plugin import LONGEST_NAME, new_plugin
from ww_core.use_cases.plugin_kinds import PluginKind

ROOT = Path(__file__).parents[2]

SLOW = (
    "cut_short or no_to_others or imported_once or again or second_analysis or its_name or one_thread or default "
    "or numbers_of_the_processor or awkward or wrong or budget or more_memory or gain or cannot_be_printed "
    "or content_alone or takes_every_call"
)
"""Tests of contracts that take most of the time: ww's own plugins pass them, and `make acceptance` runs these too."""


def names(kind):
    """A short name and the longest one, since lines are as long as the names in them."""
    return {"short": f"ww-qq{len(kind)}", "long": f"ww-{kind}-of".ljust(LONGEST_NAME, "q")}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folders of a package of each kind, under each name."""
    folder = tmp_path_factory.mktemp("packages")
    written = {}
    for kind in PluginKind:
        for length, name in names(kind).items():
            written[kind, length] = new_plugin(name, kind, folder / f"{length}-{kind}").folder
    return written


@pytest.fixture(scope="module")
def installed(packages):
    """The environment in which the packages with long names are on the path, with the metadata that pip writes."""
    folders = [str(folder) for (_, length), folder in packages.items() if length == "long"]
    for folder in map(Path, folders):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        lines = [
            line
            for group, points in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *folders]))
    return os.environ | {"PYTHONPATH": path, "NO_COLOR": "1", "WW_STORE": str(Path(folders[0], "store.sqlite"))}


def test_every_kind_of_hook_has_a_template():
    hooks = {name.removeprefix("ww_register_") for name in vars(hookspecs) if name.startswith("ww_register_")}
    assert {kind.replace("-", "_") + "s" for kind in PluginKind} == hooks - {
        "report_writers",
        "transforms",
    }  # provisional
    folders = {folder.name for folder in (Path(ww_core.__file__).parent / "templates").iterdir() if folder.is_dir()}
    assert {kind.replace("-", "_") for kind in PluginKind} == folders - {"package"}


def test_every_package_passes_its_tests(installed, packages, tmp_path):
    tests = [folder / "tests" for (_, length), folder in packages.items() if length == "long"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'files'}",  # by default it may remove, for minutes, what earlier runs left
        "-W",
        "error",
        "-k",
        f"not ({SLOW})",
        *tests,
    ]
    done = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_listed(installed, packages, tmp_path):
    command = [sys.executable, "-m", "ww_core", "plugins", "--json"]
    done = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = {row["distribution"]: row for row in json.loads(done.stdout)}
    for kind in PluginKind:
        row = rows[names(kind)["long"]]
        assert (row["state"], row["problems"], len(row["objects"])) == ("loaded", [], 1)
        assert row["objects"][0].startswith(f"{kind.words} "), row


def test_help_names_the_command_and_imports_nothing_of_it(installed):
    command = [sys.executable, "-X", "importtime", "-m", "ww_core", "--help"]
    done = subprocess.run(command, env=installed | {"COLUMNS": "120"}, capture_output=True, text=True, check=True)
    assert names("command")["long"].removeprefix("ww-") in done.stdout
    assert "Print the median of a column" in done.stdout
    assert "ww_command" not in done.stderr


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_code_is_in_our_style(packages, command):
    """By the settings of this repository, with short names and long ones."""
    ignores = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    of_tests = json.dumps(ignores["per-file-ignores"]["tests/**"])
    for folder in packages.values():
        settings = f"extend = {json.dumps(str(ROOT / 'pyproject.toml'))}\n"
        settings += f'[lint.extend-per-file-ignores]\n"tests/**" = {of_tests}\n'
        (folder / "ruff.toml").write_text(settings, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", *packages.values()]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_of_a_template_is_left_over(packages):
    for folder in packages.values():
        files = [file for file in folder.rglob("*.*") if file.is_file() and file.suffix != ".pyc"]
        texts = [file.name + file.read_text(encoding="utf-8") for file in files]
        assert not [word for word in ("plugin_name", "plugin-name", "ject_name", "ject-name", "ObjectName", "kind-name")
                    if any(word in text for text in texts)]  # fmt: skip


def test_a_package_has_what_an_author_goes_on_with(ww_here, tmp_path):
    done = ww_here("plugins", "new", "ww-gini", "--kind", "metric")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "ww-gini"
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))
    assert files == ["README.md", "pyproject.toml", "tests/test_ww_gini.py", "ww_gini.py"]
    assert done.stdout.splitlines()[0] == f"{folder}: metric gini"
    assert [line.strip() for line in done.stdout.splitlines()[1:5]] == files
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == "ww-gini"
    assert project["project"]["dependencies"] == ["ww-core"]
    assert project["project"]["entry-points"] == {"ww": {"gini": "ww_gini"}}
    assert project["dependency-groups"] == {"dev": ["pytest"]}
    assert "license" not in project["project"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in readme.splitlines() if line.startswith("    ")]
    assert commands == ["python -m pip install --editable . pytest", "python -m pytest", "ww plugins"]
    assert "choose a license" in readme
    assert len(readme.splitlines()) <= 10


def test_the_file_works_as_a_plugin_file_too(ww_here, tmp_path):
    ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--out", "here")
    done = ww_here("--plugin", tmp_path / "here/ww_gini.py", "--strict-plugins", "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    assert "objects: metric gini" in done.stdout


def test_help_lists_the_kinds(ww_here):
    text = " ".join(ww_here("plugins", "new", "--help").stdout.split())
    assert ", ".join(PluginKind) in text


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("Gini", "metric", "'Gini' is no name for a plugin package: give small letters and digits, a letter first"),
        ("ww_gini", "metric", "'ww_gini' is no name for a plugin package"),
        ("ww-2d", "metric", "'ww-2d' is no name for a plugin package"),
        ("ww-g", "metric", "at least 2 after ww- and at most 40 in all"),
        ("g", "metric", "'g' is no name for a plugin package"),
        ("", "metric", "'' is no name for a plugin package"),
        ("../gini", "metric", "'../gini' is no name for a plugin package"),
        ("a\x1b[2J", "metric", r"'a\x1b[2J' is no name for a plugin package"),
        ("q" * 41, "metric", "is no name for a plugin package"),
        ("class", "metric", "class cannot be used: 'class' is a word of Python"),
        ("ww-sum", "metric", "ww-sum cannot be used: 'sum' is a word of Python"),
        ("ww", "metric", "ww cannot be used: its code uses the word 'ww' itself"),
        ("ww-path", "opener", "ww-path cannot be used: its code uses the word 'Path' itself"),
        ("json", "metric", "json cannot be used: module json is Python's own"),
        ("winreg", "metric", "winreg cannot be used: module winreg is Python's own"),
        ("numpy", "metric", "numpy cannot be used: a module numpy is installed already"),
        ("ww-core", "metric", "ww-core cannot be used: a module ww_core is installed already"),
        ("conftest", "metric", "conftest cannot be used: conftest.py means something else"),
        ("ww-alpha", "metric", "ww-alpha cannot be used: metric 'alpha' clashes with ww.metrics:alpha: choose another"),
        ("ww-hard-rank", "metric", "ww-hard-rank cannot be used: metric 'hard_rank' clashes with"),
        ("ww-layer", "metric", "ww-layer cannot be used"),
        ("ww-pytorch", "loader", "loader 'pytorch' clashes with ww.loaders:pytorch"),
        ("ww-show", "command", "command 'show' is taken by ww itself: choose another"),
        ("ww-traps", "command", "command 'traps' is taken by ww-core: choose another"),
        ("ww-s3", "opener", "another opener opens s3://"),
    ],
)
def test_a_name_that_cannot_be_is_refused(ww_here, tmp_path, name, kind, sentence):
    done = ww_here("plugins", "new", name, "--kind", kind)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_is_refused_and_the_kinds_are_told(ww_here, tmp_path):
    done = ww_here("plugins", "new", "ww-gini", "--kind", "transform")
    assert done.returncode == 2
    assert "feature-set" in done.stderr
    assert ww_here("plugins", "new", "ww-gini").returncode == 2
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(ww_here, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in ("full", "file", "link"):
        done = ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--out", place)
        assert done.returncode == 2
        assert f"{tmp_path / place} exists already" in done.stderr
    assert (full / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]


def test_an_empty_folder_is_filled(ww_here, tmp_path):
    (tmp_path / "empty").mkdir()
    assert ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--out", "empty").returncode == 0
    assert (tmp_path / "empty/ww_gini.py").is_file()


def test_the_folder_in_which_somebody_stands_stays_that_folder(ww_here, tmp_path):
    tmp_path.chmod(0o750)
    before = tmp_path.stat()
    assert ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--out", ".").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "pyproject.toml", "tests", "ww_gini.py"]
    assert (tmp_path.stat().st_ino, tmp_path.stat().st_mode) == (before.st_ino, before.st_mode)


def test_an_empty_folder_stays_empty_where_it_cannot_be_filled(tmp_path, monkeypatch):
    target, rename, renamed = tmp_path / "empty", Path.rename, []
    target.mkdir()

    def fails_at_the_third(path, place):
        renamed.append(path)
        if len(renamed) == 3:
            raise KeyboardInterrupt
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        new_plugin("ww-gini", PluginKind.METRIC, target)
    assert [*tmp_path.iterdir(), *target.iterdir()] == [target]


def test_an_empty_out_is_refused(ww_here, tmp_path):
    done = ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--out", "")
    assert (done.returncode, done.stderr) == (2, "error: --out is empty: give one, or leave it out\n")
    assert not list(tmp_path.iterdir())


def test_a_current_folder_that_is_gone_is_one_sentence(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = [sys.executable, "-m", "ww_core", "plugins", "new", "ww-gini", "--kind", "metric"]
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *command], cwd=gone, capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert done.stderr.startswith("error: the current folder no longer exists")


@pytest.mark.parametrize(("place", "code"), [("no/where", 3), ("s3://team/ww-gini", 2)])
def test_a_folder_that_cannot_be_is_one_sentence(ww_program, place, code):
    done = ww_program("plugins", "new", "ww-gini", "--kind", "metric", "--out", place)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    write, written = Path.write_text, []

    def fails_at_the_third(path, text, **options):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", fails_at_the_third)
    with pytest.raises(ww_core.OutputError, match="ww-gini cannot be written: No space left on device"):
        new_plugin("ww-gini", PluginKind.METRIC, tmp_path / "ww-gini")
    assert not list(tmp_path.iterdir())


def test_plugins_alone_lists_as_before(ww_here):
    rows = json.loads(ww_here("plugins", "--json").stdout)
    assert {"ww.metrics", "ww.loaders"} <= {row["name"] for row in rows}
    done = ww_here("plugins", "old")
    assert done.returncode == 2
    assert "old" in done.stderr

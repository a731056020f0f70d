"""Commands of plugins: listed by name without an import, run by name, and broken ones harm nobody."""

import os
import re
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def site(tmp_path):
    """A folder that Python finds distributions in."""

    def install(distribution, module, source, points, plugin=""):
        folder = tmp_path / "site"
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        hooks = f"[ww]\n{plugin} = {module}\n" if plugin else ""
        (info / "entry_points.txt").write_text(f"{hooks}[ww.commands]\n{lines}")
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        return folder

    return install


GOOD = """
    import typer
    from ww_core.command import Output
    from ww_core.errors import UsageError

    app = typer.Typer()

    @app.command()
    def hello(name: str = "you") -> None:
        "Say hello."
        if name == "nobody":
            raise UsageError("nobody is not here")
        Output().line(f"hello {name}")
"""


def run(folder, *arguments, **variables):
    environ = os.environ | {"PYTHONPATH": str(folder)} | variables
    command = [sys.executable, "-m", "ww_core", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_a_command_of_a_plugin(site):
    folder = site("ww-hello", "ww_hello", GOOD, {"hello": "ww_hello:app"})
    assert "From ww-hello." in run(folder, "--help").stdout
    assert run(folder, "hello", "--name", "world").stdout == "hello world\n"
    refused = run(folder, "hello", "--name", "nobody")
    assert (refused.returncode, refused.stderr) == (2, "error: nobody is not here\n")
    assert "command hello" in run(folder, "plugins").stdout


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Say hello.\n\nAnd more."""\nraise RuntimeError("it is not imported")\n', "  hello  +Say hello.$"),
        ('"""Not Python (', "  hello  +From ww-hello.$"),
        ("app = None\n", "  hello  +From ww-hello.$"),
    ],
    ids=["docstring", "broken", "none"],
)
def test_help_shows_the_docstring_of_the_module_without_importing_it(site, source, line):
    folder = site("ww-hello", "ww_hello", source, {"hello": "ww_hello:app"})
    assert re.search(line, run(folder, "--help").stdout, re.MULTILINE)


def test_a_module_of_a_command_that_is_gone_is_still_listed(site):
    folder = site("ww-gone", "ww_here", "", {"gone": "ww_gone.commands.app:app", "below": "ww_here.not_there:app"})
    text = run(folder, "--help").stdout
    assert text.count("From ww-gone.") == 2


def test_broken_clashing_and_blocked_commands(site):
    site("a-rival", "a_rival", GOOD, {"compare-svd": "a_rival:app"})
    site("ww-broken", "ww_broken", "raise RuntimeError('no luck')\n", {"broken": "ww_broken:app"})
    site("ww-odd", "ww_odd", "app = 3\n", {"odd": "ww_odd:app"})
    site("a-first", "a_first", GOOD, {"hello": "a_first:app"})
    site("b-second", "b_second", "raise RuntimeError('never imported')\n", {"hello": "b_second:app"})
    folder = site("z-thief", "z_thief", GOOD, {"analyze": "z_thief:app"})
    help_text = run(folder, "--help")
    assert help_text.returncode == 0
    assert "From ww-broken." in help_text.stdout
    for name, cause in (("broken", "no luck"), ("odd", "not a typer.Typer")):
        result = run(folder, name)
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: command {name} of ww-{name} cannot be used: ")
        assert cause in result.stderr
        assert "Traceback" not in result.stderr
    assert run(folder, "hello").stdout == "hello you\n"
    assert "SOURCE" in run(folder, "analyze", "--help").stdout
    listing = run(folder, "plugins").stdout
    assert "import: RuntimeError: no luck (ww_broken.py:1)" in listing
    assert "object: ww_odd:app is not a typer.Typer" in listing
    assert "the command hello is taken by a-first" in listing
    assert "the command analyze is taken by ww itself" in listing
    assert "the command compare-svd is taken by ww-core" in listing  # though a-rival comes first in the alphabet
    assert "MODEL" in run(folder, "compare-svd", "--help").stdout
    assert run(folder, "hello", WW_BLOCK_PLUGINS="a-first,b-second").returncode == 2
    assert run(folder, "hello", WW_ONLY_PLUGINS="").returncode == 2
    assert "blocked by WW_BLOCK_PLUGINS" in run(folder, "plugins", WW_BLOCK_PLUGINS="ww-broken").stdout


HOOKED = """
    import typer
    import ww_core as ww
    from ww_core.command import Output

    app = typer.Typer()

    @app.command()
    def hello(name: str = "you") -> None:
        "Say hello."
        Output().line(f"hello {name}, from {__name__}")
        if name == "zero":
            1 / 0

    @ww.hookimpl
    def ww_register_commands():
        return [ww.Command("hello", app)]
"""


@pytest.fixture
def mine(ww_here, tmp_path):
    """A plugin file with a command, and the program beside it."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(HOOKED))
    return ww_here


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plugin", "mine.py", "hello", "--name", "world"),
        ("hello", "--plugin", "mine.py", "--name", "world"),
        ("hello", "--name", "world", "--plugin=mine.py"),
        ("--plugin", "mine.py", "mine:hello", "--name", "world"),
    ],
)
def test_a_plugin_file_brings_a_command(mine, arguments):
    done = mine(*arguments)
    assert (done.returncode, done.stdout) == (0, "hello world, from ww_plugin_mine\n"), done.stderr


def test_a_command_of_a_plugin_file_is_listed(mine):
    assert "  hello        Say hello.\n" in mine("--plugin", "mine.py", "--help").stdout
    assert "hello" not in mine("--help").stdout
    assert "objects: command hello\n" in mine("--plugin", "mine.py", "plugins").stdout
    assert "--strict-plugins" in mine("hello", "--plugin", "mine.py", "--help").stdout
    missing = mine("hello")
    assert missing.returncode == 2
    assert "No such command 'hello'" in missing.stderr


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("models", "'show'"),
        ("list", "'show'"),
        ("ls", "'show'"),
        ("layers", "'describe'"),
        ("help", "'--help'"),
        ("shwo", "'show'"),
        ("helo", "'hello'"),
        ("compare_svd", "'compare-svd'"),
    ],
)
def test_an_unknown_command_names_the_one_that_is_meant(mine, word, meant):
    done = mine(word, "--plugin", "mine.py")
    assert done.returncode == 2
    assert f"No such command '{word}'. Did you mean {meant}" in done.stderr


def test_what_resembles_no_command_gets_no_suggestion(mine):
    assert mine("xyzzy").stderr.endswith("Error: No such command 'xyzzy'.\n")


def test_a_command_that_fails_names_file_and_line(mine):
    done = mine("hello", "--name", "zero", "--plugin", "mine.py")
    assert done.returncode == 4
    assert done.stderr == ("error: command hello of mine failed: ZeroDivisionError: division by zero (mine.py:13)\n")
    shown = mine("hello", "--name", "zero", "--plugin", "mine.py", environ={"WW_DEBUG": "1"})
    assert "Traceback" in shown.stderr
    assert "in hello\n" in shown.stderr
    assert "ww_core" not in shown.stderr
    assert mine("hello", "--plugin", "mine.py", "--nmae", "x").returncode == 2


def test_a_name_of_ww_itself_stays_its_own(mine, tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(HOOKED).replace('"hello", app', '"show", app'))
    done = mine("--plugin", "mine.py", "show", "--help")
    assert "stored analysis" in done.stdout
    assert "warning: plugin mine: command 'show' is taken by ww itself: run it as ww mine:show\n" in done.stderr
    assert mine("--plugin", "mine.py", "mine:show").stdout == "hello you, from ww_plugin_mine\n"
    assert "  mine:show " in mine("--plugin", "mine.py", "--help").stdout
    assert "problem: clash: command 'show' is taken by ww itself" in mine("--plugin", "mine.py", "plugins").stdout
    assert mine("--plugin", "mine.py", "--strict-plugins", "show").returncode == 2


def test_two_plugin_files_with_one_command(mine, tmp_path):
    (tmp_path / "other.py").write_text(textwrap.dedent(HOOKED))
    both = ("--plugin", "mine.py", "--plugin", "other.py")
    refused = mine(*both, "hello")
    assert refused.returncode == 2
    assert "name it as mine:hello or other:hello" in refused.stderr
    assert mine(*both, "other:hello").stdout == "hello you, from ww_plugin_other\n"


def test_an_installed_hook_runs_and_its_entry_point_lists_it(site):
    folder = site("ww-hello", "ww_hello", HOOKED, {"hello": "ww_hello:app"}, plugin="greetings")
    assert "From ww-hello." in run(folder, "--help").stdout
    assert run(folder, "hello").stdout == "hello you, from ww_hello\n"
    listing = run(folder, "plugins").stdout
    assert listing.count("command hello") == 1
    assert "greetings  loaded  ww-hello 1.0\n  hooks: ww_register_commands\n  objects: command hello\n" in listing
    unlisted = site("ww-silent", "ww_silent", HOOKED.replace('"hello"', '"silent"'), {}, plugin="silent")
    assert "silent" not in run(unlisted, "--help").stdout
    assert run(unlisted, "silent", "--name", "me").stdout == "hello me, from ww_silent\n"
    site("ww-late", "ww_late", HOOKED, {}, plugin="late")
    late = run(folder, "late:hello")
    assert late.stdout == "hello you, from ww_late\n"
    assert late.stderr == "warning: plugin late: command 'hello' is taken by ww-hello: run it as ww late:hello\n"


def test_an_app_that_is_empty_costs_itself_alone(mine, tmp_path):
    empty = textwrap.dedent(HOOKED).replace("@app.command()\n", "")
    (tmp_path / "empty.py").write_text(empty.replace('"hello", app', '"empty", app'))
    both = ("--plugin", "mine.py", "--plugin", "empty.py")
    listed = mine(*both, "--help")
    assert "  hello        Say hello.\n" in listed.stdout, listed.stderr
    assert "  empty        cannot be used: RuntimeError: Could not get a command" in listed.stdout
    assert mine(*both, "hello").returncode == 0
    called = mine(*both, "empty")
    assert called.returncode == 2
    assert called.stderr.startswith("error: command empty of empty cannot be used: RuntimeError: Could not get a")

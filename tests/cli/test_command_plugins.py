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

    def install(distribution, module, source, points):
        folder = tmp_path / "site"
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[ww.commands]\n{lines}")
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
    for name, cause in (("broken", "no luck"), ("odd", "no typer.Typer")):
        result = run(folder, name)
        assert result.returncode == 2
        assert cause in result.stderr
        assert "Traceback" not in result.stderr
    assert run(folder, "hello").stdout == "hello you\n"
    assert "SOURCE" in run(folder, "analyze", "--help").stdout
    listing = run(folder, "plugins").stdout
    assert "import: RuntimeError: no luck" in listing
    assert "object: ww_odd:app is no typer.Typer" in listing
    assert "the command hello is taken by a-first" in listing
    assert "the command analyze is taken by ww itself" in listing
    assert "the command compare-svd is taken by ww-core" in listing  # though a-rival comes first in the alphabet
    assert "MODEL" in run(folder, "compare-svd", "--help").stdout
    assert run(folder, "hello", WW_BLOCK_PLUGINS="a-first,b-second").returncode == 2
    assert run(folder, "hello", WW_ONLY_PLUGINS="").returncode == 2
    assert "blocked by WW_BLOCK_PLUGINS" in run(folder, "plugins", WW_BLOCK_PLUGINS="ww-broken").stdout

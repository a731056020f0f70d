"""What a plugin raises is one sentence with the plugin's own file and line; WW_DEBUG shows its own traceback."""

import json
import re
import textwrap

import pytest

DEBUG = {"WW_DEBUG": "1"}
DONE, USAGE, PLACE, LOST = 0, 2, 3, 4

METRIC = """
import numpy as np
import ww_core as ww

def inverted(matrix):
    return np.linalg.inv(matrix - matrix)  # place

@ww.metric(version="1")
def mine(matrix):
    "A number."
    return inverted(matrix[:3, :3])[0, 0]

@ww.hookimpl
def ww_register_metrics():
    return [mine]
"""


@pytest.fixture
def write(tmp_path):
    """Write a plugin, and return its options and the place that is marked in it."""

    def write(source, name="mine.py"):
        text = textwrap.dedent(source).lstrip("\n")
        (tmp_path / name).write_text(text)
        (line,) = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# place")] or [0]
        return ("--plugin", name), f"({name}:{line})"

    return write


def failures(result):
    return [line for line in result.stderr.splitlines() if line.startswith("failed: ")]


def error_of(result, code):
    assert result.returncode == code, (result.returncode, result.stderr)
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_metric_fails_at_the_line_of_its_own_file_that_called_numpy(ww_here, model_file, write, executor):
    plugin, place = write(METRIC)
    result = ww_here(*plugin, "analyze", model_file, "--metrics", "mine", "--executor", executor, "--json")
    error_of(result, LOST)
    assert f"failed: first matrix 0 (metric, mine): mine: LinAlgError: Singular matrix {place}" in failures(result)
    assert all(failure["message"].endswith(place) for failure in json.loads(result.stdout)["failures"])


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_with_debug_the_traceback_begins_in_the_plugin(ww_program, model_file, write, executor):
    plugin, _ = write(METRIC)
    command = (*plugin, "analyze", model_file, "--layers", "first", "--metrics", "mine", "--executor", executor)
    result = ww_program(*command, environ=DEBUG)
    assert result.returncode == LOST, result.stderr
    assert result.stderr.count("Traceback") == 1
    frames = re.findall(r'^  File "(.*)", line \d+, in (.*)$', result.stderr, flags=re.MULTILINE)
    assert [name for _, name in frames][:2] == ["mine", "inverted"]
    assert frames[0][0].endswith("mine.py")
    assert "/ww_core/" not in result.stderr


PLUGINS = {
    "a plan": (
        """
        from dataclasses import dataclass
        import ww_core as ww

        @dataclass(frozen=True)
        class Odd(ww.Extractor):
            name = "odd"
            version = "1"

            def plan(self, layer):
                raise LookupError("no plan")  # place

            def matrices(self, weight, layer):
                yield from ()

        @ww.hookimpl
        def ww_register_extractors():
            return [Odd]
        """,
        ("--extractor", "pool,odd"),
        LOST,
        "failed: conv (extract, mine:odd): LookupError: no plan",
    ),
    "matrices": (
        """
        from dataclasses import dataclass
        import ww_core as ww

        @dataclass(frozen=True)
        class Odd(ww.Extractor):
            name = "odd"
            version = "1"

            def plan(self, layer):
                return ww.MatrixPlan(1, 1, 2, 2)

            def matrices(self, weight, layer):
                yield weight.no_such_thing  # place

        @ww.hookimpl
        def ww_register_extractors():
            return [Odd]
        """,
        ("--extractor", "pool,odd"),
        LOST,
        "failed: conv (extract, mine:odd): AttributeError: ",
    ),
    "a value of a parameter": (
        """
        from dataclasses import dataclass
        import ww_core as ww

        @dataclass(frozen=True)
        class Odd(ww.Extractor):
            name = "odd"
            version = "1"
            n: int = 1

            def __post_init__(self):
                raise ValueError("n is odd")  # place

            def plan(self, layer):
                raise ww.NotApplicable("never")

            def matrices(self, weight, layer):
                yield from ()

        @ww.hookimpl
        def ww_register_extractors():
            return [Odd]
        """,
        ("--extractor", "odd"),
        USAGE,
        "error: extractor 'odd' (mine:odd) cannot be made: ValueError: n is odd",
    ),
    "a loader that opens": (
        """
        import ww_core as ww

        class Odd(ww.Loader):
            name = "odd"
            description = "none"

            def probe(self, source):
                return 0.0

            def open(self, source):
                {}["header"]  # place

        @ww.hookimpl
        def ww_register_loaders():
            return [Odd()]
        """,
        ("--loader", "odd"),
        PLACE,
        "error: net.safetensors: loader mine:odd failed: KeyError: 'header'",
    ),
    "a loader that leaves": (
        """
        import sys
        import ww_core as ww

        class Odd(ww.Loader):
            name = "odd"
            description = "none"

            def probe(self, source):
                return 0.0

            def open(self, source):
                sys.exit("I am off")  # place

        @ww.hookimpl
        def ww_register_loaders():
            return [Odd()]
        """,
        ("--loader", "odd"),
        PLACE,
        "error: net.safetensors: loader mine:odd failed: SystemExit: I am off",
    ),
    "a loader that looks": (
        """
        import ww_core as ww

        class Odd(ww.Loader):
            name = "odd"
            description = "none"

            def probe(self, source):
                return source.no_such_thing  # place

            def open(self, source):
                raise AssertionError

        @ww.hookimpl
        def ww_register_loaders():
            return [Odd()]
        """,
        (),
        DONE,
        "warning: loader mine:odd failed to look at net.safetensors: AttributeError: ",
    ),
    "a loader that reads": (
        """
        from contextlib import contextmanager
        import ww_core as ww

        class Opened(ww.Checkpoint):
            format = "odd"
            spec = ww.TensorSpec("fc.weight", "float32", (4, 3))
            layers = (ww.Layer("fc", ww.LayerKind.DENSE, spec),)

            @contextmanager
            def read(self, tensor):
                raise OSError("gone")  # place
                yield

        class Odd(ww.Loader):
            name = "odd"
            description = "none"

            def probe(self, source):
                return 0.0

            def open(self, source):
                return Opened()

        @ww.hookimpl
        def ww_register_loaders():
            return [Odd()]
        """,
        ("--loader", "odd"),
        LOST,
        "failed: fc.weight (read, odd): OSError: gone",
    ),
    "a loader that tells where tensors are": (
        """
        from contextlib import nullcontext
        import numpy as np
        import ww_core as ww

        class Opened(ww.Checkpoint):
            format = "odd"
            spec = ww.TensorSpec("fc.weight", "float32", (4, 3))
            layers = (ww.Layer("fc", ww.LayerKind.DENSE, spec),)

            def locate(self, tensor):
                raise KeyError(tensor.name)  # place

            def read(self, tensor):
                return nullcontext(np.ones((4, 3), np.float32))

        class Odd(ww.Loader):
            name = "odd"
            description = "none"

            def probe(self, source):
                return 0.0

            def open(self, source):
                return Opened()

        @ww.hookimpl
        def ww_register_loaders():
            return [Odd()]
        """,
        ("--loader", "odd"),
        LOST,
        "failed: fc.weight (read, odd): KeyError: 'fc.weight'",
    ),
    "an executor that cannot start": (
        """
        import ww_core as ww

        class Odd(ww.Executor):
            name = "odd"
            description = "none"
            shares_memory = True

            def create(self, jobs):
                raise OSError("no cluster")  # place

        @ww.hookimpl
        def ww_register_executors():
            return [Odd()]
        """,
        ("--executor", "odd"),
        USAGE,
        "error: executor 'odd' could not be started: OSError: no cluster",
    ),
    "an executor that takes nothing": (
        """
        import concurrent.futures
        import ww_core as ww

        class Pool(concurrent.futures.Executor):
            def submit(self, function, *arguments):
                raise RuntimeError("the queue is full")  # place

        class Odd(ww.Executor):
            name = "odd"
            description = "none"
            shares_memory = True

            def create(self, jobs):
                return Pool()

        @ww.hookimpl
        def ww_register_executors():
            return [Odd()]
        """,
        ("--executor", "odd"),
        LOST,
        "failed: first (execute, odd): RuntimeError: the queue is full",
    ),
    "an observer": (
        """
        import ww_core as ww

        class Odd(ww.RunObserver):
            def on_start(self, start):
                raise SystemExit("enough")  # place

        @ww.hookimpl
        def ww_register_observers():
            return [Odd()]
        """,
        (),
        DONE,
        "failed: Odd (observer, mine): on_start: SystemExit: enough",
    ),
    "a profile": (
        """
        import ww_core as ww

        class Odd(ww.Profile):
            def extractor_for(self, kind):
                return {}[kind]  # place

        @ww.hookimpl
        def ww_register_profiles():
            return [Odd("odd", "none")]
        """,
        ("--profile", "odd"),
        USAGE,
        "error: profile 'mine:odd' failed: KeyError: <LayerKind.",
    ),
    "a hook": (
        """
        import ww_core as ww

        @ww.hookimpl
        def ww_register_metrics():
            return missing  # place
        """,
        (),
        USAGE,
        "error: plugin file mine.py cannot be used, repair it or leave it out: ww_register_metrics failed: NameError: ",
    ),
    "an error that has no text": (
        """
        import ww_core as ww

        class Wordless(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        @ww.metric(version="1")
        def mine(matrix):
            "A number."
            raise Wordless  # place

        @ww.hookimpl
        def ww_register_metrics():
            return [mine]
        """,
        ("--metrics", "mine"),
        LOST,
        "failed: first matrix 0 (metric, mine): mine: Wordless: no message",
    ),
    "a value that refuses to be a number": (
        """
        import ww_core as ww

        class Value:
            def __float__(self):
                raise SystemExit("I am none")  # place

        @ww.metric(version="1")
        def mine(matrix):
            "A number."
            return Value()

        @ww.hookimpl
        def ww_register_metrics():
            return [mine]
        """,
        ("--metrics", "mine"),
        LOST,
        "failed: first matrix 0 (metric, mine): mine: SystemExit: I am none",
    ),
}


@pytest.mark.parametrize("case", PLUGINS)
def test_every_kind_of_plugin_fails_with_its_file_and_line(ww_here, model_file, write, case):
    source, options, code, beginning = PLUGINS[case]
    plugin, place = write(source)
    result = ww_here(*plugin, "analyze", "net.safetensors", *options)
    assert result.returncode == code, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith(beginning)]
    assert lines, result.stderr
    assert lines[0].endswith(place)
    assert "Traceback" not in result.stderr
    shown = ww_here(*plugin, "analyze", "net.safetensors", *options, "--rehash", environ=DEBUG)
    assert shown.returncode == code
    assert re.search(r'Traceback \(most recent call last\):\n  File "[^"]*mine.py", line ', shown.stderr)
    assert "/ww_core/" not in shown.stderr


def test_what_ww_itself_refuses_has_no_place(ww_here, model_file, write):
    plugin, _ = write(METRIC.replace("return inverted(matrix[:3, :3])[0, 0]", "return None"))
    result = ww_here(*plugin, "analyze", model_file, "--metrics", "mine")
    assert result.returncode == LOST
    assert failures(result)[0].endswith("raise NotApplicable or Refused instead of returning None")


def test_errors_of_ww_speak_for_themselves(ww_here, model_file, write):
    body = "raise ww.UsageError('not on this one')"
    plugin, _ = write(METRIC.replace("return inverted(matrix[:3, :3])[0, 0]", body))
    result = ww_here(*plugin, "analyze", model_file, "--metrics", "mine")
    # Of two workers either may be done first.
    assert "failed: first matrix 0 (metric, mine): mine: not on this one" in failures(result)


def test_a_traceback_cannot_steer_the_terminal(ww_here, model_file, write):
    plugin, _ = write(METRIC.replace("np.linalg.inv(matrix - matrix)", "{}['\\033[2J'] or '\033[2J'"))
    result = ww_here(*plugin, "analyze", model_file, "--metrics", "mine", environ=DEBUG)
    assert "\\x1b[2J" in result.stderr
    assert "\033" not in result.stderr


def test_a_package_names_the_file_in_it(ww_here, model_file, write, tmp_path, monkeypatch):
    package = tmp_path / "deep_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "def outer(value):\n    from deep_package import inner\n    inner.fail(value)\n"
    )
    (package / "inner.py").write_text("def fail(value):\n    raise ValueError(value)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin, place = write(
        """
        import deep_package
        import ww_core as ww

        @ww.metric(version="1")
        def mine(matrix):
            "A number."
            return deep_package.outer("called")  # place

        @ww.hookimpl
        def ww_register_metrics():
            return [mine]
        """
    )
    result = ww_here(*plugin, "analyze", model_file, "--metrics", "mine")
    assert failures(result)[0].endswith(f"ValueError: called {place}")  # the package is not the plugin's


def test_a_syntax_error_is_shown_as_python_shows_it(ww_here, model_file, write):
    plugin, _ = write("import ww_core as ww\ndef broken(\033x:\n    pass\n")
    result = ww_here(*plugin, "analyze", model_file)
    assert result.returncode == USAGE
    first, *picture = result.stderr.splitlines()
    assert first.startswith(
        "error: plugin file mine.py cannot be used, repair it or leave it out: SyntaxError: invalid "
    )
    assert first.endswith("(mine.py:2)")
    assert re.fullmatch(r'  File "[^"]*mine.py", line 2', picture[0])
    assert picture[1].strip() == "def broken(\\x1bx:"
    assert picture[2].strip() == "^"
    assert picture[3].startswith("SyntaxError: invalid ")
    assert not ww_here.store.exists()


@pytest.mark.parametrize("command", [("metrics",), ("plugins",), ("show",), ("db", "info"), ("--help",)])
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_file_that_was_named_and_is_not_there_ends_every_command(ww_here, command, where):
    named = ("--plugin", "nope.py")
    result = ww_here(*named, *command) if where == "before" else ww_here(*command, *named)
    line = error_of(result, USAGE)
    assert line == "error: plugin file nope.py: the file does not exist; check the path"
    assert result.stdout == ""


def test_nothing_is_done_with_a_metric_of_a_named_file_that_cannot_be_used(ww_here, model_file, write):
    plugin, _ = write(METRIC.replace("def mine(matrix)", "def mine(matrx)").replace("matrix[:3", "matrx[:3"))
    line = error_of(ww_here("analyze", model_file, *plugin), USAGE)
    assert "plugin file mine.py cannot be used, repair it or leave it out: metric 'mine': unknown need 'matrx'" in line
    assert not ww_here.store.exists()


def test_an_installed_plugin_that_is_broken_is_a_warning(ww_program, model_file, tmp_path):
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ww]\nbroken = broken_package\n")
    package = tmp_path / "site" / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("import broken_package.inner\n")
    (package / "inner.py").write_text("\nraise RuntimeError('no luck')\n")
    site = {"PYTHONPATH": str(tmp_path / "site")}
    result = ww_program("analyze", model_file, environ=site)
    assert result.returncode == DONE, result.stderr
    assert "warning: plugin broken: RuntimeError: no luck (inner.py:2)\n" in result.stderr
    assert "Traceback" not in result.stderr
    shown = ww_program("analyze", model_file, environ=site | DEBUG)
    assert re.search(r'Traceback.*\n  File "[^"]*broken_package/__init__.py", line 1', shown.stderr)
    (package / "inner.py").write_text("def broken(\n")
    shown = ww_program("metrics", environ=site | DEBUG)
    assert "warning: plugin broken: SyntaxError: '(' was never closed (inner.py:1)\n" in shown.stderr
    assert "def broken(\n" in shown.stderr


LISTED = METRIC.replace("def mine", "def mine_too").replace("[mine]", "[mine_too]")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plugin", "mine.py", "--plugin", "other.py", "metrics", "--csv"),
        ("metrics", "--plugin", "mine.py", "--csv", "--plugin", "other.py"),
        ("metrics", "--csv", "--plugin=mine.py", "--plugin=other.py"),
        ("--plugin=mine.py", "metrics", "--csv", "--strict-plugins", "--plugin", "other.py"),
    ],
)
def test_plugins_are_named_before_and_after_the_command(ww_here, write, arguments):
    write(METRIC)
    write(LISTED, "other.py")
    result = ww_here(*arguments)
    assert result.returncode == DONE, result.stderr
    assert "\nmine," in result.stdout
    assert "\nmine_too," in result.stdout


def test_what_stands_after_two_dashes_is_no_option(ww_here, write):
    write(METRIC)
    result = ww_here("show", "--", "--plugin", "mine.py")
    assert result.returncode != DONE
    assert "mine.py" in result.stderr
    assert "Usage" in result.stderr or "no model '--plugin'" in result.stderr


def test_strict_stands_after_the_command_too(ww_here, write):
    plugin, _ = write(METRIC.replace("mine", "stable_rank"))
    assert ww_here("metrics", *plugin).returncode == DONE
    line = error_of(ww_here("metrics", *plugin, "--strict-plugins"), USAGE)
    assert "metric 'stable_rank' clashes with ww.metrics:stable_rank" in line


def test_a_plugin_option_without_its_file_is_wrong_usage(ww_here, model_file):
    result = ww_here("analyze", model_file, "--plugin")
    assert result.returncode == USAGE
    assert "'--plugin' requires an argument" in result.stderr


def test_the_help_of_every_command_tells_of_plugins(ww_here):
    for command in (("analyze",), ("show",), ("db", "info")):
        text = ww_here(*command, "--help").stdout
        assert "--plugin FILE" in text
        assert "--strict-plugins" in text


def test_a_command_may_have_an_argument_that_is_called_plugin(ww_here, model_file, write):
    plugin, _ = write(METRIC)
    assert ww_here("analyze", model_file).returncode == DONE
    result = ww_here("db", "distrust", "ww-core==0.0.9", *plugin)
    assert result.returncode == PLACE
    assert "Usage" not in result.stderr

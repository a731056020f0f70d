"""Plugins that are broken are reported with their cause, and never stop the others."""

import dataclasses
import textwrap

import pytest

import ww_core as ww
from ww_core.errors import PluginError
from ww_core.plugins import discovery
from ww_core.plugins.discovery import load_plugins


@pytest.fixture
def plugin_file(tmp_path):
    def write(name, source):
        path = tmp_path / f"{name}.py"
        path.write_text("import ww_core as ww\n" + textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def installed(monkeypatch):
    """Makes files plugins that are installed, each by a distribution of its own."""

    def install(files):
        candidates = [
            dataclasses.replace(discovery._from_file(path), distribution=f"{path.stem}-dist", version="1")
            for path in files
        ]
        found = discovery._installed
        monkeypatch.setattr(discovery, "_installed", lambda: [*found(), *candidates])

    return install


def metric_source(name, needs, body="0.0", options=""):
    return f"""
    @ww.metric(version="1"{options})
    def {name}({needs}):
        "A number."
        return {body}

    @ww.hookimpl
    def ww_register_metrics():
        return [{name}]
    """


def info_of(registry, name):
    return next(info for info in registry.plugins if info.name == name)


def messages(registry, name):
    return [problem.message for problem in info_of(registry, name).problems]


def test_a_file_plugin_is_loaded(plugin_file, weights):
    path = plugin_file("trace", metric_source("trace_norm", "singular_values", "float(singular_values.sum())"))
    report = ww.analyze(weights, plugin_files=[path])
    assert report.layers[0].metrics["trace_norm"].is_ok
    assert report.layers[0].metrics["alpha"].is_ok


def test_many_broken_plugins_beside_good_ones(plugin_file, installed, weights):
    broken = {
        "raises": "raise RuntimeError('no luck')",
        "leaves": "raise SystemExit(3)",
        "syntax": "def f(:",
        "unknown_need": metric_source("reach", "stabel_rank"),
        "cycle": """
            @ww.metric(version="1")
            def hen(egg):
                "A number."
                return egg
            @ww.metric(version="1")
            def egg(hen):
                "A number."
                return hen
            @ww.hookimpl
            def ww_register_metrics():
                return [hen, egg]
            """,
        "clash": metric_source("stable_rank", "singular_values", "42.0"),
        "misspelt": "@ww.hookimpl\ndef ww_register_metric():\n    return []\n",
        "unmarked": "def ww_register_metrics():\n    return []\n",
        "no_hook": "x = 1",
        "too_new": "WW_API_VERSION = 99\n",
        "with_argument": "@ww.hookimpl\ndef ww_register_metrics(registry):\n    return []\n",
        "not_a_list": "@ww.hookimpl\ndef ww_register_metrics():\n    return 3\n",
        "not_a_metric": "def f(x):\n    return x\n@ww.hookimpl\ndef ww_register_metrics():\n    return [f]\n",
        "hook_raises": "@ww.hookimpl\ndef ww_register_metrics():\n    raise ValueError('later')\n",
        "reserved": metric_source("eigenvalues", "singular_values"),
        "wide": metric_source("wide", "layers"),
        "no_version": "@ww.metric\ndef f(matrix):\n    return 0\n",
    }
    installed([plugin_file(name, source) for name, source in broken.items()])
    registry = load_plugins()
    expected = {
        "raises": "no luck (raises.py:2)",
        "leaves": "SystemExit: 3",
        "syntax": "SyntaxError: invalid syntax (syntax.py:2)",
        "unknown_need": "unknown need 'stabel_rank': did you mean stable_rank",
        "cycle": "cycle: cycle:hen > cycle:egg > cycle:hen",
        "clash": "metric 'stable_rank' clashes with ww.metrics:stable_rank: reach it as clash:stable_rank",
        "misspelt": "there is no hook ww_register_metric: did you mean ww_register_metrics?",
        "unmarked": "ww_register_metrics is not marked with @ww.hookimpl",
        "no_hook": "it implements no hook of ww",
        "too_new": "written for plugin API 99",
        "with_argument": "registry",
        "not_a_list": "must return a list, not int",
        "not_a_metric": "'f' is no metric: decorate it with @ww.metric(version=...)",
        "hook_raises": "ww_register_metrics failed: ValueError: later (hook_raises.py:4)",
        "reserved": "takes the name of the core input 'eigenvalues'",
        "wide": "need 'layers' is of scope model, which a matrix metric cannot see",
        "no_version": "a metric needs a version",
    }
    for name, text in expected.items():
        assert any(text in message for message in messages(registry, name)), (name, messages(registry, name))
    assert all(not info.problems for info in registry.plugins if info.builtin)

    report = ww.analyze(weights, registry=registry)
    metrics = report.layers[0].metrics
    assert metrics["stable_rank"].number != 42
    assert metrics["clash:stable_rank"].number == 42
    assert metrics["alpha"].is_ok
    assert not report.failures


def test_the_rest_of_an_installed_plugin_with_one_bad_metric_works(plugin_file, installed, weights):
    path = plugin_file(
        "mixed",
        """
        @ww.metric(version="1")
        def good(singular_values):
            "A number."
            return singular_values[0]

        @ww.metric(version="1")
        def bad(no_such_thing):
            "A number."
            return 0

        @ww.metric(version="1")
        def worse(bad):
            "A number."
            return bad

        @ww.hookimpl
        def ww_register_metrics():
            return [good, bad, worse]
        """,
    )
    installed([path])
    registry = load_plugins()
    assert info_of(registry, "mixed").objects == ["metric good"]
    assert any("'worse': it needs 'bad', which could not be used" in text for text in messages(registry, "mixed"))
    assert ww.analyze(weights, registry=registry).layers[0].metrics["good"].is_ok


def test_two_third_parties_with_one_name_are_both_reached_by_qualified_names(plugin_file, weights):
    files = [plugin_file(name, metric_source("size", "n_rows", f"{value}")) for name, value in (("one", 1), ("two", 2))]
    registry = load_plugins(files=files)
    metrics = ww.analyze(weights, registry=registry).layers[0].metrics
    assert (metrics["one:size"].number, metrics["two:size"].number) == (1, 2)
    assert "size" not in metrics
    with pytest.raises(ww.UsageError, match="one:size or two:size"):
        ww.analyze(weights, registry=registry, metrics=["size"])


def test_a_plugin_sees_its_own_names_first(plugin_file, weights):
    path = plugin_file(
        "own",
        """
        @ww.metric(version="1")
        def stable_rank(singular_values):
            "A number."
            return 7.0

        @ww.metric(version="1")
        def twice(stable_rank):
            "A number."
            return 2 * stable_rank

        @ww.hookimpl
        def ww_register_metrics():
            return [stable_rank, twice]
        """,
    )
    metrics = ww.analyze(weights, plugin_files=[path]).layers[0].metrics
    assert metrics["twice"].number == 14
    assert metrics["stable_rank"].number != 7


def test_strict_raises_with_every_cause(plugin_file, installed):
    installed([plugin_file("raises", "raise RuntimeError('no luck')"), plugin_file("empty", "x = 1")])
    with pytest.raises(PluginError, match=r"plugin raises: .*no luck.*; plugin empty: it implements no hook"):
        load_plugins(strict=True)


FLAG = """
@ww.metric(version="1", doubts="{}")
def few(n_rows) -> bool:
    "Whether there are few rows."
    return n_rows < 20
@ww.hookimpl
def ww_register_metrics():
    return [few]
"""

REFUSED = {
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck (it.py:2)"),
    "leaves": ("raise SystemExit(3)", "SystemExit: 3 (it.py:2)"),
    "syntax": ("def f(:", "SyntaxError: invalid syntax (it.py:2)"),
    "too new": ("WW_API_VERSION = 99", "it is written for plugin API 99"),
    "no hook": ("x = 1", "it implements no hook of ww: mark a function"),
    "misspelt": ("@ww.hookimpl\ndef ww_register_metric():\n    return []", "did you mean ww_register_metrics?"),
    "hook": (
        "@ww.hookimpl\ndef ww_register_metrics():\n    return 1 / 0",
        "ZeroDivisionError: division by zero (it.py:4)",
    ),
    "object": ("@ww.hookimpl\ndef ww_register_metrics():\n    return [3]", "an object of type 'int' is no metric"),
    "need": (metric_source("reach", "stabel_rank"), "unknown need 'stabel_rank': did you mean stable_rank"),
    "doubts": (FLAG.format("stable_rank,entropi"), "unknown matrix column 'entropi': did you mean entropy?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_was_named_and_cannot_be_used_is_an_error(plugin_file, weights, case):
    source, message = REFUSED[case]
    path = plugin_file("it", source)
    for ask in (lambda: load_plugins(files=[path]), lambda: ww.analyze(weights, plugin_files=[path])):
        with pytest.raises(PluginError) as caught:
            ask()
        assert f"plugin file {path} cannot be used" in str(caught.value)
        assert message in str(caught.value)
        assert caught.value.exit_code == 2


def test_an_installed_flag_that_doubts_nothing_is_reported_and_stays(plugin_file, installed, weights):
    installed([plugin_file("flags", FLAG.format("entropi")), plugin_file("own", FLAG.format("few, own:few"))])
    registry = load_plugins()
    said = "metric 'few': doubts='entropi' names an unknown matrix column 'entropi': did you mean entropy?"
    assert messages(registry, "flags")[0] == said
    assert not any("unknown" in message for message in messages(registry, "own"))
    assert ww.analyze(weights, registry=registry, metrics=["flags:few"]).layers[0].metrics


def test_a_flag_speaks_of_columns_of_its_own_scope(plugin_file):
    source = FLAG.format("alpha").replace("n_rows", "layer").replace("layer < 20", "True")
    source = source.replace("doubts=", 'scope="layer", doubts=')
    with pytest.raises(PluginError, match="unknown layer column 'alpha'"):
        load_plugins(files=[plugin_file("flag", source)])


def test_a_file_that_is_not_there_is_an_error_before_anything_is_loaded(plugin_file, tmp_path):
    loud = plugin_file("loud", "raise KeyboardInterrupt")
    for path, message in ((tmp_path / "nope.py", "the file does not exist; check the path"), (tmp_path, "a folder")):
        with pytest.raises(PluginError, match=message) as caught:
            load_plugins(files=[loud, path])
        assert str(path) in str(caught.value)
    text = tmp_path / "plugin.txt"
    text.write_text("x = 1")
    with pytest.raises(PluginError, match=r"it is no Python file: the name of one ends in \.py"):
        load_plugins(files=[text])


def test_a_file_that_is_blocked_and_named_is_an_error(plugin_file):
    path = plugin_file("mine", metric_source("mine", "matrix"))
    with pytest.raises(PluginError, match="WW_BLOCK_PLUGINS blocks plugin mine; take it out of there"):
        load_plugins(files=[path], environ={"WW_BLOCK_PLUGINS": "mine"})
    assert load_plugins(files=[path], environ={"WW_ONLY_PLUGINS": ""}).quantities.find("mine")


def test_a_name_that_clashes_costs_the_short_name_only(plugin_file):
    registry = load_plugins(files=[plugin_file("clash", metric_source("stable_rank", "singular_values"))])
    (problem,) = info_of(registry, "clash").problems
    assert (problem.stage, "reach it as clash:stable_rank" in problem.message) == ("clash", True)


def test_a_file_that_is_named_twice_is_loaded_once(plugin_file, monkeypatch):
    path = plugin_file("twice", metric_source("twice", "matrix"))
    monkeypatch.chdir(path.parent)
    registry = load_plugins(files=[path, "twice.py"])
    assert registry.plugin_files == (str(path),)
    assert not info_of(registry, "twice").problems


@pytest.mark.parametrize(
    ("link", "by"),
    [
        ("other.py", "symlink_to"),
        ("below/twice.py", "symlink_to"),
        ("below/deeper/twice.py", "folder"),
        ("other.py", "hardlink_to"),
    ],
)
def test_a_file_that_is_named_by_a_link_too_is_loaded_once(plugin_file, tmp_path, link, by):
    path = plugin_file("twice", metric_source("twice", "matrix"))
    there = tmp_path / link
    (tmp_path / "below").mkdir()
    if by == "folder":
        there.parent.symlink_to(path.parent, target_is_directory=True)
    else:
        getattr(there, by)(path)
    for files in ([path, there], [there, path]):
        registry = load_plugins(files=files)
        given = [info for info in registry.plugins if not info.builtin]
        assert [(info.name, info.problems) for info in given] == [(files[0].stem, [])]
        assert registry.plugin_files == (str(files[0]),)


def test_blocking_and_restricting(monkeypatch):
    blocked = load_plugins(environ={"WW_BLOCK_PLUGINS": "ww.executors, other"})
    assert info_of(blocked, "ww.executors").state == "blocked"
    assert len(blocked.executors) == 0
    assert len(blocked.loaders) > 0

    foreign = discovery.Candidate("foreign", "foreign-dist", "1", "foreign", lambda: pytest.fail("it was imported"))
    installed = discovery._installed
    monkeypatch.setattr(discovery, "_installed", lambda: [*installed(), foreign])
    for environ in ({"WW_ONLY_PLUGINS": ""}, {"WW_ONLY_PLUGINS": "else"}, {"WW_BLOCK_PLUGINS": "foreign-dist"}):
        registry = load_plugins(environ=environ)
        assert info_of(registry, "foreign").state == "blocked"
        assert info_of(registry, "ww.metrics").state == "loaded"


def test_a_second_plugin_of_one_name_is_left_out(monkeypatch):
    twin = discovery.Candidate("ww.metrics", "impostor", "1", "impostor", lambda: pytest.fail("it was imported"))
    installed = discovery._installed
    monkeypatch.setattr(discovery, "_installed", lambda: [twin, *installed()])
    registry = load_plugins()
    states = {info.distribution: info.state for info in registry.plugins if info.name == "ww.metrics"}
    assert states == {"ww-core": "loaded", "impostor": "failed"}
    assert len(registry.quantities) > 0


@pytest.mark.parametrize("spelling", ["ww-core", "ww_core", "WW.Core"])
def test_ww_is_its_own_however_its_metadata_spell_the_name(monkeypatch, spelling):
    installed = list(discovery._installed())
    own = [dataclasses.replace(each, distribution=spelling) if each.builtin else each for each in installed]
    monkeypatch.setattr(discovery, "_installed", lambda: own)
    registry = load_plugins(environ={"WW_ONLY_PLUGINS": ""})
    assert info_of(registry, "ww.metrics").builtin
    assert info_of(registry, "ww.metrics").state == "loaded"


@pytest.mark.parametrize("name", ["ww", "ww-core-extra", "wwcore", ""])
def test_another_distribution_is_not_ww_itself(name):
    assert not discovery.Candidate("plugin", name, "1", "plugin", lambda: None).builtin


def test_an_object_given_in_python(weights):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [biggest]

    report = ww.analyze(weights, plugins=[Plugin()])
    assert report.layers[0].metrics["biggest"].number == report.layers[0].metrics["spectral_norm"].number


@ww.metric(version="1")
def biggest(singular_values):
    """Largest singular value."""
    return singular_values[0]


@pytest.mark.parametrize(
    ("declare", "fault"),
    [
        (lambda: ww.metric(version="1")(lambda **every: 0), "not allowed"),
        (lambda: ww.metric(version="1", better="up")(lambda matrix: 0), "better='up'"),
        (lambda: ww.metric(version="1", scope="world")(lambda matrix: 0), "scope 'world'"),
        (lambda: ww.metric(version=1)(lambda matrix: 0), "version is missing"),
        (lambda: ww.metric(version="1", name="a b")(lambda matrix: 0), "name 'a b'"),
        (lambda: ww.metric(version="1", name="m")(lambda: 0), "needs nothing"),
        (lambda: ww.metric(version="1", name="m")(lambda matrix=3: 0), "has a default"),
        (lambda: ww.metric(version="1", name="m")(lambda matrix, *, eps: 0), "type and a default"),
        (lambda: ww.metric(version="1", name="m", needs={"x": "alpha"})(lambda matrix: 0), "no positional parameter"),
        (lambda: ww.metric(version="1", name="m", colour="red")(lambda matrix: 0), "unknown option 'colour'"),
    ],
)
def test_a_wrong_declaration_is_refused_where_it_stands(declare, fault):
    with pytest.raises(TypeError, match=fault):
        declare()


def test_every_fault_of_a_declaration_is_named():
    with pytest.raises(TypeError, match=r"version is missing.*scope 'world'.*better='up'"):
        ww.metric(better="up", scope="world")(lambda matrix: 0)

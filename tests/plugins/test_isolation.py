"""Whatever an object of a plugin does, it is a problem of that plugin and stops nothing else."""

import abc
from dataclasses import dataclass

import pytest

import ww_core as ww
from ww_core.plugins import discovery
from ww_core.plugins.discovery import load_plugins
from ww_core.use_cases.listings import list_extractors, list_loaders, list_metrics, list_plugins


def plugin_of(name, things, hook="ww_register_extractors"):
    """A plugin that returns ``things`` from one hook, beside a good metric."""

    @ww.metric(version="1")
    def good(singular_values):
        """Fine."""
        return 1.0

    answers = {hook: things, **({} if hook == "ww_register_metrics" else {"ww_register_metrics": [good]})}
    hooks = {name: ww.hookimpl(hook_of(name, answer)) for name, answer in answers.items()}
    return type(name, (), hooks)()


def hook_of(name, answer):
    def hook(self):
        return answer() if callable(answer) else answer

    hook.__name__ = name
    return hook


def info_of(registry, name):
    return next(info for info in registry.plugins if info.name == name)


def messages(registry, name):
    return [problem.message for problem in info_of(registry, name).problems]


def list_everything(registry):
    for listing in (list_metrics, list_extractors, list_loaders, list_plugins):
        assert listing(registry)


class Raising:
    """Raises at every touch."""

    def __getattribute__(self, name):
        raise RuntimeError("touched")

    def __repr__(self):
        raise RuntimeError("shown")

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None


class Unshowable:
    def __repr__(self):
        raise RuntimeError("shown")


def extractor_of(namespace, name="odd"):
    @dataclass(frozen=True)
    class Odd(ww.Extractor):
        version = "1"
        exec(namespace)

        def plan(self, layer):
            raise ww.NotApplicable("never")

        def matrices(self, weight, layer):
            yield from ()

        locals()["name"] = name

    return Odd


class NamelessLoader(ww.Loader):
    description = "has no name"

    def probe(self, source):
        return 0.0

    def open(self, source):
        raise AssertionError


class SilentLoader(NamelessLoader):
    name = "silent"
    description = None


class RaisingName(NamelessLoader):
    @property
    def name(self):
        raise RuntimeError("no name today")


class SomeExecutor(ww.Executor):
    name = "some"
    description = "An executor."

    def create(self, jobs):
        raise AssertionError


class Sharing(SomeExecutor):
    shares_memory = "yes"


def named(name):
    return type("Named", (NamelessLoader,), {"name": name, "description": "x"})()


@pytest.mark.parametrize(
    ("hook", "thing", "message"),
    [
        ("extractors", extractor_of("size: 'Unknown' = 3"), "parameter 'size': type 'Unknown' cannot be resolved"),
        ("extractors", extractor_of("size: int = 'three'"), "the default does not fit: parameter size takes int"),
        ("extractors", extractor_of("size: list = None"), "has type <class 'list'>"),
        ("extractors", extractor_of("x = 1", name="a:b"), "its name 'a:b' has"),
        ("extractors", extractor_of("x = 1", name="a[b]"), "its name 'a[b]' has"),
        ("extractors", SomeExecutor, "'SomeExecutor' is no subclass of ww_core.Extractor"),
        ("metrics", Raising, "object 1 of its list: RuntimeError: touched"),
        ("metrics", Unshowable(), "an object of type 'Unshowable' is no metric"),
        ("metrics", NamelessLoader, "'NamelessLoader' is no metric: decorate it"),
        ("loaders", Unshowable(), "an object of type 'Unshowable' is no instance of ww_core.Loader"),
        ("loaders", NamelessLoader(), "an object of type 'NamelessLoader': it has no name"),
        ("loaders", SilentLoader(), "'silent': its attribute 'description' is missing; it must be of type str"),
        ("loaders", RaisingName(), "object 1 of its list: RuntimeError: no name today"),
        ("loaders", named(3), "its name is of type int"),
        ("loaders", named(""), "its name has 0 characters"),
        ("loaders", named("x" * 201), "its name has 201 characters"),
        ("loaders", named("two words"), "its name 'two words' has a blank"),
        ("loaders", named("a@b"), "its name 'a@b' has"),
        ("loaders", named("a,b"), "its name 'a,b' has"),
        ("loaders", named("bell\a"), "a control character"),
        ("executors", SomeExecutor(), "'some': its attribute 'shares_memory' is missing; it must be of type bool"),
        ("executors", Sharing(), "'some': its attribute 'shares_memory' is of type str"),
        ("executors", SomeExecutor, "'SomeExecutor' is no instance of ww_core.Executor"),
        ("profiles", ww.Profile("p", 3), "'p': its attribute 'description' is of type int"),
        ("profiles", ww.Profile("p", "x", metrics="alpha"), "metrics must be a tuple of texts"),
        ("profiles", ww.Profile("p", "x", headline=(3,)), "headline must be a tuple of texts"),
        ("profiles", ww.Profile("p", "x", parameters=()), "parameters must be a mapping"),
        ("profiles", ww.Profile("p", "x", extractors_by_kind={"conv9d": "pool"}), "extractors_by_kind must be"),
        ("profiles", ww.Profile("p p", "x"), "its name 'p p' has a blank"),
        ("observers", ww.RunObserver, "'RunObserver' is no instance of ww_core.RunObserver"),
        ("estimators", named("no-estimator"), "an object of type 'Named' is no instance of ww_core.Estimator"),
        ("report_writers", named("no-writer"), "an object of type 'Named' is no instance of ww_core.ReportWriter"),
        ("transforms", named("no-version"), "its attribute 'version' is missing"),
    ],
)
def test_an_odd_object_is_a_problem_of_its_plugin(hook, thing, message, weights):
    thing = Raising() if thing is Raising else thing  # pytest would touch it
    registry = load_plugins(objects=[plugin_of("odd", [thing], f"ww_register_{hook}")])
    assert any(message in text for text in messages(registry, "odd")), messages(registry, "odd")
    assert len(info_of(registry, "odd").problems) == 1
    assert all(not info.problems for info in registry.plugins if info.builtin)
    list_everything(registry)
    assert (hook == "metrics") == ("metric good" not in info_of(registry, "odd").objects)
    assert ww.analyze(weights, registry=registry).layers[0].metrics["alpha"].is_ok


class LazyList(list):
    def __iter__(self):
        raise RuntimeError("too lazy")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "must return a list, not NoneType"),
        ({"a": 1}, "must return a list, not dict"),
        (lambda: (each for each in [1]), "must return a list, not generator"),
        (LazyList(), "ww_register_loaders failed: RuntimeError: too lazy"),
    ],
)
def test_what_is_no_list_is_a_problem(answer, message):
    registry = load_plugins(objects=[plugin_of("odd", answer, "ww_register_loaders")])
    assert any(message in text for text in messages(registry, "odd"))
    assert info_of(registry, "odd").objects == ["metric good"]


def test_a_long_list_is_fine():
    extractors = [extractor_of("x = 1", name=f"e{number}") for number in range(500)]
    registry = load_plugins(objects=[plugin_of("long", extractors)])
    assert len(info_of(registry, "long").objects) == 501
    assert not messages(registry, "long")


class RaisingVersion:
    def __getattr__(self, name):
        if name == "WW_API_VERSION":
            raise RuntimeError("no version")
        raise AttributeError(name)

    @ww.hookimpl
    def ww_register_metrics(self):
        return []


class RaisingGetattr:
    def __getattr__(self, name):
        raise RuntimeError("no attributes")


class RaisingDir:
    def __dir__(self):
        raise RuntimeError("no dir")


@dataclass
class Unhashable:
    size: int = 1

    @ww.hookimpl
    def ww_register_metrics(self):
        return []


class Incomparable(Unhashable):
    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None


class TextVersion:
    WW_API_VERSION = "1"


class WordlessError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class RaisesWordless:
    @ww.hookimpl
    def ww_register_metrics(self):
        raise WordlessError


@pytest.mark.parametrize(
    ("make", "message"),  # not the plugin itself, which pytest would touch
    [
        (RaisingVersion, "RuntimeError: no version"),
        (RaisingGetattr, "RuntimeError: no attributes"),
        (RaisingDir, "RuntimeError: no dir"),
        (Raising, "RuntimeError: touched"),
        (TextVersion, "WW_API_VERSION is a whole number, not of type str"),
        (RaisesWordless, "WordlessError: no message"),
        (lambda: None, "it implements no hook"),
        (lambda: 3, "it implements no hook"),
    ],
)
def test_an_odd_plugin_is_its_own_problem(make, message):
    plugin = make()
    registry = load_plugins(objects=[plugin, plugin_of("after", [], "ww_register_loaders")])
    name = type(plugin).__name__
    assert any(message in text for text in messages(registry, name)), messages(registry, name)
    assert info_of(registry, "after").objects == ["metric good"]
    list_everything(registry)


def test_a_plugin_that_cannot_be_hashed_or_compared_troubles_no_other():
    plugins = [plugin_of("before", []), Unhashable(), Incomparable(), plugin_of("after", [])]
    registry = load_plugins(objects=plugins)
    assert not messages(registry, "before")
    assert not messages(registry, "Unhashable")
    assert messages(registry, "Incomparable")[0].startswith("RuntimeError: compared")
    assert info_of(registry, "after").objects == ["metric good"]


def test_an_abstract_base_of_extractors_needs_no_name():
    class Base(ww.Extractor):
        @abc.abstractmethod
        def power(self):
            """Something that subclasses say."""

        def plan(self, layer):
            raise ww.NotApplicable("never")

        def matrices(self, weight, layer):
            yield from ()

    with pytest.raises(TypeError, match="must set the class attribute 'name'"):

        class Nameless(Base):
            def power(self):
                return 1

    class Named(Base):
        name = "named"
        version = "1"

        def power(self):
            return 1

    registry = load_plugins(objects=[plugin_of("family", [Base, Named])])
    assert messages(registry, "family") == ["ww_register_extractors: 'Base': it has no name"]
    assert "extractor named" in info_of(registry, "family").objects


def test_a_quantity_that_was_put_together_by_hand_is_refused():
    odd = ww.Quantity("odd", lambda matrix: 0, "1", ww.Scope.MATRIX, needs=None, parameters=())
    registry = load_plugins(objects=[plugin_of("odd", [odd], "ww_register_metrics")])
    assert any("'odd' was not made by @ww.metric" in text for text in messages(registry, "odd"))


@dataclass(frozen=True)
class Places:
    layer: float = 1.0
    fine: float = 2.0


@ww.metric(version="1", name="Q")
def ratio(singular_values):
    """A key of every row."""
    return 1.0


@ww.metric(version="1")
def places(singular_values) -> Places:
    """One of its columns is a key of every row."""
    return Places()


def test_keys_of_rows_are_no_columns():
    registry = load_plugins(objects=[plugin_of("keys", [ratio, places], "ww_register_metrics")])
    texts = messages(registry, "keys")
    assert any("metric 'Q' takes the name 'Q' for a column" in text for text in texts)
    assert any("metric 'places' takes the name 'layer' for a column" in text for text in texts)
    assert info_of(registry, "keys").objects == []


def test_the_registry_says_how_another_process_comes_to_it(tmp_path, monkeypatch):
    path = tmp_path / "some.py"
    path.write_text("import ww_core as ww\n@ww.hookimpl\ndef ww_register_metrics():\n    return []\n")
    monkeypatch.chdir(tmp_path)
    assert (load_plugins().plugin_files, load_plugins().has_objects) == ((), False)
    registry = load_plugins(files=["some.py"], objects=[plugin_of("given", [])])
    assert registry.plugin_files == (str(path),)
    assert registry.has_objects


def test_one_object_is_loaded_once(monkeypatch):
    given = plugin_of("given", [])
    installed = discovery._installed
    candidate = discovery.Candidate("behind-a-point", "dist", "1", "module:given", lambda: given)
    monkeypatch.setattr(discovery, "_installed", lambda: [*installed(), candidate])
    registry = load_plugins(objects=[given])
    assert messages(registry, "given") == ["it is loaded already, as plugin 'behind-a-point'"]
    assert registry.info_of(given).name == "behind-a-point"
    assert registry.info_of(object()) is None


HOOK = "ww_register_metrics"


@ww.metric(version="1")
def shifted(alpha):
    """One more."""
    return alpha + 1


def test_a_name_of_a_blocked_plugin_says_so():
    registry = load_plugins(environ={"WW_BLOCK_PLUGINS": "ww.executors"})
    with pytest.raises(ww.UsageError, match=r"unknown executor 'threads'.*ww.executors is blocked by WW_BLOCK_PLUGINS"):
        registry.executors.find("threads")
    needing = load_plugins(environ={"WW_BLOCK_PLUGINS": "ww.metrics"}, objects=[plugin_of("needing", [shifted], HOOK)])
    assert any("'alpha'" in text and "ww.metrics is blocked" in text for text in messages(needing, "needing"))
    with pytest.raises(ww.UsageError) as caught:
        load_plugins().executors.find("thread")
    assert "blocked" not in str(caught.value)

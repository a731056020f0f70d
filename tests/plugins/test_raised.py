"""Whatever the code of a plugin raises, but an interruption, costs that plugin's part and nothing else."""

import asyncio
import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww
from ww_core.plugins.discovery import load_plugins

WEIGHTS = {
    "fc.weight": np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32),
    "conv.weight": np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32),
}


class Own(BaseException):
    """Derived from what nobody should derive from."""


class SpeechlessError(Exception):
    def __str__(self):
        raise asyncio.CancelledError

    __repr__ = __str__


class NoTextError(Exception):
    def __str__(self):
        return b"no text"


class LongError(Exception):
    def __str__(self):
        return "x " * 10_000_000


class SteeringError(Exception):
    def __str__(self):
        return "\033[2J\0\udcff\u202e"


class Text(str):
    def __getitem__(self, key):
        raise Own

    __len__ = split = __format__ = encode = isprintable = __iter__ = __getitem__


class OddlySpokenError(Exception):
    def __str__(self):
        return Text("odd")


class Anonymous(type):
    def __getattribute__(cls, name):
        if name in {"__name__", "__qualname__", "__module__"}:
            raise Own
        return type.__getattribute__(cls, name)


class NamelessError(Exception, metaclass=Anonymous):
    pass


class Closed(BaseException):
    """Raises at every touch."""

    def __init__(self, *_):
        pass

    def __getattribute__(self, name):
        raise Own


RAISED = {
    "cancelled": asyncio.CancelledError,
    "generator exit": GeneratorExit,
    "system exit": SystemExit,
    "own": Own,
    "base": BaseException,
    "speechless": SpeechlessError,
    "no text": NoTextError,
    "long": LongError,
    "steering": SteeringError,
    "oddly spoken": OddlySpokenError,
    "nameless": NamelessError,
    "closed": Closed,
}


@pytest.fixture(params=["cancelled", "speechless", "closed"])
def error(request):
    """Some of them; a metric meets all."""
    return RAISED[request.param]


def analyzed(source=WEIGHTS, **given):
    return ww.analyze(source, **{"metrics": ["stable_rank"]} | given)


def plugin(**hooks):
    made = {f"ww_register_{kind}": ww.hookimpl(lambda given=given: list(given)) for kind, given in hooks.items()}
    return type("Given", (), {name: staticmethod(hook) for name, hook in made.items()})


def lost_only(report, stage, count):
    """See that so many failures are all there is."""
    assert [failure.stage for failure in report.failures] == [stage] * count, report.failures
    assert all(len(failure.message) < 2500 for failure in report.failures)
    report.to_dict()
    return True


def others_are_there(report, names=("fc", "conv")):
    assert {row.name for row in report.layers if row.metrics["stable_rank"].is_ok} == set(names)


@pytest.mark.parametrize(
    ("scope", "error"),
    [*(("matrix", each) for each in RAISED), ("layer", "own"), ("model", "own"), ("model", "closed")],
)
def test_a_metric(error, scope, tmp_path):
    error = RAISED[error]

    def bad(given):
        """Raises."""
        raise error

    need = {"matrix": "singular_values", "layer": "weight", "model": "alpha"}[scope]
    bad = ww.metric(version="1", scope=scope, needs={"given": need})(bad)

    given = [plugin(metrics=[bad])]
    report = analyzed(plugins=given, metrics=["stable_rank", "bad"], store=tmp_path / "s.sqlite")
    lost_only(report, "metric", 1 if scope == "model" else 2)
    others_are_there(report)


def test_an_extractor(error):
    def made(plan, matrices):
        @dataclass(frozen=True)
        class Made(ww.Extractor):
            name = "made"
            version = "1"

            def plan(self, layer):
                if plan:
                    raise error
                return ww.MatrixPlan(1, 1, 4, 3)

            def matrices(self, weight, layer):
                if matrices:
                    raise error
                yield ww.Matrix(0, weight[None, :, :, 0, 0])
                raise error

        return Made

    for plan, matrices in ((True, True), (False, True)):
        given = [plugin(extractors=[made(plan, matrices)])]
        report = analyzed(plugins=given, extractors=["pool", "made"])
        lost_only(report, "extract", 1)
        others_are_there(report)


class Held(ww.Checkpoint):
    format = "held"

    def __init__(self, error, where):
        spec = {name: ww.TensorSpec(f"{name}.weight", "float32", (12, 8)) for name in ("good", "bad")}
        self.layers = tuple(ww.Layer(name, ww.LayerKind.DENSE, own) for name, own in spec.items())
        self._error, self._where = error, where

    def read(self, tensor):
        array = WEIGHTS["fc.weight"] + len(tensor.name)
        if self._where == "read" and tensor.name.startswith("bad"):
            raise self._error
        return self._exits(array) if self._where == "exit" and tensor.name.startswith("bad") else nullcontext(array)

    @contextmanager
    def _exits(self, array):
        yield array
        raise self._error

    def close(self):
        if self._where == "close":
            raise self._error


def loader(error, where):
    class Made(ww.Loader):
        name = "made"
        description = "a test"

        def probe(self, source):
            if where == "probe":
                raise error
            return 0.0

        def open(self, source):
            if where == "open":
                raise error
            return Held(error, where)

    return plugin(loaders=[Made()])


def test_a_loader_that_looks(error):
    report = analyzed(plugins=[loader(error, "probe")])
    assert len([warning for warning in report.warnings if "loader Given:made failed to look" in warning]) == 1
    assert not report.failures
    others_are_there(report)


def test_a_loader_that_opens(error):
    with pytest.raises(ww.SourceError, match="loader Given:made failed"):
        analyzed(plugins=[loader(error, "open")], loader="made")


@pytest.mark.parametrize("where", ["read", "exit"])
def test_a_loader_that_reads(error, where):
    report = analyzed(plugins=[loader(error, where)], loader="made")
    lost_only(report, "read", 1)
    others_are_there(report, ["good"])


def test_a_loader_that_closes(error):
    report = analyzed(plugins=[loader(error, "close")], loader="made")
    others_are_there(report, ["good", "bad"])


def test_an_observer(error):
    class Made(ww.RunObserver):
        def on_start(self, start):
            raise error

        on_layer = on_end = on_start

    report = analyzed(plugins=[plugin(observers=[Made()])])
    lost_only(report, "observer", 4)
    others_are_there(report)


@pytest.mark.parametrize("where", ["submit", "callback", "result", "work", "exit", "create"])
def test_an_executor(error, where):
    class Future:
        def __init__(self, answer):
            self._answer = answer

        def add_done_callback(self, call):
            if where == "callback":
                raise error
            call(self)

        def result(self):
            if where == "result":
                raise error
            return self._answer

        def cancel(self):
            raise error

    class Pool:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            if where == "exit":
                raise error

        def submit(self, call, *given):
            if where == "submit":
                raise error
            return Future([] if where == "work" else call(*given))

        def shutdown(self, **_):
            raise error

    class Made(ww.Executor):
        name = "made"
        description = "a test"
        shares_memory = True

        def create(self, jobs):
            if where == "create":
                raise error
            return Pool()

    given = {"plugins": [plugin(executors=[Made()])], "executor": "made", "jobs": 1}
    if error is Closed and where == "exit":
        pytest.skip("contextlib asks every exception for the one before it")
    if where in {"create", "exit"}:
        with pytest.raises(ww.PluginError, match="executor 'made' could not be"):
            analyzed(**given)
        return
    lost_only(analyzed(**given), "execute", 2)


def test_a_device(error):
    class Made(ww.Device):
        name = "made"
        description = "a test"
        tries = True

        def check(self):
            if self.tries:
                raise error

        def by_gram(self, letter, piece):
            raise error

        def by_svd(self, piece):
            raise error

    with pytest.raises(ww.PluginError, match="device Given:made failed when it was tried"):
        analyzed(plugins=[plugin(devices=[Made()])], device="made")
    Made.tries = False
    lost_only(analyzed(plugins=[plugin(devices=[Made()])], device="made"), "input", 2)


def test_an_importer(error, tmp_path):
    class Made(ww.Importer):
        name = "made"
        description = "a test"

        def probe(self, source):
            raise error

        def read(self, source):
            raise error

    table = tmp_path / "table.csv"
    table.write_text("model,alpha\nnet,3\n")
    given = {"plugins": [plugin(importers=[Made()])]}
    with pytest.raises(ww.WWError, match="importer Given:made failed"):
        ww.import_table(table, importer="made", **given)
    with pytest.raises(ww.WWError, match="importer Given:made failed to look"):
        ww.import_table(table, **given)


def test_a_profile(error):
    @dataclass(frozen=True)
    class Made(ww.Profile):
        def extractor_for(self, kind):
            raise error

    with pytest.raises(ww.PluginError, match=r"profile 'Given:made' failed"):
        analyzed(plugins=[plugin(profiles=[Made("made", "a test")])], profile="made")


def test_a_hook(error, tmp_path):
    class Made:
        @ww.hookimpl
        def ww_register_metrics(self):
            raise error

        @ww.hookimpl
        def ww_register_loaders(self):
            raise error

    registry = load_plugins(objects=[Made()])
    (info,) = [info for info in registry.plugins if info.problems]
    assert [problem.stage for problem in info.problems] == ["call", "call"]
    others_are_there(analyzed(registry=registry))


def test_a_module(tmp_path):
    for number, what in enumerate(("asyncio.CancelledError", "SystemExit(0)", "GeneratorExit", "BaseException")):
        file = tmp_path / f"mine{number}.py"
        file.write_text(f"import asyncio\nraise {what}\n")
        with pytest.raises(ww.PluginError, match="cannot be used, repair it or leave it out: "):
            load_plugins(files=[file])


def test_an_interruption_ends_what_runs():
    @ww.metric(version="1")
    def ends(singular_values):
        """Is interrupted."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyzed(plugins=[plugin(metrics=[ends])], metrics=["ends"])


@pytest.mark.parametrize("what", ["asyncio.CancelledError", "GeneratorExit", "BaseException('it')", "Speechless"])
def test_a_command(what, ww_here):
    (ww_here.folder / "mine.py").write_text(
        "import asyncio, typer, ww_core as ww\n"
        "app = typer.Typer()\n"
        "class Speechless(BaseException):\n"
        "    def __str__(self): raise Speechless\n"
        "@app.command()\n"
        f"def bad(): raise {what}\n"
        "@ww.hookimpl\n"
        "def ww_register_commands(): return [ww.Command('bad', app)]\n"
    )
    result = ww_here("--plugin", "mine.py", "bad")
    assert result.returncode == 4
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(r"error: command bad of mine failed: \w+: .* \(mine.py:6\)", line)


def test_a_command_may_leave(ww_here):
    (ww_here.folder / "mine.py").write_text(
        "import sys, typer, ww_core as ww\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def leaves(): sys.exit(7)\n"
        "@ww.hookimpl\n"
        "def ww_register_commands(): return [ww.Command('leaves', app)]\n"
    )
    with pytest.raises(SystemExit) as left:
        ww_here("--plugin", "mine.py", "leaves")
    assert left.value.code == 7

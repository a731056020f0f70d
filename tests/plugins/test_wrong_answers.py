"""Plugins whose objects answer with something else than their contracts say, or fail where no other kind does."""

import json
import shlex
from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww
from ww_core.spectral import CPU

WEIGHTS = {"fc.weight": np.random.default_rng(0).standard_normal((12, 8))}


def plugin(**hooks):
    made = {
        f"ww_register_{kind}": ww.hookimpl(lambda objects=objects: list(objects)) for kind, objects in hooks.items()
    }
    return type("Given", (), {name: staticmethod(hook) for name, hook in made.items()})


class Absent(ww.Device):
    name = "absent"
    description = "a test"
    raised = ValueError("no current")

    def check(self):
        raise self.raised

    def by_gram(self, letter, piece):
        raise ValueError("no current")

    def by_svd(self, piece):
        raise ValueError("no current")


@pytest.mark.parametrize("raised", [ValueError("no current"), SystemExit(0)])
def test_a_device_that_fails_when_it_is_tried(tmp_path, raised):
    device = Absent()
    object.__setattr__(device, "raised", raised)
    with pytest.raises(ww.PluginError, match=r"device Given:absent failed when it was tried: .*wrong_answers.py:"):
        ww.analyze(WEIGHTS, device="absent", plugins=[plugin(devices=[device])], store=tmp_path / "s.sqlite")
    assert not (tmp_path / "s.sqlite").exists()


def test_a_device_that_fails_at_its_work_is_to_blame():
    class There(Absent):
        def check(self):
            pass

    device = There()
    report = ww.analyze(WEIGHTS, device="absent", plugins=[plugin(devices=[device])])
    assert [
        failure.message.startswith("spectrum: ValueError: no current (test_wrong_answers.py:")
        for failure in report.failures
    ] == [True]


@pytest.mark.parametrize("answer", [None, {"fc": 1}])
def test_a_loader_that_gives_no_checkpoint(answer):
    class Wrong(ww.Loader):
        name = "wrong"
        description = "a test"

        def probe(self, source):
            return 1.0

        def open(self, source):
            return answer

    with pytest.raises(ww.PluginError, match=r"loader Given:wrong gave an object of type .*, no ww\.Checkpoint"):
        ww.analyze(WEIGHTS, plugins=[plugin(loaders=[Wrong()])])


def test_an_opener_that_gives_no_source():
    class Wrong(ww.Opener):
        name = "wrong"
        description = "a test"
        schemes = ("qq",)

        def open(self, address):
            return None

    with pytest.raises(ww.PluginError, match=r"opener Given:wrong gave an object of type NoneType, no ww\.Source"):
        ww.analyze("qq://x", plugins=[plugin(openers=[Wrong()])])


class Pool:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, *_):
        return 3

    def shutdown(self, **_):
        pass


@pytest.mark.parametrize(("pool", "lost"), [(None, False), (Pool(), True)])
def test_an_executor_that_gives_no_pool_or_no_future(pool, lost):
    class Wrong(ww.Executor):
        name = "wrong"
        description = "a test"
        shares_memory = True

        def create(self, jobs):
            return pool

    if not lost:
        with pytest.raises(ww.PluginError, match="executor 'wrong' gave an object of type NoneType, no pool"):
            ww.analyze(WEIGHTS, executor="wrong", plugins=[plugin(executors=[Wrong()])])
        return
    report = ww.analyze(WEIGHTS, executor="wrong", plugins=[plugin(executors=[Wrong()])])
    assert [failure.stage for failure in report.failures] == ["execute"]


def test_another_process_uses_the_device_that_was_asked_for(ww_program):
    (ww_program.folder / "twin.py").write_text(
        "import ww_core as ww\n"
        "class Twin(ww.Device):\n"
        "    name = 'cpu'\n"
        "    description = 'a test'\n"
        "    def by_gram(self, letter, piece): raise ValueError('this one')\n"
        "    by_svd = by_gram\n"
        "@ww.hookimpl\n"
        "def ww_register_devices(): return [Twin()]\n"
    )
    from safetensors.numpy import save_file

    save_file(WEIGHTS, ww_program.folder / "net.safetensors")
    for executor in ("threads", "processes"):
        arguments = ("analyze", "net.safetensors", "--plugin", "twin.py", "--device", "twin:cpu")
        result = ww_program(*arguments, "--executor", executor, "--name", executor)
        assert result.returncode == 4
        assert "ValueError: this one (twin.py:5)" in result.stderr


def test_the_command_that_backfill_prints_reads_the_same_weights(ww_program):
    torch = pytest.importorskip("torch")
    state = {key: {"fc.weight": torch.full((5, 4), value)} for key, value in (("model", 1.0), ("e,ma", 2.0))}
    torch.save(state, ww_program.folder / "net.pt")
    (ww_program.folder / "needy.py").write_text(
        "import ww_core as ww\n"
        "@ww.metric(version='1', scope='layer')\n"
        "def total(weight): return float(weight.sum())\n"
        "@ww.hookimpl\n"
        "def ww_register_metrics(): return [total]\n"
    )
    first = ww_program(
        "analyze", "net.pt", "--loader", 'pytorch[weights="e,ma"]', "--metrics", "frobenius_norm", "--name", "net"
    )
    assert first.returncode == 0, first.stderr
    told = ww_program("backfill", "--metrics", "total", "--plugin", "needy.py", "--json")
    [needed] = json.loads(told.stdout)["needs_weights"]
    words = shlex.split(needed["command"])
    assert words[words.index("--loader") + 1] == 'ww.loaders:pytorch[weights="e,ma"]'
    again = ww_program(*words[1:], "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["layer_metrics"][0]["metrics"]["total"] == 40.0


def test_a_command_that_is_given_up_is_no_traceback(ww_program):
    (ww_program.folder / "asks.py").write_text(
        "import typer, ww_core as ww\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def asks(): raise typer.Abort\n"
        "@ww.hookimpl\n"
        "def ww_register_commands(): return [ww.Command('asks', app)]\n"
    )
    result = ww_program("asks", "--plugin", "asks.py")
    assert result.returncode == 130
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("value", [" sp", 'q"x', '"', "a]b[", "x,y=z", "plain", ""])
def test_a_label_is_read_back_as_the_same_options(value):
    @dataclass(frozen=True)
    class Told(ww.Loader):
        name = "told"
        description = "a test"
        text: str = "none"

        def probe(self, source):
            return 0.0

        def open(self, source):
            raise ww.SourceError(f"{self.text!r} {self.label}")

    given = plugin(loaders=[Told()])
    label = Told(value).label
    with pytest.raises(ww.SourceError) as caught:
        ww.analyze(WEIGHTS, plugins=[given], loader=label)
    assert str(caught.value) == f"{value!r} {label}"


@pytest.mark.parametrize("loader", ["pytorch[weights=a][x=1]", 'pytorch[weights=q"x]', 'pytorch[weights="x]'])
def test_what_is_no_list_of_options_is_refused(loader):
    with pytest.raises(ww.UsageError, match="is not of the form NAME"):
        ww.analyze(WEIGHTS, loader=loader)


def test_a_device_has_its_short_form_under_its_long_name_too():
    with pytest.raises(ww.UsageError, match=r"'ww\.devices:cpu' has no parameters"):
        ww.analyze(WEIGHTS, device="ww.devices:cpu:1")
    assert ww.analyze(WEIGHTS, device="ww.devices:cpu").layers == ww.analyze(WEIGHTS).layers
    assert repr(CPU) == "Cpu()"

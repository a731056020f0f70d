"""Options of loaders and executors, as people write them behind the name."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww

PLAIN, AVERAGED = (np.random.default_rng(seed).standard_normal((12, 8)).astype(np.float32) for seed in (1, 2))
STATE = {"model": {"fc.weight": PLAIN}, "ema": {"fc.weight": AVERAGED}, "epoch": 3}


def alpha(weights, **options):
    [row] = ww.analyze(weights, metrics=["frobenius_norm"], **options).layers
    return row.metrics["frobenius_norm"].number


@pytest.fixture
def saved(tmp_path):
    torch = pytest.importorskip("torch")
    state = {key: {"fc.weight": torch.from_numpy(own["fc.weight"])} for key, own in STATE.items() if key != "epoch"}
    torch.save({**state, "nested": {"a.b": {"fc.weight": torch.from_numpy(AVERAGED)}}}, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_one_of_several_sets_of_weights_is_chosen(saved, ww_program):
    expected = alpha({"fc.weight": AVERAGED})
    assert alpha(STATE) == alpha({"fc.weight": PLAIN})
    assert alpha(STATE, loader="arrays[weights=ema]") == expected
    assert alpha(saved, loader="pytorch[weights=ema]") == expected
    assert alpha(saved, loader='ww.loaders:pytorch[weights="nested.a.b"]', executor="processes") == expected
    result = ww_program("analyze", saved, "--loader", "pytorch[weights=ema]", "--metrics", "frobenius_norm", "--json")
    assert json.loads(result.stdout)["layers"][0]["metrics"]["frobenius_norm"] == expected


def test_a_digest_of_other_weights_of_a_file_is_another_one(saved, tmp_path):
    store = tmp_path / "s.sqlite"
    first = ww.analyze(saved, store=store)
    second = ww.analyze(saved, store=store, loader="pytorch[weights=ema]")
    third = ww.analyze(saved, store=store, loader="pytorch[weights=ema]")
    assert first.digest != second.digest == third.digest
    assert (second.version, third.version) == ("2", "2")


@pytest.mark.parametrize(
    ("loader", "sentence"),
    [
        (
            "pytorch[weights=emma]",
            "no weights are under the key 'emma': they lie under 'model', 'ema', 'nested'",
        ),
        ("pytorch[weights=ema.fc]", "no weights are under the key 'fc': no tensor lies deeper"),
        ("pytorch[entry=ema]", "unknown parameter of pytorch 'entry': known: weights"),
        ("pytorch[ema]", "loader 'pytorch[ema]': 'ema' is not of the form PARAMETER=VALUE"),
        ("pytorch[weights=a,weights=b]", "names 'weights' twice"),
        ("pytorch[", "is not of the form NAME"),
        ("safetensors[weights=x]", "unknown parameter of safetensors 'weights': known: layout"),
    ],
)
def test_a_wrong_option_is_one_sentence(saved, ww_here, loader, sentence):
    result = ww_here("analyze", saved, "--loader", loader)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not ww_here.store.exists()


def test_a_value_in_quotes_may_hold_commas_and_brackets():
    @dataclass(frozen=True)
    class Based(ww.Loader):
        name = "based"
        description = "a test"
        base: str = ""
        scale: float = 1.0

        def probe(self, source):
            return 0.0

        def open(self, source):
            assert (self.base, self.scale) == ("a,b[1]", 0.5)
            raise ww.SourceError(self.label)

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Based()]

    with pytest.raises(ww.SourceError) as caught:
        ww.analyze(STATE, plugins=[Plugin()], loader='based[scale=0.5,base="a,b[1]"]')
    label = str(caught.value)
    assert label == 'based[base="a,b[1]",scale=0.5]'
    with pytest.raises(ww.SourceError) as caught:
        ww.analyze(STATE, plugins=[Plugin()], loader=label)
    assert str(caught.value) == label


def test_an_executor_with_an_option(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    made = []

    @dataclass(frozen=True)
    class Named(ww.Executor):
        name = "named"
        description = "a test"
        shares_memory = True
        prefix: str = "x"

        def create(self, jobs):
            made.append(self.prefix)
            return ThreadPoolExecutor(jobs, self.prefix)

    class Plugin:
        @ww.hookimpl
        def ww_register_executors(self):
            return [Named()]

    ww.analyze(STATE, plugins=[Plugin()], executor="named[prefix=y]")
    ww.analyze(STATE, plugins=[Plugin()], executor="named")
    assert made == ["y", "x"]


def test_options_without_a_dataclass_are_refused():
    class Careless(ww.Loader):
        name = "careless"
        description = "a test"
        base: str = ""

        def probe(self, source):
            return 0.0

        def open(self, source):
            raise AssertionError

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Careless()]

    report = ww.analyze(STATE, plugins=[Plugin()])
    assert any("loader Careless has annotated parameters but is no dataclass" in said for said in report.warnings)


def test_options_are_listed(ww_program):
    listed = json.loads(ww_program("loaders", "--json").stdout)
    assert {row["loader"]: row["options"] for row in listed}["pytorch"] == {"weights": ""}

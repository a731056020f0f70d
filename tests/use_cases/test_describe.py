"""What is told of a source before anything is computed: tied tensors, and one count of parameters in all commands."""

from __future__ import annotations

import csv
import io
import json

import pytest

import ww_core as ww

torch = pytest.importorskip("torch")
nn = torch.nn

SHOWN = ("--metrics", "spectral_norm")


class Tied(nn.Module):
    """A convolution with a bias, a norm with buffers, and an embedding whose weight two layers share."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.emb = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20)
        self.again = nn.Linear(8, 20)
        self.head.weight = self.again.weight = self.emb.weight
        self.again.bias = self.head.bias


@pytest.fixture
def tied_file(tmp_path):
    torch.manual_seed(0)
    torch.save(Tied().state_dict(), tmp_path / "tied.pt")
    return tmp_path / "tied.pt"


def output_of(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_tied_tensors_stand_in_the_line_of_their_layer(tied_file, ww_here):
    lines = output_of(ww_here("describe", tied_file)).splitlines()
    (told,) = [line for line in lines if "head.weight" in line]
    assert told.startswith("emb ")
    assert told.endswith("tied: head.weight, again.weight")
    assert [line.split()[0] for line in lines if "tied: " in line] == ["emb", "head.bias"]
    rows = list(csv.DictReader(io.StringIO(output_of(ww_here("describe", tied_file, "--csv")))))
    assert [row["layer"] for row in rows] == [
        "conv", "bn", "emb", "head.bias", "bn.num_batches_tracked", "bn.running_mean", "bn.running_var",
    ]  # fmt: skip
    described = json.loads(output_of(ww_here("describe", tied_file, "--json")))
    assert [layer["tied"] for layer in described["layers"]] == [[], [], ["head.weight", "again.weight"], ["again.bias"]]
    skipped = {own["name"]: own["reason"] for own in described["skipped"]}
    assert skipped["head.weight"] == "tied: it is the tensor emb.weight"


def test_many_names_of_one_tensor_are_few_words(tmp_path):
    shared = torch.ones(4, 3)
    torch.save({f"{place}.weight": shared for place in range(40)}, tmp_path / "m.pt")
    (row,) = ww.describe(tmp_path / "m.pt").rows()
    assert row["note"] == "tied: 1.weight, 2.weight, 3.weight, 4.weight, 5.weight and 34 more"
    two = ww.describe(tmp_path / "m.pt", extractors=["matrix"], layers=["0"])
    assert len(two.layers[0].tied) == 39


def test_what_is_tied_to_a_tensor_of_no_layer_stands_in_its_line(tmp_path):
    shared = torch.arange(4)
    torch.save({"fc.weight": torch.ones(4, 3), "ids": shared, "same": shared}, tmp_path / "m.pt")
    assert [(row["layer"], row["note"]) for row in ww.describe(tmp_path / "m.pt").rows()] == [
        ("fc", ""), ("ids", "dtype int64 is not floating point; tied: same"),
    ]  # fmt: skip


def test_the_summary_of_an_analysis_has_one_line_of_ties(tied_file, ww_here):
    lines = output_of(ww_here("analyze", tied_file, *SHOWN)).splitlines()
    (told,) = [line for line in lines if "tied to" in line]
    names = "head.weight = emb.weight, again.weight = emb.weight, again.bias = head.bias"
    assert told == f"  without spectrum: tied to another tensor: 3 ({names})"


def test_all_commands_count_the_same_parameters(tied_file, ww_here):
    network = Tied()
    weights_and_biases = sum(own.numel() for own in network.parameters())  # each once, however many names it has
    buffers = sum(own.numel() for own in network.buffers())
    told = f"376 of {weights_and_biases + buffers} parameters"
    counts = {weights_and_biases + buffers}
    for options in ((), ("--include-buffers",)):
        assert told in output_of(ww_here("describe", tied_file, *options))
        described = json.loads(output_of(ww_here("describe", tied_file, *options, "--json")))
        assert told in output_of(ww_here("analyze", tied_file, *options, *SHOWN))
        analysed = json.loads(output_of(ww_here("analyze", tied_file, *options, *SHOWN, "--json")))
        assert {described["parameters"], analysed["coverage"]["parameters"]} == counts
        assert {described["parameters_analyzed"], analysed["coverage"]["parameters_analyzed"]} == {376}
    assert told in output_of(ww_here("show", "tied"))
    assert json.loads(output_of(ww_here("show", "tied", "--json")))["coverage"]["parameters"] in counts
    assert {own["parameters"] for own in json.loads(output_of(ww_here("show", "--json")))} == counts
    assert {own["parameters"] for own in csv_of(ww_here("show", "--csv"))} == set(map(str, counts))
    asked = ww_here("sql", "select distinct parameters from v_models", "--json")
    assert str(*counts) in output_of(asked)
    torch.save(torch.optim.swa_utils.AveragedModel(network).state_dict(), tied_file.parent / "mean.pt")
    assert ww.describe(tied_file.parent / "mean.pt").parameters in {count + 1 for count in counts}  # n_averaged


def csv_of(result):
    return list(csv.DictReader(io.StringIO(output_of(result))))

"""``ww scores`` and ``ww series`` as a person uses them; what is listed as CSV can be imported."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from safetensors.numpy import save_file

import ww_core as ww


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stored(ww_here, weights):
    """The program, with model net in its store, in two versions."""
    for number in (1, 2):
        weights["first.weight"] = weights["first.weight"] * number
        save_file({"w.weight": weights["first.weight"]}, ww_here.folder / "net.safetensors")
        ok(ww_here("analyze", "net.safetensors", "--metrics", "log_norm", "--version", str(number)))
    return ww_here


def write(program, name, text):
    path = program.folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def listed(program, *arguments):
    return json.loads(ok(program("scores", "list", "--json", *arguments)))


def numbers(program, *arguments):
    return [(row["model"], row["version"], row["value"]) for row in listed(program, *arguments)]


def test_a_score_is_added_corrected_listed_and_removed(stored):
    add = ("scores", "add", "net@1", "top1_error", "--dataset", "digits", "--source", "J. Doe, 2021")
    assert ok(stored(*add, "5.5", "--direction", "lower", "--unit", "%", "--low", "5", "--high", "6")) == (
        "top1_error of net@1 on digits from J. Doe, 2021: 1 added\n"
    )
    assert "1 known already" in ok(stored(*add, "5.5", "--unit", "%", "--low", "5", "--high", "6"))
    refused = stored(*add, "4.5", "--unit", "%")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: top1_error of net@1 on digits from J. Doe, 2021 is 5.5 % (5.0 to 6.0) in this store, not 4.5 %: "
        "--correct replaces it and keeps the old number\n"
    )
    assert json.loads(ok(stored(*add, "4.5", "--unit", "%", "--correct", "--json"))) == {
        "added": 0,
        "corrected": 1,
        "known": 0,
    }
    row = {"model": "net", "version": "1", "dataset": "digits", "name": "top1_error", "unit": "%"}
    row |= {"direction": "lower", "source": "J. Doe, 2021"}
    now, before = row | {"value": 4.5, "low": None, "high": None}, row | {"value": 5.5, "low": 5.0, "high": 6.0}
    assert listed(stored) == [now]
    (replaced,) = listed(stored, "--replaced")
    times = replaced.pop("stored_at"), replaced.pop("replaced_at")
    assert replaced == before
    assert times == tuple(sorted(times))
    both = listed(stored, "--all")
    assert [(own["value"], own["replaced_at"]) for own in both] == [(5.5, times[1]), (4.5, None)]
    table = ok(stored("scores", "list"))
    assert table.splitlines()[0].split() == [
        "model",
        "version",
        "dataset",
        "name",
        "value",
        "unit",
        "direction",
        "source",
    ]
    assert table.splitlines()[-1] == "corrected: 1 (--all shows what was replaced)"
    removed = stored("scores", "remove", "net", "--name", "top1_error", "--dataset", "digits")
    assert ok(removed).splitlines()[-1] == "removed: 1 score"
    assert "4.5" in removed.stdout
    assert listed(stored, "--all") == []


def test_a_negative_value_is_a_number_and_no_option(stored):
    ok(stored("scores", "add", "net", "log_likelihood", "-0.5", "--source", "x", "--direction", "higher"))
    say = ("--source", "x", "--direction", "none")
    ok(stored("scores", "add", "net", "gain", "-1e-3", "--low", "-1", "--high", "0", *say))
    assert [row["value"] for row in listed(stored)] == [-0.001, -0.5]
    wrong = stored("scores", "add", "net", "gain", "1", "--sources", "x")
    assert wrong.returncode == 2
    assert "--source" in wrong.stderr


def test_lists_are_chosen_by_several_of_a_kind(stored):
    for at, (name, dataset, source) in enumerate(
        [("a", "x", "s"), ("b", "x", "t"), ("a", "y", "t, u"), ("c", "", "s")]
    ):
        said = ("--dataset", dataset, "--source", source, "--direction", "lower")
        ok(stored("scores", "add", "net@1" if at else "net@2", name, str(at), *said))
    assert numbers(stored, "net@2") == [("net", "2", 0.0)]
    assert [value for *_, value in numbers(stored, "--name", "a", "--name", "c")] == [2.0, 3.0, 0.0]
    assert [value for *_, value in numbers(stored, "--source", "t, u", "--dataset", "y")] == [2.0]
    assert [value for *_, value in numbers(stored, "net@2", "net@1", "--dataset", "x")] == [1.0, 0.0]
    nothing = stored("scores", "list", "--name", "z")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == "no stored score matches\n"
    assert ok(stored("scores", "list", "--name", "z", "--json")) == "[]\n"
    assert stored("scores", "list", "--replaced").stderr == "no score was corrected\n"


SCORES = """\
value,name,model,version,dataset,unit,source,direction,low,high
5.5,top1_error,net,1,digits,%,"Doe, J. ""jr"", 2021",lower,5.25,6
4.5,top1_error,net,2,digits,%,"Doe, J. ""jr"", 2021",lower,,
-0.1,nll,net,2,,,"Doe, J. ""jr"", 2021",none,,
30.98,top1_error,VGG11,,ImageNet,%,torchvision,lower,,
28.4,top1_error,VGG11,bn,ImageNet,%,torchvision,lower,,
0.1,größe,Grünspan,1,,,Ünïcödé €,higher,,
1e-300,tiny,net,1,,,x,lower,,
0.30000000000000004,digits,net,1,,,x,lower,,
"""


def test_what_is_listed_as_csv_is_imported_as_it_was(stored):
    file = write(stored, "scores.csv", SCORES)
    assert ok(stored("scores", "import", file, "--without-weights")) == f"{file}: 8 added\n"
    text = ok(stored("scores", "list", "--csv"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "model",
        "version",
        "dataset",
        "name",
        "value",
        "unit",
        "direction",
        "source",
        "low",
        "high",
    ]
    given = list(csv.DictReader(io.StringIO(SCORES)))

    def content(rows):
        numbers = {"value", "low", "high"}
        return {tuple(float(v) if k in numbers and v else v for k, v in sorted(row.items())) for row in rows}

    assert content(rows) == content(given)
    again = write(stored, "again.csv", text)
    assert ok(stored("scores", "import", again)) == f"{again}: 8 known already\n"
    other = {"WW_STORE": str(stored.folder / "other.sqlite")}
    ok(stored("analyze", "net.safetensors", "--metrics", "log_norm", "--version", "2", environ=other))
    ok(stored("scores", "import", again, "--without-weights", environ=other))
    assert ok(stored("scores", "list", "--csv", environ=other)) == text
    # As JSON, and as JSON lines.
    rows = listed(stored)
    for name, form in (
        ("scores.json", json.dumps(rows)),
        ("scores.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        ("scores.tsv", text.replace(",", "\t").replace('"Doe\t J. ""jr""\t 2021"', '"Doe, J. ""jr"", 2021"')),
    ):
        file = write(stored, name, form)
        assert ok(stored("scores", "import", file)) == f"{file}: 8 known already\n", name


def test_a_file_of_weights_without_a_name_is_imported_again(stored):
    ok(stored("scores", "add", "net@1", "e", "1", "--source", "x", "--direction", "lower"))
    ok(stored("forget", "net@1"))
    text = ok(stored("scores", "list", "--csv"))
    digest = next(csv.DictReader(io.StringIO(text)))["model"]
    assert len(digest) == 64
    file = write(stored, "scores.csv", text)
    assert "1 known already" in ok(stored("scores", "import", file))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffmodel,name,value\nnet,e,1.5\n",
        "model;name;value\r\nnet;e;1.5\r\n",
        "model\tname\tvalue\nnet\te\t1.5",
        "value , NAME, Model\n 1.5, e, net\n",
        "model,name,value,better\nnet,e,1.5,lower\n",
        "model,name,value,low,high\nnet@2,e,1.5,,\n\n\n",
        '[{"model": "net", "name": "e", "value": "1.5", "version": 2}]',
        '\ufeff{"model": "net", "name": "e", "value": 1.5, "unit": null}\n',
        '{"name": "e", "value": 1.5, "low": null, "model": "net"}\n\n',
    ],
)
def test_every_usual_form_is_read(stored, text):
    file = write(stored, "scores.txt", text)
    ok(stored("scores", "import", file, "--source", "x", "--direction", "lower"))
    assert numbers(stored) == [("net", "2", 1.5)]


def test_a_gzip_is_unpacked(stored):
    path = stored.folder / "scores.csv.gz"
    path.write_bytes(gzip.compress(b"model,name,value\nnet,e,1.5\n"))
    ok(stored("scores", "import", path, "--source", "x", "--direction", "lower"))
    assert numbers(stored) == [("net", "2", 1.5)]


def test_options_fill_in_what_the_file_does_not_tell(stored):
    file = write(
        stored, "scores.csv", "model,name,value,dataset,source,direction\nnet,a,1,digits,,\nnet,b,2,,paper,higher\n"
    )
    ok(stored("scores", "import", file, "--source", "me", "--dataset", "letters", "--direction", "lower"))
    assert {(row["name"], row["dataset"], row["source"], row["direction"]) for row in listed(stored)} == {
        ("a", "digits", "me", "lower"),
        ("b", "letters", "paper", "higher"),
    }
    # Without an option the direction is that of the stored scores of the name.
    ok(stored("scores", "import", write(stored, "more.csv", "model,name,value,source\nnet,b,3,x\n")))
    assert [row["direction"] for row in listed(stored, "--source", "x")] == ["higher"]


def test_a_correction_by_file(stored):
    file = write(stored, "scores.csv", "model,name,value\nnet@1,e,1\nnet@2,e,2\n")
    say = ("--source", "x", "--direction", "lower")
    ok(stored("scores", "import", file, *say))
    file = write(stored, "scores.csv", "model,name,value\nnet@1,e,1\nnet@2,e,3\nnet@2,f,4\n")
    refused = stored("scores", "import", file, *say)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {file}, line 3: e of net@2 from x is 2.0 in this store, not 3.0:")
    assert numbers(stored) == [("net", "1", 1.0), ("net", "2", 2.0)]
    assert ok(stored("scores", "import", file, *say, "--correct")) == f"{file}: 1 added, 1 corrected, 1 known already\n"


def test_from_python_as_from_the_command_line(stored):
    file = write(stored, "scores.csv", SCORES)
    with pytest.raises(ww.NotStoredError, match=r"scores\.csv, line 5: no model 'Grünspan@1', 'VGG11', 'VGG11@bn' in"):
        ww.import_scores(file, store=stored.store)
    counts = ww.import_scores(file, store=stored.store, without_weights=True)
    assert counts == (8, 0, 0)
    with ww.open_store(stored.store) as opened:
        assert ww.import_scores(str(file), store=opened) == (0, 0, 8)
        assert len(opened.scores()) == 8


def test_a_store_is_made_for_models_without_weights_only(ww_here):
    file = write(ww_here, "scores.csv", "model,name,value\nVGG11,e,1\n")
    say = ("--source", "x", "--direction", "lower")
    for arguments in (("import", file), ("add", "VGG11", "e", "1")):
        missing = ww_here("scores", *arguments, *say)
        assert (missing.returncode, ww_here.store.exists()) == (3, False)
        assert "there is no store at" in missing.stderr
    ok(ww_here("scores", "import", file, *say, "--without-weights"))
    assert numbers(ww_here) == [("VGG11", None, 1.0)]


def test_removing_needs_a_choice(stored):
    ok(stored("scores", "add", "net", "e", "1", "--source", "x", "--direction", "lower"))
    refused = stored("scores", "remove")
    assert refused.returncode == 2
    assert refused.stderr == ("error: nothing says which scores to remove: name models, names, datasets or sources\n")
    assert stored("scores", "remove", "nix").returncode == 3
    assert ok(stored("scores", "remove", "--name", "f")) == "removed: 0 scores\n"
    (row,) = json.loads(ok(stored("scores", "remove", "--source", "x", "--json")))
    assert row["value"] == 1.0
    assert listed(stored) == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("add", "net", "e", "nan", "--source", "x"), 2, "the value must be a finite number"),
        (("add", "net", "e", "1e999", "--source", "x"), 2, "the value must be a finite number"),
        (("add", "net", "e", "5,5", "--source", "x"), 2, "Invalid value for 'VALUE'"),
        (("add", "net", "e", "5", "--source", ""), 2, "the source is empty"),
        (("add", "net", "e", "5"), 2, "--source"),
        (("add", "net@", "e", "5", "--source", "x"), 2, "names no version"),
        (("add", "", "e", "5", "--source", "x"), 2, "empty"),
        (("add", "net", "", "5", "--source", "x"), 2, "empty"),
        (("add", "net@9", "e", "5", "--source", "x", "--direction", "lower"), 3, "'net@9' (it has 1, 2)"),
        (("add", "met", "e", "5", "--source", "x", "--direction", "lower"), 3, "'met' (near: net)"),
        (("add", "net", "e", "5", "--source", "x", "--direction", "down"), 2, "down"),
        (("add", "net", "e", "5", "--source", "x"), 2, "no score of this name: say --direction"),
        (("add", "net", "e", "5", "--source", "x", "--low", "6", "--high", "7"), 2, "5.0 is not between low 6.0"),
        (("add", "net", "e", "5", "--source", "x", "--low", "4"), 2, "an interval has two ends"),
        (("list", "nix"), 3, "no model 'nix'"),
        (("list", "--all", "--replaced"), 2, "exclude each other"),
        (("list", "--json", "--csv"), 2, "exclude each other"),
        (("list", "--name", ""), 2, "names must be texts that are not empty"),
        (("import", ""), 2, "empty"),
    ],
)
def test_wrong_requests_end_with_one_sentence(stored, arguments, code, sentence):
    done = stored("scores", *arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert listed(stored) == []


def test_series(stored):
    ok(stored("scores", "add", "R18", "e", "1", "--source", "x", "--direction", "lower", "--without-weights"))
    assert stored("series", "list").stderr == "no series is stored: `ww series add SERIES MODEL` makes one\n"
    assert ok(stored("series", "add", "nets", "net", "R18")) == "nets: 2 models\n"
    ok(stored("series", "add", "others", "net"))
    assert json.loads(ok(stored("series", "list", "nets", "--json"))) == [
        {"series": "nets", "model": "R18", "version": None, "is_reported": True},
        {"series": "nets", "model": "net", "version": None, "is_reported": False},
    ]
    assert ok(stored("series", "list", "--csv")).splitlines() == [
        "series,model,version,is_reported",
        "nets,R18,,True",
        "nets,net,,False",
        "others,net,,False",
    ]
    assert ok(stored("series", "list", "others")).split() == ["series", "model", "others", "net"]
    assert ok(stored("series", "remove", "nets", "R18")) == "removed from nets: R18\n"
    assert ok(stored("series", "remove", "nets", "R18")) == "nothing was removed from nets: none of these is a member\n"
    assert json.loads(ok(stored("series", "remove", "nets", "--json")))[0]["model"] == "net"
    for arguments, code, sentence in (
        (("list", "nets"), 2, "unknown series 'nets'"),
        (("remove", "nets"), 2, "unknown series 'nets'"),
        (("add", "nets", "nix"), 3, "no model 'nix' in this store"),
        (("add", "a@b", "net"), 2, "the series 'a@b' cannot be used"),
        (("add", "nets"), 2, "MODEL"),
        (("add", "", "net"), 2, "SERIES is empty"),
        (("remove", "others", ""), 2, "models must be texts that are not empty"),
    ):
        done = stored("series", *arguments)
        assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    assert ok(stored("series", "list", "--csv")).splitlines()[1:] == ["others,net,,False"]


def test_an_interval_from_0_on_has_both_ends_in_the_table(stored):
    interval = ("--low", "0", "--high", "0.5", "--direction", "higher", "--source", "paper")
    ok(stored("scores", "add", "net@1", "chance", "0.1", *interval))
    table = ok(stored("scores", "list", "--name", "chance"))
    assert table.splitlines()[0].split()[-2:] == ["low", "high"]

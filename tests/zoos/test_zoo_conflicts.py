"""Two zoos of one name, files of others in the way, and tables that say what cannot be: nothing is mixed or lost."""

import dataclasses
import gzip
import json
import subprocess
import sys
import time

import numpy as np
import published_zoo
import pytest
from test_zoo_store import checkpoints, content, taken

import ww_core as ww
from ww_plugins.zoos.analyzing import Asked, analyze_zoo
from ww_plugins.zoos.checkpoints import zoo_of_checkpoints
from ww_plugins.zoos.exporting import export_zoo
from ww_plugins.zoos.finding import find_zoo
from ww_plugins.zoos.folder import read_zoo


@pytest.fixture
def folder(tmp_path):
    return published_zoo.write(tmp_path / "mnist")[0]


@pytest.fixture
def other(tmp_path):
    """Another zoo of the same name, with the same table."""
    return published_zoo.write(tmp_path / "other/mnist", published_zoo.weights_of(12, seed=9))[0]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "ww.sqlite"


def analyzed(folder, place, which=slice(None), metrics=("stable_rank",), epochs="last"):
    zoo = read_zoo(folder)
    zoo = zoo.last() if epochs == "last" else zoo
    zoo = zoo.chosen(np.arange(len(zoo))[which])
    return analyze_zoo(zoo, Asked(str(folder), zoo.name, str(place), metrics=metrics), {}, jobs=1)


def known(place):
    with ww.open_store(place, mode="read") as store:
        scores = sorted((own.model, own.version, own.name, own.value) for own in store.scores())
        return scores, {(own.model, own.version): own.digest for own in store.versions()}


# --- labels that stand on other weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["keras", "pytorch"])
@pytest.mark.parametrize(("dtype", "order"), [("<f4", "C"), ("<f8", "F"), (">f4", "C"), ("<f2", "C")])
def test_the_digests_of_a_zoo_are_those_that_the_loader_gives(tmp_path, layout, dtype, order):
    folder = published_zoo.write(tmp_path, published_zoo.weights_of(12, dtype, order))[0]
    (folder / "zoo.json").write_text(f'{{"format": 1, "layout": "{layout}", "name": "one"}}')
    text = gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().replace("/zoo/permanent/", "")
    (folder / "metrics.csv.gz").write_bytes(gzip.compress(text.encode()))
    zoo = read_zoo(folder).last()
    wanted = [
        ww.analyze(folder, loader=f"zoo[network={number}]", metrics=["stable_rank"]).digest
        for number in zoo.networks.tolist()
    ]
    assert ww.zoo_digests(zoo) == wanted


@pytest.mark.parametrize("metrics", [("stable_rank",), ()])
def test_an_analysis_of_another_zoo_of_the_name_is_refused(folder, other, place, metrics):
    analyzed(folder, place, metrics=metrics)
    before = known(place)
    with pytest.raises(ww.UsageError, match=r"mnist/00000@20 stands on other weights.*--name.*--replace"):
        analyzed(other, place, metrics=metrics)
    assert known(place) == before


def test_one_label_of_other_weights_refuses_all(folder, other, place):
    analyzed(folder, place, slice(3, 4))
    before = known(place)
    with pytest.raises(ww.UsageError, match=r"mnist/00003@20"):
        analyzed(other, place)
    assert known(place) == before
    analyzed(other, place, slice(0, 2))  # no label of these


def test_an_analysis_of_another_zoo_than_the_imported_one_is_refused(folder, other, place):
    taken(folder, place)
    before = known(place)
    with pytest.raises(ww.UsageError, match=r"mnist/00000@20 stands on other weights"):
        analyzed(other, place)
    assert known(place) == before
    analyzed(folder, place)


def test_scores_that_were_corrected_are_counted(ww_here, folder):
    ww_here("zoo", "analyze", folder)
    text = gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().splitlines()
    cells = text[3].split(",")  # the last epoch of the first network
    at = text[0].split(",").index("test_accuracy")
    cells[at] = "0.5"
    text[3] = ",".join(cells)
    (folder / "metrics.csv.gz").write_bytes(gzip.compress("\n".join(text).encode()))
    done = ww_here("zoo", "analyze", folder)
    assert "4 were analysed before, 0 scores added, 1 corrected" in done.stdout, done.stderr


def test_features_are_not_those_of_another_zoo_of_the_name(folder, other, place):
    analyzed(folder, place, metrics=())
    assert len(ww.zoo_features(read_zoo(folder).last(), "stable_rank", store=place)) == 4
    with pytest.raises(ww.UsageError, match=r"mnist/00000@20 stands on other weights"):
        ww.zoo_features(read_zoo(other).last(), "stable_rank", store=place)


# --- import -----------------------------------------------------------------------------------------------------------


def test_replaced_weights_take_the_analyses_with_them(folder, other, place):
    taken(folder, place)
    analyzed(folder, place, epochs="all")
    assert taken(other, place, replaces=True).is_new
    assert known(place)[1] == {}
    assert not taken(other, place, replaces=True).is_new
    analyzed(other, place)
    assert not taken(other, place, replaces=True).is_new
    assert len(known(place)[1]) == 4  # the same again leaves them


def test_other_weights_are_another_zoo_where_the_files_are_elsewhere(folder, other, place):
    taken(folder, place)
    place.with_name("ww.sqlite.zoos").rename(place.with_name("away"))
    with pytest.raises(ww.UsageError, match="another zoo mnist"):
        taken(other, place)
    assert taken(folder, place).is_new
    assert find_zoo("mnist", place).hyperparameters.keys() == read_zoo(folder).hyperparameters.keys()


TOGETHER = """
import sys, time
from pathlib import Path
import ww_core as ww
from ww_plugins.zoos import importing
original = importing._record
def slow(*arguments, **options):
    time.sleep(0.5)
    return original(*arguments, **options)
importing._record = slow
with ww.open_store(sys.argv[2]) as store:
    while time.time() < float(sys.argv[3]):
        time.sleep(0.001)
    importing.import_zoo(Path(sys.argv[1]), store)
"""


def test_two_imports_at_once_leave_one_whole(folder, other, place):
    ww.open_store(place).close()
    start = str(time.time() + 2.5)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(own), str(place), start], stderr=subprocess.PIPE, text=True
        )
        for own in (folder, other)
    ]
    said = [own.communicate(timeout=60)[1] for own in both]
    codes = [own.returncode for own in both]
    assert sorted(codes) == [0, 1], said
    assert "another zoo mnist" in said[codes.index(1)]
    winner = (folder, other)[codes.index(0)]
    beside = place.with_name("ww.sqlite.zoos")
    assert content(beside / "mnist") == content(winner)
    assert [own.name for own in beside.iterdir()] == ["mnist"]


def test_what_a_killed_import_left_is_swept(folder, place):
    beside = place.with_name("ww.sqlite.zoos")
    (beside / ".ww-new-abc/new").mkdir(parents=True)
    (beside / ".ww-new-abc/new/weights.npy").write_bytes(b"x")
    (beside / ".other").mkdir()
    taken(folder, place)
    assert sorted(own.name for own in beside.iterdir()) == [".other", "mnist"]


# --- export -----------------------------------------------------------------------------------------------------------


def test_an_export_leaves_files_of_others(folder, tmp_path):
    zoo, out = read_zoo(folder), tmp_path / "out"
    export_zoo(zoo, out, {})
    (out / "sub").mkdir()
    (out / "sub/thesis.txt").write_text("x")
    with pytest.raises(ww.UsageError, match=r"out holds 'sub' too, which is no file of a zoo"):
        export_zoo(zoo, out, {}, replaces=True)
    assert (out / "sub/thesis.txt").exists()
    assert len(read_zoo(out)) == 12


def test_a_link_to_nothing_is_there_already(folder, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nothing")
    for replaces in (False, True):
        with pytest.raises(ww.UsageError, match="exists already"):
            export_zoo(read_zoo(folder), tmp_path / "out", {}, replaces=replaces)
    assert (tmp_path / "out").is_symlink()


# --- tables -----------------------------------------------------------------------------------------------------------


def test_one_hyperparameter_has_one_column(tmp_path):
    table = checkpoints(tmp_path / "nets")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},config.lr", *(f"{line},7" for line in lines[1:])]))
    with pytest.raises(ww.CorruptFileError, match=r"columns lr and config\.lr"):
        zoo_of_checkpoints(table)


@pytest.mark.parametrize("cell", ["97.5", "-1e300", "1_0", "-0.01", "1.0001", "0_1"])
def test_an_accuracy_is_a_share(tmp_path, cell):
    rows = published_zoo.metrics(2)
    rows[3]["test_accuracy"] = cell
    folder = published_zoo.write(tmp_path / "zoo", rows=rows)[0]
    with pytest.raises(ww.CorruptFileError, match=r"line 5, column 'test_accuracy'|line 5.*test_accuracy") as caught:
        read_zoo(folder)
    assert ("percent" in str(caught.value)) == (cell in {"97.5", "1.0001"})


def test_a_loss_is_a_number(tmp_path):
    rows = published_zoo.metrics(2)
    rows[3]["test_loss"] = "1_0"
    with pytest.raises(ww.CorruptFileError, match="no number"):
        read_zoo(published_zoo.write(tmp_path / "zoo", rows=rows)[0])
    rows[3] |= {"test_loss": " 97.5 ", "train_accuracy": "1", "test_accuracy": "0.0"}
    zoo = read_zoo(published_zoo.write(tmp_path / "zoo", rows=rows)[0])
    assert (zoo.results["test_loss"][3], zoo.results["train_accuracy"][3], zoo.results["test_accuracy"][3]) == (
        97.5,
        1,
        0,
    )


def test_a_network_that_diverged_has_no_rows(tmp_path):
    folder = published_zoo.write(tmp_path / "zoo", rows=published_zoo.metrics(2))[0]
    text = gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().replace("/zoo/permanent/", "")
    (folder / "metrics.csv.gz").write_bytes(gzip.compress(text.encode()))
    about = '{"format": 1, "name": "zoo", "diverged": [{"network": %d}]}'
    (folder / "zoo.json").write_text(about % 0)
    with pytest.raises(ww.CorruptFileError, match=r"network 0 diverged.*has rows"):
        read_zoo(folder)
    (folder / "zoo.json").write_text(about % 7)
    assert read_zoo(folder).notes == ("1 network diverged and is left out (7)",)


@pytest.mark.parametrize(
    "text", ["a\\x1bb", "\\\\u200b", "a\\x41b", "\\\\x41", "a\\b", "'=x", "=1+1", "'a", "''+b", "-", "+1a", "a\\u0041"]
)
def test_texts_read_back_equal(tmp_path, text):
    zoo = read_zoo(published_zoo.write(tmp_path / "zoo", rows=published_zoo.metrics(2))[0])
    told = np.array([text, "b"] * 3, dtype=object)
    layer = dataclasses.replace(zoo.tensors[0], name=f"{text}/bias:0", layer=text)
    zoo = dataclasses.replace(
        zoo, hyperparameters={"optimizer": told, text: np.arange(6.0)}, tensors=(layer, *zoo.tensors[1:])
    )
    export_zoo(zoo, tmp_path / "out", {})
    found = read_zoo(tmp_path / "out")
    assert found.hyperparameters["optimizer"].tolist() == told.tolist()
    assert found.hyperparameters[text].tolist() == list(range(6))
    assert found.tensors == zoo.tensors


def test_one_is_no_plural(ww_here, tmp_path):
    rows = published_zoo.metrics(1, epochs=(3,))
    folder = published_zoo.write(tmp_path / "zoo", rows=rows)[0]
    done = ww_here("zoo", "import", folder)
    assert "1 network, 1 checkpoint\n" in done.stdout, done.stderr
    assert "1 checkpoint analysed" in ww_here("zoo", "analyze", "zoo").stdout
    assert "a zoo of 1 network:" in ww_here("analyze", folder).stderr


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a:b", "../x", "a/b", ".a", "a*b"])
def test_one_rule_for_names(ww_here, folder, name):
    (folder / "zoo.json").write_text(json.dumps({"format": 1, "name": name, "layout": "keras"}))
    text = gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().replace("/zoo/permanent/", "")
    (folder / "metrics.csv.gz").write_bytes(gzip.compress(text.encode()))
    train = ("train", "--data", "digits", "--count", "1", "--epochs", "1", "--out", "new", f"--name={name}")
    said = set()
    for words in (train, ("import", folder), ("import", folder, f"--name={name}"), ("analyze", folder)):
        done = ww_here("zoo", *words)
        assert done.returncode == 2, done.stderr
        said.add(done.stderr)
    assert len(said) == 1
    assert "cannot be the name of a zoo" in said.pop()
    assert not ww_here.store.exists()
    assert ww_here("zoo", "import", folder, "--name", "good").returncode == 0

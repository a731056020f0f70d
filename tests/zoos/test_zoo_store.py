"""Zoos in a store: imported whole or not at all, found again, exported, made of checkpoints, analysed."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import published_zoo
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_plugins.zoos.checkpoints import zoo_of_checkpoints
from ww_plugins.zoos.exporting import export_zoo
from ww_plugins.zoos.finding import find_zoo
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.importing import import_zoo
from ww_plugins.zoos.places import zoo_place


@pytest.fixture
def folder(tmp_path):
    return published_zoo.write(tmp_path / "mnist")[0]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "ww.sqlite"


def taken(folder, place, **options):
    with ww.open_store(place) as store:
        return import_zoo(folder, store, **options)


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def assert_nothing_is_left(place, names=()):
    """No zoo but these, and nothing beside them in the folder."""
    beside = place.with_name(f"{place.name}.zoos")
    assert sorted(own.name for own in beside.iterdir()) == sorted(names) if beside.exists() else not names
    with ww.open_store(place) as store:
        assert [own.source for own in store.reported_tables()] == [f"zoo {name}" for name in names]
        assert {own.series for own in store.series()} == set(names)


# --- import -----------------------------------------------------------------------------------------------------------


def test_files_lie_beside_the_store_and_networks_in_it(folder, place):
    report = taken(folder, place)
    beside = place.with_name("ww.sqlite.zoos") / "mnist"
    assert report.is_new
    assert (report.name, report.networks, report.checkpoints, report.scores) == ("mnist", 4, 4, 16)
    assert report.folder == str(beside)
    assert content(beside) == content(folder)
    rows = [row for row in published_zoo.metrics(4) if row["step"] == "20"]
    with ww.open_store(place, mode="read") as store:
        members = store.series("mnist")
        assert [(own.model, own.version, own.is_reported) for own in members] == [
            (f"mnist/{number:05d}", "20", True) for number in range(4)
        ]
        table = store.reported_table("zoo mnist")
        assert table.numbers["learning_rate"].tolist() == [float(row["config.learning_rate"]) for row in rows]
        assert table.texts["optimizer"].tolist() == [row["config.optimizer"] for row in rows]
        scores = {(own.model, own.name): own for own in store.scores(sources=["zoo mnist"])}
        for number, row in enumerate(rows):
            for name, better in {"test_accuracy": "higher", "test_loss": "lower"}.items():
                own = scores[f"mnist/{number:05d}", name]
                assert (own.value, own.better, own.dataset, own.version) == (float(row[name]), better, "mnist", "20")


def test_files_are_linked_where_they_can_be(folder, place):
    taken(folder, place)
    assert (place.with_name("ww.sqlite.zoos") / "mnist/weights.npy").samefile(folder / "weights.npy")


def test_files_are_copied_where_they_cannot(folder, place, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    taken(folder, place)
    beside = place.with_name("ww.sqlite.zoos") / "mnist"
    assert content(beside) == content(folder)
    assert not (beside / "weights.npy").samefile(folder / "weights.npy")


def test_all_epochs_become_models(folder, place):
    assert taken(folder, place, epochs="all").checkpoints == 12
    with ww.open_store(place, mode="read") as store:
        assert {own.version for own in store.series("mnist")} == {"0", "1", "20"}


def test_the_same_again_adds_nothing(folder, place):
    taken(folder, place)
    with ww.open_store(place, mode="read") as store:
        before = (store.series(), store.scores(sources=["zoo mnist"]))
    assert not taken(folder, place).is_new
    with ww.open_store(place, mode="read") as store:
        assert (store.series(), store.scores(sources=["zoo mnist"])) == before
    assert_nothing_is_left(place, ["mnist"])


def test_another_of_the_same_name_needs_to_replace(folder, place, tmp_path):
    taken(folder, place)
    other = published_zoo.write(tmp_path / "other/mnist", rows=published_zoo.metrics(3, seed=5))[0]
    with pytest.raises(ww.UsageError, match="another zoo mnist: --replace"):
        taken(other, place)
    beside = place.with_name("ww.sqlite.zoos") / "mnist"
    assert content(beside) == content(folder)
    assert taken(other, place, replaces=True).networks == 3
    assert content(beside) == content(other)
    with ww.open_store(place, mode="read") as store:
        assert len(store.series("mnist")) == 3
        assert len(store.scores(sources=["zoo mnist"])) == 12
    assert_nothing_is_left(place, ["mnist"])
    assert not taken(other, place, replaces=True).is_new


def test_other_weights_with_the_same_table_are_another_zoo(folder, place, tmp_path):
    taken(folder, place)
    other = published_zoo.write(tmp_path / "other/mnist", published_zoo.weights_of(12, seed=9))[0]
    with pytest.raises(ww.UsageError, match="another zoo mnist"):
        taken(other, place)
    taken(other, place, replaces=True)
    np.testing.assert_array_equal(find_zoo("mnist", place).weights(), published_zoo.weights_of(12, seed=9))


def test_two_zoos_stand_side_by_side(folder, place):
    taken(folder, place)
    taken(folder, place, name="again")
    assert_nothing_is_left(place, ["again", "mnist"])
    assert find_zoo("again", place).models[0] == "again/00000"


def test_networks_with_weights_that_are_no_numbers_are_left_out(tmp_path, place):
    weights = published_zoo.weights_of(12)
    weights[5, 3], weights[8, 0] = np.nan, np.inf
    report = taken(published_zoo.write(tmp_path / "zoo", weights)[0], place)
    assert report.networks == 2
    assert report.notes == ("2 networks have weights that are no finite numbers and are left out (1, 2)",)


def test_a_zoo_of_which_nothing_is_left_is_refused(tmp_path, place):
    folder = published_zoo.write(tmp_path / "zoo", np.full((12, 50), np.nan, np.float32))[0]
    with pytest.raises(ww.UsageError, match="no network of this zoo is left"):
        taken(folder, place)
    assert_nothing_is_left(place)


@pytest.mark.parametrize("name", ["a/b", "..", ".zoo", "a@b", "a\\b", "", " a", "a\n", "x" * 300, "a:b", "é" * 60])
def test_names_that_cannot_be(folder, place, name):
    with pytest.raises(ww.UsageError):
        taken(folder, place, name=name)
    assert_nothing_is_left(place)


def test_a_hyperparameter_that_cannot_be_stored_leaves_nothing(tmp_path, place):
    rows = [{**row, "config.optimizer": "a\x1b[2Jb"} for row in published_zoo.metrics(2)]
    with pytest.raises(ww.CorruptFileError, match="optimizer"):
        taken(published_zoo.write(tmp_path / "zoo", rows=rows)[0], place)
    assert_nothing_is_left(place)


def test_a_store_that_fails_leaves_nothing(folder, place, monkeypatch):
    with ww.open_store(place) as store:
        monkeypatch.setattr(store, "writing", lambda: (_ for _ in ()).throw(ww.StoreError("the disk is full")))
        with pytest.raises(ww.StoreError, match="the disk is full"):
            import_zoo(folder, store)
    assert_nothing_is_left(place)


def test_a_store_in_memory_has_no_place(folder):
    with ww.open_store() as store, pytest.raises(ww.UsageError, match="in memory"):
        import_zoo(folder, store)


def test_a_server_has_a_folder_of_its_own_in_the_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    stores = [
        SimpleNamespace(in_memory=False, location=f"postgresql://ada@{host}/ww")
        for host in ("db.example", "db2.example")
    ]
    one, other = (zoo_place(store, "digits") for store in stores)
    assert one.name == other.name == "digits"
    assert one.parent != other.parent
    assert one.parent.parent == tmp_path / "ww/zoos"


def test_what_an_interrupted_import_left_is_no_zoo_and_gives_way(folder, place, tmp_path):
    beside = place.with_name("ww.sqlite.zoos") / "mnist"
    published_zoo.write(beside, rows=published_zoo.metrics(2))
    with ww.open_store(place), pytest.raises(ww.SourceError, match="no such zoo"):
        find_zoo("mnist", place)
    assert taken(folder, place).is_new
    assert content(beside) == content(folder)
    assert_nothing_is_left(place, ["mnist"])


KILLED = """
import os, signal, sys
from pathlib import Path
import ww_core as ww
from ww_plugins.zoos import importing
where = sys.argv[3]
original = getattr(importing, where)
def killed(*arguments, **options):
    if sys.argv[4] == "after":
        original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(importing, where, killed)
with ww.open_store(sys.argv[2]) as store:
    importing.import_zoo(Path(sys.argv[1]), store)
"""


@pytest.mark.parametrize(("where", "when"), [("put", "before"), ("put", "after"), ("_record", "before")])
def test_a_kill_leaves_no_zoo(folder, place, where, when):
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(place), where, when], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with ww.open_store(place) as store:
        assert not store.reported_tables()
        with pytest.raises(ww.SourceError, match="no such zoo"):
            find_zoo("mnist", store)
    assert taken(folder, place).is_new
    np.testing.assert_array_equal(find_zoo("mnist", place).weights(), published_zoo.weights_of(12))


# --- found again ------------------------------------------------------------------------------------------------------


def test_a_zoo_is_found_by_folder_and_by_name(folder, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taken(folder, place, name="digits")
    for named, name in {str(folder): "mnist", "digits": "digits"}.items():
        zoo = find_zoo(named, place)
        assert zoo.name == name
        assert len(zoo) == 12
        np.testing.assert_array_equal(zoo.weights(), published_zoo.weights_of(12))
    (tmp_path / "digits").mkdir()  # a folder of that name that is not a zoo
    assert len(find_zoo("digits", place)) == 12
    with pytest.raises(ww.SourceError, match="this is not a zoo"):
        find_zoo("digits")


def test_a_zoo_whose_files_are_elsewhere_is_what_the_store_knows(folder, place):
    taken(folder, place)
    place.with_name("ww.sqlite.zoos").rename(place.with_name("away"))
    zoo, whole = find_zoo("mnist", place), read_zoo(folder).last()
    assert zoo.stored is None
    assert zoo.models == whole.models
    assert zoo.versions == whole.versions
    for name, own in whole.results.items():
        assert zoo.results[name].tolist() == own.tolist()
    for name, own in whole.hyperparameters.items():
        assert zoo.hyperparameters[name].tolist() == own.tolist()
    with pytest.raises(ww.UsageError, match="its weights are not on this machine"):
        zoo.weights()
    assert taken(folder, place).is_new  # they come back
    assert find_zoo("mnist", place).stored is not None


@pytest.mark.parametrize("name", ["nothing", "", "../x", "a\0b", "x" * 5000])
def test_what_is_no_zoo(folder, place, name):
    taken(folder, place)
    with pytest.raises(ww.SourceError):
        find_zoo(name, place)


# --- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("published", [True, False])
def test_an_export_is_equal_when_it_is_read_back(folder, tmp_path, published):
    zoo = read_zoo(folder)
    export_zoo(zoo, tmp_path / "out", {}, published=published)
    assert (tmp_path / "out/zoo.json").exists() is not published
    other = read_zoo(tmp_path / "out")
    assert other.name == ("out" if published else "mnist")
    assert other.tensors == zoo.tensors
    np.testing.assert_array_equal(other.weights(), zoo.weights())
    for own, theirs in ((zoo.networks, other.networks), (zoo.epochs, other.epochs)):
        assert own.tolist() == theirs.tolist()
    for name in zoo.hyperparameters:
        assert other.hyperparameters[name].tolist() == zoo.hyperparameters[name].tolist()
    for name in zoo.results:
        assert other.results[name].tolist() == zoo.results[name].tolist()


def test_an_export_of_some_networks_keeps_their_numbers(folder, tmp_path):
    zoo = read_zoo(folder).chosen(np.arange(3, 9))
    export_zoo(zoo, tmp_path / "out", {}, published=True)
    assert read_zoo(tmp_path / "out").networks.tolist() == [1, 1, 1, 2, 2, 2]


def test_an_export_writes_over_zoos_only_and_when_told(folder, tmp_path):
    zoo = read_zoo(folder)
    export_zoo(zoo, tmp_path / "out", {})
    with pytest.raises(ww.UsageError, match="exists already: name a new folder, or give --force"):
        export_zoo(zoo, tmp_path / "out", {})
    export_zoo(zoo.last(), tmp_path / "out", {}, replaces=True)
    assert len(read_zoo(tmp_path / "out")) == 4
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("x")
    with pytest.raises(ww.UsageError, match="is not a zoo"):
        export_zoo(zoo, tmp_path / "home", {}, replaces=True)
    assert (tmp_path / "home/thesis.tex").exists()
    assert sorted(own.name for own in tmp_path.iterdir()) == ["home", "mnist", "out"]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def network(seed, width=4, bias=True):
    random = np.random.default_rng(seed)
    tensors = {"conv.weight": random.standard_normal((width, 1, 3, 3)), "fc.weight": random.standard_normal((3, width))}
    tensors |= {"conv.bias": random.standard_normal(width)} if bias else {}
    return {name: own.astype(np.float32) for name, own in tensors.items()}


def checkpoints(folder, count=3, header="file,epoch,network,lr,test_accuracy", **last):
    folder.mkdir()
    lines = [header]
    for at in range(count):
        save_file(network(at, **(last if at == count - 1 else {})), folder / f"net{at}.safetensors")
        lines.append(f"net{at}.safetensors,5,{10 + at},{0.1 * (at + 1):.1f},{0.5 + 0.1 * at:.1f}")
    (folder / "runs.csv").write_text("\n".join(lines) + "\n")
    return folder / "runs.csv"


def test_checkpoints_of_a_table_become_a_zoo(tmp_path):
    zoo, _ = zoo_of_checkpoints(checkpoints(tmp_path / "nets"))
    assert (zoo.name, zoo.layout, zoo.parameters) == ("nets", "pytorch", 4 * 9 + 4 + 12)
    assert zoo.networks.tolist() == [10, 11, 12]
    assert zoo.epochs.tolist() == [5, 5, 5]
    assert zoo.hyperparameters["lr"].tolist() == [0.1, 0.2, 0.3]
    assert zoo.results["test_accuracy"].tolist() == [0.5, 0.6, 0.7]
    for at in range(3):
        wanted = network(at)
        for tensor in zoo.tensors:
            own = zoo.weights()[at, tensor.start : tensor.stop].reshape(tensor.shape)
            np.testing.assert_array_equal(own, wanted[f"{tensor.layer}.{tensor.role}"])


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"width": 5}, ["net2.safetensors", "conv.weight 5x1x3x3", "not conv.weight 4x1x3x3", "net0.safetensors"]),
        ({"bias": False}, ["net2.safetensors", "differs from net0.safetensors"]),
    ],
)
def test_the_first_file_that_differs_is_named(tmp_path, last, words):
    with pytest.raises(ww.CorruptFileError) as caught:
        zoo_of_checkpoints(checkpoints(tmp_path / "nets", **last))
    for word in words:
        assert word in str(caught.value), caught.value


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.safetensors", "a/../../x", "", "nothing.safetensors"])
def test_names_that_lead_out_or_nowhere(tmp_path, name):
    table = checkpoints(tmp_path / "nets")
    table.write_text(table.read_text().replace("net1.safetensors", name))
    with pytest.raises(ww.SourceError):
        zoo_of_checkpoints(table)


def test_a_link_out_of_the_folder_of_checkpoints(tmp_path):
    table = checkpoints(tmp_path / "nets")
    (tmp_path / "nets/net1.safetensors").rename(tmp_path / "other.safetensors")
    (tmp_path / "nets/net1.safetensors").symlink_to(tmp_path / "other.safetensors")
    with pytest.raises(ww.SourceError, match="leads out"):
        zoo_of_checkpoints(table)


def test_tables_that_name_nothing_or_the_same_twice(tmp_path):
    table = checkpoints(tmp_path / "nets")
    text = table.read_text()
    table.write_text(text.replace("file,", "picture,"))
    with pytest.raises(ww.CorruptFileError, match="no column names the checkpoints"):
        zoo_of_checkpoints(table)
    table.write_text(text.replace(",12,", ",10,"))
    with pytest.raises(ww.CorruptFileError, match=r"line 4.*epoch 5 in line 2"):
        zoo_of_checkpoints(table)


# --- the command line -------------------------------------------------------------------------------------------------


def test_a_zoo_from_import_to_leaderboard(ww_here, folder):
    done = ww_here("zoo", "import", folder, "--name", "digits", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["networks"] == 4
    done = ww_here("zoo", "analyze", "digits", "--networks", "0:3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "name": "digits", "analyzed": 3, "stored": 0, "scores": 12, "corrected": 0, "failures": [], "notes": [],
    }  # fmt: skip
    done = ww_here("zoo", "analyze", "digits", "--json")
    assert (json.loads(done.stdout)["analyzed"], json.loads(done.stdout)["stored"]) == (1, 3)
    board = json.loads(
        ww_here("leaderboard", "--metric", "stable_rank", "--series", "digits", "--score", "test_accuracy",
                   "--json").stdout
    )  # fmt: skip
    accuracies = {
        f"digits/{at:05d}": float(row["test_accuracy"])
        for at, row in enumerate(own for own in published_zoo.metrics(4) if own["step"] == "20")
    }
    assert {own["model"]: own["score"] for own in board["models"]} == accuracies
    done = ww_here("trend", "--metric", "stable_rank", "--score", "test_accuracy", "--series", "digits")
    assert "4 models, 4 with a score" in done.stdout, done.stdout + done.stderr
    features = ww.zoo_features(find_zoo("digits", ww_here.store).last(), "stable_rank", store=ww_here.store)
    assert features.values.shape == (4, 2)


def test_all_epochs_are_versions_of_one_model(ww_here, folder):
    ww_here("zoo", "import", folder, "--epochs", "all")
    done = ww_here("zoo", "analyze", "mnist", "--networks", "2", "--epochs", "all")
    assert "3 checkpoints analysed" in done.stdout, done.stderr
    done = ww_here("history", "mnist/00002", "--json")
    assert done.returncode == 0, done.stderr


def test_the_loader_reads_the_row_of_a_network(folder):
    weights = published_zoo.weights_of(12)
    kernel = weights[7, 2:20].reshape(3, 3, 1, 2).transpose(3, 2, 0, 1)
    with ww.open_checkpoint(folder, loader="zoo[network=2,epoch=1]") as checkpoint:
        conv, dense = checkpoint.layers
        assert (conv.name, conv.kind, conv.shape) == ("sequential/conv2d", "conv2d", (2, 1, 3, 3))
        assert (dense.kind, dense.shape) == ("dense", (10, 2))
        with checkpoint.read(conv.weight) as own:
            np.testing.assert_array_equal(own, kernel)
        with checkpoint.read(dense.weight) as own:
            np.testing.assert_array_equal(own, weights[7, 30:50].reshape(2, 10).T)
        with checkpoint.read(dense.bias) as own:
            np.testing.assert_array_equal(own, weights[7, 20:30])


@pytest.mark.parametrize(("dtype", "order"), [("<f8", "F"), (">f4", "F"), (">f8", "C"), ("<f2", "C"), ("<f4", "F")])
def test_the_loader_reads_every_order(tmp_path, dtype, order):
    weights = published_zoo.weights_of(12, dtype, order)
    folder = published_zoo.write(tmp_path, weights)[0]
    with ww.open_checkpoint(folder, loader="zoo[network=3]") as checkpoint:
        for layer, columns, shape in zip(checkpoint.layers, ((2, 20), (30, 50)), ((3, 3, 1, 2), (2, 10)), strict=True):
            with checkpoint.read(layer.weight) as own:
                wanted = weights[11, slice(*columns)].reshape(shape)
                wanted = wanted.transpose(3, 2, 0, 1) if len(shape) == 4 else wanted.T
                np.testing.assert_array_equal(own, wanted)


def test_a_network_of_a_zoo_has_the_digest_of_the_same_network_elsewhere(tmp_path):
    table = checkpoints(tmp_path / "nets")
    zoo, about = zoo_of_checkpoints(table)
    export_zoo(zoo, tmp_path / "zoo", about)
    one = ww.analyze(tmp_path / "zoo", loader="zoo[network=11]", metrics=["stable_rank"])
    other = ww.analyze(tmp_path / "nets/net1.safetensors", metrics=["stable_rank"])
    assert one.digest == other.digest


def test_without_a_network_one_sentence_says_which_to_give(ww_here, folder):
    done = ww_here("analyze", folder)
    assert done.returncode == 2
    assert "a zoo of 4 networks: name one by --loader 'zoo[network=0]'" in done.stderr
    for option in ("zoo[network=9]", "zoo[network=0,epoch=7]", "zoo[network=-1]"):
        done = ww_here("analyze", folder, "--loader", option)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


def test_a_zoo_is_shown_and_drawn(ww_here, folder):
    done = ww_here("zoo", "show", folder, "--plot", "picture.png", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["networks"], told["checkpoints"], told["parameters"]) == (4, 12, 50)
    test = np.array([float(row["test_accuracy"]) for row in published_zoo.metrics(4) if row["step"] == "20"])
    own = told["results"]["test_accuracy"]
    np.testing.assert_allclose(own["percentiles"], np.percentile(test, (0, 25, 50, 75, 100)), rtol=1e-15)
    assert own["mean"] == pytest.approx(test.mean(), rel=1e-15)
    assert told["chance"] == 0.1
    assert told["at_chance"] == np.mean(test <= 0.12)
    assert (ww_here.folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    done = ww_here("zoo", "show", folder)
    assert "4 networks, 12 checkpoints" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("import", "nothing"), 3, "no such file"),
        (("show", "nothing"), 3, "no such file or folder"),
        (("export", "nothing", "-o", "x"), 3, "no such file or folder"),
        (("analyze", "nothing"), 3, "no such file or folder"),
        (("import", ""), 2, "empty"),
    ],
)
def test_wrong_words_get_one_sentence(ww_here, arguments, code, words):
    done = ww_here("zoo", *arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not ww_here.store.exists()


def test_checkpoints_are_imported_by_the_command(ww_here, tmp_path):
    table = checkpoints(tmp_path / "nets")
    done = ww_here("zoo", "import", table.parent)
    assert done.returncode == 0, done.stderr
    zoo = find_zoo("nets", ww_here.store)
    assert (zoo.layout, len(zoo)) == ("pytorch", 3)
    np.testing.assert_array_equal(zoo.weights(), zoo_of_checkpoints(table)[0].weights())
    assert "is there already" in ww_here("zoo", "import", table).stdout


def test_an_analysis_that_is_ended_goes_on(ww_program, tmp_path):
    folder = published_zoo.write(tmp_path / "big", rows=published_zoo.metrics(300, epochs=(0,)))[0]
    ww_program("zoo", "import", folder)
    environ = {**os.environ, "WW_STORE": str(ww_program.store)}
    command = [sys.executable, "-m", "ww_core", "zoo", "analyze", "big", "--jobs", "1"]
    running = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with ww.open_store(ww_program.store, mode="read") as store:
            if len(store.versions()) > 4:
                break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    done = ww_program("zoo", "analyze", "big", "--networks", "0:12", "--jobs", "1", "--json")
    told = json.loads(done.stdout)
    assert told["stored"] >= 4
    assert told["analyzed"] + told["stored"] == 12


@pytest.mark.stress
def test_several_processes_store_what_one_does(ww_program, tmp_path):
    folder = published_zoo.write(tmp_path / "big", rows=published_zoo.metrics(80, epochs=(0,)))[0]
    found = []
    for jobs in (1, 3):
        place = tmp_path / f"{jobs}.sqlite"
        done = ww_program("zoo", "analyze", folder, "--jobs", str(jobs), environ={"WW_STORE": str(place)})
        assert done.returncode == 0, done.stderr
        with ww.open_store(place, mode="read") as store:
            found.append(store.features(["stable_rank", "log_norm"]))
    one, several = found
    assert one.models.tolist() == several.models.tolist()
    np.testing.assert_array_equal(one.values, several.values)

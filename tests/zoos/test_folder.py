"""The folder of a zoo, read: against a writer of the published format that is not ours, and hostile ones."""

import json
import subprocess
import sys

import numpy as np
import published_zoo
import pytest

import ww_core as ww
from ww_plugins.zoos.folder import read_zoo


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("dtype", "order"), [("<f4", "C"), ("<f8", "C"), ("<f4", "F"), (">f4", "C"), ("<f2", "F")])
def test_what_was_written_is_read_back(tmp_path, packed, dtype, order):
    rows = published_zoo.metrics(5)
    weights = published_zoo.weights_of(len(rows), dtype, order)
    folder, *_ = published_zoo.write(tmp_path / "mnist", weights, rows, packed=packed)
    zoo = read_zoo(folder)
    assert zoo.name == "mnist"
    assert zoo.layout == "keras"
    assert len(zoo) == 15
    assert zoo.parameters == 50
    np.testing.assert_array_equal(zoo.weights(), weights)
    assert zoo.networks.tolist() == [network for network in range(5) for _ in range(3)]
    assert zoo.epochs.tolist() == [0, 1, 20] * 5
    for name in ("learning_rate", "dropout", "epochs"):
        assert zoo.hyperparameters[name].tolist() == [float(row[f"config.{name}"]) for row in rows]
    for name in ("optimizer", "activation", "dataset"):
        assert zoo.hyperparameters[name].tolist() == [row[f"config.{name}"] for row in rows]
    assert set(zoo.results) == {"test_accuracy", "test_loss", "train_accuracy", "train_loss"}
    for name, own in zoo.results.items():
        assert own.tolist() == [float(row[name]) for row in rows]
    assert zoo.notes == ()


def test_tensors_are_those_of_the_layout(tmp_path):
    zoo = read_zoo(published_zoo.write(tmp_path)[0])
    assert [(own.name, own.shape) for own in zoo.tensors] == list(published_zoo.LAYOUT)
    assert [(own.start, own.stop) for own in zoo.tensors] == [(0, 2), (2, 20), (20, 30), (30, 50)]
    assert [own.role for own in zoo.tensors] == ["bias", "weight", "bias", "weight"]
    assert [(own.name, own.bias.name) for own in zoo.layers] == [
        ("sequential/conv2d", "sequential/conv2d/bias:0"),
        ("sequential/dense", "sequential/dense/bias:0"),
    ]


def test_weights_stay_in_their_file_until_they_are_asked_for(tmp_path):
    zoo = read_zoo(published_zoo.write(tmp_path)[0])
    assert isinstance(zoo.stored, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        zoo.stored[0, 0] = 1


def test_a_zoo_of_one_network(tmp_path):
    rows = published_zoo.metrics(1, epochs=(3,))
    zoo = read_zoo(published_zoo.write(tmp_path, rows=rows)[0])
    assert len(zoo) == len(zoo.last()) == 1
    assert zoo.models == [f"{tmp_path.name}/00000"]
    assert zoo.versions == ["3"]


def test_without_modeldir_a_network_begins_where_the_epoch_does_not_grow(tmp_path):
    rows = [{key: cell for key, cell in row.items() if key != "modeldir"} for row in published_zoo.metrics(3)]
    assert read_zoo(published_zoo.write(tmp_path, rows=rows)[0]).networks.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_numbers_in_modeldir_are_kept_and_other_names_are_counted(tmp_path):
    rows = [{**row, "modeldir": f"{7 * (at // 3):05d}"} for at, row in enumerate(published_zoo.metrics(3))]
    assert read_zoo(published_zoo.write(tmp_path / "a", rows=rows)[0]).networks.tolist() == [0] * 3 + [7] * 3 + [14] * 3
    rows[0]["modeldir"] = rows[1]["modeldir"] = rows[2]["modeldir"] = "first"
    assert read_zoo(published_zoo.write(tmp_path / "b", rows=rows)[0]).networks.tolist() == [0] * 3 + [1] * 3 + [2] * 3


@pytest.mark.parametrize("text", ["nan", "inf", "", "NaN"])
def test_a_network_that_diverged_is_left_out_with_all_its_checkpoints(tmp_path, text):
    rows = published_zoo.metrics(4)
    rows[4]["test_loss"] = text
    zoo = read_zoo(published_zoo.write(tmp_path, rows=rows)[0])
    assert sorted(set(zoo.networks.tolist())) == [0, 2, 3]
    assert zoo.notes == ("1 network diverged and is left out (1)",)
    np.testing.assert_array_equal(zoo.weights()[3:6], published_zoo.weights_of(12)[6:9])


def test_a_result_that_nobody_measured_leaves_no_network_out(tmp_path):
    rows = [{**row, "train_loss": ""} for row in published_zoo.metrics(3)]
    zoo = read_zoo(published_zoo.write(tmp_path, rows=rows)[0])
    assert len(zoo) == 9
    assert np.isnan(zoo.results["train_loss"]).all()


def test_zoo_json_says_name_layout_and_what_diverged(tmp_path):
    folder, *_ = published_zoo.write(tmp_path, rows=ours())
    about = {"format": 1, "name": "digits", "layout": "pytorch", "diverged": [{"network": 9, "epoch": 1, "reason": ""}]}
    (folder / "zoo.json").write_text(json.dumps(about))
    zoo = read_zoo(folder)
    assert (zoo.name, zoo.layout) == ("digits", "pytorch")
    assert zoo.notes == ("1 network diverged and is left out (9)",)


def ours(networks=4):
    return [{**row, "modeldir": str(at // 3)} for at, row in enumerate(published_zoo.metrics(networks))]


# --- hostile ----------------------------------------------------------------------------------------------------------


def refused(folder, *words, error=ww.CorruptFileError):
    with pytest.raises(error) as caught:
        read_zoo(folder)
    sentence = str(caught.value)
    for word in words:
        assert word in sentence, sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("size", [0, 5, 9, 60, 127, 128, 129, 1000, -1])
def test_weights_that_are_cut_short(tmp_path, size):
    folder, *_ = published_zoo.write(tmp_path)
    whole = (folder / "weights.npy").read_bytes()
    (folder / "weights.npy").write_bytes(whole[:size])
    refused(folder, "weights.npy")


def test_weights_with_bytes_behind_them(tmp_path):
    folder, *_ = published_zoo.write(tmp_path)
    with (folder / "weights.npy").open("ab") as file:
        file.write(b"\0")
    refused(folder, "weights.npy", "2400 bytes", "2401")


class Pickled:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (self.file, "w")


def test_objects_are_never_unpickled(tmp_path):
    weights = np.array([[Pickled(str(tmp_path / "opened"))] * 50] * 12, dtype=object)
    refused(published_zoo.write(tmp_path / "zoo", weights)[0], "weights.npy", "weights are floats")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("dtype", ["<i4", "|b1", "<c8", "|S4", "<U2", "<M8[s]", [("a", "<f4")]])
def test_weights_that_are_no_floats(tmp_path, dtype):
    refused(published_zoo.write(tmp_path, np.zeros((12, 50), dtype))[0], "weights.npy", "weights are floats")


@pytest.mark.parametrize(
    "shape", ["(12, 5000000000)", "(2**62, 50)", "(-12, 50)", "(12, 50, 1)", "(600,)", "()", "(True, 50)", "'x'"]
)
def test_a_header_that_lies(tmp_path, shape):
    folder, *_ = published_zoo.write(tmp_path)
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    (folder / "weights.npy").write_bytes(content + bytes(2400))
    refused(folder, "weights.npy")


def test_a_header_longer_than_numpys_own(tmp_path):
    folder, *_ = published_zoo.write(tmp_path)
    (folder / "weights.npy").write_bytes(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b" " * 20_000)
    refused(folder, "weights.npy", "header")


def test_a_table_of_another_number_of_rows(tmp_path):
    folder, *_ = published_zoo.write(tmp_path, published_zoo.weights_of(11))
    refused(folder, "weights.npy", "11 rows", "12")


def test_a_layout_of_another_number_of_columns(tmp_path):
    layout = published_zoo.layout_text(published_zoo.LAYOUT[:3])
    refused(published_zoo.write(tmp_path, layout=layout)[0], "weights.npy", "30 columns")


@pytest.mark.parametrize("name", ["weights.npy", "metrics.csv.gz", "layout.csv"])
def test_a_missing_file(tmp_path, name):
    folder, *_ = published_zoo.write(tmp_path)
    (folder / name).unlink()
    refused(folder, "this is not a zoo", name.removesuffix(".gz"), error=ww.SourceError)


def test_no_folder_and_a_file(tmp_path):
    refused(tmp_path / "nothing", "there is no such file or folder", error=ww.SourceError)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "this is a file", error=ww.SourceError)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": None}, ["no column step"]),
        ({"step": "x"}, ["line 2", "no number"]),
        ({"step": "-1"}, ["line 2", "no place or count"]),
        ({"step": "1.5"}, ["not a whole number"]),
        ({"step": "1e300"}, ["line 2"]),
        ({"step": "nan"}, ["line 2"]),
        ({"test_loss": "much"}, ["line 2, column test_loss", "no number"]),
        ({"config.": "1"}, ["does not say of what"]),
    ],
)
def test_a_table_that_cannot_be(tmp_path, change, words):
    rows = [{**row, **change} for row in published_zoo.metrics(2)]
    rows = [{key: cell for key, cell in row.items() if cell is not None} for row in rows]
    refused(published_zoo.write(tmp_path, rows=rows)[0], "metrics.csv.gz", *words)


def test_a_checkpoint_that_stands_there_twice(tmp_path):
    rows = published_zoo.metrics(2)
    rows[4]["step"] = rows[3]["step"]
    refused(published_zoo.write(tmp_path, rows=rows)[0], "line 6", "epoch 0", "line 5")


def test_a_table_without_rows_and_one_that_is_torn(tmp_path):
    folder, _, rows = published_zoo.write(tmp_path, packed=False)
    (folder / "metrics.csv").write_text(",".join(rows[0]) + "\n")
    refused(folder, "metrics.csv", "no row")
    (folder / "metrics.csv").write_text(",".join(rows[0]) + "\n1,2\n")
    refused(folder, "metrics.csv", "2 cells")
    (folder / "metrics.csv").write_bytes(b"\x1f\x8b" + bytes(20))
    refused(folder, "metrics.csv")


@pytest.mark.parametrize(
    "shape",
    [
        "(3, 3, 1, 3)", "(2, -9)", "(0,)", "()", "[2]", "2.0", "x", "__import__('os').system('true')", "(" * 150,
        "(2, 'a')", "(True, 2)", "9" * 100, "(1, 2", "{2}", "None", "(2**70,)", "1" * 300, "",
    ],
)  # fmt: skip
def test_shapes_that_are_none(tmp_path, shape):
    layout = published_zoo.as_csv(["varname", "start_idx", "end_idx", "shape"], [["a/kernel:0", 0, 50, shape]])
    refused(published_zoo.write(tmp_path, layout=layout)[0], "layout.csv")


@pytest.mark.parametrize(
    "lines",
    [
        [["a/kernel:0", 0, 40, "(4, 10)"], ["a/bias:0", 30, 50, "(20,)"]],  # they overlap
        [["a/kernel:0", 0, 40, "(4, 10)"], ["a/bias:0", 41, 50, "(9,)"]],  # a hole
        [["a/kernel:0", 1, 50, "(49,)"]],
        [["a/kernel:0", 0, 40, "(4, 10)"], ["a/kernel:0", 40, 50, "(1, 10)"]],  # twice
        [["a/kernel:0", 0, "1e400", "(50,)"]],
        [["a/kernel:0", 50, 0, "(50,)"]],
        [["", 0, 50, "(5, 10)"]],
        [["a" * 3000, 0, 50, "(5, 10)"]],
        [],
    ],
)
def test_layouts_that_cannot_be(tmp_path, lines):
    layout = published_zoo.as_csv(["varname", "start_idx", "end_idx", "shape"], lines)
    refused(published_zoo.write(tmp_path, layout=layout)[0], "layout.csv")


def test_a_layout_without_a_column(tmp_path):
    refused(published_zoo.write(tmp_path, layout="varname,start_idx,end_idx\na,0,50\n")[0], "no column shape")


@pytest.mark.parametrize("name", ["weights.npy", "metrics.csv.gz", "layout.csv"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path, name):
    folder, *_ = published_zoo.write(tmp_path / "zoo")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    refused(folder, name, "leads out of its folder", error=ww.SourceError)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 2}', '{"format": true}', '{"format": "1"}', "{}", "[]", "1", "", "{", '{"format": NaN}',
        '{"format": 1, "format": 1}', '{"format": 1, "layout": "flax"}', '{"format": 1, "layout": ["keras"]}',
        '{"format": 1, "name": 3}', '{"format": 1, "name": "a\\u0000b"}', '{"format": 1, "diverged": {}}',
        '{"format": 1, "diverged": [{"network": "x"}]}', '{"format": 1, "diverged": [{"network": -1}]}',
        '{"format": 1, "diverged": [{"network": 1e400}]}', "[" * 100_000, '{"format": ' + "9" * 5000 + "}",
        '{"format": 1, "x": ' + "[" * 5000 + "]" * 5000 + "}", "\xff",
    ],
)  # fmt: skip
def test_descriptions_that_cannot_be(tmp_path, text):
    folder, *_ = published_zoo.write(tmp_path, rows=ours())
    (folder / "zoo.json").write_text(text, encoding="latin-1")
    refused(folder, "zoo.json")


def test_a_huge_description_is_not_read(tmp_path):
    folder, *_ = published_zoo.write(tmp_path, rows=ours())
    with (folder / "zoo.json").open("wb") as file:
        file.truncate(2**33)
    refused(folder, "zoo.json", "at most")


# --- size -------------------------------------------------------------------------------------------------------------

DESCRIBE = """
import sys, time
import numpy as np
from ww_plugins.zoos.description import described
from ww_plugins.zoos.folder import read_zoo
begin = time.process_time()
zoo = read_zoo(sys.argv[1])
told = described(zoo)
sample = zoo.chosen(np.random.default_rng(0).choice(len(zoo), 1000, replace=False)).weights()
assert sample.shape == (1000, 4970) and not sample.any()
seconds = time.process_time() - begin
status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # ru_maxrss has the parent's, too
print(told.networks, told.checkpoints, seconds, status["VmHWM"].split()[0])
"""


def sparse(folder, networks):
    layout = [
        ("s/conv2d/bias:0", (16,)), ("s/conv2d/kernel:0", (3, 3, 1, 16)),
        ("s/conv2d_1/bias:0", (16,)), ("s/conv2d_1/kernel:0", (3, 3, 16, 16)),
        ("s/conv2d_2/bias:0", (16,)), ("s/conv2d_2/kernel:0", (3, 3, 16, 16)),
        ("s/dense/bias:0", (10,)), ("s/dense/kernel:0", (16, 10)),
    ]  # fmt: skip
    rows = published_zoo.metrics(networks, epochs=(0, 1, 2, 3, 20, 40, 60, 80, 86))
    published_zoo.write(folder, np.zeros((1, 1), np.float32), rows, published_zoo.layout_text(layout), packed=False)
    with (folder / "weights.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), 4970)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + len(rows) * 4970 * 4)
    return folder


@pytest.mark.parametrize("networks", [300, pytest.param(30_000, marks=pytest.mark.stress)])
def test_a_zoo_as_large_as_the_published_one_is_described_in_seconds(tmp_path, networks):
    folder = sparse(tmp_path / "zoo", networks)
    done = subprocess.run([sys.executable, "-c", DESCRIBE, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = done.stdout.split()
    assert [int(told[0]), int(told[1])] == [networks, 9 * networks]
    assert float(told[2]) < 15, "seconds of CPU"
    assert int(told[3]) * 1024 < 1e9, "bytes of memory"

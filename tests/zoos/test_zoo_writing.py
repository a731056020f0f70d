"""The folder of a zoo as it is written, read with nothing but NumPy, csv and json."""

import ast
import csv
import gzip
import json

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.zoos.exporting import export_zoo
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.writing import write_zoo


def a_zoo(**changes):
    random = np.random.Generator(np.random.Philox(4))
    tensors = (
        ww.ZooTensor("sequential/dense/bias:0", "sequential/dense", "bias", 0, 2, (2,)),
        ww.ZooTensor("sequential/dense/kernel:0", "sequential/dense", "weight", 2, 8, (3, 2)),
    )
    values = {
        "name": "small",
        "tensors": tensors,
        "layout": "keras",
        "stored": random.standard_normal((9, 8)).astype(np.float32),
        "rows": np.array([8, 0, 3, 4]),
        "networks": np.array([0, 0, 7, 7]),
        "epochs": np.array([0, 20, 0, 20]),
        "hyperparameters": {
            "optimizer": np.array(["adam", "adam", 'a,"b"', "sgd"], dtype=object),
            "learning_rate": random.random(4),
            "epochs": np.full(4, 20.0),
        },
        "results": {"test_accuracy": random.random(4), "test_loss": np.array([1, np.nan, 2, 3.5])},
    }
    return ww.Zoo(**(values | changes))


def test_it_is_the_published_format(tmp_path):
    zoo = a_zoo()
    write_zoo(zoo, tmp_path / "zoo", {"seed": 3})
    weights = np.load(tmp_path / "zoo/weights.npy", mmap_mode="r", allow_pickle=False)
    assert weights.dtype == np.float32
    assert weights.flags.c_contiguous
    np.testing.assert_array_equal(weights, zoo.stored[zoo.rows])
    text = gzip.decompress((tmp_path / "zoo/metrics.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["step"] for row in rows] == ["0", "20", "0", "20"]
    assert [row["laststep"] for row in rows] == ["False", "True", "False", "True"]
    assert [row["modeldir"] for row in rows] == ["00000", "00000", "00007", "00007"]
    assert [row["config.optimizer"] for row in rows] == ["adam", "adam", 'a,"b"', "sgd"]
    assert [float(row["config.learning_rate"]) for row in rows] == zoo.hyperparameters["learning_rate"].tolist()
    assert [float(row["test_accuracy"]) for row in rows] == zoo.results["test_accuracy"].tolist()
    assert [row["config.epochs"] for row in rows] == ["20"] * 4
    assert [row["test_loss"] for row in rows] == ["1.0", "", "2.0", "3.5"]
    layout = list(csv.DictReader((tmp_path / "zoo/layout.csv").read_text().splitlines()))
    assert [
        (row["varname"], int(row["start_idx"]), int(row["end_idx"]), ast.literal_eval(row["shape"])) for row in layout
    ] == [("sequential/dense/bias:0", 0, 2, (2,)), ("sequential/dense/kernel:0", 2, 8, (3, 2))]
    about = json.loads((tmp_path / "zoo/zoo.json").read_text())
    assert about == {"format": 1, "name": "small", "layout": "keras", "seed": 3}
    assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == [
        "layout.csv",
        "metrics.csv.gz",
        "weights.npy",
        "zoo.json",
    ]


def test_the_same_zoo_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_zoo(a_zoo(), tmp_path / name, {})
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_zoo_without_weights_and_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(ww.UsageError, match="its weights are not on this machine"):
        write_zoo(a_zoo(stored=None), tmp_path / "zoo", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ww.OutputError, match="cannot be written"):
        write_zoo(a_zoo(), tmp_path / "file", {})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f8", ">f2"])
def test_weights_keep_their_type_and_every_bit(tmp_path, dtype):
    numbers = np.array([[1 / 3, 1e39 if dtype.endswith("8") else 6e4, 0.1, 5e-324, -0.0, 2.0]]).astype(dtype)
    zoo = small(numbers)
    write_zoo(zoo, tmp_path / "one", {})
    again = read_zoo(tmp_path / "one")
    assert again.stored.dtype == np.dtype(dtype).newbyteorder("<")
    assert again.weights().tolist() == numbers.tolist()
    assert export_zoo(again, tmp_path / "two", {}) > 0
    assert (tmp_path / "two/weights.npy").read_bytes() == (tmp_path / "one/weights.npy").read_bytes()


def small(numbers):
    return ww.Zoo(
        name="small",
        tensors=(ww.ZooTensor("d/kernel:0", "d", "weight", 0, 6, (3, 2)),),
        layout="keras",
        stored=numbers,
        rows=np.arange(1),
        networks=np.arange(1),
        epochs=np.ones(1, np.int64),
        results={"test_accuracy": np.ones(1)},
    )

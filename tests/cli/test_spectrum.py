"""``ww spectrum``, as a user runs it."""

import csv
import io
import json

import numpy as np
import pytest

USAGE, PLACE = 2, 3


def singular_values(matrix):
    return np.linalg.svd(matrix.astype(np.float64), compute_uv=False)


def test_the_command_prints_a_table_csv_and_json(ww_here, model_file, weights):
    ww_here("analyze", model_file)
    table = ww_here("spectrum", "net", "second").stdout.splitlines()
    assert table[0] == "net@1  second  extractor matrix  profile default  run 1"
    assert table[2].split() == [
        "index",
        "N",
        "M",
        "singular",
        "values",
        "above",
        "noise",
        "largest",
        "smallest",
        "noise",
        "floor",
    ]
    assert table[3].split()[:5] == ["0", "30", "20", "20", "20"]
    expected = singular_values(weights["second.weight"])
    rows = list(csv.DictReader(io.StringIO(ww_here("spectrum", "net@1", "second", "--csv").stdout)))
    assert [float(row["singular_value"]) for row in rows] == pytest.approx(expected, rel=1e-12)
    content = json.loads(ww_here("spectrum", "net", "second", "--json").stdout)
    assert content["matrices"][0]["singular_values"] == [float(row["singular_value"]) for row in rows]
    assert (content["matrices"][0]["N"], content["matrices"][0]["resolution"]) == (30, "standard")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nett", "second"], PLACE, "did you mean net?"),
        (["net", "secnd"], USAGE, "did you mean second?"),
        (["net", ""], USAGE, "LAYER is empty"),
        (["net", "second", "--extractor", "fft"], USAGE, "unknown extractor of layer second 'fft'"),
        (["net", "norm"], PLACE, "a vector has no spectrum"),
        (["net", "second", "--profile", "weightwatcher"], PLACE, "never analysed under profile"),
        (["net", "second", "--json", "--csv"], USAGE, "exclude each other"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(ww_here, model_file, arguments, code, words):
    ww_here("analyze", model_file)
    result = ww_here("spectrum", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_spectrum_of_permuted_weights_stands_beside_it_where_it_is_stored(ww_here, model_file):
    ww_here("analyze", model_file)
    content = json.loads(ww_here("spectrum", "net", "second", "--json").stdout)
    assert content["matrices"][0]["permuted"] is None
    ww_here("analyze", model_file, "--metrics", "max_rand_eval", "--name", "permuted")
    content = json.loads(ww_here("spectrum", "permuted", "second", "--json").stdout)
    value = json.loads(ww_here("show", "permuted", "--json").stdout)["layers"]
    largest = next(row for row in value if row["name"] == "second")["metrics"]["max_rand_eval"]
    assert content["matrices"][0]["permuted"][0] ** 2 == pytest.approx(largest, rel=1e-12)

"""``ww plot``, as a user runs it."""

from __future__ import annotations

import numpy as np
import pytest

import ww_core as ww

pytest.importorskip("matplotlib")

RANDOM = np.random.Generator(np.random.Philox(7))
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def weights(scale=1.0):
    return {
        "conv.weight": (scale * RANDOM.standard_normal((16, 8, 3, 3))).astype(np.float32),
        "fc $x^2$.weight": (scale * RANDOM.standard_normal((40, 30))).astype(np.float32),
        "orthogonal.weight": np.eye(12, dtype=np.float32),
        "zero.weight": np.zeros((5, 4), np.float32),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("plot") / "s.sqlite"
    for version in ("1", "2"):
        ww.analyze(weights(), store=path, name="net", version=version)
    ww.analyze(weights(), store=path, name="full", profile="weightwatcher-full")
    ww.analyze({"a.weight": np.zeros((4, 3))}, store=path, name="nothing")
    return path


@pytest.fixture
def run(store, ww_here):
    def run_(*arguments):
        done = ww_here("plot", *arguments, "--store", store)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return run_


@pytest.mark.parametrize("suffix", MAGIC)
def test_one_layer(run, tmp_path, suffix):
    file = tmp_path / f"esd{suffix}"
    code, said = run("esd", "net@1", "--layers", "conv", "-o", file)
    assert (code, said) == (0, f"1 spectrum drawn in {file}\n")
    assert file.read_bytes().startswith(MAGIC[suffix])


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["net@1", "net@2"], 8),
        (["net@1", "net@2", "--layers", "fc*"], 2),
        (["full", "--layers", "conv"], 1),
        (["full", "--layers", "conv,fc*"], 2),
        (["net", "--layers", "orthogonal"], 1),
    ],
)
def test_several_layers_and_versions(run, tmp_path, arguments, count):
    code, said = run("esd", *arguments, "-o", tmp_path / "esd.png")
    assert code == 0, said
    assert said.startswith(f"{count} spectr")


@pytest.mark.parametrize("kind", ["depth", "histogram"])
@pytest.mark.parametrize("models", [["net@1"], ["net@1", "net@2", "full"]])
def test_a_metric_over_layers(run, tmp_path, kind, models):
    code, said = run(kind, *models, "--metric", "log_spectral_norm", "-o", tmp_path / "m.png")
    assert code == 0, said
    # The peer's profile leaves out what has less than 10 eigenvalues.
    assert f"log_spectral_norm of {4 * len(models) - (len(models) > 1)} matrices drawn" in said
    assert (tmp_path / "m.png").read_bytes().startswith(MAGIC[".png"])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["esd", "nobody", "-o", "x.png"], 3, "no model 'nobody' in this store"),
        (["esd", "net", "--layers", "zz*", "-o", "x.png"], 2, "unknown layer 'zz*'"),
        (["esd", "net", "--extractor", "slice", "-o", "x.png"], 3, "no layer has a spectrum of extractor slice"),
        (["esd", "nothing", "-o", "x.png"], 3, "there is nothing to draw"),
        (["esd", "net", "-o", "x.txt"], 2, "--output x.txt: a picture's name ends in .png, .svg, .pdf"),
        (["depth", "net", "--metric", "beauty", "-o", "x.png"], 2, "unknown column of matrices 'beauty'"),
        (["depth", "nobody", "--metric", "alpha", "-o", "x.png"], 3, "no model 'nobody'"),
        (["histogram", "nothing", "--metric", "alpha", "-o", "x.png"], 3, "no layer has a value of alpha"),
        (["histogram", "net", "-o", "x.png"], 2, "--metric"),
    ],
)
def test_what_cannot_be_drawn_is_said(run, tmp_path, arguments, code, sentence):
    found, said = run(*arguments)
    assert sentence in said
    assert found == code
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_an_imported_table_is_drawn(run, store, tmp_path):
    table = tmp_path / "vgg.csv"
    table.write_text(
        "layer_id,name,D,M,N,alpha,alpha_weighted,has_esd,lambda_max,layer_type,log_norm,longname,num_pl_spikes,sigma\n"
        "2,Linear,0.1,10,20,2.5,1.25,True,5,dense,2,f.0,4,0.75\n"
        "3,Linear,0.2,10,20,3.5,2.25,True,6,dense,3,f.3,4,1.25\n"
    )
    ww.import_table(table, store=store)
    for kind in ("depth", "histogram"):
        code, said = run(kind, "vgg", "--metric", "alpha", "-o", tmp_path / f"{kind}.png")
        assert (code, said) == (0, f"alpha of 2 matrices drawn in {tmp_path / kind}.png\n")


def test_a_folder_that_is_missing_is_said(store, ww_program):
    done = ww_program("plot", "esd", "net", "-o", "no/x.png", "--store", store)
    assert (done.returncode, done.stderr) == (3, "error: --output no/x.png: there is no folder no\n")

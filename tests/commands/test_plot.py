"""``ww plot``, as a user runs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ww_core as ww

pytest.importorskip("matplotlib")
from ww_plugins.commands.plot import esd_pictures, metric_pictures
from ww_plugins.commands.plot.bins import round_bins
from ww_plugins.commands.plot.by_layer import MetricByLayer, metrics_by_layer
from ww_plugins.commands.plot.grid import Look, style_of
from ww_plugins.commands.plot.panels import Panels
from ww_plugins.commands.plot.spectra import spectra_of_layers

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
        (["net@1", "net@2"], 6),
        (["net", "net@2", "net"], 3),
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
    assert ("not drawn: zero: no eigenvalue is above its noise floor" in said) == ("--layers" not in arguments)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, in place of files."""
    saved = []
    for module in (esd_pictures, metric_pictures):
        monkeypatch.setattr(module, "save_plot", lambda figure, *_: saved.append(figure))
    return saved


def legends(figure):
    return [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]


def spectra(weights, *names, layers=()):
    with ww.open_store() as opened:
        for name in names:
            ww.analyze(weights, store=opened, name=name)
        return spectra_of_layers(opened, names, layers)


def test_a_matrix_of_nan_hides_no_other():
    broken = RANDOM.standard_normal((40, 30))
    broken[3, 4] = np.nan
    found, left_out = spectra({"a.weight": RANDOM.standard_normal((64, 48)), "nan.weight": broken}, "net")
    assert [own.row.name for own in found] == ["a"]
    assert left_out == [("nan", 0, "1 of 1200 weights are NaN or infinite")]


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(figures, found, tmp_path):
    weights = {"fc.weight": RANDOM.standard_normal((64, 48))}
    esd_pictures.draw(spectra(weights, "_hidden", "alpha $x^2$").found, tmp_path / "x.png")
    one = replace(found("A/small")[0], name="_hidden")
    for draw in (metric_pictures.draw_depth, metric_pictures.draw_histogram):
        draw([one, *found("A/big")], tmp_path / "x.png")
    esd, depth, histogram = map(legends, figures)
    assert figures[0].axes[2].title.get_parse_math() is False
    assert [text for text in esd if "@" in text] == 2 * ["_hidden@1", "alpha $x^2$@1"]
    assert [text.partition(":")[0] for text in depth + histogram] == 2 * ["_hidden", "A/big"]


@pytest.mark.parametrize("scale", [1e-170, 1e153, 1e160])
@pytest.mark.filterwarnings("error")
def test_spectra_beyond_what_an_axis_can_hold_are_drawn_in_a_larger_unit(figures, tmp_path, scale):
    weights = {"fc.weight": scale * RANDOM.standard_normal((40, 40))}
    esd_pictures.draw(spectra(weights, "net").found, tmp_path / "x.png")
    (figure,) = figures
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        (steps,) = axes.patches
        heights, edges, _ = steps.get_data()
        assert 0.9 < np.nansum(heights * np.diff(edges)) < 1.0 + 1e-9  # a few eigenvalues are counted, not shown
        assert "$10^{" in axes.get_xlabel()


def test_why_there_is_no_tail_stays_in_its_panel(figures, tmp_path):
    weights = {f"{name}.weight": np.eye(12) for name in "abc"}
    esd_pictures.draw(spectra(weights, "net").found, tmp_path / "x.png")
    figure = figures[0]
    figure.draw_without_rendering()
    for axes in figure.axes[:3]:
        assert axes.get_legend().get_texts()[0].get_text().startswith("no tail: ")
        assert axes.get_legend().get_window_extent().x0 > axes.get_window_extent().x0


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
        (["depth", "net", "--metric", "beauty", "-o", "x.png"], 2, "unknown column of net@2 'beauty'"),
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


HEADER = "series,model,layer,part,alpha,norm"


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """A store with a table of two families, whose layers have one to three matrices, and an analysed model."""
    folder = tmp_path_factory.mktemp("families")
    rows = [
        f"{series},{model},{layer},{part},{alpha},{norm}"
        for series, model, depth in (("A", "small", 3), ("A", "big", 6), ("B", "other", 4))
        for layer in range(depth)
        for part, alpha, norm in [(p, 2 + layer + p, 10.0 ** (layer - p)) for p in range(1 + layer % 3)]
    ]
    (folder / "t.csv").write_text("\n".join([HEADER, *rows, "B,empty,0,0,,"]) + "\n")
    (folder / "t.toml").write_text(
        'provider = "p"\nsource = "it\'s a table"\nmodel = "{series}/{model}"\nlayer = "l{layer}"\n'
        'series = ["{series}"]\n'
        '[[columns]]\ncolumn = "alpha"\n[[columns]]\ncolumn = "norm"\nunit = "weight"\n'
    )
    ww.import_table(folder / "t.csv", store=folder / "s.sqlite", importer=f"mapped[mapping={folder / 't.toml'}]")
    ww.analyze(weights(), store=folder / "s.sqlite", name="net", version="1")
    return folder / "s.sqlite"


@pytest.fixture
def found(families):
    def found_(*models, metric="alpha", **options):
        with ww.open_store(families, mode="read") as opened:
            return metrics_by_layer(opened, models, [metric], **options).found

    return found_


def test_globs_and_series_come_in_the_order_of_the_table(found):
    assert [own.name for own in found("A/*")] == ["A/small", "A/big"]
    assert [own.name for own in found(series=["A"])] == ["A/small", "A/big"]
    assert [own.name for own in found("net", "A/big", "A/*")] == ["net@1", "A/big", "A/small"]
    assert [own.series for own in found("B/other", "net", "A/big")] == ["B", "", "A"]


def test_the_matrices_of_a_layer_share_its_depth(found):
    (own,) = found("A/small")
    assert own.depths.tolist() == [1, 2, 2, 3, 3, 3]
    assert own.values.tolist() == [2, 3, 4, 4, 5, 6]
    assert own.layer_means() == pytest.approx([2, 3.5, 5])
    (norm,) = found("A/small", metric="norm")
    assert (norm.unit, norm.origin) == ("weight", "table it's a table")


def test_a_mean_is_of_what_is_there_and_does_not_overflow():
    values = np.array([1.5e308, 1.5e308, np.nan, np.nan, 4.0])
    own = MetricByLayer("m", "o", "x", "", ("a", "a", "b", "c", "c"), values)
    means = own.layer_means()
    assert means[[0, 2]].tolist() == [1.5e308, 4.0]
    assert np.isnan(means[1])


def test_a_glob_of_layers_may_match_in_one_model_alone(found):
    both = found("A/small", "net", without=["fc*", "l0"])
    assert [len(own.values) for own in both] == [5, 3]
    with pytest.raises(ww.UnknownNameError, match="zz"):
        found("A/small", "net", without=["zz*"])
    with pytest.raises(ww.UsageError, match="net@1: no layer is left by --layers l0"):
        found("A/small", "net", layers=["l0"])


@pytest.mark.parametrize("kind", ["depth", "histogram"])
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["A/small", "A/big", "net", "--metric", "alpha", "--mark", "4"], 22),
        (["A/*", "B/other", "--metric", "alpha,norm", "--panels", "series", "--range", "2.5:"], 25),
        (["A/*", "--metric", "norm", "--log", "--panels", "model", "--range", "0.5:100"], 18),
        (["--series", "A", "--metric", "alpha", "--metric", "norm", "--without-layers", "l0"], 16),
    ],
)
def test_looks(families, ww_here, tmp_path, kind, arguments, count):
    done = ww_here("plot", kind, *arguments, "-o", tmp_path / "m.png", "--store", families)
    assert done.returncode == 0, done.stderr
    assert f" of {count} matrices drawn" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["zz*", "--metric", "alpha"], 3, "no model matches 'zz*'"),
        (["--metric", "alpha"], 2, "name one model or more, or a series"),
        (["--series", "C", "--metric", "alpha"], 2, "unknown series 'C'"),
        (["A/small", "--metric", "alpha", "--range", "5:1"], 2, "--range 5:1: two numbers are expected"),
        (["A/small", "--metric", "alpha", "--range", "5"], 2, "--range 5: two numbers"),
        (["A/small", "--metric", "alpha", "--range", ":"], 2, "--range :: two numbers"),
        (["A/small", "--metric", "alpha", "--range", "a:inf"], 2, "--range a:inf: two numbers"),
        (["A/small", "--metric", "alpha", "--range", "100:"], 2, "A/small: no value of alpha is in the range"),
        (["A/small", "--metric", "alpha", "--range", "-1:", "--log"], 2, "a logarithmic axis has positive numbers"),
        (["B/empty", "--metric", "alpha"], 3, "B/empty: no layer has a value of alpha: table it's a table is empty"),
        (["B/other", "--metric", "beauty"], 2, "unknown column of B/other 'beauty': known: alpha, norm"),
        (["B/*", "--metric", "beauty"], 2, "unknown column of B/other 'beauty': known: alpha, norm"),
        (["A/small", "--without-layers", "*", "--metric", "alpha"], 2, "A/small: no layer is left by --without-layers"),
        (["A/small", "net", "--layers", "fc*", "--metric", "alpha"], 2, "A/small: no layer is left by --layers fc*"),
        (["net", "--metric", "kurtosis"], 2, "`ww analyze FILE --name net --version 1 --metrics kurtosis --store "),
        (["A/small", "--metric", "alpha", "--mark", "nan"], 2, "--mark nan: a finite number is expected"),
        (["A/small", "--metric", "alpha", "--mark", "inf"], 2, "--mark inf: a finite number is expected"),
    ],
)
def test_what_is_asked_wrongly_is_said(families, ww_here, tmp_path, arguments, code, sentence):
    done = ww_here("plot", "depth", *arguments, "-o", tmp_path / "m.png", "--store", families)
    assert sentence in done.stderr
    assert done.returncode == code
    assert not (tmp_path / "m.png").exists()


def test_what_is_outside_the_range_is_marked_and_counted(found):
    from matplotlib.figure import Figure

    own, look = found("A/small")[0], Look(low=3.0, high=5.0, mark=4.5)
    axes = Figure().subplots()
    metric_pictures._draw_line(axes, own, style_of(0), look)
    by_marker = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines if line.get_marker() in "^v"}
    assert by_marker == {"^": [[3.0, 5.0]], "v": [[1.0, 3.0]]}
    assert axes.lines[-1].get_label() == "A/small: mean 4.00, n 6, 2 above 4.5, 2 outside"


@pytest.mark.parametrize(
    "values",
    [[1.0], [0.0, 0.0], [3.02, 9.97], [-5.0, 1e300], [1e-320, 3e-320], [1.0, 1.0 + 1e-15], [1.7e308]],
)
def test_bins_hold_every_value_at_round_numbers(values):
    edges = round_bins(np.array(values), 12)
    assert edges[0] <= min(values)
    assert edges[-1] >= max(values)
    assert 2 <= edges.size <= 32
    assert np.all(np.diff(edges) >= 0)
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_round_bins_are_round():
    assert round_bins(np.array([3.02, 9.97]), 12) == pytest.approx(np.arange(3.0, 10.1, 1.0))


def test_styles_differ_up_to_as_many_as_can_be_told_apart():
    assert len({style_of(number) for number in range(24)}) == 24


@pytest.mark.parametrize("look", [Look(), Look(mark=4.0, high=5.0), Look(panels=Panels.series)])
def test_no_legend_and_no_title_is_cut(found, look, monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(metric_pictures, "save_plot", lambda figure, *_: saved.append(figure))
    models = [
        replace(own, name=f"{own.name}-{number}", series=f"series {number % 2}")
        for number in range(5)
        for own in found("A/*", "net", "B/other")
    ]
    metric_pictures.draw_depth(models, tmp_path / "m.png", look)
    (figure,) = saved
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_legend().get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert axes.get_window_extent().height > 100


def test_a_model_of_a_glob_that_lacks_a_metric_is_left_out(families, ww_here, tmp_path):
    arguments = ["*", "--metric", "alpha,norm,norm", "-o", tmp_path / "m.png", "--panels", "model"]
    done = ww_here("plot", "depth", *arguments, "--store", families)
    assert (done.returncode, done.stdout) == (0, f"alpha, norm of 25 matrices drawn in {tmp_path}/m.png\n")
    assert "left out net: its analysis has no column 'norm'\n" in done.stderr
    assert "left out B/empty: no layer has a value of alpha" in done.stderr


def test_a_table_is_drawn_where_the_analysis_lacks_the_column(tmp_path):
    folder = tmp_path
    (folder / "t.csv").write_text("model,layer,alpha\nm,a,2\nm,b,3\n")
    mapping = 'provider = "p"\nsource = "t"\nmodel = "{model}"\nlayer = "{layer}"\n[[columns]]\ncolumn = "alpha"\n'
    (folder / "t.toml").write_text(mapping)
    ww.import_table(folder / "t.csv", store=folder / "s.sqlite", importer=f"mapped[mapping={folder / 't.toml'}]")
    ww.analyze(weights(), store=folder / "s.sqlite", name="m", metrics=["log_norm"])
    with ww.open_store(folder / "s.sqlite", mode="read") as opened:
        by_metric = {own: metrics_by_layer(opened, ["m*"], [own]).found[0] for own in ("alpha", "log_norm")}
    assert {own: drawn.origin for own, drawn in by_metric.items()} == {
        "alpha": "table t",
        "log_norm": "profile default",
    }


def test_a_metric_of_layers_is_drawn_and_a_text_is_said_to_be_one(tmp_path, ww_here):
    ww.analyze(weights(), store=tmp_path / "s.sqlite", name="m", metrics=["skewness", "phase"])
    for kind in ("depth", "histogram"):
        arguments = ["m", "m@1", "-o", tmp_path / "m.png", "--store", tmp_path / "s.sqlite"]
        done = ww_here("plot", kind, *arguments, "--metric", "skewness")
        assert (done.returncode, done.stdout) == (0, f"skewness of 4 layers drawn in {tmp_path}/m.png\n")
        done = ww_here("plot", kind, *arguments, "--metric", "phase")
        assert done.returncode == 2
        assert "phase is a text and cannot be drawn" in done.stderr


def test_what_another_analysis_has_computed_is_drawn(tmp_path, ww_here, figures):
    own, place = weights(), tmp_path / "s.sqlite"
    for options in ({}, {"metrics": ["skewness", "lambda_plus"]}, {"profile": "weightwatcher"}):
        ww.analyze(own, store=place, name="m", version="1", **options)
    with ww.open_store(place, mode="read") as opened:
        (drawn,) = metrics_by_layer(opened, ["m"], ["skewness"]).found
        esd_pictures.draw(spectra_of_layers(opened, ["m"], ["conv"], profile="default").found, tmp_path / "x.png")
    assert drawn.origin == "profile default"
    assert np.isfinite(drawn.values).any()
    assert "edge of the bulk (MP)" in legends(figures[0])
    told = ww_here("plot", "depth", "m", "--metric", "kurtosis", "-o", tmp_path / "m.png", "--store", place).stderr
    assert "--profile weightwatcher --metrics kurtosis" in told
    told = ww_here("plot", "depth", "m", "--metric", "kurtosi", "-o", tmp_path / "m.png", "--store", place).stderr
    assert "unknown column of m@1 'kurtosi'" in told
    assert "ww analyze" not in told  # which could not compute it


def test_spectra_under_two_profiles_are_told_apart(figures, tmp_path):
    conv = {"conv.weight": RANDOM.standard_normal((24, 20, 3, 3))}
    for name, profile in (("a", "default"), ("b", "weightwatcher")):
        ww.analyze(conv, store=tmp_path / "s.sqlite", name=name, profile=profile)
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as opened:
        esd_pictures.draw(spectra_of_layers(opened, ["a", "b"]).found, tmp_path / "x.png")
    assert figures[0].get_suptitle().endswith("profiles default, weightwatcher")
    assert {"a@1, default", "b@1, weightwatcher"} <= {" ".join(text.split()) for text in legends(figures[0])}


@pytest.mark.parametrize("layers", [["a"], ["*"]])
def test_the_legend_of_many_versions_hides_no_spectrum(figures, tmp_path, layers):
    names = [f"net-{number}" for number in range(5)]
    found, _ = spectra({"a.weight": RANDOM.pareto(3, (60, 50)), "b.weight": np.eye(30)}, *names, layers=layers)
    esd_pictures.draw(found, tmp_path / "x.png")
    figures[0].draw_without_rendering()
    for axes in [own for own in figures[0].axes if own.get_legend()]:
        below = axes.get_legend().get_window_extent().y0
        for steps in axes.patches:
            heights = steps.get_data().values
            assert axes.transData.transform((1.0, np.nanmax(heights)))[1] <= below
        said = [text.get_text() for text in axes.texts]
        assert len(said) == len(set(said))


def test_too_many_models_in_a_panel_are_refused(found, tmp_path):
    models = [replace(found("A/small")[0], name=str(number)) for number in range(29)]
    with pytest.raises(ww.UsageError, match=r"29 models in one panel, and 28 can be told apart: .* --panels"):
        metric_pictures.draw_depth(models, tmp_path / "m.png")


def test_huge_values_put_nothing_over_the_legend(figures, found, tmp_path):
    own = found("A/small")[0]
    metric_pictures.draw_depth([replace(own, values=own.values * 1e154)], tmp_path / "m.png")
    figures[0].draw_without_rendering()
    assert figures[0].axes[0].yaxis.get_offset_text().get_text() == ""


@pytest.mark.parametrize("draw", [metric_pictures.draw_depth, metric_pictures.draw_histogram])
@pytest.mark.filterwarnings("error")
def test_what_a_logarithmic_axis_cannot_hold_is_counted_and_hides_no_other(figures, found, tmp_path, draw):
    values = np.array([1e-310, 2.0, 30.0, 1e-300, 1e200, 1e307])
    own = replace(found("A/small")[0], layers=tuple("abcdef"), values=values)
    draw([own], tmp_path / "m.png", Look(log=True))
    figures[0].draw_without_rendering()
    (axes,) = figures[0].axes
    low, high = axes.get_ylim() if draw is metric_pictures.draw_depth else axes.get_xlim()
    assert 0.1 < low <= 2.0
    assert 30.0 <= high < 1000.0
    assert "4 outside" in legends(figures[0])[0]


def test_letters_that_the_font_has_not_are_no_warning(tmp_path, ww_here):
    ww.analyze({"层.weight": RANDOM.standard_normal((20, 15))}, store=tmp_path / "s.sqlite", name="$模型🎉$")
    done = ww_here("plot", "esd", "$模型🎉$", "-o", tmp_path / "m.png", "--store", tmp_path / "s.sqlite")
    assert (done.returncode, done.stderr) == (0, "")

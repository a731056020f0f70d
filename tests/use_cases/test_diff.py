"""What may be compared is compared; what may not is shown with the reason, and never subtracted."""

import contextlib
import json
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.use_cases.diff import diff


def plugin(*metrics, profiles=()):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(metrics)

        @ww.hookimpl
        def ww_register_profiles(self):
            return list(profiles)

    return Plugin()


def shifty(version):
    """A metric whose second version means another number."""

    @ww.metric(version=version, name="shifty")
    def measure(singular_values):
        """The largest singular value, or the sum of all."""
        return singular_values[0] if version == "1" else singular_values.sum()

    return measure


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.sqlite"


@pytest.fixture
def other(weights):
    return weights | {"first.weight": weights["first.weight"] * np.float32(2)}


def row_of(difference, name, extractor=None):
    rows = [own for own in difference.layers if own.name == name]
    (row,) = [own for own in rows if extractor in {None, own.extractor}]
    return row.difference


def test_versions_of_a_metric_are_never_subtracted(store, weights, other):
    ww.analyze(weights, store=store, name="net", plugins=[plugin(shifty("1"))])
    ww.analyze(other, store=store, name="net", plugins=[plugin(shifty("2"))])
    difference = diff("net@1", "net@2", store=store)
    first = row_of(difference, "first")
    reason = "version 1 in net@1, 2 in net@2"
    assert first.not_comparable == {"shifty": reason}
    assert "shifty" not in first.change
    assert {first.first["shifty"], first.second["shifty"]} != {None}  # both are shown
    assert first.change["log_norm"] == pytest.approx(2 * np.log10(2))
    assert difference.not_comparable == {"shifty": reason}
    assert difference.summary["shifty"].change is None
    assert difference.summary["alpha"].change is not None
    content = json.loads(json.dumps(difference.to_dict(), allow_nan=False))
    assert content["summary"]["shifty"]["not_comparable"] == reason


def test_what_needs_another_version_is_not_subtracted_either(store, weights, other):
    def above(version):
        @ww.metric(version="1")
        def over(shifty):
            """Of a metric that has two versions."""
            return shifty + 1

        return plugin(shifty(version), over)

    ww.analyze(weights, store=store, name="net", plugins=[above("1")])
    ww.analyze(other, store=store, name="net", plugins=[above("2")])
    difference = diff("net@1", "net@2", store=store)
    assert difference.not_comparable["over"] == "other parameters, or another definition of what it needs"


def test_a_run_in_common_is_found_before_newer_ones_that_have_less(store, weights, other):
    ww.analyze(weights, store=store, name="net", plugins=[plugin(shifty("1"))])
    ww.analyze(other, store=store, name="net", plugins=[plugin(shifty("1"))])
    ww.analyze(other, store=store, name="net", plugins=[plugin(shifty("2"))])
    difference = diff("net@1", "net@2", store=store)
    assert difference.not_comparable == {}
    assert "shifty" in row_of(difference, "first").change


def test_matrices_of_other_extractors_are_apart_and_their_means_are_not_subtracted(store, weights, other):
    ww.analyze(weights, store=store, name="net", extractors=["pool"])
    ww.analyze(other, store=store, name="net", extractors=["slice"])
    difference = diff("net@1", "net@2", store=store)
    assert row_of(difference, "first").change["log_norm"] == pytest.approx(2 * np.log10(2))  # by one extractor in both
    rows = [own for own in difference.layers if own.name == "conv"]
    assert {(own.extractor, own.index) for own in rows} == {("pool", 0), *(("slice", index) for index in range(9))}
    for own in rows:
        assert not own.difference.change
        assert set(own.difference.not_comparable.values()) == {
            f"only {'net@1' if own.extractor == 'pool' else 'net@2'} has matrix {own.index} of {own.extractor}"
        }
    summary = difference.summary["alpha"]
    assert summary.first is not None
    assert summary.second is not None
    assert (summary.change, summary.not_comparable) == (None, "over the matrices of other extractors")
    assert difference.model_metrics.not_comparable["log_prod_spectral_norm"]
    assert not difference.model_metrics.change


def test_variants_of_an_extractor_are_apart(store, weights, other):
    ww.analyze(weights, store=store, name="net", extractors=["fft"])
    ww.analyze(other, store=store, name="net", extractors=["fft[n=5]"])
    difference = diff("net@1", "net@2", store=store)
    assert all(not own.difference.change for own in difference.layers if own.name == "conv")


def test_profiles_that_define_a_column_otherwise_are_not_mixed(store, weights, other):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(other, store=store, name="net", profile="weightwatcher")
    difference = diff("net@1", "net@2", store=store)
    assert difference.profile == "default and weightwatcher"
    assert "alpha" in difference.not_comparable
    assert not any("alpha" in own.difference.change for own in difference.layers)
    assert difference.summary["alpha"].change is None
    with pytest.raises(ww.StoreError, match="never analysed under profile 'weightwatcher'"):
        diff("net@1", "net@2", store=store, profile="weightwatcher")


def test_over_other_layers_rows_are_compared_and_means_are_not(store, weights, other):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(other, store=store, name="net", layers=["first", "conv"])
    difference = diff("net@1", "net@2", store=store)
    assert row_of(difference, "first").change["log_norm"] == pytest.approx(2 * np.log10(2))
    assert difference.summary["alpha"].not_comparable == "over other layers"
    assert "log_prod_spectral_norm" not in difference.model_metrics.change


def test_whole_layers_and_models_are_compared_too(store, weights, other):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(other, store=store, name="net")
    difference = diff("net@1", "net@2", store=store)
    layers = {own.name: own.difference for own in difference.layer_metrics}
    old, new = float(weights["first.weight"].astype("f8").std()), float(other["first.weight"].astype("f8").std())
    assert layers["first"].change["weight_std"] == pytest.approx(new - old, rel=1e-9)
    assert layers["norm"].change["weight_mean"] == 0
    assert difference.model_metrics.change["log_prod_spectral_norm"] == pytest.approx(np.log10(4))
    assert difference.summary["weight_std"].change == pytest.approx((new - old) / 4, rel=1e-9)


def test_a_renamed_metric_with_a_key_is_the_same_column(store, weights, other):
    @ww.metric(version="1")
    def before(singular_values):
        """By its first name."""
        return singular_values[0]

    @ww.metric(version="1", key="Plugin:before")
    def after(singular_values):
        """By its second name."""
        return singular_values[0]

    ww.analyze(weights, store=store, name="net", plugins=[plugin(before)])
    ww.analyze(other, store=store, name="net", plugins=[plugin(after)])
    difference = diff("net@1", "net@2", store=store)
    first = row_of(difference, "first")
    assert "before" not in first.first
    assert first.change["after"] == pytest.approx(first.first["after"])  # it doubles
    assert difference.not_comparable == {}


def test_tensors_without_metrics_are_counted_and_listed(store, weights):
    tensors = {"same": np.arange(3), "changed": np.arange(4), "gone": np.ones(2, np.int8)}
    ww.analyze(weights | tensors, store=store, name="net")
    tensors = {"same": np.arange(3), "changed": np.arange(4) + 1, "new": np.ones(2, np.complex64)}
    ww.analyze(weights | tensors, store=store, name="net")
    difference = diff("net@1", "net@2", store=store)
    assert difference.counts == {"same": 4, "changed": 0, "added": 0, "removed": 0}
    assert difference.tensor_counts == {"same": 2, "changed": 1, "added": 1, "removed": 1}
    assert {(own.name, own.status) for own in difference.tensors} == {
        ("changed", "changed"),
        ("gone", "removed"),
        ("new", "added"),
    }
    assert "int64" in next(own.reason for own in difference.tensors if own.name == "changed")


def test_a_change_is_better_or_worse_by_the_direction_of_its_column(store, weights):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(weights | {"first.weight": weights["first.weight"] ** 3}, store=store, name="net")
    there, back = diff("net@1", "net@2", store=store), diff("net@2", "net@1", store=store)
    opposite = {"better": "worse", "worse": "better", "none": "none"}
    for one, other in (
        (row_of(there, "first"), row_of(back, "first")),
        (there.summary["alpha"], back.summary["alpha"]),
    ):
        verdicts, others = (
            (own.verdict if isinstance(own.verdict, dict) else {"": own.verdict}) for own in (one, other)
        )
        assert {label: opposite[verdict] for label, verdict in verdicts.items()} == others
    first = row_of(there, "first")
    assert first.verdict["alpha"] == ("better" if first.change["alpha"] < 0 else "worse")
    assert first.verdict["n_tail"] == "none"  # neither direction is better
    same = row_of(there, "second")
    assert {verdict for label, verdict in same.verdict.items()} == {"none"}


def test_what_changed_most_comes_first(store, weights):
    rng = np.random.default_rng(0)
    moved = {
        "first.weight": weights["first.weight"] + rng.normal(0, 1e-3, weights["first.weight"].shape).astype("f4"),
        "conv.weight": weights["conv.weight"] ** 3,
    }
    ww.analyze(weights, store=store, name="net")
    ww.analyze(weights | moved, store=store, name="net")
    difference = diff("net@1", "net@2", store=store, metrics=["alpha"])
    errors = [own.difference.importance["alpha"].in_errors for own in difference.layers if own.difference.importance]
    assert errors == sorted(errors, reverse=True)
    assert difference.layers[0].name == "conv"
    most = difference.layers[0].difference
    sigmas = [side["sigma"].number for side in (most.first_outcomes, most.second_outcomes)]
    assert most.uncertainty["alpha"] == pytest.approx(np.hypot(*sigmas))
    assert most.importance["alpha"].in_errors == pytest.approx(abs(most.change["alpha"]) / np.hypot(*sigmas))
    assert set(most.change) == {"alpha"}
    assert set(difference.summary) == {"alpha"}

    by_layer = diff("net@1", "net@2", store=store, sort="layer")
    assert [own.name for own in by_layer.layers] == ["first", "second", "conv", "norm"]
    by_column = diff("net@1", "net@2", store=store, sort="log_norm", top=2)
    changes = [abs(own.difference.change["log_norm"]) for own in by_column.layers]
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == 2
    with pytest.raises(ww.UnknownNameError, match=r"order 'alhpa'.*alpha"):
        diff("net@1", "net@2", store=store, sort="alhpa")
    with pytest.raises(ww.UnknownNameError, match=r"column 'alhpa'.*alpha"):
        diff("net@1", "net@2", store=store, metrics=["alhpa"])
    with pytest.raises(ww.UsageError, match="negative"):
        diff("net@1", "net@2", store=store, top=-1)


def test_layers_are_chosen_by_globs(store, weights, other):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(other, store=store, name="net")
    difference = diff("net@1", "net@2", store=store, layers=["first", "sec*"])
    assert {own.name for own in difference.layers} == {"first", "second"}
    assert difference.counts == {"same": 1, "changed": 1, "added": 0, "removed": 0}
    assert difference.summary == {}  # it speaks of all layers
    assert difference.model_metrics.labels == ()
    with pytest.raises(ww.UnknownNameError, match="nothere"):
        diff("net@1", "net@2", store=store, layers=["nothere"])


def test_renamed_layers_are_found_by_their_content(store, weights):
    renamed = {name.replace("first.", "model.first."): own for name, own in weights.items()}
    ww.analyze(weights, store=store, name="net")
    ww.analyze(renamed, store=store, name="net")
    difference = diff("net@1", "net@2", store=store)
    assert difference.counts["renamed"] == 1
    assert (difference.counts["added"], difference.counts["removed"], difference.counts["changed"]) == (0, 0, 0)
    (own,) = [own for own in difference.layers if own.status == "renamed"]
    assert (own.first_name, own.name) == ("first", "model.first")
    assert own.difference.change["alpha"] == 0
    assert not own.difference.not_comparable
    (row,) = [row for row in difference.rows() if row["layer"] == "model.first"]
    assert row["alpha_first"] == row["alpha_second"]


def test_layers_of_one_content_are_renamed_each_once(store, weights):
    twice = weights | {"a.weight": weights["first.weight"], "b.weight": weights["first.weight"].copy()}
    once = {name.replace("a.", "c."): own for name, own in twice.items() if not name.startswith("b.")}
    ww.analyze(twice, store=store, name="net")
    ww.analyze(once, store=store, name="net")
    difference = diff("net@1", "net@2", store=store)
    assert (difference.counts["renamed"], difference.counts["removed"]) == (1, 1)


def test_a_stored_name_wins_and_a_path_gets_no_label(tmp_path, store, weights, other, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(other, "candidate.safetensors")
    save_file(other, "net")  # a file that is called as a model is
    ww.analyze(weights, store=store, name="net")
    difference = diff("net", "candidate.safetensors", store=store)
    assert (difference.first_name, difference.second_name) == ("net@1", "candidate.safetensors")
    assert difference.counts["changed"] == 1
    assert row_of(difference, "first").change["log_norm"] == pytest.approx(2 * np.log10(2))
    with ww.open_store(store, mode="read") as opened:
        assert [(own.model, own.version) for own in opened.versions()] == [("net", "1")]
        runs = opened.info().counts["run"]
        assert opened.report(difference.second_digest).digest == difference.second_digest
    assert runs == 2
    recorded = diff("candidate.safetensors", "net@1", store=store, record=True)
    assert recorded.first_name == "candidate@1"
    assert diff("candidate", "net", store=store).counts["changed"] == 1
    # The same weights under a label are the same checkpoint.
    assert diff("candidate@1", "candidate.safetensors", store=store).counts["changed"] == 0


def test_objects_are_compared_without_a_store(weights, other):
    difference = ww.diff(weights, other)
    assert difference.counts["changed"] == 1
    assert row_of(difference, "first").change["log_norm"] == pytest.approx(2 * np.log10(2))
    assert "object" in difference.first_name or difference.first_name


def test_a_source_is_analysed_as_the_stored_name_was(tmp_path, store, weights, other):
    save_file(other, tmp_path / "candidate.safetensors")
    ww.analyze(weights, store=store, name="net", profile="weightwatcher")
    difference = diff("net", str(tmp_path / "candidate.safetensors"), store=store)
    assert difference.profile == "weightwatcher"
    assert difference.not_comparable == {}


def test_what_is_neither_stored_nor_a_source_is_said(tmp_path, store, weights):
    with pytest.raises(ww.NotAStoreError, match=r"no store.*nothere: there is no such file or folder"):
        diff("nothere", "nowhere", store=store)
    ww.analyze(weights, store=store, name="net")
    with pytest.raises(ww.NotStoredError, match=r"did you mean net.*nett: there is no such file or folder"):
        diff("net", "nett", store=store)
    (tmp_path / "text.txt").write_text("no weights")
    with pytest.raises(ww.SourceError, match=r"text\.txt"):
        diff("net", str(tmp_path / "text.txt"), store=store)
    with pytest.raises(ww.SourceError, match="nothing opens nope://"):
        diff("net", "nope://somewhere", store=store)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metrics": None}, "metrics must be texts, not None"),
        ({"layers": 3}, "layers must be texts, not 3"),
        ({"sort": None}, "sort must be a text, not None"),
        ({"sort": ["alpha"]}, "sort must be a text, not ['alpha']"),
        ({"top": None}, "top=None is not a whole number"),
        ({"top": 1.5}, "top=1.5 is not a whole number"),
        ({"top": -1}, "top=-1 is negative"),
    ],
)
def test_options_of_another_type_are_wrong_usage(weights, other, options, sentence):
    with pytest.raises(ww.UsageError) as caught:
        diff(weights, other, **options)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("first", "second", "profile"), [("", "net", None), ("net", "", None), ("net", "net", "")])
def test_empty_names_are_wrong_usage(store, weights, first, second, profile):
    ww.analyze(weights, store=store, name="net")
    with pytest.raises(ww.UsageError, match="is empty"):
        diff(first, second, store=store, profile=profile)


def test_what_a_format_lacks_is_told(store, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(8, 5)
    )
    state = net.state_dict()
    torch.save(state, tmp_path / "net.pth")
    safetensors.save_file(state, tmp_path / "net.safetensors")
    safetensors.save_file({k: v for k, v in state.items() if "tracked" not in k}, tmp_path / "lacks.safetensors")
    whole = [ww.analyze(source, store=store, name="net") for source in (net, tmp_path / "net.pth")]
    whole.append(ww.analyze(tmp_path / "net.safetensors", store=store, name="net"))
    assert len({report.digest for report in whole}) == 1
    assert {report.version for report in whole} == {"1"}  # the same label: the same kinds and groups
    lacking = ww.analyze(tmp_path / "lacks.safetensors", store=store, name="net")
    assert (lacking.version, lacking.run.computed) == ("2", 0)
    difference = diff("net@1", "net@2", store=store)
    assert [(own.name, own.status) for own in difference.tensors] == [("1.num_batches_tracked", "removed")]
    assert difference.counts["same"] == len(difference.layer_metrics)
    back = diff("net@2", "net@1", store=store)
    assert [(own.name, own.status) for own in back.tensors] == [("1.num_batches_tracked", "added")]


# --- what one side lacks ----------------------------------------------------------------------------------------------


def test_a_digest_without_a_name_is_compared_as_it_is_shown(store, weights, other):
    ww.analyze(other, store=store, name="other")
    report = ww.analyze(weights, store=store, name="one", groups={"conv": 4})
    ww.analyze(weights, store=store, name="two")
    ww.analyze(weights, store=store, name="one", groups={"conv": 4})
    with ww.open_store(store) as opened:
        opened.forget("one", "two")
        shown = {row.name: row.groups for row in opened.report(report.digest).layers}
        assert {layer.name: layer.groups for layer in opened.layers(report.digest)} | shown == shown | {"norm": 1}
    difference = diff(report.digest, "other", store=store)
    conv = row_of(difference, "conv")
    assert set(conv.not_comparable.values()) == {f"{shown['conv']} groups in {report.digest}, 1 in other@1"}
    assert not conv.change
    assert "conv has" in difference.summary["alpha"].not_comparable


def test_what_an_interruption_left_out_is_in_no_difference_of_means(store, weights, other):
    class Stop(ww.RunObserver):
        def on_layer(self, layer):
            raise KeyboardInterrupt

    ww.analyze(weights, store=store, name="whole")
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(other | {"big.weight": np.ones((9, 9))}, store=store, name="part", jobs=1, observers=[Stop()])
    difference = diff("whole", "part", store=store)
    assert difference.summary["alpha"].change is None
    assert difference.summary["alpha"].not_comparable == "the analysis of part@1 lacks some of it"
    assert not difference.model_metrics.change


def test_two_objects_of_one_name_are_two_sides():
    @ww.metric(version="1")
    def fragile(singular_values):
        """It fails on the larger one."""
        if singular_values[0] > 15:
            raise RuntimeError("too large")
        return singular_values[0]

    small, large = ({"a.weight": scale * np.eye(8), "b.weight": np.eye(8)} for scale in (1, 20))
    for first, second in ((small, large), (large, small)):
        difference = diff(first, second, registry=lambda: ww.load_plugins(objects=[plugin(fragile)]))
        assert difference.first_name == difference.second_name
        assert len(difference.warnings) == 1
        assert (
            difference.summary["fragile"].not_comparable == f"the analysis of {difference.first_name} lacks some of it"
        )
        assert difference.summary["fragile"].change is None


def test_a_change_beyond_all_numbers_is_none(weights):
    @ww.metric(version="1")
    def edge(singular_values):
        """One end of what a number can be, or the other."""
        return 1.7e308 if singular_values[0] > 10 else -1.7e308

    small = {"a.weight": np.eye(5)}
    difference = diff(small, {"a.weight": np.eye(5) * 20}, registry=lambda: ww.load_plugins(objects=[plugin(edge)]))
    assert row_of(difference, "a").first["edge"] == -1.7e308
    assert "edge" not in row_of(difference, "a").change
    assert difference.summary["edge"].change is None
    json.dumps(difference.to_dict(), allow_nan=False)


def test_what_could_not_be_read_is_not_the_same(store, weights, monkeypatch):
    from ww_core.sources import digests

    read = digests.read_tensor

    def broken(checkpoint, spec):
        if spec.name == "second.weight":
            raise OSError("gone")
        return read(checkpoint, spec)

    ww.analyze(weights, store=store, name="whole")
    monkeypatch.setattr(digests, "read_tensor", broken)
    for name in ("one", "two"):
        ww.analyze(weights | {"extra.weight": np.full((3, 2), len(name))}, store=store, name=name)
    difference = diff("one", "two", store=store)
    assert (difference.counts["unread"], difference.counts["same"]) == (1, 3)
    assert next(own.status for own in difference.layers if own.name == "second") == "unread"
    assert diff("whole", "one", store=store).summary["alpha"].change is None


def test_a_layer_that_one_side_did_not_select_says_so(store, weights, other):
    ww.analyze(weights, store=store, name="net")
    ww.analyze(other, store=store, name="net", layers=["first"])
    reasons = row_of(diff("net@1", "net@2", store=store), "conv").not_comparable
    assert set(reasons.values()) == {"no matrix of it was analysed in net@2"}
    ww.analyze(weights, store=store, name="net", version="1", layers=["first"])
    difference = diff("net@1", "net@2", store=store)  # now there are runs over the same layers
    assert difference.summary["alpha"].change is not None


def test_layers_that_are_split_otherwise_are_not_subtracted(store):
    weight = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)

    @dataclass(frozen=True)
    class Parts(ww.Extractor):
        name = "parts"
        version = "1"

        def plan(self, layer):
            return ww.MatrixPlan(matrices=1, entries=1, rows=6 if layer.split else 12, cols=8)

        def matrices(self, weight, layer):
            yield ww.Matrix(0, weight[None, : 6 if layer.split else 12])

    class Split(ww.Checkpoint):
        format = "split"

        def __init__(self, split):
            spec = ww.TensorSpec("a.weight", "float32", (12, 8))
            self.layers = (ww.Layer("a", ww.LayerKind.CONV1D, spec, split=split),)

        def read(self, tensor):
            shown = weight.view()
            shown.flags.writeable = False
            return contextlib.nullcontext(shown)

    class Loader(ww.Loader):
        name = "split"
        description = "for tests"

        def probe(self, source):
            return 1.0 if isinstance(source.value, tuple) else 0.0

        def open(self, source):
            return Split(source.value[0])

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [Loader()]

        @ww.hookimpl
        def ww_register_extractors(self):
            return [Parts]

    for name, split in (("whole", ""), ("cut", "half")):
        ww.analyze((split,), store=store, name=name, extractors=["parts"], plugins=[Plugin()])
    difference = diff("whole", "cut", store=store)
    (row,) = difference.layers
    assert set(row.difference.not_comparable.values()) == {"split none in whole@1, half in cut@1"}
    assert difference.summary["stable_rank"].change is None

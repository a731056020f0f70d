"""The file of a predictor: what is written is read, and whatever else is there is refused in one sentence."""

import io
import json
import random
import zipfile
from dataclasses import fields, replace

import linear_predictor
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from linear_predictor import Again, Kept, Newer, predictor_for, registry_of

import ww_core as ww
from ww_plugins.predictors.file import digest_of_predictor, read_predictor, write_predictor


@pytest.fixture(scope="module")
def registry():
    return registry_of()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.ww"


@pytest.fixture
def members(registry, tmp_path):
    """What a file holds, by the names of its entries."""
    write_predictor(predictor_for(registry), tmp_path / "whole")
    return unpacked(tmp_path / "whole")


def unpacked(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def refused(path, registry, kind=ww.SourceError):
    with pytest.raises(kind) as caught:
        read_predictor(path, registry)
    told = str(caught.value)
    assert str(path) in told
    assert "\n" not in told
    assert told.isprintable()
    return told


def edited(members, **changes):
    told = json.loads(members["predictor.json"])
    return {**members, "predictor.json": json.dumps(told | changes).encode()}


# --- what is written is read ------------------------------------------------------------------------------------------


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and (one == other).all()
    if isinstance(one, linear_predictor.Learned):
        return all(same(getattr(one, own.name), getattr(other, own.name)) for own in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return repr(one) == repr(other)  # NaN is NaN


@pytest.mark.parametrize("name", ["kept", "kept[shrink=0.25]", "again", "again[shrink=0.25]"])
def test_what_is_written_is_read(registry, path, name):
    predictor = predictor_for(registry, name, data="digits")
    size = write_predictor(predictor, path)
    assert size == path.stat().st_size
    read = read_predictor(path, registry)
    for own in fields(predictor):
        if own.name != "fitted":
            assert same(getattr(predictor, own.name), getattr(read, own.name)), own.name
    features = np.random.default_rng(5).standard_normal((7, 3))
    np.testing.assert_allclose(read.predict(features), predictor.predict(features), rtol=1e-12)
    assert digest_of_predictor(read) == digest_of_predictor(predictor)


KEPT_DTYPES = st.sampled_from(["?", "i1", "u2", "i4", ">i4", "u8", "f2", "f4", ">f4", "f8"])


@settings(max_examples=60, deadline=None)
@given(more=hypothesis_numpy.arrays(KEPT_DTYPES, hypothesis_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_whatever_an_estimator_keeps_comes_back_bit_for_bit(tmp_path_factory, more):
    path = tmp_path_factory.mktemp("kept") / "p"
    predictor = predictor_for(LOOSE, "loose")
    predictor = replace(predictor, state={**predictor.state, "more": more})
    write_predictor(predictor, path)
    read = read_predictor(path, LOOSE).state["more"]
    assert read.shape == more.shape
    assert read.dtype == more.dtype.newbyteorder("=")
    assert read.tobytes() == more.astype(read.dtype).tobytes()


LOOSE = registry_of(linear_predictor.Loose())


def test_one_predictor_is_always_the_same_bytes(registry, tmp_path):
    predictor = predictor_for(registry)
    for name in ("a", "b"):
        write_predictor(predictor, tmp_path / name)
    write_predictor(read_predictor(tmp_path / "a", registry), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_digest_is_that_of_the_content(registry, path, members):
    predictor = predictor_for(registry)
    others = [predictor_for(registry, **change) for change in ({"seed": 1}, {"zoo": "other"}, {"trials": 3})]
    others.append(replace(predictor, state=None))
    others.append(replace(predictor, calibrated=np.nextafter(predictor.calibrated, 9)))
    digests = [digest_of_predictor(own) for own in (predictor, *others)]
    assert len(set(digests)) == len(digests)
    assert {len(own) for own in digests} == {64}
    packed(path, dict(reversed(members.items())), zipfile.ZIP_DEFLATED)
    assert digest_of_predictor(read_predictor(path, registry)) == digests[0]


def test_it_is_no_matter_how_arrays_lie_in_memory(registry, path):
    predictor = predictor_for(registry)
    training = replace(predictor.training, features=np.asfortranarray(predictor.training.features))
    odd = replace(predictor, training=training, calibrated=predictor.calibrated.astype(">f8"))
    assert digest_of_predictor(odd) == digest_of_predictor(predictor)
    write_predictor(odd, path)
    assert same(read_predictor(path, registry).training, predictor.training)


def test_without_calibration_networks_and_families(registry, path):
    predictor = predictor_for(registry)
    none = linear_predictor.Learned(np.empty(0, np.int64), np.empty((0, 3)), np.empty(0), np.empty(0, object))
    write_predictor(replace(predictor, calibration=none, calibrated=np.empty(0), family_by=""), path)
    assert len(read_predictor(path, registry).calibration) == 0


def test_what_is_large_is_stored_as_it_is(registry, path):
    predictor = predictor_for(registry, columns=1_100, rows=4_000)
    size = write_predictor(predictor, path)
    assert size > predictor.training.features.nbytes > 25e6
    assert same(read_predictor(path, registry).training, predictor.training)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "checksum" in refused(path, registry, ww.CorruptFileError)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_stays_unless_it_is_said(registry, path):
    path.write_text("mine")
    with pytest.raises(ww.UsageError, match="exists already"):
        write_predictor(predictor_for(registry), path)
    assert path.read_text() == "mine"
    write_predictor(predictor_for(registry), path, replace=True)
    read_predictor(path, registry)
    assert [own.name for own in path.parent.iterdir()] == [path.name]


def test_nothing_is_left_where_writing_fails(registry, tmp_path):
    with pytest.raises(ww.OutputError):
        write_predictor(predictor_for(registry), tmp_path / "missing" / "p")
    with pytest.raises(ww.OutputError):
        write_predictor(predictor_for(registry), tmp_path, replace=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"names": ("a", "b")},
        {"names": ("a", "a", "b")},
        {"zoo": "two\nlines"},
        {"names": ("a", "b", "\ud800")},
        {"layout": "mlx"},
        {"seed": -1},
        {"calibrated": np.zeros(3)},
        {"calibrated": np.full(10, np.nan)},
        {"held_out": np.arange(3)},
        {"state": {"../x": np.zeros(1)}},
        {"state": {"a": np.zeros(1), "A": np.zeros(1)}},
        {"state": {"a": np.array([None])}},
        {"state": {"a": np.zeros(1, complex)}},
        {"tensors": (replace(linear_predictor.TENSORS[1]),)},
    ],
)
def test_what_could_not_be_read_is_not_written(registry, path, change):
    with pytest.raises(ww.UsageError, match="written"):
        write_predictor(replace(predictor_for(registry), **change), path)
    assert not path.exists()


# --- what was meant, and is not here ----------------------------------------------------------------------------------


def test_a_newer_format_is_named(registry, path, members):
    told = edited(members, format=2)
    told["later.bin"] = b"what a newer program writes"
    assert refused(packed(path, told), registry).endswith("a predictor of format 2, 1 is read: upgrade ww")


def test_an_estimator_of_another_version(registry, path):
    write_predictor(predictor_for(registry), path)
    told = refused(path, registry_of(Again(), Newer()))
    assert "version '1' of the estimator 'lines:kept', and '2' is installed: fit it again" in told


def test_an_estimator_that_is_not_installed(registry, path):
    write_predictor(predictor_for(registry), path)
    assert "not installed: install the plugin 'lines'" in refused(path, ww.load_plugins())


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ([["feature_sets:statistics", "0"]], "version '0' of the feature set"),
        ([["other:curves[n=3]", "1"]], "install the plugin 'other'"),
        ([["alpha", "-1"]], "version '-1' of the metric 'alpha'"),
    ],
)
def test_features_that_mean_something_else_here(registry, path, versions, said):
    qualified = [
        (label.replace("feature_sets:", f"{plugin_of_statistics(registry)}:"), version) for label, version in versions
    ]
    write_predictor(predictor_for(registry, feature_versions=tuple(qualified)), path)
    assert said in refused(path, registry)


def plugin_of_statistics(registry):
    return registry.feature_sets.find("statistics").plugin


def test_columns_of_a_store_are_metrics(registry, path):
    version = registry.quantities.find("alpha").object.version
    write_predictor(predictor_for(registry, feature_versions=(("alpha", version),)), path)
    assert read_predictor(path, registry).feature_versions == (("alpha", version),)


def test_an_option_that_the_estimator_does_not_take(registry, path):
    write_predictor(predictor_for(registry, estimator="lines:kept[depth=3]"), path)
    assert "depth" in refused(path, registry)
    write_predictor(predictor_for(registry, estimator="kept["), path, replace=True)
    assert "kept[" in refused(path, registry)


def test_an_estimator_that_fails_is_named(registry, path):
    write_predictor(replace(predictor_for(registry, "again"), seed=13), path)
    with pytest.raises(ww.PluginError, match="lines:again failed: ZeroDivisionError: thirteen"):
        read_predictor(path, registry)


def test_what_was_kept_contradicts_itself(registry, path):
    predictor = predictor_for(registry)
    write_predictor(replace(predictor, state={**predictor.state, "slope": np.zeros(2)}), path)
    assert "the slope has another number of columns" in refused(path, registry, ww.CorruptFileError)


@pytest.mark.parametrize("base", [np.zeros(0), np.full((), np.nan), np.zeros((10, 1)), np.zeros(4)])
def test_what_was_kept_fails_where_it_is_asked(registry, path, base):
    predictor = predictor_for(registry)
    write_predictor(replace(predictor, state={**predictor.state, "base": base}), path)
    refused(path, registry, ww.CorruptFileError)


def test_predictions_that_are_not_those_in_the_file(registry, path):
    for name, why in (("kept", "it was edited, so fit"), ("again", "other software learns otherwise")):
        predictor = predictor_for(registry, name)
        off = predictor.calibrated.copy()
        off[2] += 1e-6
        write_predictor(replace(predictor, calibrated=off), path, replace=True)
        told = refused(path, registry, ww.CorruptFileError)
        assert f"of network {predictor.calibration.networks[2]}" in told
        assert why in told
        write_predictor(replace(predictor, calibrated=predictor.calibrated + 1e-12), path, replace=True)
        read_predictor(path, registry)


# --- files of strangers -----------------------------------------------------------------------------------------------


def test_what_is_no_predictor(registry, tmp_path):
    for name, content in (("empty", b""), ("text", b"hello"), ("magic", b"PK\3\4")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, registry)
    assert "it has no predictor.json" in refused(packed(tmp_path / "zip", {"a.npy": npy(np.ones(2))}), registry)
    refused(tmp_path, registry)
    refused(tmp_path / "missing", registry)


def test_a_file_that_is_cut(registry, path, tmp_path):
    write_predictor(predictor_for(registry), path)
    content = path.read_bytes()
    cut = tmp_path / "cut"
    for length in {*range(0, len(content), 97), *range(len(content) - 40, len(content))}:
        cut.write_bytes(content[:length])
        refused(cut, registry)


def test_a_bit_that_is_another_one(registry, path, tmp_path):
    """Either the file is refused, or it says the same: as where the date of an entry is another one."""
    predictor = predictor_for(registry)
    write_predictor(predictor, path)
    content = path.read_bytes()
    digest = digest_of_predictor(predictor)
    flipped = tmp_path / "flipped"
    choose = random.Random(3)
    read = 0
    for place in {*range(0, len(content), 23), *range(len(content) - 120, len(content))}:
        changed = bytearray(content)
        changed[place] ^= 1 << choose.randrange(8)
        flipped.write_bytes(changed)
        try:
            found = read_predictor(flipped, registry)
        except ww.WWError:
            continue
        assert digest_of_predictor(found) == digest
        read += 1
    assert read < 60


def test_a_member_that_was_edited(registry, path, members):
    """Packed anew with sound checksums, as a person would who wants better scores."""
    told = json.loads(members["predictor.json"])
    told["held_out_score"]["r2"] = 0.99
    assert "edited" in refused(packed(path, edited(members, **told)), registry, ww.CorruptFileError)
    targets = np.load(io.BytesIO(members["training/targets.npy"]))
    changed = {**members, "training/targets.npy": npy(targets + 1)}
    assert "edited" in refused(packed(path, changed), registry, ww.CorruptFileError)
    assert "edited" in refused(packed(path, edited(members, digest=None)), registry, ww.CorruptFileError)


FEATURES = "training/features.npy"


class Trap:
    def __reduce__(self):
        return (print, ("a trap was run",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (FEATURES, npy(np.full((30, 3), np.nan))),
        (FEATURES, npy(np.full((30, 3), np.inf))),
        (FEATURES, npy(np.zeros((30, 3), np.float32))),
        (FEATURES, npy(np.zeros((30, 4)))),
        (FEATURES, npy(np.zeros((29, 3)))),
        (FEATURES, npy(np.zeros(90))),
        (FEATURES, npy(np.asfortranarray(np.zeros((30, 3))))),
        (FEATURES, npy(np.array([[Trap()] * 3] * 30))),
        (FEATURES, npy(np.zeros((30, 3), complex))),
        (FEATURES, npy(np.zeros((30, 3), "U3"))),
        (FEATURES, npy(np.zeros((30, 3)))[:-1]),
        (FEATURES, b"\x93NUMPY\1\0\xff\xff" + b" " * 70_000),
        (FEATURES, npy(np.zeros((30, 3))).replace(b"(30, 3)", b"(0,9**9)")),
        (FEATURES, npy(np.zeros((30, 3))).replace(b"(30, 3), ", b"(1,)*9999")),
        (FEATURES, b""),
        (FEATURES, None),
        ("training/networks.npy", npy(np.arange(30) - 1)),
        ("training/networks.npy", npy(np.arange(30) + 20)),
        ("training/networks.npy", npy(np.arange(30.0))),
        ("training/targets.npy", npy(np.zeros(31))),
        ("calibrated.npy", npy(np.zeros((10, 1)))),
        ("held_out.npy", npy(np.array(3))),
        ("state/slope.npy", npy(np.zeros(3, "M8[s]"))),
        ("state/told.1.npy", npy(np.array([True, False])).replace(b"\1\0", b"\1\7") + b""),
        ("state/../../x.npy", npy(np.zeros(3))),
        ("/etc/x.npy", npy(np.zeros(3))),
        ("state/\x1b[2J.npy", npy(np.zeros(3))),
        ("Calibrated.npy", npy(np.zeros(3))),
        ("more.npy", npy(np.zeros(3))),
        ("run.py", b"print('run')"),
    ],
)
def test_arrays_of_strangers(registry, path, members, name, content, capsys):
    changed = {**members, name: content}
    if content is None:
        del changed[name]
    refused(packed(path, changed), registry)
    refused(packed(path, changed, zipfile.ZIP_STORED), registry)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"format": True},
        {"format": 0},
        {"more": 1},
        {"names": ["a", "b"]},
        {"names": ["a", "b", 3]},
        {"names": ["a", "a", "b"]},
        {"names": ["a", "b", "\x1b[2J"]},
        {"names": ["a", "b", "c" * 20_000]},
        {"names": {"a": 1}},
        {"zoo": None},
        {"zoo": ""},
        {"zoo": ["digits"]},
        {"layout": "flax"},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1.0},
        {"seed": True},
        {"held_out_score": {}},
        {"held_out_score": {"networks": 1, "r2": "1", "mse": 0, "mad": 0, "kendall_tau": 0}},
        {"held_out_score": {"networks": 1, "r2": 10**400, "mse": 0, "mad": 0, "kendall_tau": 0}},
        {"fold_scores": [None]},
        {"families": {"training": [], "calibration": []}},
        {"families": {"training": ["a"] * 30, "calibration": [1] * 10}},
        {"tensors": [{"name": "a", "layer": "a", "role": "weight", "shape": [-1]}]},
        {"tensors": [{"name": "a", "layer": "a", "role": "weight", "shape": [0]}]},
        {"tensors": [{"name": "a", "layer": "a", "role": "gain", "shape": [1]}]},
        {"tensors": [{"name": "a", "layer": "a", "role": "bias", "shape": [1]}] * 2},
        {"tensors": ["a"]},
        {"feature_versions": [["a"]]},
        {"feature_versions": ["ab"]},
        {"has_state": False},
        {"has_state": 1},
    ],
)
def test_json_of_strangers(registry, path, members, change):
    refused(packed(path, edited(members, **change)), registry)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 200_000,
        b'{"format": 1, "x": ' + b"[" * 200_000,
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": ' + b"9" * 10_000 + b"}",
        b'{"format": ' + b"9" * 4_000 + b"}",
        b'{"format": 1}',
        b"\xff\xfe",
    ],
)
def test_texts_of_strangers(registry, path, members, text):
    refused(packed(path, {**members, "predictor.json": text}), registry)


def test_a_number_beyond_all_numbers(registry, path, members):
    text = members["predictor.json"].replace(b'"mse": 0.1', b'"mse": 1e999')
    assert text != members["predictor.json"]
    refused(packed(path, {**members, "predictor.json": text}), registry, ww.CorruptFileError)


def test_a_bomb(registry, path, members):
    refused(packed(path, {**members, FEATURES: npy(np.zeros(1))[:-8] + bytes(2**27)}), registry)
    refused(packed(path, {**members, "predictor.json": bytes(2**25)}), registry)
    assert path.stat().st_size < 2**20


def test_entries_that_share_their_bytes(registry, path, members):
    """The directory names one content many times, as archives do that unpack to more than their size."""
    packed(path, members, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as archive:
        entry, begin = archive.getinfo(FEATURES), archive.start_dir
    content = path.read_bytes()
    directory = content[begin : content.rindex(b"PK\5\6")]
    header = next(own for own in directory.split(b"PK\1\2") if own[42:].startswith(FEATURES.encode()))
    many = b"".join(b"PK\1\2" + header.replace(b"features", f"feat{at:04d}".encode()) for at in range(200))
    count = len(members) + 200
    end = b"PK\5\6\0\0\0\0" + count.to_bytes(2, "little") * 2
    end += (len(directory) + len(many)).to_bytes(4, "little") + begin.to_bytes(4, "little") + b"\0\0"
    path.write_bytes(content[:begin] + directory + many + end)
    assert entry.file_size * 200 > len(content)
    assert "overlap" in refused(path, registry, ww.CorruptFileError)


def test_an_archive_with_a_password(registry, path, members):
    content = bytearray(packed(path, members).read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)
    refused(path, registry, ww.CorruptFileError)


def test_kept_is_not_learned_again(registry, path, monkeypatch):
    write_predictor(predictor_for(registry), path)
    monkeypatch.setattr(Kept, "fit", None)
    read_predictor(path, registry)

"""What is read from sound files, and which files belong together."""

from __future__ import annotations

import concurrent.futures
import gc
import json
import os
import shutil
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from naming import ByName
from safetensors.numpy import save_file

import ww_core as ww
from ww_plugins.loaders import ww_register_loaders
from ww_plugins.loaders.safetensors import SafetensorsLoader

INDEX = "model.safetensors.index.json"
DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": ml_dtypes.bfloat16}


def small(path: Path, **tensors) -> Path:
    save_file(tensors or {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}, path)
    return path


def names(checkpoint):
    return [layer.name for layer in checkpoint.layers]


def test_the_plugin_registers_its_loaders():
    loaders = {loader.name: loader for loader in ww_register_loaders()}
    assert all(loader.description for loader in loaders.values())
    for name in ("safetensors", "pytorch", "torch-module", "npz", "arrays"):
        assert loaders[name].extra == ""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensors=st.dictionaries(
        st.text(st.characters(categories=["L", "N"]) | st.sampled_from("._-"), min_size=1, max_size=12),
        st.sampled_from(sorted(DTYPES)).flatmap(
            lambda dtype: hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4).flatmap(
                lambda shape: st.tuples(
                    st.just(dtype), st.just(shape), st.randoms(use_true_random=False).map(lambda r: r.getrandbits(32))
                )
            )
        ),
        max_size=6,
    ).filter(lambda tensors: "__metadata__" not in tensors)
)
def test_round_trip(tensors, tmp_path, loader, contents):
    arrays = {
        name: np.random.default_rng(seed)
        .integers(0, 256, int(np.prod(shape)) * np.dtype(DTYPES[dtype]).itemsize, dtype=np.uint8)
        .view(DTYPES[dtype])
        .reshape(shape)
        for name, (dtype, shape, seed) in tensors.items()
    }
    path = tmp_path / "round.safetensors"
    save_file(arrays, path)
    with loader.open(path) as checkpoint:
        assert contents(checkpoint) == {
            name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()
        }
        assert not checkpoint.skipped


@pytest.mark.parametrize("shift", range(9))
def test_tensors_may_lie_at_any_offset(shift, tmp_path, raw, loader):
    values = np.arange(5000, dtype=np.float32)
    header = {
        "pad": {"dtype": "U8", "shape": [shift], "data_offsets": [0, shift]},
        "w": {"dtype": "F32", "shape": [50, 100], "data_offsets": [shift, shift + 20_000]},
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw(header, b"\0" * shift + values.tobytes()))
    checkpoint = loader.open(path)
    with checkpoint.read(checkpoint.layers[0].weight) as array:
        assert np.array_equal(array.astype(np.float64).ravel(), values)


def test_layers_come_in_natural_order_with_their_biases(tmp_path, loader):
    shapes = {"l.10.weight": (2, 2), "l.2.weight": (2, 2), "l.2.bias": (2,), "l.1.weight": (2, 2)}
    checkpoint = loader.open(small(tmp_path / "m.safetensors", **{k: np.ones(s, "f4") for k, s in shapes.items()}))
    assert names(checkpoint) == ["l.1", "l.2", "l.10"]
    assert [layer.bias.name if layer.bias else None for layer in checkpoint.layers] == [None, "l.2.bias", None]
    assert (checkpoint.format, checkpoint.warnings) == ("safetensors", ())


def test_tensors_of_other_dtypes_are_skipped(tmp_path, raw, loader):
    dtypes = {"I64": 8, "BOOL": 1, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8}
    header, end = {}, 0
    for dtype, width in dtypes.items():
        header[dtype] = {"dtype": dtype, "shape": [2], "data_offsets": [end, end + 2 * width]}
        end += 2 * width
    header["F4"] = {"dtype": "F4", "shape": [4], "data_offsets": [end, end + 2]}
    header["F6_E2M3"] = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [end + 2, end + 5]}
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw(header, bytes(end + 5)))
    checkpoint = loader.open(path)
    assert not checkpoint.layers
    reasons = {skip.name: skip.reason for skip in checkpoint.skipped}
    assert set(reasons) == set(header)
    assert reasons["I64"] == "dtype int64 is not floating point"
    assert reasons["F8_E4M3"] == "dtype float8_e4m3fn is not supported"
    assert reasons["F4"] == "dtype float4_e2m1fn is not supported"


@pytest.mark.parametrize("header", [b"{}", b"{}      ", b'{"__metadata__":{"format":"pt"}}'])
def test_a_file_without_tensors_opens(header, tmp_path, raw, loader):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw(header))
    assert loader.open(path).layers == ()


def test_locate_tells_where_the_bytes_lie(tmp_path, loader):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = small(tmp_path / "m.safetensors", a=np.ones(3, np.float64), w=array)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path.name)
    checkpoint = loader.open(link)
    place = checkpoint.locate(next(layer.weight for layer in checkpoint.layers if layer.name == "w"))
    assert place.source.location == str(path.resolve())
    assert path.read_bytes()[place.offset : place.offset + place.nbytes] == array.tobytes()


def test_a_relative_path_may_be_read_from_another_folder(tmp_path, monkeypatch, loader, contents):
    small(tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    checkpoint = loader.open(Path("m.safetensors"))
    monkeypatch.chdir("/")
    assert len(contents(checkpoint)) == 1


def test_a_path_that_is_not_unicode_is_read_and_named(tmp_path, loader, contents):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b.safetensors"))
    try:
        small(tmp_path / "m.safetensors").rename(path)
    except OSError:
        pytest.skip("this file system wants Unicode")
    assert len(contents(loader.open(path))) == 1
    path.write_bytes(b"")
    with pytest.raises(ww.CorruptFileError) as caught:
        loader.open(path)
    assert str(caught.value).isprintable()


# Folders.


def test_a_folder_with_one_file(tmp_path, loader):
    small(tmp_path / "anything.safetensors")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "._anything.safetensors").write_bytes(b"macOS leaves such")
    assert loader.probe(tmp_path) == 0.5
    assert names(loader.open(tmp_path)) == ["fc"]


@pytest.mark.parametrize("named", ["", INDEX])
def test_shards_under_an_index(named, sharded, loader, contents):
    checkpoint = loader.open(sharded / named)
    assert names(checkpoint) == ["layer.2", "layer.10"]
    assert [skip.name for skip in checkpoint.skipped] == ["steps"]
    assert contents(checkpoint)["layer.10.weight"][2] == np.arange(6, dtype=np.float32).tobytes()
    assert checkpoint.warnings == ()


def test_complete_shards_need_no_index(sharded, loader, contents):
    with_index = contents(loader.open(sharded))
    (sharded / INDEX).unlink()
    assert contents(loader.open(sharded)) == with_index


def test_an_index_under_another_name_is_known_by_its_content(sharded, loader):
    (sharded / INDEX).rename(sharded / "weights.json")
    assert loader.probe(sharded / "weights.json") == 1.0
    assert names(loader.open(sharded / "weights.json")) == ["layer.2", "layer.10"]


def test_the_index_of_another_format_is_not_claimed(tmp_path, loader):
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}))
    assert loader.probe(path) == 0.0


def test_one_shard_alone_is_read_with_a_warning(sharded, loader):
    checkpoint = loader.open(sharded / "model-00001-of-00002.safetensors")
    assert names(checkpoint) == ["layer.10"]
    [warning] = checkpoint.warnings
    assert "one of 2 shards" in warning


def test_what_the_index_leaves_out_is_told(sharded, loader):
    small(sharded / "consolidated.safetensors")
    index = json.loads((sharded / INDEX).read_text())
    del index["weight_map"]["steps"]
    (sharded / INDEX).write_text(json.dumps(index))
    checkpoint = loader.open(sharded)
    assert len(checkpoint.warnings) == 2
    assert "steps" in checkpoint.warnings[0]
    assert "consolidated.safetensors" in checkpoint.warnings[1]


def hub_cache(sharded: Path, root: Path, inner: str = "") -> Path:
    """The same model as the hub's client would store it: a snapshot of links to blobs."""
    repository = root / "models--someone--something"
    snapshot = repository / "snapshots" / "0123abcd" / inner
    blobs = repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(sharded.iterdir())):
        shutil.copy(file, blobs / f"{number:064}")
        (snapshot / file.name).symlink_to(os.path.relpath(blobs / f"{number:064}", snapshot))
    return snapshot


@pytest.mark.parametrize("inner", ["", "unet"])
@pytest.mark.parametrize("named", ["", INDEX])
def test_a_snapshot_of_the_hub(inner, named, sharded, tmp_path, loader, contents):
    snapshot = hub_cache(sharded, tmp_path / "hub", inner)
    assert contents(loader.open(snapshot / named)) == contents(loader.open(sharded))


def test_a_file_of_a_snapshot(sharded, tmp_path, loader):
    snapshot = hub_cache(sharded, tmp_path / "hub")
    assert loader.probe(snapshot / "model-00001-of-00002.safetensors") == 1.0
    assert names(loader.open(snapshot / "model-00001-of-00002.safetensors")) == ["layer.10"]


def test_links_within_the_folder_are_followed(sharded, loader, contents):
    before = contents(loader.open(sharded))
    (sharded / "data").mkdir()
    (sharded / "model-00001-of-00002.safetensors").rename(sharded / "data" / "first")
    (sharded / "model-00001-of-00002.safetensors").symlink_to("data/first")
    assert contents(loader.open(sharded)) == before


def test_what_the_user_names_may_be_a_link(tmp_path, sharded, loader):
    (tmp_path / "file.safetensors").symlink_to(sharded / "model-00001-of-00002.safetensors")
    (tmp_path / "folder").symlink_to(sharded)
    assert names(loader.open(tmp_path / "file.safetensors")) == ["layer.10"]
    assert names(loader.open(tmp_path / "folder")) == ["layer.2", "layer.10"]


# Recognition.


def test_content_is_recognised_whatever_the_suffix(tmp_path, loader):
    assert loader.probe(small(tmp_path / "weights.bin")) == 1.0


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" * 9, b"version https://git-lfs", b"\xff" * 99, b"\x08" + bytes(7)]
)
def test_a_damaged_file_is_claimed_by_its_suffix_only(content, tmp_path, loader):
    for name, confidence in [("x.safetensors", 0.1), ("x.bin", 0.0)]:
        (tmp_path / name).write_bytes(content)
        assert loader.probe(tmp_path / name) == confidence


@pytest.mark.parametrize("source", [None, 3, "x.safetensors", {}, object()])
def test_objects_are_not_recognised(source, loader):
    assert loader.probe(source) == 0.0
    with pytest.raises(ww.SourceError, match="not from an object of type"):
        loader.open(source)


@pytest.mark.parametrize("path", ["missing", "missing.safetensors", "a\0b.safetensors", "x" * 5000])
def test_probe_never_raises(path, tmp_path, loader):
    assert loader.probe(tmp_path / path) in {0.0, 0.1}
    assert loader.probe(tmp_path) == 0.0


# Reading.


def test_a_view_outlives_its_context_and_the_checkpoint(tmp_path, loader):
    checkpoint = loader.open(small(tmp_path / "m.safetensors"))
    with checkpoint.read(checkpoint.layers[0].weight) as array:
        row = array[1]
    checkpoint.close()
    checkpoint.close()
    del checkpoint, array
    gc.collect()
    assert row.tolist() == [3.0, 4.0, 5.0]
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        row.flags.writeable = True


def test_a_failure_of_the_reader_passes_through(tmp_path, loader):
    checkpoint = loader.open(small(tmp_path / "m.safetensors"))
    with pytest.raises(IndexError), checkpoint.read(checkpoint.layers[0].weight) as array:
        array[7]


def test_many_threads_read_at_once(tmp_path, loader):
    arrays = {f"l.{i}.weight": np.full((64, 65 + i), i, np.float32) for i in range(40)}
    checkpoint = loader.open(small(tmp_path / "m.safetensors", **arrays))
    start = threading.Barrier(8)

    def read_all(_):
        start.wait()
        sums = []
        for layer in checkpoint.layers:
            with checkpoint.read(layer.weight) as array:
                sums.append(float(array.sum(dtype=np.float64)))
        return sums

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read_all, range(8)))
    assert results == [[float(a.sum(dtype=np.float64)) for a in arrays.values()]] * 8


def test_no_file_stays_open(tmp_path, loader):
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    checkpoint = loader.open(small(tmp_path / "m.safetensors"))
    with checkpoint.read(checkpoint.layers[0].weight):
        pass
    gc.collect()
    held = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [path for path in held if path.is_relative_to(tmp_path)]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 8)


def rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [cut, rewrite, replace, remove])
def test_a_file_that_changes_is_an_error_and_no_signal(change, tmp_path, loader):
    path = small(tmp_path / "m.safetensors", w=np.ones((500, 500), np.float32))
    checkpoint = loader.open(path)
    change(path)
    with pytest.raises(ww.SourceError, match=r"m\.safetensors"), checkpoint.read(checkpoint.layers[0].weight):
        pytest.fail("the file is another")


def test_the_loader_is_not_bound_to_a_process(tmp_path, contents):
    import pickle

    checkpoint = ByName(SafetensorsLoader()).open(small(tmp_path / "m.safetensors"))
    assert contents(pickle.loads(pickle.dumps(checkpoint))) == contents(checkpoint)

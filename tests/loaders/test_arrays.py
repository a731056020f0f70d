from __future__ import annotations

import types

import ml_dtypes
import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.arrays import ArraysLoader


@pytest.fixture
def loader():
    return ByName(ArraysLoader())


class Foreign:
    """Something that is no NumPy array and offers itself as one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Capsule:
    """Something that offers DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


BASE = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    "value",
    [
        BASE,
        BASE.astype(">f4"),
        np.asfortranarray(BASE),
        np.repeat(BASE, 2, axis=1)[:, ::2],
        BASE[::-1][::-1],
        BASE.view(np.matrix),
        Foreign(BASE),
        Capsule(BASE.copy()),
    ],
    ids=["plain", "big-endian", "fortran", "strided", "reversed", "matrix", "__array__", "dlpack"],
)
def test_every_array_is_read_in_canonical_form(value, loader, contents):
    checkpoint = loader.open({"fc.weight": value})
    assert contents(checkpoint) == {"fc.weight": ("float32", (4, 6), BASE.tobytes())}
    assert checkpoint.format == "arrays"
    assert checkpoint.locate(checkpoint.layers[0].weight) is None


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (2, 3, 2, 2)])
def test_dtypes_and_shapes(dtype, shape, loader, contents):
    array = np.ones(shape, dtype)
    assert contents(loader.open({"w": array})) == {"w": (np.dtype(dtype).name, shape, array.tobytes())}


def test_a_sound_array_is_not_copied_and_stays_writeable(loader):
    array = BASE.copy()
    checkpoint = loader.open({"w": array})
    with checkpoint.read(checkpoint.layers[0].weight) as view:
        assert np.shares_memory(view, array)
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    assert array.flags.writeable
    assert np.array_equal(array, BASE)


def test_the_order_of_the_mapping_is_kept(loader):
    checkpoint = loader.open({"b.weight": BASE, "a.weight": BASE, "b.bias": np.ones(4)})
    assert [(layer.name, layer.bias is not None) for layer in checkpoint.layers] == [("b", True), ("a", False)]


def test_an_empty_mapping_has_no_layers(loader):
    checkpoint = loader.open({})
    assert (checkpoint.layers, checkpoint.buffers, checkpoint.skipped) == ((), (), ())
    checkpoint.close()
    checkpoint.close()


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.array([True]),
        np.array([None, {}], dtype=object),
        np.array(["a"]),
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(2, np.complex64),
        np.zeros(2, ml_dtypes.float8_e4m3fn),
    ],
    ids=repr,
)
def test_what_is_not_floating_point_is_skipped_with_a_reason(value, loader):
    checkpoint = loader.open({"x": value, "w": BASE})
    assert [layer.name for layer in checkpoint.layers] == ["w"]
    [skip] = checkpoint.skipped
    assert skip.name == "x"
    assert "is not floating point" in skip.reason or "is not supported" in skip.reason


@pytest.mark.parametrize("key", [None, b"w", ("a", "b"), "", "a\0", "\ud800"])
def test_keys_must_be_fit_to_name_a_tensor(key, loader):
    with pytest.raises(ww.SourceError) as caught:
        loader.open({key: BASE})
    assert str(caught.value).isprintable()
    assert ascii(key)[:8] in str(caught.value) or "empty" in str(caught.value)


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


@pytest.mark.parametrize("value", [Broken(), [[1.0, 2.0], [3.0]]], ids=["raises", "ragged"])
def test_a_value_that_is_not_to_be_had_is_named(value, loader):
    with pytest.raises(ww.SourceError, match=r"array 'bad\.weight' cannot be read"):
        loader.open({"w": BASE, "bad.weight": value})


def test_an_array_that_changed_its_shape_is_an_error(loader):
    arrays = {"w": BASE}
    checkpoint = loader.open(arrays)
    arrays["w"] = np.ones(3)
    with pytest.raises(ww.CorruptFileError, match="'w' is now float64"), checkpoint.read(checkpoint.layers[0].weight):
        pytest.fail("the array is another")


def test_an_archive_of_numpy_is_a_mapping(tmp_path, loader, contents):
    np.savez(tmp_path / "a.npz", **{"fc.weight": BASE, "objects": np.array([{}], dtype=object)})
    with np.load(tmp_path / "a.npz") as archive:
        assert loader.probe(archive) == 0.9
        with pytest.raises(ww.SourceError, match="'objects'"):
            loader.open(archive)
    np.savez(tmp_path / "b.npz", **{"fc.weight": BASE})
    with np.load(tmp_path / "b.npz") as archive:
        assert contents(loader.open(archive))["fc.weight"][2] == BASE.tobytes()


@pytest.mark.parametrize(
    ("source", "confidence"),
    [
        ({"w": BASE}, 0.9),
        ({"w": Foreign(BASE)}, 0.9),
        ({}, 0.3),
        ({1: "x"}, 0.3),
        ([BASE], 0.0),
        (BASE, 0.0),
        (None, 0.0),
    ],
    ids=["arrays", "foreign", "empty", "other", "list", "array", "none"],
)
def test_probe(source, confidence, loader):
    assert loader.probe(source) == confidence


def test_probe_survives_any_mapping(loader):
    class Hostile(dict):
        def __iter__(self):
            raise RuntimeError("no")

    assert loader.probe(Hostile()) == 0.3


def test_an_object_that_is_no_mapping_is_refused(loader):
    with pytest.raises(ww.SourceError, match="type list is no mapping"):
        loader.open([BASE])


def test_a_proxy_is_a_mapping(loader):
    assert loader.open(types.MappingProxyType({"w": BASE})).layers[0].name == "w"


def test_tensors_of_torch(loader, contents):
    torch = pytest.importorskip("torch")
    values = {
        "a.weight": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3)),
        "b.weight": torch.arange(6.0).reshape(2, 3).to(torch.bfloat16).T,
        "n": torch.arange(3),
    }
    found = contents(loader.open(values))
    assert found["a.weight"] == ("float32", (2, 3), np.arange(6, dtype=np.float32).tobytes())
    wanted = np.ascontiguousarray(np.arange(6).reshape(2, 3).T).astype(ml_dtypes.bfloat16)
    assert found["b.weight"] == ("bfloat16", (3, 2), wanted.tobytes())

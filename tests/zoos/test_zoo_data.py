"""Image sets: the built-in ones, and arrays of a user, good and hostile."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.zoos.data import BUILT_IN, image_set

SIZES = {"digits": (1197, 600), "textures": (1200, 1000), "shapes": (1600, 1000), "clutter": (1600, 1000)}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_sets(name):
    images = image_set(name)
    assert (len(images.x_train), len(images.x_test)) == SIZES[name]
    assert images.size == (15, 15)
    assert images.x_train.dtype == images.x_test.dtype == np.float32
    assert min(images.x_train.min(), images.x_test.min()) >= -1
    assert max(images.x_train.max(), images.x_test.max()) <= 1
    assert len(images.y_train) == len(images.x_train)
    for labels in (images.y_train, images.y_test):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == images.classes == 10
        assert counts.min() > 0.06 * len(labels)
    assert images.digest == image_set(name).digest
    assert len(np.unique(np.concatenate([images.x_train, images.x_test]), axis=0)) > 0.99 * sum(SIZES[name])


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    images = image_set("digits")
    small = np.concatenate([images.x_train, images.x_test])[:, ::2, ::2]
    labels = np.concatenate([images.y_train, images.y_test])
    stored = {(8 * (own + 1)).tobytes(): label for own, label in zip(small, labels, strict=True)}
    bunch = load_digits()
    assert all(
        stored[own.astype(np.float32).tobytes()] == label for own, label in zip(bunch.images, bunch.target, strict=True)
    )


def arrays(shape=(6, 4), channels=(), dtype=np.uint8, classes=3):
    random = np.random.Generator(np.random.Philox(1))
    made = {}
    for part, count in (("train", 30), ("test", 12)):
        made[f"x_{part}"] = random.integers(0, 256, (count, *shape, *channels)).astype(dtype)
        made[f"y_{part}"] = np.arange(count) % classes
    return made


def saved(folder, content, pack=np.savez):
    pack(folder / "own.npz", **content)
    return str(folder / "own.npz")


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_bytes_and_colours_are_scaled_and_averaged_as_the_paper_does(tmp_path, pack):
    own = arrays(channels=(3,))
    images = image_set(saved(tmp_path, own, pack))
    expected = (own["x_test"] / 255 * 2 - 1).mean(3)
    np.testing.assert_allclose(images.x_test, expected, atol=1e-6)
    assert (images.name, images.classes, images.y_train.tolist()) == ("own", 3, own["y_train"].tolist())


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1)])
def test_other_numbers_are_taken_as_they_are_or_from_0_to_1(tmp_path, low, high):
    own = arrays(dtype=np.float64)
    for name in ("x_train", "x_test"):
        own[name] = low + own[name] / 255 * (high - low)
    images = image_set(saved(tmp_path, own))
    expected = own["x_train"] if low else own["x_train"] * 2 - 1
    np.testing.assert_allclose(images.x_train, expected, atol=1e-6)


def without(name):
    return lambda own: own.pop(name)


def changed(name, value):
    return lambda own: own.update({name: value(own[name])})


def with_nan(array):
    array = array / 255
    array[0, 0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (without("y_test"), "no array y_test is in it"),
        (changed("x_train", lambda own: own[:, :, :3]), "images of x_train are 6 x 3 and those of x_test 6 x 4"),
        (changed("x_train", lambda own: own[0]), "x_train has shape"),
        (changed("x_train", lambda own: own[..., None, None]), "x_train has shape"),
        (changed("x_test", lambda own: own[:0]), "no images for training, or none for test"),
        (changed("x_test", lambda own: own.astype(np.int64) * 7), "pixels go from"),
        (changed("x_train", with_nan), "pixels go from"),
        (changed("y_train", lambda own: own[:-1]), "there are 30 images, and each has a label"),
        (changed("y_train", lambda own: own.astype(float)), "classes are whole numbers"),
        (changed("y_train", lambda own: own - 1), "has the label -1"),
        (changed("y_test", lambda own: own + 1000), "2 to 1000 classes are possible"),
        (changed("y_train", lambda own: own.astype(np.uint64) + 2**63), "y_train has the label 9223372036854775810"),
        (changed("y_train", lambda own: own[:, None, None]), "y_train has shape"),
        (changed("x_test", lambda own: own[:, :0]), "no images for training, or none for test"),
        (changed("x_train", lambda own: np.repeat(own[..., None], 4, 3)), "x_train has shape"),
        (changed("x_train", lambda own: own[0, 0, 0]), "x_train has shape"),
        (changed("x_train", lambda own: np.where(own > 9, np.inf, 0)), "pixels go from"),
        (changed("x_train", lambda own: own.astype(complex)), "images and labels are numbers"),
        (changed("x_train", lambda own: own > 0), "images and labels are numbers"),
        (changed("x_train", lambda own: own.astype("datetime64[s]")), "images and labels are numbers"),
        (changed("x_train", lambda own: own.view([("a", "u1")])), "images and labels are numbers"),
        (lambda own: own.update(y_train=own["y_train"] * 0, y_test=own["y_test"] * 0), "it has one class"),
        (changed("y_train", lambda own: own.astype(object)), "images and labels are numbers"),
        (changed("y_train", lambda own: own.astype(str)), "images and labels are numbers"),
    ],
)
def test_what_is_no_image_set_is_named(tmp_path, spoil, text):
    own = arrays()
    spoil(own)
    with pytest.raises(ww.SourceError, match=text):
        image_set(saved(tmp_path, own))


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return str(path)


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_headers_are_not_believed(tmp_path):
    members = {name: npy(own) for name, own in arrays().items()}
    members["x_train"] = members["x_train"].replace(b"(30, 6, 4)", b"(3000000000, 6, 4)"[:18].ljust(10))
    with pytest.raises(ww.CorruptFileError, match="x_train"):
        image_set(archive(tmp_path / "own.npz", members))
    members["x_train"] = b"no array"
    with pytest.raises(ww.CorruptFileError, match="does not begin as NumPy's arrays do"):
        image_set(archive(tmp_path / "own.npz", members))


@pytest.mark.parametrize(
    ("shape", "version"),
    [
        ("(-30, -6, 4)", 1),
        ("(30, 6, 4.0)", 1),
        ("(30, 6, True * 4)", 1),
        ("(2**62, 2**62)", 1),
        ("(0, 4611686018427387903)", 1),
        ("{[]: 1}", 1),
        ("(" * 3000, 1),
        ("-" * 9000 + "1", 1),
        ("(30,\\\n 6, 4", 1),
        ("(30, 6, 4)", 9),
        ("__import__('os').abort()", 1),
    ],
)
def test_shapes_that_cannot_be(tmp_path, shape, version):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    members = {name: npy(own) for name, own in arrays().items()}
    members["x_train"] = b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2, "little") + header + bytes(720)
    with pytest.raises(ww.CorruptFileError, match="x_train"):
        image_set(archive(tmp_path / "own.npz", members))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_damage_in_packed_arrays(tmp_path, method):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, own in arrays().items():
            file.writestr(f"{name}.npy", npy(own))
    content = bytearray(path.read_bytes())
    content[60:300] = b"?" * 240
    path.write_bytes(content)
    with pytest.raises(ww.SourceError, match="own"):
        image_set(str(path))


def test_order_and_byte_order_of_an_array_are_minded(tmp_path):
    own = arrays(dtype=np.float64)
    own |= {name: own[name] / 255 for name in ("x_train", "x_test")}
    expected = image_set(saved(tmp_path, own))
    own["x_train"] = np.asfortranarray(own["x_train"])
    own["y_train"] = own["y_train"].astype(">i4")
    assert image_set(saved(tmp_path, own)).digest == expected.digest


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    own = arrays() | {"x_train": np.array([Trap()], dtype=object)}
    with pytest.raises(ww.SourceError, match="images and labels are numbers"):
        image_set(saved(tmp_path, own))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY", b"nothing" * 100])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(ww.CorruptFileError, match="no archive"):
        image_set(str(tmp_path / "own.npz"))


def test_every_cut_of_an_archive_is_refused(tmp_path):
    path = Path(saved(tmp_path, arrays(), np.savez_compressed))
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ww.SourceError):
            image_set(str(path))


def test_names_that_nothing_carries(tmp_path):
    with pytest.raises(ww.UnknownNameError, match="did you mean digits"):
        image_set("digit")
    with pytest.raises(ww.SourceError, match="there is no such file"):
        image_set(str(tmp_path / "missing.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ww.SourceError, match="this is a folder"):
        image_set(str(tmp_path / "folder.npz"))
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ww.SourceError, match="this is a named pipe"):
        image_set(str(tmp_path / "pipe.npz"))

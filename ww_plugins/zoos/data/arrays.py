"""Arrays of a user: a file ``.npz`` with x_train, y_train, x_test and y_test. Nothing in it is unpickled."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.npy import HEAD, dtype_of, header_of
from ww_plugins.zoos.data.image_set import ImageSet, Origin

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

SUFFIX = ".npz"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MOST_BYTES = 4 * 2**30
"""Of one array."""

MOST_CLASSES = 1000
CHANNELS = (1, 3)

_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    EOFError,
    RuntimeError,
    ValueError,
)
"""What ``zipfile`` raises at archives that it cannot read."""


def image_set_of_file(path: Path) -> ImageSet:
    """Read an image set.

    Images are (n, height, width) or (n, height, width, channels) with 1 or 3 channels, which are averaged. Whole
    numbers go from 0 to 255, others from 0 to 1 or from -1 to 1. Classes are whole numbers from 0 on, (n,) or (n, 1).

    Raises:
        SourceError: The file is not there, or what it holds is no image set.
        CorruptFileError: It is no archive of NumPy's arrays, or is damaged.
    """
    arrays = _arrays(path)
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    rule = _scaling(path, x_train, x_test)
    x_train, x_test = _gray(path, "x_train", x_train, rule), _gray(path, "x_test", x_test, rule)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ww.SourceError(
            f"{path}: images of x_train are {_times(x_train.shape[1:])} and those of x_test {_times(x_test.shape[1:])}"
        )
    y_train = _labels(path, "y_train", arrays["y_train"], len(x_train))
    y_test = _labels(path, "y_test", arrays["y_test"], len(x_test))
    classes = 1 + int(max(y_train.max(), y_test.max()))
    if classes < 2:
        raise ww.SourceError(f"{path}: it has one class by its largest label: 2 to {MOST_CLASSES} are possible")
    origin = Origin("file", str(path))
    return ImageSet(path.stem, origin, x_train, y_train, x_test, y_test, classes)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    file = FileSource(path)
    with file.open() as handle:
        try:
            with zipfile.ZipFile(handle) as archive:
                missing = [name for name in ARRAYS if f"{name}.npy" not in archive.namelist()]
                if missing:
                    raise ww.SourceError(f"{path}: no array {missing[0]} is in it; {', '.join(ARRAYS)} are needed")
                return {name: _array(file, archive, name) for name in ARRAYS}
        except _DAMAGES as error:
            raise ww.CorruptFileError(f"{path} is no archive of NumPy's that can be read: {error}") from None
        except OSError as error:
            raise ww.SourceError(f"{path} cannot be read: {error.strerror or error}") from None


def _array(file: FileSource, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """Read an array whose header agrees with the size of its entry, so that no header makes us allocate more."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as content:
        header = header_of(file, name, content.read(HEAD))
    if dtype_of(header.descr)[0].rstrip("0123456789") not in {"uint", "int", "float"}:
        raise ww.SourceError(f"{file.label}: array {name} is of dtype {header.descr}: images and labels are numbers")
    dtype, there = np.dtype(str(header.descr)), entry.file_size - header.nbytes
    if math.prod(header.shape) * dtype.itemsize != there:
        raise ww.CorruptFileError(
            f"{file.label}: array {name} takes {math.prod(header.shape) * dtype.itemsize} bytes by its header, and "
            f"{there} are there"
        )
    if there > MOST_BYTES:
        raise ww.SourceError(f"{file.label}: array {name} takes {there} bytes: the limit is {MOST_BYTES}")
    with archive.open(entry) as content:
        content.read(header.nbytes)
        numbers = np.frombuffer(content.read(there), dtype)
    return numbers.reshape(header.shape, order="F" if header.is_fortran else "C")


def _scaling(path: Path, *arrays: npt.NDArray[Any]) -> tuple[float, float]:
    """By what pixels are multiplied, and what is then added, so that they lie in [-1, 1]."""
    if not all(array.size for array in arrays):
        raise ww.SourceError(f"{path}: there are no images for training, or none for test")
    low = min(float(array.min()) for array in arrays)
    high = max(float(array.max()) for array in arrays)
    are_whole = all(array.dtype.kind in "ui" for array in arrays)
    if are_whole and low >= 0 and high <= 255:
        return 2 / 255, -1.0
    if not are_whole and low >= 0 and high <= 1:
        return 2.0, -1.0
    if not are_whole and low >= -1 and high <= 1:
        return 1.0, 0.0
    raise ww.SourceError(
        f"{path}: pixels go from {low:g} to {high:g}: whole numbers must lie in 0 to 255, others in 0 to 1 or -1 to 1"
    )


def _gray(path: Path, name: str, pixels: npt.NDArray[Any], rule: tuple[float, float]) -> npt.NDArray[np.float32]:
    if pixels.ndim not in {3, 4} or (pixels.ndim == 4 and pixels.shape[3] not in CHANNELS):
        raise ww.SourceError(
            f"{path}: {name} has shape {pixels.shape}: images are (n, height, width), or (n, height, width, 1 or 3)"
        )
    factor, shift = rule
    scaled = pixels.astype(np.float32) * np.float32(factor) + np.float32(shift)
    return scaled if pixels.ndim == 3 else scaled.mean(3, dtype=np.float32)


def _labels(path: Path, name: str, labels: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    if labels.shape not in {(count,), (count, 1)}:
        raise ww.SourceError(f"{path}: {name} has shape {labels.shape}: there are {count} images, and each has a label")
    if labels.dtype.kind not in "ui":
        raise ww.SourceError(f"{path}: {name} is of dtype {labels.dtype}: classes are whole numbers from 0 on")
    if labels.min() < 0:
        raise ww.SourceError(f"{path}: {name} has the label {labels.min()}: classes are whole numbers from 0 on")
    if labels.max() >= MOST_CLASSES:
        raise ww.SourceError(f"{path}: {name} has the label {labels.max()}: 2 to {MOST_CLASSES} classes are possible")
    return np.array(labels.reshape(count), dtype=np.int64)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

"""Datasets of HDF5: where their numbers lie, and how those are had that do not lie in a row."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import quoted
from ww_plugins.loaders.keras.hdf5 import Extent, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

_MAX_SIZE = 2**63 - 1
_ALWAYS_READ = 1 << 20  # bytes that a compressed dataset or one of its chunks may have, however small it is stored
_MOST_EXPANSION = 16
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}  # those in h5py: others load code of plugins
_UNKNOWN = "unknown"


def stored_tensor(dataset: Any, path: str, address: int, extent: Extent) -> StoredTensor:
    """Tell where the numbers of a dataset lie.

    Args:
        dataset: The dataset, of h5py's low-level interface.
        path: Its name, from the root.
        address: Where it is described in the file.
        extent: The file.

    Raises:
        CorruptFileError: Its numbers are said to lie in another file or outside of this one.
    """
    from h5py import h5d, h5s

    file, where = extent.file, f"{extent.file.label}: dataset {quoted(path)}"
    made = dataset.get_create_plist()
    layout = made.get_layout()
    # Before anything else is asked of it: the shape of a virtual dataset is looked up in other files.
    if layout == h5d.VIRTUAL or made.get_external_count():
        raise ww.CorruptFileError(
            f"{where} has its numbers in other files, which are not read: copy them into the file"
        )
    kind, big_endian = _number_type(dataset)
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return StoredTensor(path, kind, (), file, fault="the dataset holds nothing")
    shape = tuple(space.get_simple_extent_dims() or ())
    if kind not in BITS:
        return StoredTensor(path, kind, shape, file, fault="the dataset holds no numbers of a type that ww reads")
    item = BITS[kind] // 8
    if math.prod(length for length in shape if length) * item > _MAX_SIZE:
        raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(shape)}")
    nbytes = math.prod(shape) * item
    told = StoredTensor(path, kind, shape, file, big_endian=big_endian)
    if not nbytes:
        return replace(told, content=b"")
    if layout == h5d.CONTIGUOUS:
        offset = dataset.get_offset()
        if offset is None:
            return replace(told, fault="none of its numbers is stored in the file")
        if offset + nbytes > extent.size or dataset.get_storage_size() != nbytes:
            raise ww.CorruptFileError(f"{where}: cut short, or its {nbytes} bytes are not where the file says")
        return replace(told, offset=extent.begin + offset)
    if layout == h5d.COMPACT:
        file.budget.take("decoded", nbytes)
        return replace(told, content=_raw(dataset, nbytes, item))
    return _chunked(dataset, made, told, nbytes, address, extent)


def _chunked(dataset: Any, made: Any, told: StoredTensor, nbytes: int, address: int, extent: Extent) -> StoredTensor:
    stored = dataset.get_storage_size()
    most = _ALWAYS_READ + _MOST_EXPANSION * min(stored, extent.size)
    chunk = math.prod(made.get_chunk()) * BITS[told.dtype] // 8
    filters = [made.get_filter(index)[0] for index in range(made.get_nfilters())]
    if unknown := [str(code) for code in filters if code not in _FILTERS]:
        return replace(told, fault=f"it is compressed in a way that ww does not read (filter {unknown[0]} of HDF5)")
    if not stored:
        return replace(told, fault="none of its numbers is stored in the file")
    if max(nbytes, chunk) > most:
        return replace(told, fault=f"it claims {max(nbytes, chunk):,} bytes, of which the file stores {stored:,}")
    # Told apart from others by where it is described: its numbers lie in no one place.
    return replace(told, file=DecodedSource(extent, told.name, nbytes, address), offset=address)


def _number_type(dataset: Any) -> tuple[str, bool]:
    """Return the dtype of a dataset by NumPy's name, and whether its numbers are big-endian; or a name that says no."""
    from h5py import h5t

    kind = dataset.get_type()
    if isinstance(kind, h5t.TypeOpaqueID):  # as Keras writes what h5py does not know
        return ("bfloat16" if kind.get_size() == 2 and _says_bfloat16(dataset) else _UNKNOWN), False
    if not isinstance(kind, (h5t.TypeFloatID, h5t.TypeIntegerID, h5t.TypeEnumID, h5t.TypeCompoundID)):
        return _UNKNOWN, False
    try:
        dtype = kind.dtype
        plain = dtype.name in BITS and h5t.py_create(dtype) == kind
    except (TypeError, ValueError):
        return _UNKNOWN, False
    return (dtype.name if plain else _UNKNOWN), dtype.str.startswith(">")


def _says_bfloat16(dataset: Any) -> bool:
    import numpy as np
    from h5py import h5a, h5t

    if not h5a.exists(dataset, b"dtype"):
        return False
    attribute = h5a.open(dataset, b"dtype")
    kind = attribute.get_type()
    if not isinstance(kind, h5t.TypeStringID) or attribute.shape != () or not 0 < kind.get_size() <= 64:
        return False
    read = np.empty((), dtype=kind.dtype if kind.is_variable_str() else f"S{kind.get_size()}")
    attribute.read(read)
    return read[()] in {b"bfloat16", "bfloat16"}


def _raw(dataset: Any, nbytes: int, item: int) -> bytes:
    """Read all numbers as their bytes, in the order of bytes that the file has."""
    import numpy as np
    from h5py import h5s

    space = dataset.get_space()
    numbers = np.empty(space.get_simple_extent_dims() or (), dtype=f"V{item}")
    dataset.read(h5s.ALL, h5s.ALL, numbers, mtype=dataset.get_type())
    content = numbers.tobytes()
    if len(content) != nbytes:
        raise ValueError("a dataset has changed")
    return content


class DecodedSource(ww.Source):
    """The numbers of a dataset that lie in chunks, compressed or not: they are decoded whenever they are read."""

    def __init__(self, extent: Extent, path: str, nbytes: int, address: int) -> None:
        """Name a dataset.

        Args:
            extent: The file.
            path: Name of the dataset, from the root.
            nbytes: Bytes of its numbers.
            address: Where it is described, which is where its numbers are said to begin.
        """
        self._extent, self._path, self._nbytes, self._address = extent, path, nbytes, address
        self.label = extent.file.label
        self.location = f"{extent.file.location}!{address}"

    @property
    def size(self) -> int:
        """Bytes up to the end of the numbers, counted from where they are said to begin."""
        return self._address + self._nbytes

    def stamp(self) -> tuple[int | str, ...]:
        """Return the stamp of the file."""
        return self._extent.file.stamp()

    def bytes_at(self, offset: int, nbytes: int) -> bytes:
        """Decode the dataset, and return a part of it.

        Raises:
            CorruptFileError: A chunk is damaged.
        """
        from h5py import h5o

        begin = offset - self._address
        with opened(self._extent) as root:
            held = h5o.open(root, self._path.encode(errors="surrogateescape"))
            item = held.get_type().get_size()
            content = _raw(held, self._nbytes, item)
        return content[begin : begin + nbytes]

    @contextmanager
    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
        """Give numbers of the dataset, read-only."""
        import numpy as np

        content = self.bytes_at(offset, math.prod(shape) * dtype.itemsize)
        yield np.frombuffer(content, dtype).reshape(shape)

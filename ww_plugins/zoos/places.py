"""Where the files of a store's zoos lie, and how they come there: whole, or not at all."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.names import quoted
from ww_core.loading.tables import name_of
from ww_core.loading.unpacked import GZIP
from ww_plugins.zoos.folder import METRICS, zoo_files

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_NAME = 100  # characters: a name of a folder has 255 bytes, and a model's has five digits more
_NOT_IN_A_FOLDERS_NAME = frozenset('/\\:*?"<>|')
_NEW = ".ww-new-"
"""What folders begin with that are not at their place yet."""

_OF_A_SERVER = 16  # digits of the digest that stands for a server


def check_zoo_name(name: str) -> str:
    """Return a name that a zoo may have: in a store it is that of a series, of models, and of a folder.

    Raises:
        UsageError: It cannot be.
    """
    try:
        is_as_it_stands = name_of(name, "the name of a zoo") == name
    except ValueError as error:
        raise ww.UsageError(str(error)) from None
    if (
        not is_as_it_stands
        or name.startswith(".")
        or len(name.encode()) > _LONGEST_NAME
        or _NOT_IN_A_FOLDERS_NAME & set(name)
    ):
        raise ww.UsageError(
            f"{quoted(name)} cannot be the name of a zoo, which is also the name of a folder: take at most "
            f'{_LONGEST_NAME} bytes, no dot at the beginning, and none of / \\ : * ? " < > |'
        )
    return name


def zoo_place(store: ww.Store, name: str) -> Path:
    """Return the folder that holds the files of a store's zoo: ``STORE.sqlite.zoos/NAME``.

    A server has no place beside it: there it is ``zoos/DIGEST/NAME`` in the user's data directory, where ``DIGEST``
    stands for the address of the server.

    Raises:
        UsageError: The store is in memory, or the name cannot be one.
    """
    check_zoo_name(name)
    if store.in_memory:
        raise ww.UsageError("a store in memory has no place for the files of a zoo: name a store by --store")
    if "://" not in store.location:
        return Path(f"{store.location}.zoos") / name
    import platformdirs

    digest = hashlib.blake2b(store.location.encode(), digest_size=_OF_A_SERVER // 2).hexdigest()
    return Path(platformdirs.user_data_dir("ww", appauthor=False)) / "zoos" / digest / name


def are_equal(folder: Path, other: Path) -> bool:
    """Tell whether two folders hold the same zoo, byte for byte; a file that is linked is not read."""
    try:
        files, others = zoo_files(FileSource(folder)), zoo_files(FileSource(other))
    except ww.SourceError:
        return False
    return files.keys() == others.keys() and all(
        Path(own.location).samefile(others[name].location)
        or filecmp.cmp(own.location, others[name].location, shallow=False)
        for name, own in files.items()
    )


def folder_locks() -> Any:
    """Return Python's door to locks of folders, the module ``fcntl``.

    Raises:
        UsageError: The system has none.
    """
    try:
        import fcntl
    except ImportError:
        raise ww.UsageError(
            "the folder of a zoo is locked while it is written, and this system cannot lock a folder: "
            "train and import zoos on Linux"
        ) from None
    return fcntl


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of all zoos of a store, which nobody else then holds, and sweep what a killed import left there.

    The system lets go of it when a process ends, however it does.

    Raises:
        OutputError: It cannot be made or opened.
        UsageError: The system has no locks of folders.
    """
    fcntl = folder_locks()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unwritten(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in folder.glob(f"{_NEW}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged(folder: Path, place: Path) -> Iterator[Path]:
    """Give a new folder beside ``place`` with the files of a zoo, as links where the file system can, else copies.

    It goes with all that is in it at the end, unless it was moved.

    Raises:
        OutputError: It cannot be written.
    """
    with room_in(place.parent) as room:
        new = room / "new"
        try:
            new.mkdir()
            for name, file in zoo_files(FileSource(folder)).items():
                is_packed = name == METRICS[0] and file.head(2) == GZIP
                _link_or_copy(Path(file.location), new / (METRICS[1] if is_packed else name))
        except OSError as error:
            raise _unwritten(place, error) from error
        yield new


def put(new: Path, place: Path) -> None:
    """Move a folder to its place, where nothing is.

    Raises:
        OutputError: It cannot be moved.
    """
    try:
        new.rename(place)
    except OSError as error:
        raise _unwritten(place, error) from error


@contextlib.contextmanager
def aside(place: Path) -> Iterator[None]:
    """Move a folder away, if there is one: for good, unless the block raises, and then it comes back."""
    if not os.path.lexists(place):
        yield
        return
    with room_in(place.parent) as room:
        before = room / "before"
        try:
            place.rename(before)
        except OSError as error:
            raise _unwritten(place, error) from error
        try:
            yield
        except BaseException:  # Ctrl-C too
            if not os.path.lexists(place):
                before.rename(place)
            raise


@contextlib.contextmanager
def room_in(parent: Path) -> Iterator[Path]:
    """Give a folder in which something is made that is moved to its place when it is whole; the rest goes at the end.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent))
    except OSError as error:
        raise _unwritten(parent, error) from error
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(file, target)


def _unwritten(place: Path, error: OSError) -> ww.OutputError:
    return ww.OutputError(f"the files of the zoo cannot be put to {place}: {error.strerror or error}")

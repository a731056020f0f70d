"""Files and folders that are whole or not there: written beside their place, and put there at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ww_core.domain.address import absolute_path, looks_like_address
from ww_core.errors import UsageError


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or a folder that is to be made.

    Raises:
        UsageError: It looks like an address, of which no part is repeated, or no file can be there.
    """
    if looks_like_address(os.fspath(path)):
        raise UsageError("this looks like an address, not like a file: give a path (a file of this name is ./NAME)")
    try:
        return absolute_path(path)
    except ValueError as error:
        raise UsageError(f"{os.fspath(path)}: {error}") from None


@contextlib.contextmanager
def new_file(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give the path of a file to write, which takes its place when the block has ended without an exception.

    Args:
        target: Its place.
        replace: Whether a file that is there already gives way to it.

    Raises:
        FileExistsError: There is something already, and it does not give way.
        OSError: The file cannot be written.
    """
    if os.path.lexists(target) and not (replace and gives_way(target)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    with _room_beside(target) as room:
        file = room / "new"
        yield file
        _sync(file)
        if replace:
            file.replace(target)
        else:
            _take_place(file, target)
        _sync(target.parent)


def gives_way(target: Path) -> bool:
    """Tell whether what is in a place is a file, or a link to one or to nothing, which another file may replace.

    A folder, a pipe or a device does not: whoever may rename in ``/dev`` would replace ``/dev/null`` for everybody.
    """
    return target.is_file() or not target.exists()


@contextlib.contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a new folder to fill with files, which takes its place when the block has ended without an exception.

    An empty folder that is there already stays the one that it is, since somebody may stand in it, and gets the files.

    Args:
        target: Its place.
        replace: Whether a folder that is there already gives way to it, with all that is in it.

    Raises:
        FileExistsError: There is something already, and it does not give way.
        OSError: The folder cannot be written.
    """
    _check_folder(target, replace=replace)
    with _room_beside(target) as room:
        folder = room / "new"
        folder.mkdir()
        yield folder
        for file in folder.iterdir():
            _sync(file)
        _sync(folder)
        _check_folder(target, replace=replace)
        if _is_empty_folder(target):
            _move_into(target, folder)
        else:
            _replace(target, folder, room / "before")
        _sync(target.parent)


def _check_folder(target: Path, *, replace: bool) -> None:
    if not os.path.lexists(target) or (replace and target.is_dir() and not target.is_symlink()):
        return
    if not _is_empty_folder(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _is_empty_folder(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())


def _move_into(target: Path, folder: Path) -> None:
    """Move all that is in a folder to an empty one, or nothing."""
    names = [entry.name for entry in folder.iterdir()]
    try:
        for name in names:
            (folder / name).rename(target / name)
        _sync(target)
    except BaseException:  # Ctrl-C too
        for name in names:
            if not os.path.lexists(folder / name):
                (target / name).rename(folder / name)
        raise


def _replace(target: Path, folder: Path, before: Path) -> None:
    """Put a folder in a place, from which what is there moves to another."""
    try:
        if os.path.lexists(target):
            target.rename(before)
        folder.rename(target)
    except BaseException:  # Ctrl-C too, or what was there would go with the room
        if before.exists() and not os.path.lexists(target):
            before.rename(target)
        raise


@contextlib.contextmanager
def _room_beside(target: Path) -> Iterator[Path]:
    """A folder on the same disk, which goes with all that is in it."""
    room = Path(tempfile.mkdtemp(prefix=".ww-new-", dir=target.parent))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _sync(path: Path) -> None:
    """Let the disk have it all: what comes after a power cut is then the whole file, or none."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_place(file: Path, target: Path) -> None:
    """Give the file its name, unless somebody has taken it in the meantime."""
    try:
        os.link(file, target)  # a rename would overwrite
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first
        os.close(os.open(target, os.O_CREAT | os.O_EXCL))
        file.replace(target)

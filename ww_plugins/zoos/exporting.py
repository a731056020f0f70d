"""Write a zoo as a folder of the published format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.zoos.folder import ABOUT
from ww_plugins.zoos.places import aside, put, room_in
from ww_plugins.zoos.writing import write_zoo

if TYPE_CHECKING:
    from collections.abc import Mapping


def export_zoo(
    zoo: ww.Zoo, folder: Path, about: Mapping[str, Any], *, published: bool = False, replaces: bool = False
) -> int:
    """Write a zoo into a new folder, whole or not at all, and return its bytes.

    Args:
        zoo: The zoo, with weights.
        folder: The folder.
        about: What ``zoo.json`` says of it.
        published: Only the three files that the published zoo has.
        replaces: Whether a zoo that is there already gives way. Another folder never does.

    Raises:
        UsageError: Only the store knows the zoo, something is there already, or three files cannot say the layout.
        OutputError: The folder cannot be written.
    """
    if published and zoo.layout != "keras":
        raise ww.UsageError(
            f"zoo {zoo.name}: its layout is {zoo.layout}, which three files cannot say: leave --published out"
        )
    if zoo.stored is None:
        zoo.weights()  # says that they are not here
    place = folder.expanduser().absolute()
    _refuse_other(place, replaces=replaces)
    with room_in(place.parent) as room:
        new = room / "new"
        write_zoo(zoo, new, {name: own for name, own in about.items() if name not in {"format", "name", "layout"}})
        if published:
            (new / ABOUT).unlink()
        with aside(place):
            put(new, place)
    return sum(file.stat().st_size for file in place.iterdir())


def _refuse_other(place: Path, *, replaces: bool) -> None:
    """Raise if what is there must stay.

    Raises:
        UsageError: It must.
    """
    from ww_core.loading.files import FileSource
    from ww_core.loading.names import quoted
    from ww_plugins.zoos.folder import FILES, is_zoo

    if not os.path.lexists(place):
        return
    is_folder = place.is_dir() and not place.is_symlink()
    if is_folder and not any(place.iterdir()):
        return
    if not replaces:
        raise ww.UsageError(f"{place} exists already: name a new folder, or give --force")
    if not (is_folder and is_zoo(FileSource(place))):
        raise ww.UsageError(f"{place} exists already and is not a zoo: --force writes over zoos only")
    others = sorted(own.name for own in place.iterdir() if own.name not in FILES or own.is_dir())
    if others:
        raise ww.UsageError(
            f"{place} holds {quoted(others[0])} too, which is no file of a zoo: --force writes over zoos only, so name "
            "a new folder"
        )

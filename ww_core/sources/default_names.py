"""From an address to what a person would call the weights there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ww_core.domain.name import LONGEST_NAME

if TYPE_CHECKING:
    from ww_core.contracts.source import Source


class DefaultName(NamedTuple):
    """What a path says about the name of the weights that it leads to.

    Attributes:
        model: Name of the model, which can be used as it is.
        version: The label that the path tells, such as ``"500"``; empty where it tells none.
        step: Place among the versions, where the path tells one.
        home: Where the name comes from: the absolute path of the folder that makes it unique, or ``hub:OWNER/NAME``.
            A model of the same name and another home is another model.
    """

    model: str
    version: str = ""
    step: int | None = None
    home: str = ""


def default_name(source: Source) -> DefaultName:
    """Return what a person would call the weights of a source. It never raises, whatever its address looks like.

    A generic file such as ``model.safetensors`` takes the name of its folder, ``checkpoint-500`` is version 500 of its
    parent, a snapshot in a cache of the Hugging Face hub is ``OWNER/NAME``, and any other file or folder has its own.
    """
    if source.is_object:
        return DefaultName(usable_name(source.name))
    is_folder = source.is_folder
    host, place = ("", _place(source.path, is_folder)) if source.path else _remote_place(source.location)
    found = _name_of_folder(place) if is_folder else _name_of_file(place)
    home = found.home if found.home.startswith("hub:") else host + found.home
    return found._replace(model=usable_name(found.model), home=_storable(home))


def step_of(version: str) -> int | None:
    """Return the step that the text of a version tells, such as 500 of ``"checkpoint-500"``; None where it has none."""
    told = _marked(version) or _numbered(version)
    return told.step if told else None


def usable_name(text: str) -> str:
    """Return a text as the name of a model: what a name must not hold becomes ``-``, and nothing becomes "model"."""
    kept = "".join("-" if letter == "@" or not letter.isprintable() else letter for letter in text)
    name = kept.strip()[:LONGEST_NAME].strip()
    return name if name.strip(".") else "model"


def _place(path: Path, is_folder: bool) -> Path:
    """Return the absolute path to judge by.

    A cache of the hub is known by its shape as it was typed: its files are links into ``blobs``. Elsewhere links of
    folders are followed; a file keeps the name that it was given.
    """
    try:
        typed = Path(os.path.normpath(path.absolute()))
        if _is_in_snapshot(typed):
            return typed
        return path.resolve() if is_folder else path.parent.resolve() / path.name
    except (OSError, ValueError, RuntimeError):  # the current folder is gone, a NUL in the path, a loop of links
        return path


def _remote_place(location: str) -> tuple[str, Path]:
    """Split a URL into what stands before its path, and the path."""
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}", Path(parts.path or "/")


def _is_in_snapshot(place: Path) -> bool:
    return any(_repository(folder) for folder in (place, *place.parents))


def _repository(folder: Path) -> str:
    """Return ``OWNER/NAME`` of a folder ``models--OWNER--NAME/snapshots/REVISION``, and nothing for any other."""
    cached = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not cached.startswith("models--"):
        return ""
    cached = cached.removeprefix("models--")
    owner, _, name = cached.partition("--")
    return f"{owner}/{name}" if owner and name else cached


class _Told(NamedTuple):
    """The version that one name in a path tells."""

    version: str
    step: int | None = None


_NOTHING_TOLD = _Told("")


def _name_of_file(file: Path) -> DefaultName:
    stem = _stem(file.name)
    if told := _told(stem, file.parent):
        return _name_of_folder(file.parent, told)
    if _GENERIC_STEM.fullmatch(stem) or _is_in_snapshot(file.parent):
        return _name_of_folder(file.parent)
    if _is_of_version(file.parent):
        return _name_of_folder(file.parent, part=stem)
    return DefaultName(stem, home=str(file.parent))


def _name_of_folder(folder: Path, told: _Told = _NOTHING_TOLD, part: str = "") -> DefaultName:
    """Walk up from a folder to the one that has a name.

    Args:
        folder: Where the walk begins.
        told: The version that a file in it told already: the innermost counts.
        part: Name of the file in it that is one part of a checkpoint.
    """
    parts = [part] if part else []
    home = ""
    in_snapshot = _is_in_snapshot(folder)
    for place in (folder, *folder.parents):
        if repository := _repository(place):
            model = "/".join([repository, *parts])
            return DefaultName(model, told.version, told.step, f"hub:{model}")
        if _names_nothing(place):
            continue
        if outer := _told(place.name, place.parent):
            told = told if told.version else outer
            home = ""  # the parts found so far are in every version: the folder above unites them
            continue
        parts.insert(0, place.name)
        home = home or str(place)
        if not (in_snapshot or _is_part(place)):
            break
    return DefaultName("/".join(parts), told.version, told.step, home or folder.anchor)


def _names_nothing(folder: Path) -> bool:
    return not folder.name or bool(_EMPTY_FOLDER.fullmatch(folder.name))


def _is_part(folder: Path) -> bool:
    """Tell whether a folder is named together with the one around it."""
    return (
        bool(_LIGHTNING_RUN.fullmatch(folder.name))
        or _is_of_version(folder.parent)
        or os.path.lexists(folder.parent / "model_index.json")  # a component of a pipeline of diffusers
    )


def _is_of_version(folder: Path) -> bool:
    return _told(folder.name, folder.parent) is not None


def _told(name: str, folder: Path) -> _Told | None:
    """Return the version that a folder's name or a file's stem tells, in the folder that it lies in."""
    if told := _marked(name):
        return told
    in_empty = bool(folder.name) and _names_nothing(folder)
    word = _WORD.fullmatch(name)
    if word and (in_empty or word["what"]):
        return _Told(word["version"])
    return _numbered(name) if in_empty else None


def _marked(text: str) -> _Told | None:
    """Read what trainers write, such as ``checkpoint-500`` or ``epoch=9-step=1000-v1``."""
    mark = _MARK.fullmatch(text)
    if not mark:
        return None
    counts = [(unit.lower(), int(number)) for unit, number in _COUNT.findall(mark["counts"])]
    steps = [number for unit, number in counts if unit != "epoch"] or [number for _, number in counts]
    return _Told(f"{steps[-1]}{mark['again'] or ''}", steps[-1])


def _numbered(text: str) -> _Told | None:
    number = _NUMBER.fullmatch(text)
    return _Told(f"{int(number['step'])}{number['again'] or ''}", int(number["step"])) if number else None


def _stem(name: str) -> str:
    """Return the name of a file without its suffix, its number among shards and what makes it an index."""
    match = _INDEX.fullmatch(name) or _SUFFIXED.fullmatch(name)
    return _SHARD.sub("", match["stem"] if match else name) or name


def _storable(text: str) -> str:
    """Return a path as a text that every database takes, though file systems allow bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


_EMPTY_FOLDER = re.compile(r"checkpoints?|ckpts?|weights|snapshots|lightning_logs|mp_rank_[0-9]+(?:_[0-9]+)?", re.I)
"""Folders that name nothing: who looks for a name passes them."""

_LIGHTNING_RUN = re.compile(r"version_[0-9]+")

_AGAIN = r"(?P<again>-v[0-9]{1,9})?"  # Lightning adds it to a name that is taken

_DIGITS = r"[0-9]{1,18}"  # what a database's integer holds

_UNIT = r"checkpoint|ckpt|epoch|global_step|step|iteration|iter"

_COUNT = re.compile(rf"({_UNIT})[-_=]?({_DIGITS})", re.I)

_SCORE = r"[a-z][^=]*=[-+]?(?:[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?|nan|inf)"

_MARK = re.compile(
    rf"(?:model[-_.])?"
    rf"(?P<counts>(?:{_UNIT})[-_=]?{_DIGITS}(?:[-_](?:{_UNIT})[-_=]?{_DIGITS})*)"
    rf"(?:[-_]{_SCORE})*{_AGAIN}",
    re.I,
)

_NUMBER = re.compile(rf"(?P<step>{_DIGITS}){_AGAIN}")

_WORD = re.compile(
    r"(?P<what>(?:checkpoint|ckpt|model)[-_.])?(?P<version>(?:last|latest|best|final)(?:-v[0-9]{1,9})?)", re.I
)
"""``best`` is a version in a folder that names nothing, ``checkpoint_best`` everywhere."""

_INDEX = re.compile(r"(?P<stem>.+)\.[a-z]+\.index(?:\.[a-z0-9_]+)?\.json", re.DOTALL | re.I)

_SUFFIXED = re.compile(r"(?P<stem>.+?)(?:\.pth?\.tar|\.weights\.(?:h5|json)|\.[a-z][a-z0-9_]*)", re.DOTALL | re.I)
"""A suffix begins with a letter: that of ``llama-3.1`` is none."""

_SHARD = re.compile(r"-[0-9]{1,9}-of-[0-9]{1,9}(?=\Z|\.(?:fp|bf)[0-9]+\Z)")

_GENERIC_STEM = re.compile(
    r"(?:(?:open_clip_)?(?:pytorch_)?model|diffusion_pytorch_model|adapter_model|tf_model|flax_model|saved_model"
    r"|consolidated(?:\.[0-9]+)?|weights(?:\..*)?|state_dict|checkpoint|ckpt"
    r"|mp_rank_[0-9]+(?:_[0-9]+)?_model_states|model_optim_rng)"  # DeepSpeed and Megatron
    r"(?:[._](?:(?:fp|bf|int|uint|q)[0-9]+|quantized|ema|non_ema))*",
    re.DOTALL | re.I,
)
"""What files are called that take the name of their folder, in whatever precision they are."""

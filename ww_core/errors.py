"""Every error ww raises on purpose, and the exit code each one ends the program with.

WWError                       4
├── UsageError                2   unknown option value, parameter, label in use
│   ├── UnknownNameError      2   unknown metric, layer, profile, extractor, loader, executor
│   └── PluginError           2   a plugin that is wrong (only under --strict-plugins, or when one is declared)
├── SourceError               3   a path or object that cannot be analysed
│   ├── NoLoaderError         3   no loader recognises it
│   ├── LoaderFailedError     3   the loader that recognises it raised something unexpected
│   ├── MissingExtraError     3   the format's package is not installed
│   ├── CorruptFileError      3   the file contradicts itself or is cut short
│   └── NothingToAnalyzeError 3   it was read, and holds no layer with a spectrum
├── StoreError                3
│   ├── NotAStoreError        3   the path or URL does not hold a store
│   ├── SchemaTooNewError     3   made by a newer program
│   ├── SchemaTooOldError     3   made by an older program, opened for reading
│   ├── ReadOnlyStoreError    3   writing was asked where it is not possible
│   └── NotStoredError        3   the model, version or digest is not in the store
├── LostResultsError          4   something selected was lost to an exception
├── CommandFailedError        4   a plugin's command raised something unexpected
└── OutputError               3   the output cannot be written

NoValue                           not errors: what a metric raises instead of returning a number
├── NotApplicable                 the quantity makes no sense here
└── Refused                       it could not be computed so that one may trust it
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CommandFailedError",
    "CorruptFileError",
    "LoaderFailedError",
    "LostResultsError",
    "MissingExtraError",
    "NoLoaderError",
    "NoValue",
    "NotAStoreError",
    "NotApplicable",
    "NotStoredError",
    "NothingToAnalyzeError",
    "OutputError",
    "PluginError",
    "ReadOnlyStoreError",
    "Refused",
    "SchemaTooNewError",
    "SchemaTooOldError",
    "SourceError",
    "StoreError",
    "UnknownNameError",
    "UsageError",
    "WWError",
]


class WWError(Exception):
    """Base of all errors that are explained by their sentence and need no traceback.

    Attributes:
        exit_code: What the program ends with.
        blames_plugin: Whether it tells what a plugin raised: then ``WW_DEBUG`` shows the plugin's traceback, not ww's.
    """

    exit_code: ClassVar[int] = 4
    blames_plugin: ClassVar[bool] = False


class UsageError(WWError):
    """What was asked is not possible: the request must change."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing carries; the message lists near names.

    Args:
        what: The kind of thing, such as ``"metric"``.
        name: The name that was asked for.
        known: All names that would have been accepted.
        where: Where the known names can be listed, such as ``"ww metrics"``.
    """

    def __init__(self, what: str, name: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(set(known))
        near = near_names(name, names)
        more = f", and {len(names) - 12} more" if len(names) > 12 else ""
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names[:12]) or 'none'}{more}"
        listing = f" ({where} lists all)" if where else ""
        super().__init__(f"unknown {what} {name!r}: {hint}{listing}")


class PluginError(UsageError):
    """A plugin or an object of a plugin that does not keep the contract."""

    blames_plugin = True


class SourceError(WWError):
    """A path, file or object that cannot be read as a checkpoint."""

    exit_code = 3


class NoLoaderError(SourceError):
    """No loader recognises the source."""


class LoaderFailedError(SourceError):
    """The loader that recognises the source raised something unexpected; the message names file and line."""

    blames_plugin = True


class MissingExtraError(SourceError):
    """The package that reads this format is not installed; the message says what to install."""


class CorruptFileError(SourceError):
    """A file that is truncated, or whose header does not agree with its content."""


class NothingToAnalyzeError(SourceError):
    """The source was read and nothing in it can be analysed; the message lists what was found."""


class StoreError(WWError):
    """The store cannot do what was asked."""

    exit_code = 3


class NotAStoreError(StoreError):
    """The path or URL does not hold a ww store."""


class SchemaTooNewError(StoreError):
    """The store was made by a newer program."""


class SchemaTooOldError(StoreError):
    """The store was made by an older program and was opened for reading."""


class ReadOnlyStoreError(StoreError):
    """The store cannot be written."""


class NotStoredError(StoreError):
    """The model, version or digest asked for is not in the store."""


class LostResultsError(WWError):
    """Something selected was lost to an exception; the rest is stored."""

    blames_plugin = True


class CommandFailedError(WWError):
    """A command of a plugin raised something unexpected; the message names file and line."""

    blames_plugin = True


class OutputError(WWError):
    """What the program prints cannot be written, as on a full disk."""

    exit_code = 3


class NoValue(Exception):  # noqa: N818 - an outcome, not an error
    """Raised by a metric, quantity or extractor that has no value to give; the reason is stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotApplicable(NoValue):
    """The quantity makes no sense for this subject."""


class Refused(NoValue):
    """The quantity could not be computed so that one may trust it."""


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that resemble ``name``, nearest first, letter case ignored."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    return [by_fold[fold] for fold in difflib.get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.6)]

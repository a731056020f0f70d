"""Take what an export folder has into a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ww_core.store.exchange.staging import staged
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.exchange import FolderImport
    from ww_core.store.store import Store


def import_folder(
    path: str | os.PathLike[str],
    *,
    store: Store | str | os.PathLike[str],
    rename: Mapping[str, str] | None = None,
) -> FolderImport:
    """Add to a store what an export folder has, and is missing there; all of it, or nothing.

    The folder is read and checked before the store is opened, or made where there is none.

    Args:
        path: The folder.
        store: An open store, or its path or URL.
        rename: New names of models and versions of the folder, by their names there: ``MODEL`` or ``MODEL@VERSION``.

    Returns:
        What was added.

    Raises:
        WWError: As of ``Store.import_folder`` and ``open_store``.
    """
    with staged(path, rename) as folder, opened_store(store, mode="write") as opened:
        return opened.import_staged(folder)

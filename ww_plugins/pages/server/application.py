"""The application: from an address to a page, with a store that is opened for each question and closed again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import escape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

import ww_core as ww
import ww_core.change_points
from ww_core.command import json_text
from ww_plugins.pages.rendering import asset, environment
from ww_plugins.pages.server.asked import Asked
from ww_plugins.pages.server.page import sentence
from ww_plugins.pages.server.security import Guard
from ww_plugins.pages.server.views import MENU, PAGES

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ww_plugins.pages.server.page import Page

T = TypeVar("T")

ANSWERS = (ww.diff, ww.history, ww.leaderboard, ww.regressions, ww.trend)
"""What answers most questions; loaded with this module, so that the first reader does not wait for it."""

AT_ONCE = 4
"""Questions that are answered at the same time: each takes memory, and more of them are no faster."""

ASSETS = {"ww.css": "text/css", "ww.js": "text/javascript"}


def application(location: str | Path, *, shown_location: str, host: str, token: str = "") -> ASGIApp:
    """Return the pages of a store, behind their guard. Nothing is opened before the first question.

    Args:
        location: Path or URL of the store.
        shown_location: The same as people may see it, without a password.
        host: The host that the server listens on.
        token: What a reader must know; empty for nothing.
    """
    pages = _Pages(location, shown_location)
    routes = [Route("/", _to_models)]
    for page in PAGES:
        routes += [
            Route(f"/{page.form.path}", functools.partial(pages.html, page)),
            Route(f"/{page.form.path}.json", functools.partial(pages.json, page)),
        ]
    routes += [Route(f"/assets/{name}", functools.partial(_asset, name)) for name in ASSETS]
    handlers = {HTTPException: pages.no_page, Exception: pages.failed}
    inner = Starlette(routes=routes, exception_handlers=handlers)
    inner.router.redirect_slashes = False
    return Guard(inner, host, token)


async def _to_models(_: Request) -> Response:
    return RedirectResponse("/models", 303)


async def _asset(name: str, _: Request) -> Response:
    return Response(asset(name), media_type=ASSETS[name])


class _Pages:
    """Answers requests, a few at the same time.

    Args:
        location: Path or URL of the store.
        shown_location: The same as people may see it.
    """

    def __init__(self, location: str | Path, shown_location: str) -> None:
        self._location = location
        self._shown_location = shown_location
        self._templates = environment()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def html(self, page: Page[Any], request: Request) -> Response:
        """Answer with the page itself."""

        def answer() -> Response:
            asked = Asked.of(page.form, request.url.query)
            try:
                with ww.open_store(self._location, mode="read") as store:
                    values = page.values(store, asked)
            except (ww.UsageError, ww.NotStoredError) as error:
                if page.blank is None:
                    raise
                # A page with a form keeps what was asked, so that it can be asked in another way.
                told = {"title": page.title, "asked": asked, "fault": sentence(str(error)), "command": "", "json": ""}
                return self._page(f"{page.form.path}.html", told, _status(error))
            asked = values["asked"]
            # What lacks something that must be given has no command yet, and no JSON.
            is_whole = not asked.missing
            content = {
                "title": page.title,
                "command": escape(asked.command(self._shown_location)) if is_whole else "",
                "json": asked.address(json=True) if is_whole else "",
                "fault": "",
                **values,
            }
            return self._page(f"{page.form.path}.html", content)

        try:
            return await self._answered(answer)
        except ww.WWError as error:
            return self._sentence(_status(error), str(error))

    async def json(self, page: Page[Any], request: Request) -> Response:
        """Answer with the JSON that the command of the page prints."""

        def answer() -> Response:
            with ww.open_store(self._location, mode="read") as store:
                text = page.json(store, Asked.of(page.form, request.url.query))
            return Response(text, media_type="application/json")

        try:
            return await self._answered(answer)
        except ww.WWError as error:
            return Response(json_text({"error": str(error)}), _status(error), media_type="application/json")

    async def no_page(self, _: Request, error: Exception) -> Response:
        """Answer where there is no page."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._sentence(status, "there is no such page: /models lists what is stored")

    async def failed(self, _: Request, error: Exception) -> Response:
        """Answer where we failed; the traceback is shown where the server was started."""
        return self._sentence(500, f"ww failed to make this page, which is a fault of ww: {type(error).__name__}")

    async def _answered(self, answer: Callable[[], T]) -> T:
        try:
            async with self._turns:
                return await _in_thread(answer)
        except asyncio.CancelledError:
            raise ww.StoreError("the server ends: ask again when it is back") from None

    def _sentence(self, status: int, text: str) -> Response:
        told = {"title": "No page", "sentence": sentence(text), "command": "", "json": ""}
        return self._page("sentence.html", told, status)

    def _page(self, template: str, content: Mapping[str, Any], status: int = 200) -> Response:
        menu = [(page.title, f"/{page.form.path}") for page in MENU]
        given = {"menu": menu, "location": self._shown_location, **content}
        return HTMLResponse(self._templates.get_template(f"server/{template}").render(given), status)


def _status(error: ww.WWError) -> int:
    """Return the status of an answer that is an error."""
    if isinstance(error, ww.NotStoredError | ww.UnknownNameError):
        return 404
    if isinstance(error, ww.UsageError):
        return 400
    return 503 if isinstance(error, ww.StoreError) else 500


async def _in_thread(answer: Callable[[], T]) -> T:
    """Call a function in a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(value)  # type: ignore[arg-type]  # a value, as there is no error
        else:
            done.set_exception(error)

    def work() -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = answer(), None
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=work, name="ww serve: a question", daemon=True).start()
    return await done

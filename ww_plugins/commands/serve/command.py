"""Show a store in a browser."""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

    import uvicorn
    from starlette.types import ASGIApp

PORT = 8517
END_SECONDS = 1
"""How long questions that are being answered may go on after Ctrl-C."""

MADE = 200_000
"""Objects after which the collector looks for cycles: answers of many rows hold none, and are gone soon."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@examples("ww serve", "ww serve --port 0")
def serve(
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on.", callback=options.not_empty)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port to listen on; 0 for any free one.")
    ] = PORT,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            metavar="T",
            envvar="WW_TOKEN",
            show_envvar=True,
            show_default=False,
            help="Secret that readers must give; required for readers on other machines.",
            callback=options.not_empty,
        ),
    ] = "",
    store: options.Store = None,
) -> None:
    """Show a store in a browser, page by page.

    It shows models, histories, layers, spectra, comparisons, leaderboards and trends.

    The server only reads the store and contacts no other machine. Every page shows the command with the same answer,
    and its address with .json gives the JSON. Without a token only this machine may connect. With a token, open the
    printed address with ?token=T once, or send `Authorization: Bearer T`. Ctrl-C ends the server.
    """
    output = Output()
    _check(host, token)
    location = store_location(store)
    ww.open_store(location, mode="read").close()  # raises now, and not at the first page
    application = _application(location, host, token)
    with _listening(host, port) as listener:
        output.line(_address(host, listener.getsockname()[1]))
        sys.stdout.flush()  # whoever started it waits for the address
        if token:
            say("a token is required: open this address with ?token=TOKEN once")
        _run(application, listener)


def _check(host: str, token: str) -> None:
    """Refuse to be open to others without a token, or with one that can be guessed or that no reader can send.

    Raises:
        UsageError: It would be.
        MissingExtraError: A package is missing.
    """
    try:
        import starlette  # noqa: F401 - whether it is there
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ww.MissingExtraError(f"{error.name} is not installed: pip install 'ww-core[web]'") from None
    from ww_plugins.pages.server.security import is_loopback, token_fault

    if not is_loopback(host) and not token:
        raise ww.UsageError(
            f"--host {host} lets other machines read the store: give a --token (or WW_TOKEN), "
            "or leave --host out for this machine alone"
        )
    if token and (fault := token_fault(token)):
        raise ww.UsageError(fault)


def _application(location: str | Path, host: str, token: str) -> ASGIApp:
    from ww_core.loading.names import shown_address
    from ww_plugins.pages.server.application import application

    return application(location, shown_location=shown_address(str(location)), host=host, token=token)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: There is no such host here, or the port is taken.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise ww.UsageError(
                f"port {port} of {host} is in use: name another --port, or 0 for any free one"
            ) from None
        why = os.strerror(number) if number and number > 0 else getattr(error, "strerror", "") or "no such name"
        raise ww.UsageError(f"nothing can listen on --host {host} --port {port}: {why}") from None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _run(application: ASGIApp, listener: socket.socket) -> None:
    """Answer until somebody interrupts.

    Raises:
        Abort: Somebody did.
    """
    import uvicorn

    # Of its log only faults are told, which have a traceback; not what is no request, and not how it ends.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.exc_info is not None)
    gc.freeze()  # what is loaded stays, and need not be looked at in every question
    gc.set_threshold(MADE)
    try:
        uvicorn.Server(config(application)).run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Abort("the server has ended, and nothing was written") from None


def config(application: ASGIApp) -> uvicorn.Config:
    """Return how an application is served: nothing is logged, and no header says where a request comes from."""
    import uvicorn

    from ww_plugins.pages.server.connection import Connection

    return uvicorn.Config(
        application,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=200,
        timeout_graceful_shutdown=END_SECONDS,
    )

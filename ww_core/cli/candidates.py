"""What may stand where somebody pressed the tab key: names from the store, and of what plugins give.

A shell asks by environment variables, in typer's protocol. It is answered in a fraction of a second, or not at all: no
error is told, and nothing is written. Names that a shell would read as more than a word are left out.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.command.messages import give_up
from ww_core.plugins.names_of_hook import names_of_hook
from ww_core.store import glance
from ww_core.store.default_location import default_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    import typer

PLAIN = re.compile(r"[\w@%+=:,./~-]+", re.ASCII)
"""Names that need no quotes in a shell, and do nothing there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may stand there."""

    value: str
    help: str = ""
    type: str = "plain"


def answer(app: typer.Typer) -> int:
    """Answer a shell that asks by environment variables, and return the exit code that it expects."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    begin = _join_versions(os.environ)
    told = io.StringIO()
    code: object = 0
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(told), contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        try:
            app([], standalone_mode=False, prog_name="ww")
        except SystemExit as end:
            code = end.code
        except BaseException:  # noqa: BLE001 - a shell has no use for an error
            return 1
    lines = told.getvalue().splitlines()
    try:
        sys.stdout.write("".join(f"{line.removeprefix(begin)}\n" for line in lines))
        sys.stdout.flush()
    except OSError:  # nobody waits for the answer any more
        give_up(sys.stdout)
    return code if isinstance(code, int) else 0


def _join_versions(environ: MutableMapping[str, str]) -> str:
    """Join MODEL, @ and VERSION, which bash takes for three words, and return what bash will not replace."""
    if not environ.get("COMP_CWORD", "").isdecimal():
        return ""
    words, at = environ.get("COMP_WORDS", "").split("\n"), int(environ["COMP_CWORD"])
    words = [*words[: at + 1], *[""] * (at + 1 - len(words))]
    joined = words[:1]
    for word in words[1:]:
        if word == "@" or joined[-1].endswith("@"):
            joined[-1] += word
        else:
            joined.append(word)
    environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)
    return joined[-1].rpartition("@")[0] + "@" if len(joined) < len(words) and "@" in joined[-1] else ""


def offer_names(command: Any) -> None:
    """Let the parameters of a command, and of those below it, offer names, by what they are called in its help."""
    for parameter in command.params:
        if source := _source_of(parameter, command):
            parameter.shell_complete = functools.partial(_offered, source, "," in (parameter.metavar or ""))
    for below in getattr(command, "commands", {}).values():
        offer_names(below)


def _source_of(parameter: Any, command: Any) -> Callable[[Any, str], Iterable[str]] | None:
    for option in parameter.opts:
        if option in BY_OPTION:
            return BY_OPTION[option]
    called = re.match(r"[\[{]*([A-Z]+)", parameter.metavar or "")
    if called is None or parameter.opts[0].startswith("-"):
        return None
    return BY_COMMAND.get(command.name) if called[1] == "NAME" else BY_ARGUMENT.get(called[1])


def _offered(source: Callable[[Any, str], Iterable[str]], is_list: bool, ctx: Any, incomplete: str) -> list[Candidate]:
    before, comma, last = incomplete.rpartition(",") if is_list else ("", "", incomplete)
    names = dict.fromkeys(name for name in source(ctx, last) if name.startswith(last) and PLAIN.fullmatch(name))
    return [Candidate(before + comma + name) for name in names]


def _store(ctx: Any) -> str:
    return str(ctx.params.get("store") or default_location())


def _models(ctx: Any, incomplete: str) -> list[str]:
    model, at, _ = incomplete.partition("@")
    if at:
        return [f"{model}@{version}" for version in glance.versions(_store(ctx), model)]
    return glance.models(_store(ctx))


def _layers(ctx: Any, _: str) -> list[str]:
    named = next((ctx.params[name] for name in MODEL_PARAMETERS if ctx.params.get(name)), "")
    model, _, version = (named if isinstance(named, str) else str(named[0])).partition("@")
    return glance.layers(_store(ctx), model, version)


def _columns(ctx: Any, _: str) -> list[str]:
    stored = [] if "source" in ctx.params else glance.columns(_store(ctx))  # of a new analysis it may be any
    return stored or names_of_hook("ww_register_metrics")


def _series(ctx: Any, _: str) -> list[str]:
    return glance.series(_store(ctx))


def _given_by(hook: str) -> Callable[[Any, str], list[str]]:
    return lambda _ctx, _incomplete: names_of_hook(hook)


MODEL_PARAMETERS = ("model", "models", "first", "candidate")
"""Names of parameters that say whose layers are meant."""

BY_OPTION: dict[str, Callable[[Any, str], Iterable[str]]] = {
    "--metrics": _columns,
    "--metric": _columns,
    "--columns": _columns,
    "--sort": _columns,
    "--leave-out": _columns,
    "--layers": _layers,
    "--series": _series,
    "--baseline": _models,
    "--profile": _given_by("ww_register_profiles"),
    "--extractor": _given_by("ww_register_extractors"),
    "--loader": _given_by("ww_register_loaders"),
    "--device": _given_by("ww_register_devices"),
    "--executor": _given_by("ww_register_executors"),
}

BY_ARGUMENT: dict[str, Callable[[Any, str], Iterable[str]]] = {
    "MODEL": _models,
    "FIRST": _models,
    "OTHER": _models,
    "CANDIDATE": _models,
    "OLD": _models,
    "LAYER": _layers,
    "SERIES": _series,
}

BY_COMMAND: dict[str, Callable[[Any, str], Iterable[str]]] = {
    "metrics": _given_by("ww_register_metrics"),
    "extractors": _given_by("ww_register_extractors"),
    "profiles": _given_by("ww_register_profiles"),
    "loaders": _given_by("ww_register_loaders"),
    "importers": _given_by("ww_register_importers"),
    "feature-sets": _given_by("ww_register_feature_sets"),
    "estimators": _given_by("ww_register_estimators"),
}
"""What NAME means, by the command that lists it."""

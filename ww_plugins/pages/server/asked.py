"""What an address asks: the arguments and options of a command, by their names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup, escape

import ww_core as ww
from ww_core.command import options, printable

PAGE = "page"
"""The parameter that says which part of a long table is shown: of the page, and not of its command."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a command may be asked.

    Attributes:
        command: Name of the command.
        path: Name of the page in its address.
        arguments: Names of its arguments, in order.
        options: Names of its options that take one value.
        lists: Names of options that may be given several times.
        switches: Names of options that take no value.
        required: Names of what must be given.
    """

    command: str
    path: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names, as they stand in an address."""
        return (*self.arguments, *self.options, *self.lists, *self.switches)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: the address of a page, and the command that answers the same.

    Attributes:
        form: What may be asked.
        given: What was given, by name.
        page: Which part of a long table is shown, from 1.
    """

    form: Form
    given: Mapping[str, Sequence[str]]
    page: int = 1

    @classmethod
    def of(cls, form: Form, query: str) -> Asked:
        """Read the query of an address; a field of a form that is empty was not given.

        Raises:
            UsageError: A name is not known, or something is given twice, or is no number.
        """
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
            if name != PAGE and name not in form.names:
                raise ww.UnknownNameError("parameter", name[:100], [*form.names, PAGE])
            if value.strip():
                given.setdefault(name, []).append(value)
        for name, values in given.items():
            if len(values) > 1 and name not in form.lists:
                raise ww.UsageError(f"{name} is given {len(values)} times: give it once")
        page = given.pop(PAGE, ["1"])[0]
        return cls(form, given, _whole(PAGE, page, 1))

    @property
    def missing(self) -> list[str]:
        """Names of what must be given, and was not."""
        return [name for name in self.form.required if name not in self.given]

    def text(self, name: str) -> str:
        """Return one value; empty for none."""
        return self.given.get(name, [""])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of a list, which commas separate too.

        Raises:
            UsageError: One of them is empty.
        """
        return options.listed([*self.given.get(name, [])] or None, f"--{name}")

    def count(self, name: str) -> int | None:
        """Return a whole number from 0; None for none.

        Raises:
            UsageError: It is no such number.
        """
        return _whole(name, self.text(name), 0) if name in self.given else None

    def is_set(self, name: str) -> bool:
        """Tell whether a switch was given."""
        return name in self.given

    def with_value(self, name: str, value: str) -> Asked:
        """Return the question with one value more, or another one."""
        return replace(self, given={**self.given, name: [value]})

    def command(self, store: str) -> str:
        """Return the command line that answers the same, to copy into a shell.

        Args:
            store: Where the store is.
        """
        arguments = [self.text(name) for name in self.form.arguments if name in self.given]
        words = [*_words(self.form, self.given), "--store", store]
        if any(argument.startswith("-") for argument in arguments):
            words += ["--", *arguments]
        else:
            words = [*arguments, *words]
        return printable(shlex.join(["ww", self.form.command, *words]))

    def address(self, *, page: int = 1, json: bool = False) -> Markup:
        """Return the address of this question, or of another part of its table, or of its JSON."""
        given = {name: values for name, values in self.given.items() if values}
        return address(f"{self.form.path}{'.json' if json else ''}", given | ({PAGE: [str(page)]} if page > 1 else {}))


def address(path: str, given: Mapping[str, Iterable[str] | str]) -> Markup:
    """Return the address of a page, as an attribute holds it, and of what it is asked; nothing of an empty text."""
    pairs = [(name, [own] if isinstance(own, str) else own) for name, own in given.items() if own]
    query = urlencode([(name, value) for name, values in pairs for value in values])
    return escape(f"/{path}?{query}" if query else f"/{path}")


def _words(form: Form, given: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for name in (*form.options, *form.lists):
        for value in given.get(name, ()):
            yield from [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
    yield from (f"--{name}" for name in form.switches if name in given)


def _whole(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise ww.UsageError(f"{name}={text[:40]!r} is not a whole number from {least} on")
    return int(text)

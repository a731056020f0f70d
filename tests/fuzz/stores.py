"""Stores that somebody has changed: any cell holds anything, any byte of the file is another one.

Whoever reads or writes such a store gets an answer or one sentence: no exception that is not ww's own, and no wait.

    python tests/fuzz/stores.py COUNT [SEED]
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

import ww_core as ww
from ww_core.cli.main import main
from ww_core.errors import WWError
from ww_core.store.store import Store, open_store

SECONDS = 10  # that any answer may take to compute
PATIENCE = 60  # seconds that it may take on a machine that does other work too


# --- a store that has some of nearly everything -----------------------------------------------------------------------


def make_store(path: Path) -> None:
    """Make a small store: versions that share layers, convolutions, scores, series, a table of others, failures."""

    @ww.metric(version="1")
    def fragile(singular_values):
        if singular_values.size > 7:
            raise RuntimeError("not this one")
        return float(singular_values[0])

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self) -> list[object]:
            return [fragile]

    with open_store(path) as store:
        for number in (1, 2, 3):
            ww.analyze(_net(number), store=store, name="net", version=f"v{number}", series="nets")
        ww.analyze(_net(3), store=store, name="net", version="v3", extractors=["slice"], layers=["b"])
        ww.analyze(_net(4), store=store, name="other", metrics=["alpha", "fragile"], plugins=[Plugin()])
        said = {"name": "top1", "dataset": "digits", "source": "a paper", "unit": "%", "better": "lower"}
        for number in (1, 2, 3):
            store.add_scores([ww.Score("net", version=f"v{number}", value=5.0 - number, low=1.0, high=6.0, **said)])
        store.add_scores([ww.Score("net", version="v1", value=4.5, low=1.0, high=6.0, **said)], correct=True)
        store.add_scores([ww.Score("VGG", version="bn", value=2.0, **said)], without_weights=True)
        column = ww.ReportedColumn("norm", "peer:norm", "1", "A norm.", better="lower", caveat="It grows with depth.")
        rows = [ww.ReportedEntry("VGG", {"norm": ww.Outcome.of(2.0 + n)}, layer=f"l.{n}") for n in range(3)]
        with store.writing() as writer:
            writer.record_reported_table(
                ww.ReportedTable("table 2", "peer 0.2", (column,), tuple(rows), series={"VGG": ("nets",)})
            )


def _net(number: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(number)
    return {
        "a.weight": drawn.standard_normal((12, 8)),
        "a.bias": drawn.standard_normal(12),
        "b.weight": drawn.standard_normal((6, 4, 3, 3)),
        "shared.weight": np.random.default_rng(99).standard_normal((9, 7)),
        "norm.weight": np.ones(5),
        "steps": np.arange(number),
    }


# --- mutations --------------------------------------------------------------------------------------------------------

ODD = (
    "NULL", "0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808", "4294967296", "0.5", "-0.0", "1e308",
    "9e999", "-9e999", "''", "'x'", "'12'", "'[]'", "'{}'", "'null'", "'[1]'", "'[1e999]'", "'[-1, \"a\"]'",
    "'{\"a\": 1}'", "'[[[['", "'NaN'", "x''", "x'00ff'", "CAST(x'ff61' AS TEXT)", "CAST(x'6100' AS TEXT)",
    "printf('%.*c', 5000, '[')", "printf('%.*c', 100000, 'a')", "char(27, 91, 50, 74)", "char(8238)",
    "zeroblob(100000)", "'ok'", "'analyzed'", "'f8-shuffle-zlib'", "'2025-01-01T00:00:00.000Z'",
    "'[9223372036854775807, 9223372036854775807]'",
)  # fmt: skip
"""What a cell may hold, as SQL: other types, limits, other JSON, texts that are none."""


class Mutation(NamedTuple):
    """A change of a store: what is done, in words, and a function that does it to a file."""

    what: str
    apply: Callable[[Path], None]


class Original:
    """A store, and its twin that takes any value in any cell."""

    def __init__(self, folder: Path) -> None:
        self.sound = folder / "sound.sqlite"
        self.lax = folder / "lax.sqlite"
        make_store(self.sound)
        with contextlib.closing(sqlite3.connect(self.sound)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # copies are then one file
            shutil.copyfile(self.sound, self.lax)
            self._definitions = connection.execute(
                "SELECT sql, name FROM sqlite_master WHERE type = 'table'"
            ).fetchall()
            names = [name for _, name in self._definitions if name != "sqlite_sequence"]
            self.columns = [
                (name, column[1]) for name in names for column in connection.execute(f"PRAGMA table_info({name})")
            ]
            self.filled = {name for name in names if connection.execute(f"SELECT 1 FROM {name}").fetchone()}
        with contextlib.closing(sqlite3.connect(self.lax, isolation_level=None)) as connection:
            self._define(connection, [(_lax(sql), name) for sql, name in self._definitions])

    def change(self, path: Path, statement: str) -> None:
        """Make a copy of the store in which a statement was executed that no rule of the schema has hindered."""
        shutil.copyfile(self.lax, path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            with contextlib.suppress(sqlite3.IntegrityError):  # of a key: nothing has changed
                connection.execute("PRAGMA ignore_check_constraints = ON")
                connection.execute("PRAGMA journal_mode = MEMORY")
                connection.execute(statement)
            self._define(connection, self._definitions)

    @staticmethod
    def _define(connection: sqlite3.Connection, definitions: list[tuple[str, str]]) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("BEGIN")
        connection.executemany("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", definitions)
        connection.execute("COMMIT")


def _lax(definition: str) -> str:
    """Take types and NOT NULL off the columns of a table, but for a key that is SQLite's own number of the row."""
    key = re.search(r"PRIMARY KEY \((\w+)\)", definition)

    def column(found: re.Match[str]) -> str:
        is_number = (key and key[1] == found[1]) or definition[found.end() :].startswith(" PRIMARY KEY")
        return found[0] if is_number and found[2] == "INTEGER" else f"\t{found[1]} "

    types = r"(INTEGER|BIGINT|DOUBLE|FLOAT|TEXT|BLOB|BOOLEAN|VARCHAR\(\d+\))"
    return re.sub(rf'\t("?\w+"?) {types}( DEFAULT [^ ,]+)?( NOT NULL)?', column, definition)


def mutations(original: Original, seed: int) -> Iterator[Mutation]:
    """Yield changes without end: of one cell, of a column, of rows, of bytes; the same for the same seed."""
    random = Random(seed)
    columns = [place for place in original.columns if place[0] in original.filled]
    while True:
        table, column = random.choice(columns)
        kind = random.choices(("cell", "column", "swapped", "removed", "bytes", "header"), (50, 15, 8, 7, 15, 5))[0]
        if kind in {"bytes", "header"}:
            yield _of_bytes(original, random.getrandbits(32), in_header=kind == "header")
            continue
        some = f"WHERE {column} IS {_nth(original, table, column, random)}"
        statement = {
            "cell": f"UPDATE {table} SET {column} = {random.choice(ODD)} {some}",
            "column": f"UPDATE {table} SET {column} = {random.choice(ODD)}",
            "swapped": f"UPDATE {table} SET {column} = {_nth(original, table, column, random)} {some}",
            "removed": f"DELETE FROM {table} {some}",
        }[kind]
        yield Mutation(statement, lambda path, statement=statement: original.change(path, statement))


def _nth(original: Original, table: str, column: str, random: Random) -> str:
    return f"(SELECT {column} FROM {table} ORDER BY {column} LIMIT 1 OFFSET {random.randrange(4)})"


def _of_bytes(original: Original, seed: int, *, in_header: bool) -> Mutation:
    def flip(path: Path) -> None:
        random = Random(seed)
        content = bytearray(original.sound.read_bytes())
        for _ in range(random.choice((1, 3, 20, 200))):
            place = random.randrange(100) if in_header else random.randrange(100, len(content))
            content[place] = random.choice((0, 1, 9, 255, random.randrange(256)))
        path.write_bytes(content)

    return Mutation(f"{'header' if in_header else 'bytes'} {seed}", flip)


# --- doors ------------------------------------------------------------------------------------------------------------


def _read(store: Store) -> Iterator[Callable[[], object]]:
    yield lambda: [version.model for version in store.versions()]
    yield lambda: store.report("net").to_dict()
    yield lambda: store.report("other").to_dict()
    yield lambda: store.origins("net")
    yield lambda: store.runs("net")
    yield lambda: store.layers("net@v1")
    yield lambda: store.layer_coverage("net")
    yield lambda: store.features(["alpha", "stable_rank"])
    yield lambda: store.values(["log_norm"], scope="layer")
    yield lambda: store.scores()
    yield lambda: store.series()
    yield lambda: store.reported_tables()
    yield lambda: store.reported_table("peer 0.2")
    yield lambda: store.spectrum("net", "b")
    yield lambda: store.info()


def _ask(store: Store, room: Path) -> dict[str, Callable[[], object]]:
    """What takes longer, by name: of each mutation some of them are tried."""
    return {
        "history": lambda: store.history("net"),
        "diff": lambda: ww.diff("net@v1", "net@v2", store=store),
        "blame": lambda: ww.blame("net", "a", store=store),
        "check": lambda: ww.check("net", rules=["alpha < 6", "change(alpha) < 1"], baseline="previous", store=store),
        "leaderboard": lambda: ww.leaderboard("alpha", store=store, score="top1", replicates=0),
        "trend": lambda: ww.trend(["alpha"], "top1", store=store, by=(), replicates=0),
        "regressions": lambda: ww.regressions("net", store=store),
        "reported": lambda: ww.leaderboard("norm", store=store, reported="table 2"),
        "garbage": store.count_garbage,
        "verify": store.verify,
        "export": lambda: ww.export(room / "table.csv", store=store, replace=True),
        "folder": lambda: store.export_folder(room / "folder", replace=True),
        "backup": lambda: store.backup(room / "copy.sqlite"),
    }


def _write(store: Store) -> dict[str, Callable[[], object]]:
    return {
        "analyze": lambda: ww.analyze(_net(3), store=store, name="net", version="v3", jobs=1),
        "analyze anew": lambda: ww.analyze(_net(5), store=store, name="net", jobs=1),
        "backfill": lambda: ww.backfill(store, jobs=1),
        "distrust": lambda: store.distrust("ww.metrics"),
        "gc": store.collect_garbage,
        "summaries": store.rebuild_summaries,
        "forget": lambda: store.forget("net@v2"),
        "rename": lambda: store.rename("net", "new"),
        "step": lambda: store.set_step("net@v1", 7),
        "score": lambda: store.add_scores(
            [ww.Score("net", name="top1", dataset="digits", source="a paper", value=1.0, better="lower")], correct=True
        ),
        "no scores": lambda: store.remove_scores(names=["top1"]),
        "series": lambda: store.add_to_series("nets", ["other"]),
        "no series": lambda: store.remove_from_series("nets"),
    }


COMMANDS = (
    "show", "show net", "show net --json", "show net --csv", "show net --runs", "show net --origin", "show other",
    "spectrum net b", "diff net@v1 net@v2", "history net", "regressions net", "blame net a", "leaderboard alpha",
    "check net --rule alpha<6 --baseline previous", "trend alpha --score top1", "scores list", "series list",
    "db check", "db info", "db gc --dry-run", "backfill", "db check --repair", "db upgrade", "db gc",
)  # fmt: skip


class Failure(NamedTuple):
    """A mutation that a door was not equal to: which, and what came of it."""

    mutation: str
    door: str
    cause: str


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """End what takes too long to compute, or waits for what does not come; where there are no alarms, nothing does."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE))
    before = [signal.signal(number, _too_long) for number, _, _ in timers]
    try:
        for _, timer, seconds in timers:
            signal.setitimer(timer, seconds)
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"took longer than {SECONDS} s")


def _cause(ask: Callable[[], object]) -> str:
    """Ask, and return what came of it that is no answer and no sentence of ww's; nothing if all is well."""
    try:
        with _limited():
            ask()
    except WWError as error:
        return "" if str(error) and "\n" not in str(error) else f"not one sentence: {error!r}"
    except (Exception, KeyboardInterrupt):
        return traceback.format_exc()
    return ""


def _run_command(line: str, path: Path) -> None:
    said, before = io.StringIO(), sys.argv
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8")
    sys.argv = ["ww", *line.split(), "--store", str(path)]
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            main()
    finally:
        sys.argv = before
    if "Traceback" in said.getvalue() or "interrupted" in said.getvalue():
        raise AssertionError(said.getvalue())


def failures_of(mutation: Mutation, room: Path, random: Random, quick: float, slow: float) -> Iterator[Failure]:
    """Change a store, and try doors, with probabilities as of `run`."""
    path = room / "store.sqlite"
    mutation.apply(path)
    with contextlib.suppress(OSError):
        (room / "copy.sqlite").unlink()

    def tried(door: str, ask: Callable[[], object]) -> Iterator[Failure]:
        if cause := _cause(ask):
            yield Failure(mutation.what, door, cause)

    def read() -> Iterator[Failure]:
        with open_store(path, mode="read") as store:
            for number, ask in enumerate(_read(store)):
                if random.random() < quick:
                    yield from tried(f"read {number}", ask)
            asked = _ask(store, room)
            if random.random() < slow:
                name = random.choice(sorted(asked))
                yield from tried(name, asked[name])

    found: list[Failure] = []
    yield from tried("open", lambda: found.extend(read()))
    if random.random() < slow:
        line = random.choice(COMMANDS)
        yield from tried(f"ww {line}", lambda: _run_command(line, path))
    if random.random() < slow:
        yield from tried("open for writing", lambda: found.extend(_written(path, random, tried)))
    yield from found


def _written(path: Path, random: Random, tried: Callable[..., Iterator[Failure]]) -> Iterator[Failure]:
    with open_store(path) as store:
        doors = _write(store)
        name = random.choice(sorted(doors))
        yield from tried(name, doors[name])


def run(count: int, seed: int = 0, *, quick: float = 1.0, slow: float = 0.5) -> list[Failure]:
    """Try mutations, and return what failed.

    Args:
        count: How many.
        seed: Of what is drawn.
        quick: With which probability each door is tried that answers in a moment.
        slow: With which probability a question that takes longer, a command and a writer are tried, one of each.
    """
    with tempfile.TemporaryDirectory(prefix="ww-fuzz-") as folder:
        original = Original(Path(folder))
        room = Path(folder) / "room"
        random = Random(seed)
        failures = []
        for _, mutation in zip(range(count), mutations(original, seed), strict=False):
            room.mkdir()
            failures += failures_of(mutation, room, random, quick, slow)
            shutil.rmtree(room)
        return failures

"""A store of each kind for every test that asks for ``store_url``: an SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import multiprocessing
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import MetaData, select

import ww_core as ww
from ww_core.cli.main import main
from ww_core.domain.column import Column
from ww_core.domain.outcome import Outcome, State
from ww_core.store import tables
from ww_core.store.exchange import staging
from ww_core.store.records import DerivationRecord, Maker, OriginRecord
from ww_core.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count()


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("long_on_a_server") and item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.stress)


@pytest.fixture(autouse=True, scope="session")
def _equal_schemas_are_reflected_once():
    """Find out what tables a folder's store has once for all stores of one schema, not at each of 600 imports."""
    known = {}

    class Reflected(MetaData):
        def reflect(self, connection):
            schema = tuple(connection.exec_driver_sql("SELECT name, sql FROM sqlite_schema").all())
            if schema not in known:
                super().reflect(connection)
                known[schema] = self.tables
            self.tables = known[schema]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(staging, "MetaData", Reflected)
        yield


def _server_programs() -> Path | None:
    on_path = shutil.which("pg_ctl")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    candidates = [*([Path(on_path).resolve().parent] if on_path else []), *reversed(folders)]
    return next(
        (folder for folder in candidates if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None
    )


def _unprivileged() -> dict:
    """Arguments of subprocess.run that give up root, under which a server refuses to start."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _in_memory() -> Path | None:
    """Return a folder whose files stay in memory, if there is one with room: a new database is 300 new files."""
    folder = Path("/dev/shm")
    has_room = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2**30
    return folder if has_room else None


@pytest.fixture(scope="session")
def postgresql_server():
    """Folder of the socket of a server that lives as long as the session (each xdist worker has its own)."""
    programs = _server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs: neither on PATH nor in /usr/lib/postgresql/*/bin")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    identity = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="ww-pg-", dir=_in_memory()))  # short: a socket's path has 100 characters
    if identity:
        os.chown(folder, identity["user"], identity["group"])

    def server(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        # Its output goes to a file: the server inherits it, and a pipe would stay open as long as the server lives.
        with (folder / "output").open("a+") as output:
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=output, check=False, **identity)
            output.seek(0)
            assert done.returncode == 0, output.read()

    try:
        server("initdb", "-U", "ww", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        settings = f"-k {folder} -c listen_addresses= -c fsync=off -c max_wal_size=64MB"
        server("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", settings)
        try:
            yield folder
        finally:
            server("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def administration(postgresql_server):
    """A connection that makes and drops databases."""
    import psycopg

    with psycopg.connect(host=str(postgresql_server), user="ww", dbname="postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_database(postgresql_server, administration):
    """A function that makes an empty database, or a copy of another, and returns its URL."""
    by_files = " STRATEGY file_copy" if administration.info.server_version >= 150_000 else ""  # the only one before
    made = []

    def make(original: str | None = None, *, keep: bool = False) -> str:
        name = f"ww_{next(_numbers)}"
        template = urlsplit(original).path[1:] if original else "template1"
        administration.execute(f"CREATE DATABASE {name} TEMPLATE {template}{by_files}")
        if not keep:
            made.append(name)
        return f"postgresql://ww@/{name}?host={postgresql_server}"

    yield make
    for name in made:
        administration.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def make_store_url(request, tmp_path, tmp_path_factory):
    """A function that returns the location of a store yet to be made, or of a copy of another."""
    if request.param == "postgresql":
        return request.getfixturevalue("make_database")

    def make(original: str | None = None, *, keep: bool = False) -> str:
        folder = tmp_path_factory.mktemp("original") if keep else tmp_path
        path = str(folder / f"store-{next(_numbers)}.sqlite")
        return shutil.copyfile(original, path) if original else path

    return make


@pytest.fixture
def new_store_url(make_store_url):
    """Location of a store yet to be made: an SQLite file, and a database on a PostgreSQL server."""
    return make_store_url()


@pytest.fixture(scope="session")
def originals() -> dict[tuple[str, Callable], str]:
    """Locations of stores that were made to be copied, by their kind and by what has filled them."""
    return {}


@pytest.fixture
def make_copy(request, make_store_url, originals):
    """A function that returns the location of a store as some function fills it: that is called once for all tests."""
    kind = request.node.callspec.params["make_store_url"]

    def make(fill: Callable) -> str:
        if (kind, fill) not in originals:
            location = make_store_url(keep=True)
            with open_store(location) as store:
                fill(store)
            originals[kind, fill] = location
        return make_store_url(originals[kind, fill])

    return make


def _with_nothing(store) -> None:
    pass


@pytest.fixture
def store_url(make_copy):
    """Location of a new store with nothing in it, of each kind."""
    return make_copy(_with_nothing)


class ForkedProgram:
    """Starts ``ww`` in processes of their own, forked from one that has all imports done: they begin at once."""

    READY = (
        "ww_core.cli.main", "ww_core.use_cases.analyze", "ww_core.store.store", "alembic.command", "typer._adapters",
        "ww_plugins.loaders", "ww_plugins.extractors", "ww_plugins.metrics", "safetensors.numpy", "scipy.linalg",
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(list(self.READY))
        self._folder = folder

    def __call__(self, *arguments, largest_file=None, only_errors=False):
        """Start the program; no file that it writes gets larger than so many bytes."""
        texts, name = [str(argument) for argument in arguments], f"output-{next(_numbers)}"
        work = (texts, self._folder / name, largest_file, only_errors)
        process = self._processes.Process(target=_run_program, args=work, name=name)
        process.start()
        return process

    def output(self, process):
        """Wait for its end, and return its exit code and what it has printed, errors included."""
        process.join(120)
        return process.exitcode, (self._folder / process.name).read_text()


def _run_program(arguments, output, largest_file, only_errors):
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_WRONLY) if only_errors else descriptor, 1)
    os.dup2(descriptor, 2)
    if largest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["ww", *arguments]
    sys.exit(main())


@pytest.fixture
def forked_ww(tmp_path):
    """The program, in processes that begin at once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    return ForkedProgram(tmp_path)


@pytest.fixture
def eight_processes():
    """A pool of eight processes, which have their imports done where the system forks."""
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    processes = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        processes.set_forkserver_preload(list(ForkedProgram.READY))
    with processes.Pool(8) as pool:
        yield pool


@pytest.fixture(scope="module")
def many_layers(tmp_path_factory):
    """A model of 60 small layers, of which rows are written all the time."""
    drawn = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    shapes = [(160 + number, 128) for number in range(60)]
    save_file({f"{i}.weight": drawn.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}, path)
    return path


@pytest.fixture(params=["WAL", "rollback journal"])
def new_store(request, tmp_path):
    """A function that returns the path of a store yet to be made, in a new folder, with one journal or the other."""

    def path() -> Path:
        store = tmp_path / f"stores-{next(_numbers)}" / "store.sqlite"
        store.parent.mkdir()
        if request.param != "WAL":
            store.with_name("store.sqlite-shm").mkdir()  # no shared memory, as in many network folders
        return store

    return path


@pytest.fixture
def content_of():
    """A function that returns all rows of a store but those of runs, by table, as they are in any store.

    Keys are replaced by what they point at; times and origins are left out, so that stores of equal content are equal.
    """

    def content(location) -> dict:
        names, found = {}, {}
        with open_store(location, mode="read") as store, store._reading() as connection:
            for table in tables.metadata.sorted_tables:  # what is pointed at comes first
                if table.name in {"run", "run_failure", "origin"}:
                    continue
                found[table.name] = set()
                for row in connection.execute(select(table)).mappings():
                    fields = tuple(
                        names[reference.column.table.name, row[column.name]]
                        if (reference := next((key for key in column.foreign_keys if key.column.name == "id"), None))
                        and row[column.name] is not None
                        else row[column.name]
                        for column in table.columns
                        if column.name not in OF_RUNS and column.name != "id"
                    )
                    found[table.name].add(fields)
                    if "id" in row:
                        names[table.name, row["id"]] = row.get("digest", fields)
        return found

    return content


OF_RUNS = {"created_at", "seconds", "origin_id"}


# --- a store that has some of everything ------------------------------------------------------------------------------


@ww.metric(version="1")
def fragile(singular_values):
    """Raises for large weights."""
    if float(singular_values[0]) > 20:
        raise RuntimeError("not this one\x00\udc80")
    return float(singular_values[0])


class FragilePlugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [fragile]


def small_net(number):
    random = np.random.default_rng(number)
    return {
        "a.weight": random.standard_normal((30, 20)),
        "a.bias": random.standard_normal(30),
        "b.weight": random.standard_normal((12, 6, 3, 3)),
        "shared.weight": np.random.default_rng(99).standard_normal((20, 30)),
        "steps": np.arange(number),
    }


class _Stop:
    def on_start(self, start):
        raise KeyboardInterrupt


def fill_with_everything(store):
    """Write at least one row of every table, by the store's own writers, of every kind that there is."""
    ww.analyze(small_net(1), store=store, name="gone")  # what it shares stays, and its run goes
    ww.analyze(small_net(2), store=store, name="net", version="checkpoint-500", series="nets")
    ww.analyze(small_net(3), store=store, name="net", version="checkpoint-1000", extractors=["pool", "slice"])
    ww.analyze(small_net(2), store=store, name="twin", version="=1+1", keep_spectra=False)
    ww.analyze(
        small_net(2), store=store, name="net", version="checkpoint-500", parameters={"power_law.ks": "two-sided"}
    )
    ww.analyze(small_net(4), store=store, name="größe ✓", version="-1.5", profile="weightwatcher", keep_spectra=False)
    ww.analyze(small_net(4), store=store, name="größe ✓", version="-1.5", metrics=["alpha"], layers=["a"])
    odd = {"ключ ₪.weight": np.eye(9), "zero.weight": np.zeros((8, 7)), "inf.weight": np.full((7, 6), 1e308)}
    ww.analyze(odd, store=store, name="odd")
    large = {"large.weight": 9 * np.random.default_rng(5).standard_normal((30, 30))}
    ww.analyze(large, store=store, name="lossy", metrics=["fragile", "alpha"], plugins=[FragilePlugin()])
    ww.analyze(small_net(6), store=store, label=False)
    with contextlib.suppress(KeyboardInterrupt):
        ww.analyze(small_net(7), store=store, name="stopped", observers=[_Stop()])
    store.forget("gone")
    store.collect_garbage()
    said = {"name": "top1", "dataset": "digits ✓", "source": "a paper"}
    store.add_scores([ww.Score("net", value=5.0, low=4.5, high=5.5, unit="%", better="lower", **said)])
    store.add_scores([ww.Score("net", value=0.1 + 0.2, unit="%", better="lower", **said)], correct=True)
    store.add_scores([ww.Score("VGG11", version="bn", value=-0.0, **said)], without_weights=True)
    column = ww.ReportedColumn("norm", "peer:norm", "1", "A norm.", caveat="It grows with depth.")
    rows = [
        ww.ReportedEntry("VGG16", {"norm": Outcome.of(1e-320)}, layer="features.0"),
        ww.ReportedEntry("VGG16", {"norm": Outcome(State.NAN)}, layer="features.1"),
    ]
    table = ww.ReportedTable("table 2", "peer 0.2", (column,), tuple(rows), series={"VGG16": ("nets", "vgg")})
    with store.writing() as writer:
        writer.record_reported_table(table)
    with store._reading() as connection:
        subject = tables.subject.c
        matrices = sorted(connection.scalars(select(subject.digest).where(subject.kind == "matrix")))
        identity = connection.scalar(
            select(tables.identity.c.digest).where(tables.identity.c.key == "ww.metrics:power_law")
        )
        checkpoints = sorted(connection.scalars(select(tables.checkpoint.c.digest)))
    with store.writing() as writer:
        pair = writer.record_pair(*matrices[:2])
        writer.record_pair(pair, matrices[2])
        made = DerivationRecord(checkpoints[0], (checkpoints[1], "f" * 64), "averages:swa", "1", {"every": 2})
        writer.record_derivation(made)
        outcomes = [{"size": Outcome.of(3.5)}, {"size": Outcome(State.REFUSED, reason="too close")}]
        who = OriginRecord(7, "ww 0.1.0", Maker("traps", "ww-traps", "1.2"), (), "openblas 0.3")
        writer.record_table(matrices[0], identity, [Column("size")], outcomes, who)


@pytest.fixture
def everything(make_copy):
    """Location of a store, of each kind, that has some of everything."""
    return make_copy(fill_with_everything)


@pytest.fixture
def everything_in_a_file(tmp_path, tmp_path_factory, originals):
    """Location of an SQLite store that has some of everything."""
    if "everything" not in originals:
        originals["everything"] = str(tmp_path_factory.mktemp("original") / "store.sqlite")
        with open_store(originals["everything"]) as store:
            fill_with_everything(store)
    return shutil.copyfile(originals["everything"], tmp_path / f"everything-{next(_numbers)}.sqlite")

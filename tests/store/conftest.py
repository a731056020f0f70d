"""A store of each kind for every test that asks for ``store_url``: an SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_numbers = itertools.count()


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


@pytest.fixture(scope="session")
def postgresql_server():
    """Folder of the socket of a server that lives as long as the session (each xdist worker has its own)."""
    programs = _server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs: neither on PATH nor in /usr/lib/postgresql/*/bin")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    identity = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="ww-pg-"))  # short: the path of a socket has about 100 characters
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
        server(
            "pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses= -c fsync=off"
        )
        try:
            yield folder
        finally:
            server("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def make_database(postgresql_server):
    """A function that makes an empty database and returns its URL."""
    import psycopg

    def administer(statement: str) -> None:
        with psycopg.connect(host=str(postgresql_server), user="ww", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    made = []

    def make() -> str:
        name = f"ww_{next(_numbers)}"
        administer(f"CREATE DATABASE {name}")
        made.append(name)
        return f"postgresql://ww@/{name}?host={postgresql_server}"

    yield make
    for name in made:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def make_store_url(request, tmp_path):
    """A function that returns the location of a new, empty store."""
    if request.param == "postgresql":
        return request.getfixturevalue("make_database")
    return lambda: str(tmp_path / f"store-{next(_numbers)}.sqlite")


@pytest.fixture
def store_url(make_store_url):
    """Location of a new, empty store: an SQLite file, and a database on a PostgreSQL server."""
    return make_store_url()

"""Addresses of servers: what is read, what is refused, and that no secret of one is shown or becomes a file's name."""

import pickle
import traceback
from pathlib import Path

import pytest

from ww_core.errors import NotAStoreError
from ww_core.store.engine import Location, connect
from ww_core.store.store import open_store

SECRET = "hunter2"


def arguments(text: str) -> dict:
    """What the driver would be given."""
    pytest.importorskip("psycopg")
    location = Location.of(text)
    engine = connect(location)
    given = engine.dialect.create_connect_args(location.url)
    engine.dispose()
    return given[1]


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        (
            "postgresql://me:p%40ss%2Fw%3A%3F%23%25@db.example.org:5433/ww",
            {"user": "me", "password": "p@ss/w:?#%", "host": "db.example.org", "port": 5433, "dbname": "ww"},
            "postgresql://me:***@db.example.org:5433/ww",
        ),
        ("postgresql://me:a:b+c=d&e@h/ww", {"password": "a:b+c=d&e"}, "postgresql://me:***@h/ww"),
        ("postgresql://me:größe^@h/ww", {"password": "größe^"}, "postgresql://me:***@h/ww"),
        ("postgresql://[::1]:5432/ww", {"host": "::1", "port": 5432}, "postgresql://[::1]:5432/ww"),
        ("postgresql://me@%2Frun%2Fpgs/ww", {"host": "/run/pgs"}, "postgresql://me@/ww?host=%2Frun%2Fpgs"),
        ("postgresql://me@/ww?host=/run/a+b", {"host": "/run/a+b"}, None),
        ("postgresql://me@h1/ww?sslmode=verify-full", {"sslmode": "verify-full"}, "postgresql://me@h1/ww"),
        (f"postgresql://me@h/ww?password={SECRET}", {"password": SECRET}, "postgresql://me@h/ww"),
        (f"postgres://h/ww?user=me&sslpassword={SECRET}", {"user": "me"}, "postgresql://h/ww?user=me"),
        (f"postgresql://h/ww?options=-c%20a.b%3D{SECRET}", {"options": f"-c a.b={SECRET}"}, "postgresql://h/ww"),
        ("postgresql:///ww?host=h1,h2&port=1,2", {"host": "h1,h2", "port": "1,2"}, None),
        ("postgresql://h/a%40b", {"dbname": "a@b"}, None),
        ("postgresql://m%20e@h/a%20b", {"user": "m e", "dbname": "a b"}, "postgresql://m%20e@h/a%20b"),
        ("postgresql://", {}, "postgresql://"),
    ],
)
def test_what_an_address_says_reaches_the_driver(text, expected, shown):
    given = arguments(text)
    assert {key: given.get(key) for key in expected} == expected
    location = Location.of(text)
    assert str(location) == (shown or str(location))
    assert SECRET not in f"{location} {location!r}"


NOT_UNDERSTOOD = [
    f"postgresql://me:pa@{SECRET}@host/ww",
    f"postgresql://me:pa/{SECRET}@host/ww",
    f"postgresql://me:12/{SECRET}@host/ww",
    f"postgresql://me:12?{SECRET}@host/ww",
    f"postgresql://me:12?{SECRET}=x@host/ww",
    f"postgresql://me:12#{SECRET}@host/ww",
    f"postgresql://me:pa%{SECRET}@host/ww",
    f"postgresql://me:pa%ff{SECRET}@host/ww",
    f"postgresql://me:pa%00{SECRET}@host/ww",
    f"postgresql://me:pa {SECRET}@host/ww",
    f"postgresql://me:pa\udcff{SECRET}@host/ww",
    f"postgresql://me:{SECRET}@host/ww\n",
    f"postgresql://me:{SECRET}@host:x/ww",
    f"postgresql://me:{SECRET}@host:99999/ww",
    f"postgresql://me:{SECRET}",
    f"postgresql://host/host=evil%20password={SECRET}",
    f"postgresql://host/host%3Devil%20password%3D{SECRET}",
    f"postgresql://host/?dbname=host%3Devil%20password%3D{SECRET}",
    f"postgresql://host/?dbname=postgresql%3A%2F%2Fu:{SECRET}%40evil",
    f"postgresql://host/ww?pasword={SECRET}",
    f"postgresql://host/ww?{SECRET}",
    f"postgresql://host/ww?{SECRET}=1",
    f"postgresql://host/ww?sslmode=require&sslmode={SECRET}",
    f"postgresql://me:{SECRET}@host/ww?password=other",
    f"postgresql://host/ww?connect_timeout={SECRET}",
    f"postgresql://host/ww?port={SECRET}",
    f"postgresql://host/ww?host=a,b,c&port=1,2&password={SECRET}",
    f"postgresql://host/ww?client_encoding=latin1&password={SECRET}",
]
NO_ADDRESS = [
    f"postgresql:/me:{SECRET}@host/ww",
    f"postgresql:me:{SECRET}@host/ww",
    f"postgresql//me:{SECRET}@host/ww",
    f"postgresql:\\\\me:{SECRET}@host",
    f"postgres:/me:{SECRET}@host/ww",
    f"POSTGRESQL://me:{SECRET}@host/ww",
    f"PostgreSQL:/me:{SECRET}@host/ww",
    f" postgresql://me:{SECRET}@host/ww",
    f"\npostgresql://me:{SECRET}@host/ww",
    f"\ufeffpostgresql:/me:{SECRET}@host/ww",
    f"'postgresql:/me:{SECRET}@host/ww'",
    f"postgresql+psycopg:/me:{SECRET}@host/ww",
    f"postgresql+psycopg2://me:{SECRET}@host/ww",
    f"postgresq://me:{SECRET}@host/ww",
    f"mysql://me:{SECRET}@host/ww",
    f"mysql:me:{SECRET}@host/ww",
    f"http://me:{SECRET}@host/ww",
    f"https:/me:{SECRET}@host/ww",
    f"sqlite:/{SECRET}",
    f"sqlite://{SECRET}",
    f"sqlite:{SECRET}",
    f"SQLITE:///{SECRET}",
    f"file:{SECRET}",
    f"file:///{SECRET}?mode=rw",
    f"me:{SECRET}@host/ww",
    f"host=db.example.org user=me password={SECRET}",
    f"dbname = ww password={SECRET}",
]


@pytest.mark.parametrize("text", [*NOT_UNDERSTOOD, *NO_ADDRESS])
def test_a_refusal_repeats_no_secret_and_makes_no_file(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    for mode in ("write", "read"):
        with pytest.raises(NotAStoreError) as caught:
            open_store(text, mode=mode)
        assert SECRET not in str(caught.value)
        assert str(caught.value).isprintable()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["postgresql://me:hunter2@host/ww", "postgresql:/me:hunter2@host/ww", "sqlite:///x.db", "file:x.db"]
)
def test_a_path_made_of_an_address_is_refused_too(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotAStoreError):
        open_store(Path(text))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file:x.db", "me:x@host.db", "host=x.db", "postgres.db", "results:2.db", "a@b.db"])
def test_any_name_is_a_path_after_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert Location.of(f"./{name}").path == tmp_path / name
    assert Location.of(str(tmp_path / name)).path == Location.of(tmp_path / name).path == tmp_path / name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("postgresql://h/ww?ssl_mode=require", "unknown key after its '?': did you mean sslmode"),
        ("postgresql://h/ww?foo=1", "unknown key after its '?': known are application_name, channel_binding"),
        ("postgresql://h/ww?port=0", "port in the postgresql:// URL is no number from 1 to 65535"),
        ("postgresql://h/ww?connect_timeout=soon", "connect_timeout in the postgresql:// URL is not a whole number"),
        ("postgresql://h/ww?sslmode=a&sslmode=b", "says its sslmode twice"),
        ("postgresql://h/ww?dbname=b", "says its dbname twice"),
    ],
)
def test_the_sentence_names_what_is_wrong(ww_here, text, sentence):
    done = ww_here("db", "info", "--store", text)
    assert (done.returncode, done.stdout) == (3, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", [NOT_UNDERSTOOD[0], NO_ADDRESS[0], f"postgresql://me:{SECRET}@127.0.0.1:1/ww"])
@pytest.mark.parametrize("command", [("show",), ("sql", "SELECT 1", "--json"), ("db", "check")])
def test_no_command_shows_a_secret(ww_here, command, text):
    pytest.importorskip("psycopg")
    done = ww_here(*command, environ={"WW_STORE": text})
    assert (done.returncode, done.stdout) == (3, "")
    assert SECRET not in done.stderr
    debugged = ww_here(*command, environ={"WW_STORE": text, "WW_DEBUG": "1"})
    assert (debugged.returncode, debugged.stdout) == (3, "")
    assert "Traceback" in debugged.stderr
    assert SECRET not in debugged.stderr
    assert list(ww_here.folder.iterdir()) == []


@pytest.mark.postgres
@pytest.mark.parametrize(
    "extra", ["&password=hunter2", "&sslpassword=hunter2", "&options=-c%20ww.x%3Dhunter2", "&passfile=/hunter2"]
)
def test_no_secret_is_stored_or_reported(make_database, ww_here, extra):
    url = make_database() + extra
    done = ww_here("db", "info", "--json", "--store", url)
    assert done.returncode == 3  # no store there yet
    with open_store(url) as store:
        said = f"{store.location} {store!r} {store.info()}"
        found = store.sql("SELECT * FROM run").to_dict()
    assert SECRET not in f"{said} {found} {done.stderr}"
    assert SECRET.encode() not in pickle.dumps(said)


@pytest.mark.postgres
def test_an_option_that_the_server_or_its_library_refuses_is_one_sentence(make_database, ww_here):
    for extra in ("&sslmode=nonsense", "&target_session_attrs=nix", "&require_auth=what", "&options=-nix"):
        done = ww_here("db", "info", "--store", make_database() + extra)
        assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
        assert "no connection to postgresql://ww@" in done.stderr

"""``ww serve``: its pages as a browser asks for them, over real connections."""

import contextlib
import http.client
import json
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import numpy as np
import pytest

import ww_core as ww

pytest.importorskip("starlette", reason="the extra web is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra web is not installed")

from ww_plugins.commands.serve.command import config  # noqa: E402
from ww_plugins.pages.server.application import application  # noqa: E402

TOKEN = "0123456789abcdef-Grüße"
SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT}\"'><img src=x onerror=alert(2)>{{{{7*7}}}}/../%00&a=b#c?d"
HOSTILE_LAYERS = ("a\u202eb\x1b[31m", f"{SCRIPT}/x", "[*]?", "界" * 1990)


class Served:
    """A server in a thread of this process."""

    def __init__(self, store, token=""):
        self.store = str(store)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(
            config(application(self.store, shown_location=self.store, host="127.0.0.1", token=token))
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def close(self):
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __call__(self, address, method="GET", **headers):
        """Ask, and return the status, the headers and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, address, skip_host=True)
            for name, value in ({"Host": f"127.0.0.1:{self.port}"} | headers).items():
                if value is not None:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def ask(self, path, **given):
        status, _, text = self(f"/{path}?{urlencode(given)}" if given else f"/{path}")
        return status, text


class Seen(HTMLParser):
    """What a browser makes of a page: its tags, the attributes of them, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.links = [value for _, name, value in self.attributes if name == "href"]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *own) for own in attrs]

    def handle_data(self, data):
        self.text += data


def arrays(seed, names=("first", "second")):
    random = np.random.Generator(np.random.Philox(seed))
    return {f"{name}.weight": random.standard_t(3, (14, 12)).astype(np.float32) for name in names}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a model of four versions, scores, two other models, and one whose names are attacks."""
    path = tmp_path_factory.mktemp("serve") / "store <b>.sqlite"
    with ww.open_store(path) as opened:
        for number in range(1, 5):
            ww.analyze(arrays(number), store=opened, name="owner/net", version=str(number))
        for number in (7, 8):
            ww.analyze(arrays(number), store=opened, name=f"other-{number}", version="1")
        ww.analyze(arrays(9, HOSTILE_LAYERS), store=opened, name=HOSTILE, version=SCRIPT)
        ww.analyze(arrays(10, HOSTILE_LAYERS), store=opened, name=HOSTILE, version="2")
        newest = {"owner/net": "4", "other-7": "1", "other-8": "1", HOSTILE: "2"}
        opened.add_to_series(SCRIPT, list(newest))
        opened.add_scores(
            ww.Score(name, "error", SCRIPT, float(len(name)), SCRIPT, version, "lower", "%")
            for name, version in newest.items()
        )
    return path


@pytest.fixture(scope="module")
def served(store):
    with contextlib.closing(Served(store)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(store):
    with contextlib.closing(Served(store, TOKEN)) as server:
        yield server


PAGES = [
    ("models", {}, ["show"]),
    ("show", {"model": "owner/net@2"}, ["show", "owner/net@2"]),
    ("history", {"model": "owner/net"}, ["history", "owner/net"]),
    ("history", {"model": "owner/net", "metrics": "D,sigma"}, ["history", "owner/net", "--metrics", "D,sigma"]),
    ("regressions", {"model": "owner/net"}, ["regressions", "owner/net"]),
    ("spectrum", {"model": "owner/net@1", "layer": "first"}, ["spectrum", "owner/net@1", "first"]),
    ("diff", {"first": "owner/net@1", "other": "owner/net@4"}, ["diff", "owner/net@1", "owner/net@4"]),
    ("leaderboard", {"metric": "alpha", "all-versions": "1"}, ["leaderboard", "--metric", "alpha", "--all-versions"]),
    ("trend", {"metric": "alpha", "score": "error"}, ["trend", "--metric", "alpha", "--score", "error"]),
]  # fmt: skip


def test_in_a_store_of_another_profile_no_link_leads_to_an_error(tmp_path):
    path = tmp_path / "store.sqlite"
    with ww.open_store(path) as opened:
        for number in range(3):
            ww.analyze(arrays(number), store=opened, name="net", version=str(number), profile="weightwatcher")
            ww.analyze(arrays(number), store=opened, name=f"net-{number}", version="1", profile="weightwatcher")
            opened.add_scores([ww.Score(f"net-{number}", "error", "d", float(number), "s", "1")])
    with contextlib.closing(Served(path)) as served:
        shown = {}
        for page in ("models", "history?model=net", "regressions?model=net", "leaderboard", "trend"):
            status, text = served.ask(page)
            assert status == 200
            shown |= dict.fromkeys(link for link in Seen(text).links if link.startswith("/"))
        assert {link: served(link)[0] for link in shown} == dict.fromkeys(shown, 200)
        assert "--profile weightwatcher" in served.ask("history", model="net")[1]


def test_links_keep_the_profile_of_the_numbers_that_they_stand_beside(tmp_path):
    path = tmp_path / "store.sqlite"
    with ww.open_store(path) as opened:
        for profile in ("default", "weightwatcher"):
            for number in range(2):
                ww.analyze(arrays(number), store=opened, name="net", version=str(number), profile=profile)
    with contextlib.closing(Served(path)) as served:
        for page in (
            "history?model=net",
            "regressions?model=net",
            "leaderboard?metric=alpha",
            "show?model=net&profile=default",
            "diff?first=net@0&other=net@1&profile=default",
            "spectrum?model=net&layer=first&profile=default",
        ):
            links = [
                own for own in Seen(served(f"/{page}")[2]).links if re.match("/(show|diff|spectrum|history)[?]", own)
            ]
            assert links
            assert [own for own in links if not re.search("profile=default|metrics=", own)] == []
            assert {served(own)[0] for own in links} == {200}


def test_infinities_sort_as_numbers_and_a_table_that_is_cut_says_so(tmp_path):
    path = tmp_path / "store.sqlite"
    vectors = {f"norm{number}.weight": np.ones(20, np.float32) for number in range(101)}
    with ww.open_store(path) as opened:
        ww.analyze({"zero.weight": np.zeros((14, 12), np.float32)} | arrays(1) | vectors, store=opened, name="net")
    with contextlib.closing(Served(path)) as served:
        _, text = served.ask("show", model="net")
    assert 'data-v="-Infinity"' in text
    assert not re.search(r'data-v="-?(?:inf|nan)"', text)
    assert "without a spectrum: the first 100 of 101" in text


@pytest.mark.parametrize(("path", "given", "arguments"), PAGES, ids=[f"{own[0]}-{len(own[1])}" for own in PAGES])
def test_each_page_has_the_json_of_its_command_and_says_which_that_is(served, store, ww_here, path, given, arguments):
    status, text = served.ask(path, **given)
    assert status == 200
    page = Seen(text)
    command = re.search(r"ww \w+ .*--store .*", page.text)[0]
    words = shlex.split(command)[1:]
    assert (words[0], {*words} >= {*arguments}) == (arguments[0], True)
    assert words[-2:] == ["--store", str(store)] or "--" in words
    printed = ww_here(*words, "--json")
    assert printed.returncode == 0, printed.stderr
    assert served.ask(f"{path}.json", **given) == (200, printed.stdout)
    json_link = next(link for link in page.links if link.startswith(f"/{path}.json"))
    assert served(json_link)[2] == printed.stdout


def test_layers_that_are_not_to_be_trusted_lead_to_their_spectra(served):
    _, text = served.ask("show", model="owner/net@4")
    flagged = re.findall(r"<li><strong>([^<]*)</strong>: (.*)</li>", text)
    assert "short_tail" in dict(flagged)
    links = Seen(dict(flagged)["short_tail"]).links
    assert links
    assert all(link.startswith("/spectrum?model=owner%2Fnet%404&layer=") for link in links)


def test_where_nothing_is_named_the_newest_versions_are_compared(served):
    _, text = served.ask("diff")
    assert "/diff?first=owner%2Fnet%403&other=owner%2Fnet%404" in Seen(text).links


def test_every_link_of_every_page_leads_somewhere(served):
    seen, left = set(), ["/"]
    while left:
        address = left.pop()
        status, headers, text = served(address)
        assert status in {200, 303}, (address, text)
        if status == 303:
            left.append(headers["location"])
        elif headers["content-type"].startswith("text/html"):
            page = Seen(text)
            assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)
            kinds = {re.split("[?#]", link)[0]: link for link in page.links if link.startswith("/")}
            left += [link for link in kinds.values() if link not in seen and len(seen) < 60]
        seen.add(address)
        left = [link for link in left if link not in seen]
    assert {re.split(r"[?#]", own)[0] for own in seen} >= {f"/{path}" for path, _, _ in PAGES}


def test_names_of_strangers_are_shown_and_never_run(served):
    name = f"{HOSTILE}@{SCRIPT}"
    pages = [
        ("models", {}),
        ("show", {"model": name}),
        ("history", {"model": HOSTILE}),
        ("regressions", {"model": HOSTILE}),
        *(("spectrum", {"model": name, "layer": layer}) for layer in HOSTILE_LAYERS),
        ("diff", {"first": name, "other": f"{HOSTILE}@2"}),
        ("leaderboard", {"metric": "alpha", "score": "error"}),
        ("trend", {"metric": "alpha", "score": "error"}),
        ("show", {"model": SCRIPT}),
        ("leaderboard", {"metric": f"alpha + {SCRIPT}"}),
        ("show", {SCRIPT: SCRIPT}),
    ]
    for path, given in pages:
        _, text = served.ask(path, **given)
        page = Seen(text)
        assert page.tags.count("script") == 1, (path, given)
        assert "img" not in page.tags
        assert not [own for own in page.attributes if own[1].startswith("on") or own[1] in {"style", "srcdoc"}]
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\x7f]", text)
        assert "49" not in re.findall(r"\{\{7\*7\}\}|(?<=\)>)49", text)
        for link in page.links:
            assert re.fullmatch(r"[/#][\x21-\x7e]*", link), link


def test_a_text_is_escaped_and_shortened_once(served):
    _, text = served.ask("show", model=f"{HOSTILE}@{SCRIPT}")
    names = re.findall(r'<th scope="row"[^>]*><a [^>]*><bdi>([^<]*)', text)
    assert names[0] == "a\\u202eb\\x1b[31m"
    assert names[3].endswith("… (1,990 characters)")


def test_links_to_hostile_names_keep_them_whole(served):
    _, text = served.ask("show", model=f"{HOSTILE}@{SCRIPT}")
    links = {link for link in Seen(text).links if link.startswith("/spectrum")}
    assert len(links) == len(HOSTILE_LAYERS)
    for link in links:
        status, _, text = served(link)
        assert status == 200, text


@pytest.mark.parametrize(
    "address",
    [
        "/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../rendering.py", "/assets/",
        "/assets/%2e%2e/rendering.py", "//evil.example/", "/show%00", "/models.json/", "/%e2%80%ae",
        "/show?model=nobody", "/show?model=%00",
        "/show?model=%ff%fe", "/spectrum?model=owner/net&layer=none", "/history?model=%E2%80%AE", "/models?page=999",
        "/history?model=owner/net&metrics=nothing", "/show?model=" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_in_one_sentence(served, address):
    status, headers, text = served(address)
    assert status in {404, 400}, text
    said = Seen(text).text.partition("No page\n")[2].strip().splitlines()[0]
    assert said, text
    assert "Traceback" not in text
    assert len(text) < 8000
    assert headers["content-security-policy"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/show", "model must be given"),
        ("/history.json", "model must be given"),
        ("/show?model=owner/net&model=other-7", "given 2 times"),
        ("/show?modle=x", "did you mean model?"),
        ("/models?page=0", "page='0'"),
        ("/models?page=-1", "page='-1'"),
        ("/models?page=%D9%A1", "whole number"),
        ("/models?page=99999999999999999999", "whole number"),
        ("/history?model=owner/net&metrics=,", "--metrics is empty"),
        ("/leaderboard?metric=alpha(", "alpha("),
        ("/leaderboard?metric=alpha&bootstrap=100000", "at most 1000"),
        ("/trend?metric=alpha&score=nothing", "nothing"),
    ],
)
def test_wrong_questions_are_told_in_one_sentence(served, address, said):
    status, _, text = served(address)
    assert status in {400, 404}
    assert said in (json.loads(text)["error"] if ".json" in address else Seen(text).text)


def test_a_question_without_an_answer_keeps_its_form(served):
    for path, given in (
        ("trend", {"metric": "alpha", "score": "error", "min-models": "99"}),
        ("leaderboard", {"metric": "alhpa", "profile": "default"}),
        ("diff", {"first": "owner/net@1", "other": "nobody", "profile": f"{SCRIPT}'\""}),
    ):
        status, text = served.ask(path, **given)
        assert status in {400, 404}
        page = Seen(text)
        assert {("input", "value", own) for own in given.values()} <= {*page.attributes}
        assert ".json" not in text


def test_statistics_with_an_interval_sort_as_numbers(served):
    _, text = served.ask("trend", metric="alpha,D", score="error")
    line = json.loads(served.ask("trend.json", metric="alpha,D", score="error")[1])["lines"][0]
    assert f'data-v="{line["slope"]["value"]!r}"' in text
    assert re.search(r'data-v="[^"]+">-?[0-9.e+-]+ \[', text)


def test_half_questions_keep_nobody_out(store, monkeypatch):
    monkeypatch.setattr("ww_plugins.pages.server.connection.PATIENCE", 3.0)  # far longer than they take to begin
    with contextlib.closing(Served(store)) as served, contextlib.ExitStack() as opened:
        for _ in range(210):
            half = opened.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            half.sendall(b"GET /models HTTP/1.1\r\n")
        assert served("/models")[0] == 503
        until = time.monotonic() + 20
        while served("/models")[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_only_what_is_stored_is_compared(served, tmp_path, monkeypatch):
    np.savez(tmp_path / "secret.npz", **arrays(20))
    (tmp_path / "owner").mkdir()
    opened = []
    monkeypatch.setattr("ww_core.use_cases.naming.find_source", lambda name, plugins: opened.append(name))
    for other in (tmp_path / "secret.npz", "http://127.0.0.1:9/x.npz", f"file://{tmp_path}/secret.npz"):
        for given in ({"first": "owner/net", "other": other}, {"first": other, "other": "owner/net"}):
            for path in ("diff", "diff.json"):
                status, text = served.ask(path, **given)
                assert status == 404, text
    assert not opened


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_it_only_shows(served, method):
    status, headers, text = served("/models", method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"
    assert text.count("\n") == 1


def test_head_is_get_without_its_text(served):
    for address in ("/models", "/models.json", "/assets/ww.css", "/nothing"):
        told = served(address)
        status, headers, text = served(address, "HEAD")
        assert (status, text) == (told[0], "")
        assert headers["content-length"] == told[1]["content-length"]


@pytest.mark.parametrize("address", ["/models", "/models.json", "/assets/ww.js", "/nothing", "/"])
def test_every_answer_is_strict_with_the_browser(served, address):
    _, headers, _ = served(address)
    assert headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["server"] is None


def test_pages_hold_nothing_that_the_policy_forbids(served):
    for path, given, _ in PAGES:
        page = Seen(served.ask(path, **given)[1])
        assert page.tags.count("script") == 1
        assert "style" not in page.tags
        assert not [own for own in page.attributes if own[1] == "style" or own[1].startswith("on")]
        loaded = [own[2] for own in page.attributes if own[1] in {"src", "action"} or own[:2] == ("link", "href")]
        assert all(own.startswith("/") for own in loaded)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "evil@127.0.0.1",
     "127.0.0.1:80:80", "[::1", "", "0x7f.1", "2130706433", "127.0.0.1/", "127.0.0.1:x", None],
)  # fmt: skip
def test_another_name_is_refused(served, host):
    status, _, text = served("/models", Host=host)
    assert status in {400, 421}, text
    assert "owner/net" not in text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "localhost:9999"]
)
def test_names_of_this_machine_are_taken(served, host):
    assert served("/models", Host=host.format(port=served.port))[0] == 200


def test_two_names_at_once_are_refused(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert raw.recv(100).split()[1] in {b"400", b"421"}


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "file://", "http://127.0.0.1"]
)
def test_pages_of_others_may_not_ask(served, origin):
    status, _, text = served("/models.json", Origin=origin)
    assert status == 403
    assert "owner/net" not in text


def test_its_own_pages_may_ask(served):
    assert served("/models.json", Origin=f"http://127.0.0.1:{served.port}")[0] == 200


def test_without_the_token_nothing_is_told(guarded):
    asked = {
        "Authorization": [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}".encode(), f"Bearer {TOKEN}x".encode()],
        "Cookie": [f"ww-{guarded.port}=", f"ww-{guarded.port}={'0' * 64}", f"token={quote(TOKEN)}"],
    }
    for name, values in asked.items():
        for value in values:
            for address in ("/models", "/models.json", "/assets/ww.css", "/nothing", "/"):
                status, headers, text = guarded(address, **{name: value})
                assert status == 401
                assert headers["www-authenticate"] == "Bearer"
                assert "owner/net" not in text
                assert TOKEN not in text
    for address in ("/models?token=", "/models?token=x", f"/models?token={quote(TOKEN)}&token=x"):
        status, headers, _ = guarded(address)
        assert status == 401
        assert headers["set-cookie"] is None


def test_the_token_is_taken_as_a_header_and_once_from_the_address(guarded):
    assert guarded("/models.json", Authorization=f"Bearer {TOKEN}".encode())[0] == 200
    status, headers, text = guarded(f"/history?model=owner%2Fnet&token={quote(TOKEN)}&metrics=alpha")
    assert status == 303
    assert headers["location"] == "/history?model=owner%2Fnet&metrics=alpha"
    kind = headers["set-cookie"].lower()
    assert "httponly" in kind
    assert "samesite=strict" in kind
    assert "path=/" in kind
    cookie = headers["set-cookie"].partition(";")[0]
    assert quote(TOKEN) not in headers["set-cookie"]
    status, headers, text = guarded(headers["location"], Cookie=f"other=1; {cookie}")
    assert status == 200
    assert TOKEN not in text
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["//evil.example/", "/%5cevil.example", "///evil.example", "/%0d%0aX-Evil:1"])
def test_the_token_leads_to_no_other_server(guarded, path):
    status, headers, _ = guarded(f"{path}?token={quote(TOKEN)}")
    assert status == 303
    assert re.match(r"/[^/\\]", headers["location"])
    assert headers["x-evil"] is None


def test_a_question_that_is_too_long_is_refused(served):
    assert served(f"/show?model={'x' * 40_000}")[0] == 414


def test_long_tables_come_in_parts(tmp_path):
    path = tmp_path / "many.sqlite"
    layers = [f"l{number:03}" for number in range(203)]
    weight = np.arange(4.0, dtype=np.float32).reshape(2, 2)
    with ww.open_store(path) as opened:
        ww.analyze(
            {f"{name}.weight": weight for name in layers}, store=opened, name="m", version="1", metrics=["stable_rank"]
        )
    with contextlib.closing(Served(path)) as served:
        names, address = [], "/show?model=m"
        while address:
            _, _, text = served(address)
            names += re.findall(r"l\d{3}(?=</bdi></a></th>)", text)
            after = re.search(r'href="([^"]*)" rel="next"', text)
            address = after and after[1].replace("&amp;", "&")
        assert names == layers
        assert len(json.loads(served("/show.json?model=m")[2])["layers"]) == 203
        assert served("/show?model=m&page=4")[0] == 404


def test_the_same_store_gives_the_same_bytes(served):
    for path, given, _ in PAGES:
        assert served.ask(path, **given) == served.ask(path, **given)


def test_an_empty_store_says_what_to_do(tmp_path):
    ww.open_store(tmp_path / "empty.sqlite").close()
    with contextlib.closing(Served(tmp_path / "empty.sqlite")) as served:
        for path in ("models", "diff", "leaderboard", "trend"):
            assert served.ask(path)[0] == 200
        assert "Nothing is stored yet" in served.ask("models")[1]


def test_a_store_that_goes_away_and_comes_back(tmp_path, store):
    place = tmp_path / "store.sqlite"
    place.write_bytes(store.read_bytes())
    with contextlib.closing(Served(place)) as served:
        assert served.ask("models")[0] == 200
        place.rename(tmp_path / "away")
        for own in tmp_path.glob("store.sqlite-*"):
            own.unlink()
        status, text = served.ask("models")
        assert status == 503
        assert "there is no store" in text
        assert json.loads(served.ask("models.json")[1])["error"]
        place.write_text("no database, " * 100)
        assert served.ask("models")[0] == 503
        place.write_bytes(store.read_bytes())
        assert served.ask("models")[0] == 200


def test_a_writer_does_not_keep_readers_waiting(served, store):
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE noise (n INTEGER)")
        begin = time.perf_counter()
        assert served.ask("models")[0] == 200
        assert time.perf_counter() - begin < 5
        writer.execute("ROLLBACK")


def test_it_changes_nothing(served, store):
    before = store.read_bytes()
    for path, given, _ in PAGES:
        served.ask(path, **given)
    assert store.read_bytes() == before
    log = store.with_name(store.name + "-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_a_question_that_takes_long_does_not_keep_the_server_from_ending(store, monkeypatch, caplog):
    server, begun, over, answers = Served(store), threading.Event(), threading.Event(), []

    def slow(*_, **__):
        begun.set()
        over.wait(30)
        raise ww.StoreError("nobody waits")

    monkeypatch.setattr("ww_plugins.pages.server.application.ww.open_store", slow)
    reader = threading.Thread(target=lambda: answers.append(server("/models")))
    reader.start()
    assert begun.wait(20)
    begin = time.perf_counter()
    server.close()
    assert time.perf_counter() - begin < 15
    reader.join(20)
    over.set()
    assert answers[0][0] == 503
    assert "the server ends" in answers[0][2]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_fault_of_ours_is_one_sentence(served, monkeypatch):
    monkeypatch.setattr("ww_plugins.pages.server.application.ww.open_store", lambda *_, **__: 1 / 0)
    status, headers, text = served("/models")
    assert status == 500
    assert "ZeroDivisionError" in text
    assert "Traceback" not in text
    assert headers["content-security-policy"]


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
@pytest.mark.parametrize(
    "page",
    [
        "show",
        *(
            pytest.param(own, marks=pytest.mark.stress)
            for own in ("models", "history", "regressions", "spectrum", "diff", "leaderboard", "trend")
        ),
    ],
)
def test_in_a_browser_our_script_runs_and_no_other(served, tmp_path, page):
    name = f"{HOSTILE}@{SCRIPT}"
    given = {
        "models": {},
        "show": {"model": name},
        "history": {"model": HOSTILE},
        "regressions": {"model": HOSTILE},
        "leaderboard": {"metric": "alpha", "score": "error"},
        "spectrum": {"model": name, "layer": HOSTILE_LAYERS[1]},
        "diff": {"first": name, "other": f"{HOSTILE}@2"},
        "trend": {"metric": "alpha", "score": "error"},
    }[page]
    address = f"http://127.0.0.1:{served.port}/{page}?{urlencode(given)}"
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr", "--dump-dom",
            address,
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    shown = Seen(done.stdout)
    assert shown.tags.count("script") == 1
    assert "img" not in shown.tags
    if page in {"models", "show", "history"}:
        assert done.stdout.count("<button") >= 4  # heads of columns became buttons
    if page not in {"models", "regressions", "leaderboard"}:
        assert "<svg" in done.stdout or page == "diff"

"""Models whose names attack the page that shows them, and a reader that tells what became of them."""

import base64
import hashlib
from html.parser import HTMLParser

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.pages.rendering import asset

ATTACKS = (
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    "</script><script>window.hacked=1</script>",
    "</style></title></svg><svg onload=window.hacked=1>",
    "{{7*7}}{% for a in () %}${7*7}<%= 7*7 %>",
    "javascript:window.hacked=1",
    "<a href=javascript:window.hacked=1>x</a><!--",
    "a\u202eb\u2066c\x1b[31md\u2028e",
    "&lt;b&gt;&#x3c;script&#x3e;",
)


class Seen(HTMLParser):
    """What a page is made of: its tags with the names of their attributes, where links lead, its texts."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.links, self.ids = {}, {}, [], []
        self.texts, self.scripts, self.open = [], [], []
        self.comments = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)
            self.links += [value] if name in {"href", "src", "action", "xlink:href"} else []
            self.ids += [value] if name == "id" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in {"script", "style"} else self.texts).append(data)

    def handle_comment(self, data):
        self.comments += 1

    @property
    def text(self):
        """All its text."""
        return "".join(self.texts)


OUR_TAGS = frozenset(
    """
    html head meta title style body script a header h1 h2 h3 p nav ul li main section strong bdi span code
    dl div dt dd details summary table caption thead tbody tr th td figure figcaption footer svg desc path text circle
    """.split()  # noqa: SIM905 - forty names in quotes are harder to read
)
OUR_ATTRIBUTES = frozenset(
    """
    lang charset http-equiv content name class href id aria-label aria-labelledby aria-hidden role tabindex scope title
    data-sorts data-opens data-v viewbox d x y text-anchor cx cy r
    """.split()  # noqa: SIM905 - the same
)


@pytest.fixture
def seen():
    """A function that reads a page, and asserts that all of it is ours."""

    def read(page):
        found = Seen(page)
        assert set(found.tags) <= OUR_TAGS
        assert set(found.attributes) <= OUR_ATTRIBUTES
        assert not found.comments
        assert found.tags["script"] == found.tags["style"] == 1
        assert found.scripts == [asset("ww.css"), asset("ww.js")]
        assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
        assert len(found.ids) == len(set(found.ids))
        assert found.open == []
        (policy,) = (own for own in found.attributes["content"] if "default-src" in own)
        for name in ("ww.css", "ww.js"):
            assert base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode() in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        return found

    return read


@pytest.fixture
def hostile_store():
    """A store in which everything that a person or a file may name attacks the page."""
    random = np.random.default_rng(0)
    printable = [own for own in ATTACKS if own.isprintable()]

    @ww.metric(version="1")
    def warning(n_rows):
        """A warning: <script>window.hacked=1</script>"""
        return ATTACKS[n_rows % len(ATTACKS)] if n_rows % 2 else "</td>" + "w" * 1900

    @ww.metric(version="1", unit="<b>", better="lower")
    def broken(n_rows):
        """Broken by {{7*7}}"""
        raise ValueError("<script>window.hacked=1</script>" * 3)

    class Plugin:
        """A plugin of hostile metrics."""

        @ww.hookimpl
        def ww_register_metrics(self):
            return [warning, broken]

    plugin = Plugin()
    store = ww.open_store(None)
    for version in (printable[0], "2", printable[1]):
        weights = {}
        for number, attack in enumerate(ATTACKS):
            weights[f"{number}{attack}.weight"] = random.standard_normal((20 + number, 12)).astype(np.float32)
            weights[f"norm{number}{attack}.weight"] = np.ones(20, np.float32)
        weights["n" * 1_900 + ".weight"] = random.standard_normal((14, 12)).astype(np.float32)
        ww.analyze(weights, store=store, name=printable[2], version=version, plugins=[plugin])
    store.add_scores(
        [ww.Score(printable[2], attack, attack, 0.5, attack, version="2", unit=attack) for attack in printable[:3]]
    )
    yield store, printable[2], [printable[0], "2", printable[1]], ww.load_plugins(objects=[plugin])
    store.close()

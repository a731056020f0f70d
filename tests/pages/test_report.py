"""``ww report``: one page that says what the store says, whatever the names in it."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import ww_core as ww

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A store of six versions of a small network; in the last one a layer was scaled up."""
    path = tmp_path_factory.mktemp("report") / "store.sqlite"
    first = RANDOM.standard_t(3, (40, 30)).astype(np.float32)
    conv = RANDOM.standard_normal((16, 8, 3, 3)).astype(np.float32)
    with ww.open_store(path) as store:
        for number in range(1, 7):
            weights = {
                "first.weight": first * (1 + 0.001 * number) * (9 if number == 6 else 1),
                "conv.weight": conv,
                "norm.weight": np.ones(30, np.float32),
                "steps": np.arange(4),
            }
            ww.analyze(weights, store=store, name="net", version=f"v{number}")
        store.add_scores([ww.Score("net", "accuracy", "digits", 0.9, "me", version="v1", better="higher")])
    return path


def test_the_page_has_all_that_is_stored(digits, seen):
    page = ww.report_html(["net@v1", "net@v6"], store=digits, history=True)
    found = seen(page)
    for text in (
        "net@v1 → net@v6",
        "Profile default. Layers: ",
        "Versions of net",
        "short_tail",
        "too few for alpha to say much",
        "a vector has no spectrum",
        "norm",
        "Digest of the weights",
        "accuracy",
        "another level from v6 on",
        "ww report net@v1 net@v6 --history -o report.html",
    ):
        assert text in found.text, text
    assert found.tags["figure"] == found.tags["figcaption"]
    assert found.tags["svg"] >= found.tags["figure"]
    assert set(found.attributes["scope"]) == {"col", "row"}
    assert "{{" not in found.text
    means = page.partition("net@v6: means over the layers, and")[2].partition("</table>")[0]
    columns = re.findall(r'<th scope="row"[^>]*><bdi>([^<]*)', means)
    assert "log_prod_spectral_norm" in columns
    assert len(columns) == len(set(columns))


def test_the_numbers_are_those_of_the_report(digits, seen):
    """Each number stands in the page at full precision."""
    page = ww.report_html(["net@v6"], store=digits)
    exact = {float(own) for own in seen(page).attributes["data-v"]}
    with ww.open_store(digits, mode="read") as store:
        told = json.loads(json.dumps(store.report("net@v6").to_dict()))
    numbers = {
        float(value)
        for row in [*told["layers"], *told["layer_metrics"]]
        for value in row["metrics"].values()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    means = {own["mean"] for label, own in told["summary"].items() if own["mean"] is not None and "prod" not in label}
    assert numbers | means <= exact


def test_the_same_store_gives_the_same_bytes(digits):
    pages = {ww.report_html(["net@v1", "net@v6"], store=digits, history=True) for _ in range(2)}
    assert len(pages) == 1


def test_a_model_named_twice_is_told_of_once(digits, seen):
    page = ww.report_html(["net", "net@v6", "net@v1"], store=digits)
    assert page.count('<h2 id="model-') == 2
    assert page.count('<h2 id="diff-') == 1


def test_nothing_of_a_hostile_store_becomes_part_of_the_page(hostile_store, seen):
    store, model, versions, plugins = hostile_store
    names = [f"{model}@{version}" for version in versions]
    page = ww.report_html(names, store=store, history=True, registry=plugins)
    found = seen(page)
    assert "{{7*7}}" in found.text
    assert "49" not in set(re.findall(r"\d+", found.text)) & {"49{"}
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert max(map(len, found.texts)) < 1500
    assert not [name for name in found.attributes if name.startswith("on")]
    assert "this" in found.text


def test_texts_of_a_megabyte_are_cut(hostile_store, seen):
    """As a store holds them that somebody edited by hand."""
    store, model, versions, plugins = hostile_store
    huge = "<script>window.hacked=1</script>" * 32_000
    with store.reading() as reader:
        connection = reader._connection
        for table, column in (("run", "source"), ("coverage", "reason"), ("run", "program")):
            columns = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")}
            if column in columns:
                connection.exec_driver_sql(f"UPDATE {table} SET {column} = ?", (huge,))
    page = ww.report_html([f"{model}@{versions[0]}"], store=store, registry=plugins)
    found = seen(page)
    assert f"({len(huge):,} characters)" in found.text
    assert len(page) < 1_000_000


def test_the_command_writes_the_page(digits, tmp_path, ww_here, seen):
    file = tmp_path / "net.html"
    done = ww_here("report", "net", "-o", file, "--store", digits)
    assert done.returncode == 0, done.stderr
    assert "report on 1 model written to" in done.stdout
    seen(file.read_text(encoding="utf-8"))
    refused = ww_here("report", "net", "-o", file, "--store", digits)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert ww_here("report", "net", "-o", file, "--store", digits, "--force").returncode == 0


def test_no_output_takes_the_place_of_a_store(digits):
    before = digits.read_bytes()
    with ww.open_store(digits) as store:
        with pytest.raises(ww.OutputError, match="is a store, or another SQLite database: give another name"):
            ww.output_place(digits, replace=True)
        with pytest.raises(ww.OutputError), ww.new_output(digits, replace=True):
            pytest.fail("it would have been written")
        assert store.versions()
    assert digits.read_bytes() == before
    assert [own.name for own in digits.parent.iterdir()] == [digits.name]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["other", "-o", "new.html"], 3, "other"),
        (["net@v9", "-o", "new.html"], 3, "v9"),
        (["net", "-o", "new.html", "--profile", "none"], 3, "none"),
        (["", "-o", "new.html"], 2, "empty"),
        (["net"], 2, "--output"),
    ],
)
def test_wrong_use_is_one_sentence(digits, arguments, code, sentence, tmp_path, monkeypatch, ww_here):
    monkeypatch.chdir(tmp_path)
    done = ww_here("report", *arguments, "--store", digits)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.html"))


def test_from_python_wrong_use_is_an_error_too(digits):
    for models in ([], "net", b"net", [5], ["net", None]):
        with pytest.raises(ww.UsageError, match="name one model or more"):
            ww.report_html(models, store=digits)


class Odd(str):
    """A text that lies when it is written."""

    def encode(self, *_):
        raise ZeroDivisionError

    __len__ = __str__ = encode


class Plain(ww.ReportWriter):
    """A writer of another distribution."""

    name = "plain"
    description = "what it was asked for"

    def html(self, models, *, store, history, profile, registry):
        if "broken" in models:
            raise ZeroDivisionError("no page")
        if "surrogate" in models:
            return "half a letter: \ud83d"
        if "odd" in models:
            return Odd("a page")
        return None if "nothing" in models else f"{models} of {len(store.versions())} {history} {profile}"


class Plugin:
    """It offers the writer."""

    @ww.hookimpl
    def ww_register_report_writers(self):
        return [Plain()]


def test_a_plugin_offers_another_writer(digits):
    with ww.open_store(digits, mode="read") as store:
        asked = {"store": store, "writer": "plain", "plugins": [Plugin()]}
        assert ww.report_html(["net"], history=True, **asked) == "['net'] of 6 True None"
        with pytest.raises(ww.PluginError, match="report writer Plugin:plain failed: ZeroDivisionError: no page"):
            ww.report_html(["broken"], **asked)
        with pytest.raises(ww.PluginError, match="Plugin:plain returned NoneType, and no text"):
            ww.report_html(["nothing"], **asked)
        with pytest.raises(ww.PluginError, match=r"Plugin:plain returned a text that no file can hold: .* position 15"):
            ww.report_html(["surrogate"], **asked)
        text = ww.report_html(["odd"], **asked)
        assert (type(text), text) == (str, "a page")


def test_a_writer_that_nobody_offers_is_one_sentence(digits):
    with pytest.raises(ww.UnknownNameError, match=r"unknown report writer 'pages': did you mean page\?"):
        ww.report_html(["net"], store=digits, writer="pages")
    without = ww.load_plugins(environ={"WW_BLOCK_PLUGINS": "ww.report_writers"})
    sentence = r"no plugin writes reports: pip install 'ww-core\[web\]'; plugin ww.report_writers is blocked"
    with pytest.raises(ww.MissingExtraError, match=sentence):
        ww.report_html(["net"], store=digits, registry=without)


def test_without_jinja_one_sentence_says_what_to_install(digits, tmp_path):
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from ww_core.cli.main import main\n"
        f"sys.argv = ['ww', 'report', 'net', '--store', {str(digits)!r}, '-o', 'net.html']\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "error: jinja2 is not installed: pip install 'ww-core[web]'\n"
    assert not list(tmp_path.iterdir())


def test_weights_without_a_name_have_a_report_and_no_history(tmp_path, seen):
    with ww.open_store(None) as store:
        report = ww.analyze({"a.weight": RANDOM.standard_normal((20, 30))}, store=store, label=False)
        seen(ww.report_html([report.digest], store=store))
        with pytest.raises(ww.UsageError, match="without a name"):
            ww.report_html([report.digest], store=store, history=True)


def test_a_model_without_any_spectrum_has_a_report(seen):
    with ww.open_store(None) as store:
        ww.analyze({"a.weight": np.full((20, 30), np.nan)}, store=store, name="nan", version="1")
        found = seen(ww.report_html(["nan"], store=store))
    assert "No layer has a value to draw." in found.text
    assert "no value." not in found.text
    warnings = found.text.partition("\nWarnings\n")[2].partition("\nLayers\n")[0]
    assert "no value at all" in warnings
    assert "Rule: refused: 600 of 600 weights are NaN or infinite" in warnings


def test_a_hundred_layers_take_less_than_two_megabytes(seen):
    weights = {f"blocks.{at}.attention.projection.weight": RANDOM.standard_t(4, (24, 20)) for at in range(100)}
    with ww.open_store(None) as store:
        ww.analyze(weights, store=store, name="deep", version="1")
        page = ww.report_html(["deep"], store=store)
    assert len(page.encode()) < 1_000_000
    assert page.count("<svg") >= 100


@pytest.mark.stress
def test_a_thousand_layers_take_less_than_ten_megabytes(seen):
    weights = {f"blocks.{at}.attention.projection.weight": RANDOM.standard_t(4, (64, 48)) for at in range(1000)}
    with ww.open_store(None) as store:
        ww.analyze(weights, store=store, name="deep", version="1")
        page = ww.report_html(["deep"], store=store)
    assert len(page.encode()) < 6_000_000
    assert seen(page).tags["details"] >= 1000


def test_a_history_of_one_version_has_no_step(seen):
    with ww.open_store(None) as store:
        ww.analyze({"a.weight": RANDOM.standard_normal((20, 30))}, store=store, name="one", version="1")
        found = seen(ww.report_html(["one"], store=store, history=True))
    assert "No steps to a worse level" in found.text

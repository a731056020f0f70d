"""``ww check``: exit codes, rules from files, and every format read by somebody else's reader."""

import json
import re
from xml.etree import ElementTree as ET

import junitparser
import numpy as np
import pytest
from safetensors.numpy import save_file

RULES = ("alpha: +5%", "warning: no new", "layers.*.log_norm: +-1%")
BROKEN, USAGE, PLACE = 1, 2, 3
HOSTILE = [
    "a.b",
    "w[0]",
    "x\ny\r::error::z",
    'it\'s "q"',
    "größe|`code`",
    "</td><b>@all",
    "\x1b[31m\x00\ufffe",
    "%0A,:",
]


def told(rules):
    return [own for rule in rules for own in ("--rule", rule)]


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for text in texts:
        assert text in errors[0], errors[0]


@pytest.fixture
def changed_file(weights, tmp_path):
    """The same network with one layer twice as large."""
    path = tmp_path / "net-2.safetensors"
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(2)}, path)
    return path


@pytest.fixture
def stored(ww_here, model_file, changed_file):
    """A store with two versions of a network."""
    assert ww_here("analyze", model_file, "--name", "net").returncode == 0
    assert ww_here("analyze", changed_file, "--name", "net").returncode == 0
    return ww_here


# --- verdicts and exit codes ------------------------------------------------------------------------------------------


def test_rules_that_hold_and_rules_that_break(stored):
    held = stored("check", "net@2", "--baseline", "previous", *told(["alpha: +5%", "warning: no new"]))
    assert held.returncode == 0, held.stderr
    lines = held.stdout.splitlines()
    assert lines[0] == "net@2 against net@1"
    assert re.fullmatch(r"alpha: \+5% +held +3\.017 (->|→) 3\.017.*", lines[3])
    assert lines[-1] == "2 rules: none broken"
    broken = stored("check", "net@2", "--baseline", "previous", *told(RULES))
    assert broken.returncode == BROKEN
    assert "first matrix 0: log_norm rises by 0.6021" in broken.stdout
    assert broken.stdout.splitlines()[-1] == "3 rules: 1 broken"
    assert broken.stderr == ""
    assert "\x1b" not in broken.stdout


def test_a_path_that_was_turned_down_is_no_version(ww_here, model_file, changed_file):
    assert ww_here("analyze", model_file, "--name", "net").returncode == 0
    for _ in range(2):
        result = ww_here("check", changed_file, "--baseline", "previous", "--name", "net", *told(RULES))
        assert result.returncode == BROKEN, result.stderr
        assert f"{changed_file} against net@1" in result.stdout
    assert [own["version"] for own in json.loads(ww_here("show", "--json").stdout)] == ["1"]


def test_a_machine_of_ci_has_an_empty_store(ww_here, model_file, changed_file, tmp_path):
    assert ww_here("analyze", model_file, "--name", "net", "--store", tmp_path / "mine.sqlite").returncode == 0
    baseline = tmp_path / "baseline.json"
    baseline.write_text(ww_here("show", "net", "--json", "--store", tmp_path / "mine.sqlite").stdout)
    assert ww_here("check", model_file, "--baseline", baseline, *told(RULES)).returncode == 0
    assert ww_here("check", changed_file, "--baseline", baseline, *told(RULES)).returncode == BROKEN
    assert json.loads(ww_here("show", "--json").stdout) == []


def test_the_first_version_of_a_model(stored):
    fails(stored("check", "net@1", "--baseline", "previous", *told(RULES)), PLACE, "net@1", "--allow-no-baseline")
    first = stored("check", "net@1", "--baseline", "previous", "--allow-no-baseline", *told(RULES), "--json")
    assert first.returncode == 0, first.stderr
    content = json.loads(first.stdout)
    assert content["baseline"] is None
    assert [own["skipped"] for own in content["rules"]] == [["+5%"], ["no new"], ["+-1%"]]
    fails(stored("check", "net", "--baseline", "best:sigma", *told(RULES)), USAGE, "sigma")


def test_what_is_not_there(stored, tmp_path):
    fails(stored("check", "nett", "--baseline", "net", *told(RULES)), PLACE, "nett")
    fails(stored("check", "net", "--baseline", "nett", *told(RULES)), PLACE, "nett")
    fails(stored("check", "net", "--baseline", "none.json", *told(RULES)), PLACE, "none.json")
    fails(stored("check", "", *told(RULES)), USAGE, "CANDIDATE is empty")
    fails(stored("check", "net", "--baseline", "", *told(RULES)), USAGE, "--baseline is empty")
    fails(stored("check", "net", "--baseline", "net", "--name", "a@b", *told(RULES)), USAGE, "a@b")
    fails(stored("check", "net", "--json", "--format", "junit", "--rule", "alpha: < 9"), USAGE, "--json", "junit")


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(ww_here, tmp_path):
    """A check of reports, as anybody may write them, whose layers have names that no format likes."""
    random = np.random.Generator(np.random.Philox(2))
    weights = {f"l{at}.weight": random.standard_normal((20, 10)).astype(np.float32) for at in range(len(HOSTILE))}
    paths = [tmp_path / "old.json", tmp_path / "new, %|`<b>.json"]
    for factor, path in enumerate(paths, 1):
        save_file({name: own * np.float32(factor) for name, own in weights.items()}, tmp_path / "l.safetensors")
        report = json.loads(ww_here("analyze", tmp_path / "l.safetensors", "--move-label", "--json").stdout)
        for rows in ("layers", "layer_metrics"):
            for row in report[rows]:
                row["name"] = HOSTILE[int(row["name"][1:])]
        path.write_text(json.dumps(report))
    rules = ["layers.*.log_norm: +-1%", "layers.'it\\'s \"q\"'.log_norm: no worse", "log_norm: +0.1", "alpha: < 99"]

    def run(*options, **variables):
        return ww_here("check", paths[1], "--baseline", paths[0], *told(rules), *options, environ=variables)

    return run


def test_json_is_the_documented_object(hostile):
    result = hostile("--json")
    content = json.loads(result.stdout)
    assert (result.returncode, content["passed"]) == (BROKEN, False)
    assert content.keys() == {"passed", "candidate", "baseline", "rules", "warnings"}
    assert content["candidate"].keys() == {"name", "digest", "profile", "source"}
    assert [own["passed"] for own in content["rules"]] == [False, False, False, True]
    first = content["rules"][0]
    assert first.keys() == {"rule", "passed", "measured", "broken", "skipped"}
    assert {own["layer"] for own in first["broken"]} == set(HOSTILE)
    own = first["broken"][0]
    assert own.keys() == {
        "condition", "column", "layer", "extractor", "index", "first", "second", "change", "limit", "reason",
    }  # fmt: skip
    assert own["change"] == pytest.approx(own["second"] - own["first"])
    assert own["limit"] == pytest.approx(0.01 * abs(own["first"]))
    assert hostile("--format", "json").stdout == result.stdout


def test_text_keeps_every_name_on_its_line(hostile):
    result = hostile()
    assert "\x1b" not in result.stdout
    assert "\nx\\x0ay\\x0d::error::z matrix 0: " not in result.stdout  # no line begins with a name
    assert "  x\\x0ay\\x0d::error::z matrix 0: log_norm rises by" in result.stdout


def test_junit_is_read_by_another_reader(hostile, tmp_path):
    result = hostile("--format", "junit")
    assert result.returncode == BROKEN
    assert result.stdout.isascii()
    path = tmp_path / "junit.xml"
    path.write_text(result.stdout)
    suites = junitparser.JUnitXml.fromfile(str(path))
    (suite,) = suites
    assert (suites.tests, suites.failures, suites.errors) == (4, 3, 0)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 3, 0, 0)
    cases = list(suite)
    assert [own.is_passed for own in cases] == [False, False, False, True]
    assert cases[0].name == "layers.*.log_norm: +-1%"
    (failure,) = cases[0].result
    assert isinstance(failure, junitparser.Failure)
    assert "and 7 more" in failure.message
    assert len(failure.text.splitlines()) == len(HOSTILE)
    assert "größe|`code`" in failure.text
    ET.fromstring(result.stdout.encode())


def test_junit_tells_what_was_skipped(stored, tmp_path):
    arguments = ("check", "net@1", "--baseline", "previous", "--allow-no-baseline", *told(RULES))
    (suite,) = junitparser.JUnitXml.fromstring(stored(*arguments, "--format", "junit").stdout.encode())
    assert suite.skipped == 3
    assert all(own.is_skipped for own in suite)


COMMAND = re.compile(r"::(?P<name>[a-z-]+)(?: (?P<properties>[^:]*(?::(?!:)[^:]*)*))?::(?P<message>.*)")


def commands_in(text):
    """Workflow commands as GitHub documents them: a line ``::name key=value,key=value::message``, escaped."""
    found = []
    for line in text.split("\n"):
        if not line.startswith("::"):
            continue
        match = COMMAND.fullmatch(line)
        properties = dict(own.split("=", 1) for own in match["properties"].split(",")) if match["properties"] else {}
        for key, value in properties.items():
            assert not re.search(r"[\r\n:,]|%(?!25|0D|0A|3A|2C)", value)
            properties[key] = unescaped(value)
        assert not re.search(r"[\r\n]|%(?!25|0D|0A)", match["message"])
        found.append((match["name"], properties, unescaped(match["message"])))
    return found


def unescaped(text):
    for escape, letter in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, letter)
    return text


def test_github_gets_one_annotation_for_each_broken_rule(hostile, tmp_path):
    result = hostile("--format", "github")
    assert result.returncode == BROKEN
    commands = commands_in(result.stdout)
    assert [name for name, _, _ in commands] == ["error"] * 3
    assert commands[0][1]["title"] == "broken: layers.*.log_norm: +-1%"
    assert len(commands[0][2].split("\n")) == len(HOSTILE)
    assert "%0A,: matrix 0: log_norm rises by" in commands[0][2].replace("%25", "%")
    assert result.stdout.splitlines()[-1].startswith("ww check ")


def test_github_gets_a_summary_of_the_job(hostile, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    hostile("--format", "github", GITHUB_STEP_SUMMARY=str(summary))
    text = summary.read_text()
    assert text.startswith("# before\n### ww check: failed")
    assert text.count("### ww check") == 1
    hostile("--format", "text", GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text() == text
    result = hostile("--format", "github", GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "folder.md"))
    assert (result.returncode, result.stderr.count("\n")) == (BROKEN, 1)
    assert re.match("warning: the summary of the job cannot be written to .*folder.md: ", result.stderr)


def test_markdown_is_a_table_that_no_name_breaks(hostile):
    result = hostile("--format", "markdown")
    lines = result.stdout.splitlines()
    assert lines[0] == "### ww check: failed"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    for row in table:
        assert len(re.findall(r"(?<!\\)\|", row)) == 4, row
    outside = re.sub(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)", "", result.stdout)
    for mark in ("<b>", "@all", "::error", "\x1b"):
        assert mark not in outside


@pytest.mark.parametrize("format_", ["text", "json", "junit", "github", "markdown"])
def test_formats_where_only_ascii_can_be_written(hostile, format_):
    result = hostile("--format", format_, PYTHONIOENCODING="ascii")
    assert result.returncode == BROKEN, result.stderr


# --- rules from files -------------------------------------------------------------------------------------------------


def test_rules_of_the_project_are_used_where_none_is_given(stored, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n[tool.ww.check]\nrules = ['alpha: +5%', \"layers.*.log_norm: +-1%\"]\n"
        "baseline = 'previous'\n"
    )
    result = stored("check", "net", "--json")
    assert [own["passed"] for own in json.loads(result.stdout)["rules"]] == [True, False]
    assert result.stderr == f"rules and baseline are those of {tmp_path / 'pyproject.toml'}\n"
    other = stored("check", "net@1", "--baseline", "net@1", "--json")
    assert (other.returncode, json.loads(other.stdout)["baseline"]["name"]) == (0, "net@1")
    assert other.stderr == f"rules are those of {tmp_path / 'pyproject.toml'}\n"
    given = stored("check", "net", "--rule", "alpha: < 99", "--json")
    assert [own["rule"] for own in json.loads(given.stdout)["rules"]] == ["alpha: < 99"]
    assert given.stderr == ""


def test_the_nearest_project_above_counts(tmp_path):
    from ww_core.use_cases.rule_files import find_project_rules

    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.ww.check]\nrules = ['alpha: < 6']\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'part'\n")
    assert find_project_rules(below).rules == ("alpha: < 6",)
    (below / "pyproject.toml").write_text("[tool.ww.check]\nbaseline = 'previous'\n")
    assert find_project_rules(below).rules is None
    assert find_project_rules(below).baseline == "previous"


def test_a_baseline_beside_the_rules_is_found_from_below(stored, tmp_path):
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "base.json").write_text(stored("show", "net@1", "--json").stdout)
    (tmp_path / "gate" / "rules.toml").write_text("rules = ['alpha: +5%']\nbaseline = 'base.json'\n")
    result = stored("check", "net@2", "--rules", "gate/rules.toml", "--json")
    assert json.loads(result.stdout)["baseline"]["name"] == "gate/base.json"


def test_a_file_of_rules_may_begin_as_editors_of_windows_begin_it(stored, tmp_path):
    (tmp_path / "gate.toml").write_bytes(b"\xef\xbb\xbfrules = ['alpha: < 100']\r\n")
    assert stored("check", "net@2", "--rules", "gate.toml").returncode == 0


def test_a_file_of_rules_adds_to_those_of_the_command_line(stored, tmp_path):
    (tmp_path / "gate.toml").write_text("rules = ['alpha: +5%']\nbaseline = 'net@1'\n")
    result = stored("check", "net@2", "--rules", "gate.toml", "--rule", "alpha: < 99", "--json")
    content = json.loads(result.stdout)
    assert ([own["rule"] for own in content["rules"]], content["baseline"]["name"]) == (
        ["alpha: +5%", "alpha: < 99"],
        "net@1",
    )
    fails(stored("check", "net@2", "--rules", "gate.toml", "--rule", "alpha: +5.0%"), USAGE, "'alpha: +5%'", "twice")


FILES = [
    ("", "has no rules"),
    ("baseline = 'previous'", "has no rules"),
    ("rules = []", "rules is an empty list"),
    ("rules = 'alpha: < 6'", "rules must be a list of texts"),
    ("rules = [1]", "rules must be a list of texts"),
    ("rules = [['alpha: < 6']]", "rules must be a list of texts"),
    ("rules = true", "rules must be a list of texts"),
    ("rule = ['alpha: < 6']", "unknown key 'rule': did you mean rules"),
    ("rules = ['alpha: < 6']\nbaselin = 'x'", "unknown key 'baselin': did you mean baseline"),
    ("rules = ['alpha: < 6']\nbaseline = 1", "baseline must be a text"),
    ("rules = ['alpha: < 6']\nbaseline = ' '", "baseline must be a text that is not empty"),
    ("[tool.ww.check]\nrules = ['alpha: < 6']", "unknown key 'tool'"),
    ("rules = ['alpha: < 6'", "is not TOML"),
    ("rules = alpha", "is not TOML"),
    ("rules = ['alpha: < 6']\nrules = ['alpha: < 7']", "is not TOML"),
    ("rules = ['alpha: < 6', 'alpha: < 6.0']", "given twice"),
    ("rules = ['alpha < 6']", "':' or an operator is expected"),
    ("rules = ['']", "must be texts that are not empty"),
    ("rules = ['alpha: +5%']", "compares with a baseline"),
    ("rules = ['\\ud800: < 6']".replace("'", '"'), "is not TOML"),
    ("x = " + "[" * 100_000, "is not readable TOML"),
    ("# " + "x" * 2**20 + "\nrules = ['alpha: < 6']", "more than 1,048,576 bytes"),
    (b"\xff\xfe", "not UTF-8 text"),
    (b"\x00", "is not TOML"),
]


@pytest.mark.parametrize(("content", "sentence"), FILES)
def test_a_file_of_rules_that_cannot_be_used_is_one_sentence(stored, tmp_path, content, sentence):
    (tmp_path / "gate.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = stored("check", "net@2", "--rules", "gate.toml")
    fails(result, USAGE, sentence)
    if isinstance(content, bytes) or "rules = ['alpha" not in content:
        assert "gate.toml" in result.stderr or "rule" in result.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[tool.ww.check]\nrules = []", "[tool.ww.check] rules is an empty list"),
        ("[tool.ww.check]\nrule = []", "[tool.ww.check] unknown key 'rule'"),
        ("[tool.ww]\ncheck = 3", "is not a table of keys"),
        ("[tool.ww.check", "is not TOML"),
        ("[tool.ww.check]\nbaseline = 'previous'", "there is no rule: give --rule"),
        ("[tool]\nww = 3", "there is no rule: give --rule"),
    ],
)
def test_a_project_file_that_cannot_be_used_is_one_sentence(stored, tmp_path, content, sentence):
    (tmp_path / "pyproject.toml").write_text(content)
    fails(stored("check", "net@2"), USAGE, sentence)


def test_files_of_rules_that_are_no_files(stored, tmp_path):
    fails(stored("check", "net@2", "--rules", "none.toml"), USAGE, "none.toml cannot be read")
    fails(stored("check", "net@2", "--rules", tmp_path), USAGE, "cannot be read")
    fails(stored("check", "net@2", "--rules", ""), USAGE, "--rules is empty")
    fails(stored("check", "net@2", "--rules", "/dev/zero"), USAGE, "/dev/zero", "more than 1,048,576 bytes")
    fails(stored("check", "net@2"), USAGE, "there is no rule: give --rule")


# --- rules that cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("", "rules must be texts that are not empty"),
        (" ", "rules must be texts that are not empty"),
        ("alpha", "':' and a condition are expected"),
        ("alpha:", "a condition such as"),
        ("alpha < 6", "':' or an operator is expected"),
        ("alpha: 6", "a condition such as"),
        ("alpha: < x", "a number is expected"),
        ("alpha: +5 percent", "not 'percent'"),
        ("alpha: < 6 or > 7", "not 'or'"),
        ("alpha: < 6 (partial)", "'allowed' is expected"),
        ("alpha.max: < 6", "write max(alpha)"),
        ("mx(alpha): < 6", "did you mean max"),
        ("alhpa: < 6", "unknown column 'alhpa': did you mean alpha"),
        ("layers.*.alhpa: < 6", "unknown column 'alhpa'"),
        ("layers.frist.alpha: < 6", "unknown layer 'frist': did you mean first"),
        ("layers.alpha: < 6", "layers.GLOB.column is expected"),
        ("layers.w[.alpha: < 6", "a ']' is missing"),
        ("warning: < 6", "warning is a text"),
        ("alpha: no new", "alpha is a number"),
        ("sigma: no worse", "neither direction of sigma"),
        ("alpha / D: no worse", "one column"),
        ("layers.*.log_prod_spectral_norm: < 6", "is a column of the model"),
        ("alpha: < 1e999", "too large"),
        ("__import__('os').system('x'): < 6", "unknown function"),
        ("(" * 100 + "alpha" + ")" * 100 + ": < 6", "nested deeper"),
        ("+".join(["alpha"] * 150) + ": < 6", "operators"),
        ("a" * 5000 + ": < 6", "1000 are allowed"),
        ("alpha\n\x1b[31m: < 6", "has no meaning here"),
    ],
)
def test_a_rule_that_cannot_be_used_is_one_sentence(stored, rule, sentence):
    result = stored("check", "net@2", "--baseline", "net@1", "--rule", rule)
    fails(result, USAGE, sentence)
    assert "\x1b" not in result.stderr


def test_the_place_of_the_fault_is_shown_below_the_sentence(stored):
    result = stored("check", "net", "--rule", "alpha: < six")
    assert result.stderr.splitlines()[1:] == ["    alpha: < six", "             ^"]


# --- files of reports -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", ("is not JSON",)),
        (b"{", ("is not JSON", "line 1")),
        (b"[]", ("an object is expected, not a list",)),
        (b"null", ("an object is expected, not null",)),
        (b"{}", ("'columns' is missing", "ww show MODEL --json")),
        (b'{"columns": 3}', ("columns: a list is expected",)),
        (b'{"columns": [NaN]}', ("NaN, which is not a number of JSON",)),
        (b'{"columns": [], "a": {"x\\n": 1, "x\\n": 2}}', ("the key 'x\\n' is there twice",)),
        (b'{"columns": [-Infinity]}', ("-Infinity",)),
        (b"[" * 200_000, ("nested too deep",)),
        (b'{"a":' * 200_000, ("nested too deep",)),
        (b"1" * 10_000, ("is not readable JSON",)),
        (b"\xff\xfe{}", ("not JSON",)),
        (b"\x80\x80", ("not UTF-8 text",)),
        (b"hello", ("is not JSON", "line 1, column 1")),
    ],
)
def test_a_file_that_is_no_report_is_one_sentence(stored, tmp_path, content, texts):
    (tmp_path / "base.json").write_bytes(content)
    fails(stored("check", "net", "--baseline", "base.json", *told(RULES)), PLACE, "base.json", *texts)


def test_a_report_that_was_cut_or_changed_is_one_sentence(stored, tmp_path):
    text = stored("show", "net@1", "--json").stdout.rstrip()
    for cut in range(1, len(text), len(text) // 9):
        (tmp_path / "base.json").write_text(text[:cut])
        fails(stored("check", "net", "--baseline", "base.json", *told(RULES)), PLACE, "base.json is not JSON")
    content = json.loads(text)
    content["layers"][0]["metrics"]["alpha"] = "3"
    (tmp_path / "base.json").write_text(json.dumps(content))
    result = stored("check", "net", "--baseline", "base.json", *told(RULES))
    fails(result, PLACE, "base.json", "layers[0].metrics.alpha: a number is expected, not a text")

"""Tables read by a mapping: templates, filters, long forms, scores; and the mappings that ww comes with."""

from __future__ import annotations

import contextlib
import csv
import gzip
from pathlib import Path
from typing import ClassVar

import pytest

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_plugins.importers.mapped import MappedImporter

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ROOT / "benchmarks/papers"
SHARED = ROOT.parent / "shared/data/trends"

TABLE = (
    "net,family,when,grade,alpha,beta,err\n"
    "a,vgg,old,good,1.5,10,30\n"
    "a,vgg,new,good,2.5,11,29\n"
    "b,vgg,new,bad,3.5,,28\n"
    "c,dense,new,bad,4.5,13,\n"
)


def read(text, mapping, folder):
    (folder / "table.csv").write_text(text)
    (folder / "map.toml").write_text(mapping)
    return MappedImporter(mapping=str(folder / "map.toml")).read(FileSource(folder / "table.csv"))


def test_templates_filters_and_columns(tmp_path):
    table = read(
        TABLE,
        """
        provider = "paper {when}"
        source = "table {when}"
        model = "{family}/{net}"
        series = ["{family}", "all {{nets}}"]
        keep = { when = "new" }
        leave_out = { beta = "" }
        [[columns]]
        column = "alpha"
        name = "exponent"
        metric = "paper:{name}"
        version = "2"
        definition = "The exponent, {column}."
        better = "lower"
        unit = "none"
        caveat = "Not by its mean."
        [[columns]]
        column = "grade"
        type = "text"
        """,
        tmp_path,
    )
    assert (table.provider, table.source) == ("paper new", "table new")
    assert [row.model for row in table.rows] == ["vgg/a", "dense/c"]
    assert table.series == {"vgg/a": ("vgg", "all {nets}"), "dense/c": ("dense", "all {nets}")}
    exponent, grade = table.columns
    assert exponent == ww.ReportedColumn(
        "exponent", "paper:exponent", "2", "The exponent, alpha.", "float", "lower", "none", "Not by its mean."
    )
    assert (grade.name, grade.type, grade.metric) == ("grade", "text", "mapped:grade")
    assert "not documented" in grade.definition
    assert [row.values["exponent"].value for row in table.rows] == [2.5, 4.5]
    assert [row.values["grade"].value for row in table.rows] == ["good", "bad"]


def test_a_glob_takes_numbers_that_nothing_else_uses(tmp_path):
    table = read(
        TABLE,
        """
        model = "{family}/{net}-{when}"
        [[columns]]
        column = "*"
        except = ["err"]
        name = "{column}_paper"
        definition = "Mean of {column}."
        """,
        tmp_path,
    )
    assert [column.name for column in table.columns] == ["alpha_paper", "beta_paper"]
    assert [column.definition for column in table.columns] == ["Mean of alpha.", "Mean of beta."]
    assert table.rows[2].values["beta_paper"].state is ww.State.NOT_APPLICABLE
    assert table.notes == (
        "left out, as they hold no numbers: grade (line 2: 'good' is no number)",
        "left out, as the mapping does not name them: err",
    )


def test_scores(tmp_path):
    table = read(
        TABLE.replace("err\n", "err,lo,hi\n").replace(",30\n", ",30,29,31\n").replace(",29\n", ",29,28,30\n")
        .replace(",28\n", ",28,27,29\n").replace("13,\n", "13,,,\n"),
        """
        model = "{net}"
        version = "{when}"
        [[scores]]
        name = "{family}_error"
        value = "err"
        dataset = "set of {family}"
        source = "readme {when}"
        better = "lower"
        unit = "%"
        low = "lo"
        high = "hi"
        """,
        tmp_path,
    )  # fmt: skip
    assert table.rows == ()
    assert table.scores[0] == ww.Score(
        "a", "vgg_error", "set of vgg", 30.0, "readme old", "old", "lower", "%", 29.0, 31.0
    )
    assert [(score.model, score.version) for score in table.scores] == [("a", "old"), ("a", "new"), ("b", "new")]


def test_a_score_twice(tmp_path):
    mapping = "model='{net}'\n[[scores]]\nname='e'\nvalue='err'\nsource='s'"
    with pytest.raises(
        ww.CorruptFileError, match="line 3, column err: the e of a from s is another number than in line 2"
    ):
        read(TABLE, mapping, tmp_path)
    table = read(TABLE.replace("11,29", "11,30"), mapping, tmp_path)
    assert [score.model for score in table.scores] == ["a", "b"]


class TestLongForm:
    TABLE = "net,metric,min,max,n\na,alpha,1,3,50\na,norm,10,30,50\nb,alpha,2,4,60\n"
    MAPPING = """
        model = "{net}"
        [[columns]]
        column = "min"
        name = "{metric}_min"
        definition = "Smallest {metric}."
        [[columns]]
        column = "max"
        name = "{metric}_max"
        [[columns]]
        column = "n"
        type = "int"
        """

    def test_rows_of_one_model_merge(self, tmp_path):
        table = read(self.TABLE, self.MAPPING, tmp_path)
        assert {column.name for column in table.columns} == {"n", "alpha_min", "alpha_max", "norm_min", "norm_max"}
        assert [(row.model, {name: own.value for name, own in row.values.items()}) for row in table.rows] == [
            ("a", {"n": 50, "alpha_min": 1, "alpha_max": 3, "norm_min": 10, "norm_max": 30}),
            ("b", {"n": 60, "alpha_min": 2, "alpha_max": 4}),
        ]
        definitions = {column.name: column.definition for column in table.columns}
        assert definitions["norm_min"] == "Smallest norm."

    def test_rows_that_say_two_things(self, tmp_path):
        with pytest.raises(ww.CorruptFileError, match="line 5: alpha_min of a has another value than in line 2"):
            read(self.TABLE + "a,alpha,9,3,50\n", self.MAPPING, tmp_path)

    def test_one_name_for_two_columns(self, tmp_path):
        with pytest.raises(ww.UsageError, match="the name 'alpha' is given to columns 'min' and 'max'"):
            read(self.TABLE, self.MAPPING.replace("_min", "").replace("_max", ""), tmp_path)


def test_layers_of_several_matrices_keep_their_order(tmp_path):
    table = read(
        "net,layer,alpha\na,fc,1\na,conv,2\na,conv,3\na,conv,3\n",
        "model='{net}'\nlayer='{layer}'\n[[columns]]\ncolumn='alpha'",
        tmp_path,
    )
    assert [(row.layer, row.values["alpha"].value) for row in table.rows] == [
        ("fc", 1), ("conv", 2), ("conv", 3), ("conv", 3)
    ]  # fmt: skip


def test_types(tmp_path):
    table = read(
        "net,flag,count,word\na,1,766.0,x\nb,False,2,\n",
        "model='{net}'\n[[columns]]\ncolumn='flag'\ntype='bool'\n[[columns]]\ncolumn='count'\ntype='int'\n"
        "[[columns]]\ncolumn='word'\ntype='text'",
        tmp_path,
    )
    assert [[own.value for own in row.values.values()] for row in table.rows] == [[True, 766, "x"], [False, 2, None]]
    for column, kind, cell in (("flag", "bool", "2"), ("count", "int", "1.5"), ("count", "float", "x")):
        with pytest.raises(ww.CorruptFileError, match=f"line 2, column {column}: '{cell}' is"):
            read(
                f"net,{column}\na,{cell}\n", f"model='{{net}}'\n[[columns]]\ncolumn='{column}'\ntype='{kind}'", tmp_path
            )


def test_rows_are_counted_by_their_lines(tmp_path):
    text = 'net,word,alpha\na,"two\nlines",1\n\nb,x,y\n'
    with pytest.raises(ww.CorruptFileError, match="line 5, column alpha: 'y' is no number"):
        read(text, "model='{net}'\n[[columns]]\ncolumn='alpha'", tmp_path)


@pytest.mark.parametrize("mapping", sorted(PAPERS.glob("*.toml")), ids=lambda path: path.stem)
class TestMappingsOfThePapers:
    """Every file of the published data comes in by its mapping, and no cell that counts is lost."""

    FILES: ClassVar = {"osmr_readme_rows": "osmr_readme_errors", "series_metrics_right": "series_metrics"}
    ROWS: ClassVar = {"layers": 6993, "osmr_models": 311, "series_metrics": 41, "vgg_ww04_ww2x_layers": 118}

    @pytest.fixture
    def file(self, mapping):
        found = sorted(SHARED.glob(f"{self.FILES.get(mapping.stem, mapping.stem)}.csv*"))
        if not found:
            pytest.skip("the published data is not here")
        return found[0]

    def test_all_of_it_is_imported(self, mapping, file):
        with ww.open_store(None) as store:
            report = ww.import_table(file, store=store, mapping=mapping)
            assert report.rows or report.scores
            assert report.rows == self.ROWS.get(mapping.stem, report.rows)
            assert not ww.import_table(file, store=store, mapping=mapping).is_new

    def test_every_number_is_that_of_the_file(self, mapping, file):
        table = MappedImporter(mapping=str(mapping)).read(FileSource(file))
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        cells = [cell for row in csv.DictReader(content.decode().splitlines()) for cell in row.values()]
        numbers = set()
        for cell in cells:
            with contextlib.suppress(ValueError):
                numbers.add(float(cell))
        read_numbers = {
            float(own.number) for row in table.rows for own in row.values.values() if own.is_ok and own.text is None
        }
        assert read_numbers <= numbers
        assert {score.value for score in table.scores} <= numbers
        assert read_numbers or table.scores

"""WeightWatcher's frames: small ones of each version, made for these tests, and those that were published."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import ClassVar

import pytest

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.sources.opening import find_source
from ww_plugins.importers import peer_columns
from ww_plugins.importers.summaries import SummaryImporter
from ww_plugins.importers.weightwatcher import WeightWatcherImporter

SHARED = Path(__file__).resolve().parents[3] / "shared/data/trends"

RAW_027 = (
    "layer_id,layer_type,N,M,layer_count,slice,slice_count,level,comment,check,checkTF,norm,lognorm,normX,lognormX,"
    "alpha,alpha_weighted,spectralnorm,logspectralnorm,softrank,softranklog,softranklogratio,sigma_mp,numofSpikes,"
    "ratio_numofSpikes,softrank_mp,logpnorm,alpha_min\n"
    "5.0,CONV2D,128.0,64.0,,1.0,,LEVEL.SLICE,Slice level,1.8,False,10,1,40,1.6,2.5,3.25,20,1.3,5,0.7,1.5,0.6,20,0.3,"
    "0.05,4.5,\n"
    "5.0,CONV2D,128.0,64.0,,2.0,,LEVEL.SLICE,Slice level,1.9,True,100,2,42,1.7,3.5,4.25,21,1.4,6,0.8,1.6,0.7,21,0.4,"
    "0.06,5.5,\n"
    "5.0,CONV2D,256.0,128.0,,,2.0,LEVEL.LAYER,Layer level,1.85,0.5,55,1.5,41,1.65,3.0,3.75,20.5,1.35,5.5,0.75,1.55,"
    "0.65,20.5,0.35,0.055,5.0,\n"
    "8.0,DENSE,512.0,256.0,,,1.0,LEVEL.LAYER,Layer level,0.1,0.0,1000,3,43,1.8,4.5,5.25,22,1.5,7,0.9,1.7,0.8,22,0.5,"
    "0.07,6.5,\n"
    ",,,,2.0,,,LEVEL.NETWORK,Network Level,,,,,,,,,,,,,,,,,,,2.5\n"
)
FRAME_04 = (
    "layer_id,name,D,M,N,alpha,alpha_weighted,has_esd,lambda_max,layer_type,log_alpha_norm,log_norm,log_spectral_norm,"
    "norm,num_evals,num_pl_spikes,rank_loss,rf,sigma,spectral_norm,stable_rank,sv_max,xmax,xmin\n"
    "2,Linear,0.1,10,20,2.5,1.25,True,5,LAYER_TYPE.DENSE,2,2,0.7,100,10,4,0,1,0.75,5,20,2.2,5,1\n"
    "3,Linear,0.2,10,20,3.5,2.25,True,6,LAYER_TYPE.DENSE,3,3,0.8,1000,10,4,0,1,1.25,6,21,2.3,6,1\n"
)
FRAME_06 = (
    "layer_id,name,D,Lambda,M,N,Q,alpha,alpha_weighted,best_fit,detX_num,log_norm,longname,num_fingers,warning,"
    "weak_rank_loss,xmax\n"
    "2,Linear,0.1,-1,10,20,2,2.5,1.25,power_law,3,2,fc.0,0,,0,5\n"
    "3,Linear,0.2,-1,10,20,2,-1,-0.8,,3,3,fc.2,0,over-trained,0,\n"
)
FRAME_07 = (
    ",layer_id,name,D,M,N,Q,alpha,alpha_weighted,entropy,has_esd,layer_type,log_alpha_norm,log_norm,longname,"
    "num_pl_spikes,sigma,status,sv_min,warning,xmin\n"
    "0,2,Linear,0.1,10,20,2.0,2.5,1.25,0.9,True,dense,2,2,fc.0,4,0.75,success,0.1,,1\n"
    "1,3,Linear,-1,10,20,2.0,-1,-0.8,,True,dense,inf,3,fc.2,-1,-1,failed,0.1,over-trained,-1\n"
)
FRAME_077 = FRAME_07.replace(",D,", ",D,num_traps,").replace(",0.1,10", ",0.1,0,10").replace(",-1,10", ",-1,1,10")
FRAMES = {"0.2.7": RAW_027, "0.4": FRAME_04, "0.6.4": FRAME_06, "0.7": FRAME_07, "0.7.7": FRAME_077}


def read(text, folder, name="net.csv", **options):
    path = folder / name
    path.write_text(text)
    return WeightWatcherImporter(**options).read(FileSource(path))


def columns_of(table):
    return {column.name: column for column in table.columns}


@pytest.mark.parametrize("version", FRAMES)
def test_the_version_is_told_by_the_columns(version, tmp_path):
    table = read(FRAMES[version], tmp_path)
    assert table.provider == f"weightwatcher {version}"
    assert any(f"WeightWatcher {version}" in note and "[version=...]" in note for note in table.notes)


@pytest.mark.parametrize("version", FRAMES)
def test_every_column_has_a_definition(version, tmp_path):
    table = read(FRAMES[version], tmp_path)
    assert all(column.metric.startswith("weightwatcher:") for column in table.columns)
    assert all(len(column.definition) > 10 and column.definition.endswith(".") for column in table.columns)
    assert not any("left out, as no definition" in note for note in table.notes)
    first = {column.version for column in table.columns}
    numbers = tuple(map(int, version.split(".")))
    assert all(tuple(map(int, own.split("."))) <= numbers for own in first)


class TestMeaningsThatChanged:
    def test_log_norm(self, tmp_path):
        old = columns_of(read(RAW_027, tmp_path))["log_norm"]
        new = columns_of(read(FRAME_04, tmp_path))["log_norm"]
        assert old.metric == "weightwatcher:log_frobenius_norm"
        assert "not squared" in old.definition
        assert old.unit == "log10 weight"
        assert new.metric == "weightwatcher:log_norm"
        assert "squared Frobenius norm" in new.definition
        assert old.identity != new.identity

    def test_what_stayed_the_same_has_one_identity(self, tmp_path):
        four, seven = columns_of(read(FRAME_04, tmp_path)), columns_of(read(FRAME_07, tmp_path))
        for name in ("log_norm", "alpha_weighted", "log_alpha_norm", "xmin", "num_pl_spikes"):
            assert four[name].identity == seven[name].identity, name
        for name in ("alpha", "D"):
            assert four[name].identity != seven[name].identity, name

    def test_weights_were_scaled(self, tmp_path):
        for version, words in {"0.2.3": "", "0.2.5": "sqrt(slices)", "0.2.7": "sqrt(slices / 2)"}.items():
            definition = columns_of(read(RAW_027, tmp_path, version=version))["spectral_norm"].definition
            assert words in definition
            assert ("scaled" in definition) == bool(words)

    def test_frames_of_0_3_sum_squares(self, tmp_path):
        table = read(RAW_027, tmp_path, version="0.3.8")
        assert columns_of(table)["log_norm"].metric == "weightwatcher:log_norm"
        assert columns_of(table)["stable_rank"].metric == "weightwatcher:stable_rank_squared"

    def test_the_mean_of_alpha_has_a_caveat(self, tmp_path):
        for frame in FRAMES.values():
            columns = columns_of(read(frame, tmp_path))
            assert "depth" in columns["alpha"].caveat
            assert {name for name, column in columns.items() if column.caveat} == {"alpha"}


class TestFramesOfSlices:
    def test_means_of_other_rows_are_left_out(self, tmp_path):
        table = read(RAW_027, tmp_path)
        assert [(row.layer, row.values["alpha"].value) for row in table.rows] == [("5", 2.5), ("5", 3.5), ("8", 4.5)]
        assert [row.values["slice_id"].value for row in table.rows] == [1, 2, None]
        assert any("left out 2 rows" in note for note in table.notes)

    def test_a_layer_of_one_model_says_nothing_of_that_of_another(self, tmp_path):
        text = "model,layer_id,level,alpha,norm\na,1,LEVEL.SLICE,2,3\na,1,LEVEL.LAYER,2,3\nb,1,LEVEL.LAYER,4,5\n"
        assert [(row.model, row.values["alpha"].value) for row in read(text, tmp_path).rows] == [("a", 2), ("b", 4)]

    def test_columns_have_the_names_of_later_versions(self, tmp_path):
        names = set(columns_of(read(RAW_027, tmp_path)))
        assert {"log_norm", "spectral_norm", "stable_rank", "mp_softrank", "log_alpha_norm", "num_spikes"} <= names
        assert not names & {"lognorm", "softrank", "level", "comment", "alpha_min", "slice"}

    def test_a_level_that_nobody_knows(self, tmp_path):
        with pytest.raises(ww.CorruptFileError, match="line 3, column level: 'X' is none of SLICE, LAYER and NETWORK"):
            read(RAW_027.replace("2.0,,LEVEL.SLICE", "2.0,,LEVEL.X"), tmp_path)

    def test_a_slice_twice(self, tmp_path):
        with pytest.raises(ww.CorruptFileError, match="line 3: layer 5, slice 1, has a row in line 2 already"):
            read(RAW_027.replace(",2.0,,LEVEL.SLICE", ",1.0,,LEVEL.SLICE"), tmp_path)


class TestFailedFits:
    def test_minus_one_is_no_number(self, tmp_path):
        table = read(FRAME_07, tmp_path)
        good, bad = table.rows
        for name in ("alpha", "D", "sigma", "xmin", "num_pl_spikes", "alpha_weighted", "log_alpha_norm", "warning"):
            assert good.values[name].is_ok, name
            assert bad.values[name].state is ww.State.REFUSED, name
            assert "fit failed" in bad.values[name].reason
        assert bad.values["log_norm"].value == 3
        assert any("alpha in 1" in note and "of 2 rows" in note for note in table.notes)

    def test_states(self, tmp_path):
        good, bad = read(FRAME_07, tmp_path).rows
        assert good.values["warning"].value == ""
        assert bad.values["entropy"].state is ww.State.NOT_APPLICABLE
        text = FRAME_07.replace("0,2,Linear,0.1", "0,2,Linear,nan").replace(",2.5,1.25", ",2.5,-inf")
        good, _ = read(text, tmp_path).rows
        assert good.values["D"].state is ww.State.NAN
        assert good.values["alpha_weighted"].state is ww.State.NEGATIVE_INF


class TestLayers:
    def test_long_names_win(self, tmp_path):
        assert [row.layer for row in read(FRAME_07, tmp_path).rows] == ["fc.0", "fc.2"]

    def test_names_of_classes_are_none(self, tmp_path):
        table = read(FRAME_04, tmp_path)
        assert [row.layer for row in table.rows] == ["2", "3"]
        assert any("called by their numbers" in note for note in table.notes)

    def test_names_of_a_state_dict_are_some(self, tmp_path):
        table = read(FRAME_04.replace("2,Linear", "2,a").replace("3,Linear", "3,b"), tmp_path)
        assert [row.layer for row in table.rows] == ["a", "b"]

    def test_a_column_of_models(self, tmp_path):
        lines = FRAME_04.splitlines()
        text = "\n".join([f"net,{lines[0]}", f"a,{lines[1]}", f"b,{lines[1]}"]) + "\n"
        table = read(text, tmp_path, model_column="net")
        assert [row.model for row in table.rows] == ["a", "b"]
        assert [row.layer for row in table.rows] == ["Linear", "Linear"]
        with pytest.raises(ww.UnknownNameError, match=r"unknown column of .* 'nett': did you mean net"):
            read(text, tmp_path, model_column="nett")

    def test_a_layer_twice(self, tmp_path):
        with pytest.raises(ww.CorruptFileError, match=r"line 4: layer .* has a row in line 2 already"):
            read(FRAME_04 + FRAME_04.splitlines()[1] + "\n", tmp_path)


class TestUnknownColumns:
    TEXT = FRAME_04.replace("layer_id,", "layer_id,shine,").replace("\n2,", "\n2,7,").replace("\n3,", "\n3,8,")

    def test_they_are_left_out_and_named(self, tmp_path):
        table = read(self.TEXT, tmp_path)
        assert "shine" not in columns_of(table)
        assert any("no definition is known" in note and "shine" in note for note in table.notes)

    def test_they_are_read_if_asked(self, tmp_path):
        table = read(self.TEXT, tmp_path, undocumented=True)
        assert "not documented" in columns_of(table)["shine"].definition
        assert [row.values["shine"].value for row in table.rows] == [7, 8]


class TestForms:
    def test_all_say_the_same(self, tmp_path):
        pandas = pytest.importorskip("pandas")
        path = tmp_path / "net.csv"
        path.write_text(FRAME_07)
        frame = pandas.read_csv(path, index_col=0)
        frame.to_json(tmp_path / "net.json", orient="records")
        (tmp_path / "net.csv.gz").write_bytes(gzip.compress(FRAME_07.encode()))
        importer = WeightWatcherImporter()
        of_text = importer.read(FileSource(path))
        for other in (tmp_path / "net.json", tmp_path / "net.csv.gz", frame):
            source = find_source(other, ww.load_plugins())
            assert importer.probe(source) == importer.probe(FileSource(path)) > 0
            table = importer.read(source)
            assert table.columns == of_text.columns
            for row, same in zip(table.rows, of_text.rows, strict=True):
                assert row.layer == same.layer
                for name, outcome in row.values.items():
                    # JSON and frames have one word for what is empty and what is no number.
                    expected = same.values[name]
                    if expected.is_ok:
                        assert outcome.value == expected.value, name
                    elif name != "log_alpha_norm" or outcome.state is not ww.State.NOT_APPLICABLE:
                        assert not outcome.is_ok, name

    def test_a_frame_is_imported_from_python(self, tmp_path):
        pandas = pytest.importorskip("pandas")
        path = tmp_path / "net.csv"
        path.write_text(FRAME_07)
        frame = pandas.read_csv(path, index_col=0)
        with ww.open_store(None) as store:
            report = ww.import_table(frame, store=store, source="mine", model="net")
            assert report.is_new
            assert report.provider == "weightwatcher 0.7"
            assert not ww.import_table(frame, store=store, source="mine", model="net").is_new
            with pytest.raises(ww.UsageError, match="names no model: give model="):
                ww.import_table(frame, store=store, source="other")
            with pytest.raises(ww.UsageError, match="has no name: give source="):
                ww.import_table(frame, store=store, model="net")


class TestSummaries:
    SUMMARY: ClassVar = {"lognorm": 1.25, "lognorm_compound": 1.5, "alpha": 2.5, "normX": 41.0, "softrank": math.nan}

    def write(self, form, path):
        texts = {
            "json": json.dumps(self.SUMMARY),
            "python": str(self.SUMMARY),
            "numpy": "{" + ", ".join(f"'{k}': np.float64({v})" for k, v in self.SUMMARY.items()) + "}",
        }
        path.write_text(texts[form])
        return FileSource(path)

    @pytest.mark.parametrize("form", ["json", "python", "numpy"])
    def test_a_dict_is_read(self, form, tmp_path):
        table = SummaryImporter().read(self.write(form, tmp_path / "vgg11.txt"))
        assert table.provider == "weightwatcher 0.2.7"
        (row,) = table.rows
        assert (row.model, row.layer) == ("", "")
        assert {name: own.value for name, own in row.values.items()} == {
            "lognorm": 1.25, "lognorm_compound": 1.5, "alpha": 2.5, "normX": 41.0, "softrank": None
        }  # fmt: skip
        assert row.values["softrank"].state is ww.State.NAN
        columns = columns_of(table)
        assert columns["lognorm"].definition.startswith("Mean over the slices of all layers: Log10 of the Frobenius")
        assert columns["lognorm_compound"].definition.startswith("Mean over layers of the means over their slices")
        assert "depth" in columns["alpha"].caveat

    def test_the_dict_itself_is_read(self):
        report = ww.import_table(self.SUMMARY, source="mine", model="net")
        assert report.columns == tuple(self.SUMMARY)

    @pytest.mark.parametrize(
        "text",
        [
            "{'alpha': __import__('os').system('true'), 'lognorm': 1}",
            "{'alpha': 1, 'lognorm': 1} + {}",
            "{'alpha': 1, 'lognorm': [1]}",
            "{'alpha': 1, 'alpha': 2}",
            "{'alpha': 1_0, 'lognorm': 1}",
            "{'alpha': 1 'lognorm': 1}",
            "{'alpha': 1, 'lognorm': 1",
            "{" * 100_000 + "'alpha'",
        ],
    )
    def test_what_is_no_dict_of_numbers_is_refused(self, text, tmp_path):
        path = tmp_path / "net.txt"
        path.write_text(text)
        assert SummaryImporter().probe(FileSource(path)) == 0
        with pytest.raises(ww.CorruptFileError, match=r"net\.txt"):
            SummaryImporter().read(FileSource(path))

    def test_a_row_for_each_model(self, tmp_path):
        path = tmp_path / "df_all.csv"
        path.write_text(",modelname,lognorm,lognorm_compound,flavour,D\n0,a,1,2,x,\n1,b,3,4,y,\n")
        table = SummaryImporter().read(FileSource(path))
        assert table.provider == "weightwatcher 0.3"
        assert [row.model for row in table.rows] == ["a", "b"]
        assert [column.name for column in table.columns] == ["lognorm", "lognorm_compound"]
        assert any("flavour" in note for note in table.notes)
        assert any("no row has a value: D" in note for note in table.notes)

    def test_models_without_names(self, tmp_path):
        path = tmp_path / "all.csv"
        path.write_text("lognorm,alpha\n1,2\n3,4\n")
        with pytest.raises(ww.UsageError, match=r"no column names their models: .*model_column"):
            SummaryImporter().read(FileSource(path))

    def test_averages_of_later_versions(self, tmp_path):
        path = tmp_path / "net.json"
        path.write_text(json.dumps({"log_norm": 1, "alpha": 2, "stable_rank": 3}))
        table = SummaryImporter(version="0.7.5.5").read(FileSource(path))
        assert table.provider == "weightwatcher 0.7.5.5"
        assert table.notes == ()
        assert "counts as -1" in columns_of(table)["alpha"].definition


class TestDefinitions:
    def test_versions_of_a_name_are_in_order(self):
        by_name = {}
        for own in peer_columns.COLUMNS:
            by_name.setdefault(own.name, []).append(peer_columns.version_of(own.first))
        for name, versions in by_name.items():
            assert versions == sorted(set(versions)), name

    def test_a_key_means_one_thing_at_a_time(self):
        meanings = {}
        for own in peer_columns.COLUMNS:
            meanings.setdefault((own.metric, own.first), set()).add(own.definition)
        assert {key: said for key, said in meanings.items() if len(said) > 1} == {}

    def test_no_sentence_is_said_twice_of_one_name(self):
        said = [(own.name, own.definition) for own in peer_columns.COLUMNS]
        doubled = {pair for pair in said if said.count(pair) > 1}
        assert {name for name, _ in doubled} <= {"warning"}


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the published tables are not here")


@needs_shared
class TestPublishedTables:
    def test_layers_of_vgg_by_version_0_4(self):
        source = FileSource(SHARED / "vgg_ww04_ww2x_layers.csv")
        assert WeightWatcherImporter().probe(source) > 0
        table = WeightWatcherImporter().read(source)
        assert table.provider == "weightwatcher 0.4"
        assert len(table.rows) == 118
        assert len({row.model for row in table.rows}) == 8

    def test_averages_of_the_networks_of_imgclsmob(self):
        source = FileSource(SHARED / "osmr_models_ww023.csv.gz")
        assert SummaryImporter().probe(source) > 0
        table = SummaryImporter(version="0.2.3").read(source)
        assert len(table.rows) == 444
        assert "scaled" not in columns_of(table)["lognorm"].definition

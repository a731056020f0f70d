"""A folder that was cut, edited, forged or made by a newer program is refused in one sentence: nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import blake3
import pytest
from sqlalchemy import func, select

import ww_core as ww
from ww_core.domain.exchange import ExportedFile
from ww_core.store import tables
from ww_core.store.exchange.manifest import Manifest
from ww_core.store.store import open_store

PLACE = 3


@pytest.fixture
def folder(everything_in_a_file, tmp_path, tmp_path_factory, originals):
    """An export of a store that has some of everything."""
    if "folder" not in originals:
        originals["folder"] = tmp_path_factory.mktemp("exported") / "folder"
        ww.export_folder(originals["folder"], store=everything_in_a_file)
    return shutil.copytree(originals["folder"], tmp_path / "folder")


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def sign(folder, *, files=None, **told):
    """Write a manifest that fits what is in the folder: that of somebody who knows how it is made."""
    before = manifest_of(folder)
    found = {}
    for name, own in (files or before["files"]).items():
        path = folder / f"{name}.jsonl"
        content = path.read_bytes() if path.is_file() else b""
        rows = own["rows"] if "rows" in told.get("keep", ()) else content.count(b"\n")
        digest = blake3.blake3(content).hexdigest()
        found[name] = ExportedFile(tuple(own["columns"]), rows, len(content), digest)
    revision = told.get("revision", before["revision"])
    Manifest(revision, "ww", "2025-01-01T00:00:00Z", found).write(folder)


def edit(folder, table, change, row=0):
    """Change a field or more of a row of a table, and sign."""
    path = folder / f"{table}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    columns = manifest_of(folder)["files"][table]["columns"]
    fields = dict(zip(columns, json.loads(lines[row]), strict=True))
    fields |= change(fields) if callable(change) else change
    lines[row] = json.dumps(list(fields.values())).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    sign(folder)


def replace_line(folder, table, line, row=0):
    path = folder / f"{table}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[row] = line
    path.write_bytes(b"".join(lines))
    sign(folder)


def refused(folder, *texts, code=PLACE, **options):
    """Import the folder into a store that has something; and into none, which must not be made."""
    target = folder.parent / "not-made.sqlite"
    with pytest.raises(ww.WWError) as raised:
        ww.import_folder(folder, store=target, **options)
    assert not target.exists()
    with open_store() as store:
        store.add_scores([ww.Score("here", "top1", "digits", 1.0, "paper")], without_weights=True)
        before = counts(store)
        with pytest.raises(type(raised.value)):
            store.import_folder(folder, **options)
        assert counts(store) == before
    message = str(raised.value)
    assert raised.value.exit_code == code, message
    assert "\n" not in message
    assert len(message) < 400
    for text in texts:
        assert text in message, message
    assert list(folder.parent.glob("*ww-*")) == []


def counts(store):
    with store._reading() as connection:
        every = tables.metadata.tables.values()
        return {table.name: connection.scalar(select(func.count()).select_from(table)) for table in every}


# --- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_of_these_tests_is_sound(folder):
    sign(folder)
    with open_store() as store:
        assert store.import_folder(folder).added["value"] > 100


def cut(folder):
    path = folder / "value.jsonl"
    path.write_bytes(path.read_bytes()[:-20])


def cut_lines(folder):
    path = folder / "value.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))


def edited(folder):
    path = folder / "value.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ok"', b'"OK"', 1))


def another(folder):
    (folder / "notes.txt").write_text("of a friend")


def hidden(folder):
    (folder / ".hidden").write_text("")


def inner_folder(folder):
    (folder / "more").mkdir()


def linked(folder):
    outside = folder.parent / "outside.jsonl"
    (folder / "value.jsonl").rename(outside)
    (folder / "value.jsonl").symlink_to(outside)


def linked_manifest(folder):
    outside = folder.parent / "outside.json"
    (folder / "manifest.json").rename(outside)
    (folder / "manifest.json").symlink_to(outside)


def pipe(folder):
    (folder / "value.jsonl").unlink()
    os.mkfifo(folder / "value.jsonl")


def folder_for_file(folder):
    (folder / "value.jsonl").unlink()
    (folder / "value.jsonl").mkdir()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (cut, "value.jsonl is not as it was exported: it has"),
        (cut_lines, "value.jsonl is not as it was exported: it has"),
        (edited, "value.jsonl is not as it was exported: its digest"),
        (another, "there is 'notes.txt' in it"),
        (hidden, "there is '.hidden' in it"),
        (inner_folder, "there is 'more' in it"),
        (lambda folder: (folder / "value.jsonl").unlink(), "value.jsonl is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "is no export of ww: it has no manifest.json"),
        (linked, "value.jsonl is a link"),
        (linked_manifest, "manifest.json is a link"),
        (pipe, "value.jsonl is no plain file"),
        (folder_for_file, "value.jsonl is no plain file"),
    ],
)
def test_what_was_cut_edited_added_or_removed(folder, spoil, text):
    spoil(folder)
    refused(folder, text)


@pytest.mark.parametrize("name", ["nothing", "file", "x" * 300])
def test_what_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with open_store() as store, pytest.raises(ww.SourceError, match=name[:20]):
        store.import_folder(tmp_path / name)


# --- the manifest -----------------------------------------------------------------------------------------------------


def told(**changes):
    return lambda manifest: json.dumps(manifest | changes)


@pytest.mark.parametrize(
    ("write", "texts"),
    [
        (lambda _: "", ("is no manifest",)),
        (lambda _: "{", ("is no manifest", "line 1")),
        (lambda _: "[]", ("'the manifest' is not an object",)),
        (lambda _: "[" * 100_000, ("nested too deep",)),
        (lambda _: '{"a":' * 100_000, ("nested too deep",)),
        (lambda _: '{"format": NaN}', ("NaN",)),
        (lambda _: '{"format": 1, "format": 1}', ("twice",)),
        (lambda _: "9" * 10_000, ("is no manifest",)),
        (lambda _: " " * (2**20 + 1), ("more than 1,048,576 bytes",)),
        (lambda _: "\udcff\udcfe", ("not UTF-8 text",)),
        (told(format=2), ("was made by a newer ww: upgrade ww",)),
        (told(format=10**30), ("was made by a newer ww: upgrade ww",)),
        (told(format=0), ("its format is 0",)),
        (told(format="1"), ("its format is '1'",)),
        (told(format=True), ("its format is True",)),
        (told(format=None), ("its format is None",)),
        (told(revision=None), ("'revision' is not a text",)),
        (told(files=None), ("'files' is not an object",)),
        (told(files=[]), ("'files' is not an object",)),
        (told(files={}), ("its digest does not match its content",)),
        (told(files={"value": 3}), ("'files.value' is not an object",)),
        (told(files={"value": {"columns": "x"}}), ("'files.value.columns' is not a list",)),
        (told(files={"value": {"columns": [3]}}), ("'files.value.columns' is not a text",)),
        (told(files={"value": {"columns": [], "rows": -1}}), ("'files.value.rows' is no count",)),
        (told(files={"value": {"columns": [], "rows": 2**70}}), ("'files.value.rows' is no count",)),
        (told(files={"value": {"columns": [], "rows": 1.5}}), ("'files.value.rows' is no count",)),
        (told(digest="0" * 64), ("its digest does not match its content",)),
        (told(files={"../value": {}}), ("'../value' is not a table",)),
        (told(files={"/etc/passwd": {}}), ("'/etc/passwd' is not a table",)),
        (told(files={"a\\b": {}}), ("is not a table",)),
        (told(files={"x" * 100_000: {}}), ("xxx",)),
    ],
)
def test_a_manifest_that_is_none(folder, write, texts):
    text = write(manifest_of(folder))
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(folder, *texts)


def test_a_manifest_without_an_end(folder, tmp_path):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/dev/zero")
    refused(folder, "manifest.json is a link")


@pytest.mark.parametrize("revision", ["9999", "head", "base", "", "0001:0002", "x" * 1000])
def test_a_revision_that_this_program_does_not_know(folder, revision):
    sign(folder, revision=revision)
    refused(folder, "was made by a newer ww: upgrade ww")


@pytest.mark.parametrize("change", ["more", "fewer", "rows", "unknown column", "lacking column", "column twice"])
def test_a_manifest_that_does_not_fit_the_schema(folder, change):
    files = manifest_of(folder)["files"]
    match change:
        case "more":
            (folder / "sqlite_master.jsonl").write_text("")
            sign(folder, files=files | {"sqlite_master": {"columns": []}})
            refused(folder, "it has no table 'sqlite_master'")
        case "fewer":
            (folder / "series_member.jsonl").unlink()
            sign(folder, files={name: own for name, own in files.items() if name != "series_member"})
            refused(folder, "series_member.jsonl is missing")
        case "rows":
            files["series"]["rows"] += 1
            (folder / "manifest.json").write_text(json.dumps(manifest_of(folder) | {"files": files}))
            sign(folder, files=files, keep=["rows"])
            refused(folder, "series.jsonl has 2 rows, and its manifest says 3")
        case _:
            columns = files["series"]["columns"]
            files["series"]["columns"] = {
                "unknown column": ["name; DROP TABLE run"],
                "lacking column": [],
                "column twice": columns * 2,
            }[change]
            sign(folder, files=files)
            refused(folder, "series.jsonl", "column")


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"\n", "line 1: it is not JSON"),
        (b"{}\n", "line 1: it is no list of 7 fields"),
        (b'"value"\n', "it is no list of 7 fields"),
        (b"[]\n", "it is no list of 7 fields"),
        (b"[1,2,3]\n", "it is no list of 7 fields"),
        (b'[1,1,"ok",1.5,null,"",1,2]\n', "it is no list of 7 fields"),
        (b'[1,1,"ok",1.5,null,"",1] \n', "it is no list of 7 fields"),
        (b'[1,1,"ok",1.5,null,"",1][]\n', "it is no list of 7 fields"),
        (b'[1,1,"ok",1.5,null,"",1\n', "it is not JSON"),
        (b"[" * 100_000 + b"\n", "it is nested too deep"),
        (b'{"a":' * 100_000 + b"\n", "it is nested too deep"),
        (b'[1,1,"ok",NaN,null,"",1]\n', "it is not JSON: it holds NaN"),
        (b'[1,1,"ok",-Infinity,null,"",1]\n', "it is not JSON: it holds -Infinity"),
        (b'[1,1,"ok",1e999,null,"",1]\n', "number is not a finite number"),
        (b'[1,1,"ok",' + b"1" * 400 + b',null,"",1]\n', "number is not a finite number"),
        (b'[1,1,"ok",' + b"1" * 10_000 + b',null,"",1]\n', "it is not JSON"),
        (b'[1,1,"ok","1.5",null,"",1]\n', "number is a text, and must be a number"),
        (b'[1,1,"ok",true,null,"",1]\n', "number is true or false, and must be a number"),
        (b'[1,1,"ok",[1.5],null,"",1]\n', "number is a list, and must be a number"),
        (b'[1,1,"ok",{},null,"",1]\n', "number is an object, and must be a number"),
        (b'[1,1,3,1.5,null,"",1]\n', "state is a number, and must be a text"),
        (b'[1,1,null,1.5,null,"",1]\n', "state is nothing, and must be a text"),
        (b'[1,1,"' + b"o" * 17 + b'",1.5,null,"",1]\n', "state has 17 letters, and 16 are allowed"),
        (b'[1,1,"ok",1.5,null,"\\u0000",1]\n', "reason holds a letter that no text has"),
        (b'[1,1,"ok",1.5,null,"\\ud800",1]\n', "reason holds a letter that no text has"),
        (b'[1,1,"ok",1.5,null,"\xff",1]\n', "it is not UTF-8 text"),
        (b'[1,"1","ok",1.5,null,"",1]\n', "column_id is a text, and must be the line of a row of metric_column"),
        (b'[1,1.0,"ok",1.5,null,"",1]\n', "column_id is a number, and must be the line of a row"),
        (b'[true,1,"ok",1.5,null,"",1]\n', "subject_id is true or false, and must be the line"),
        (b'[null,1,"ok",1.5,null,"",1]\n', "subject_id is nothing, and must be the line"),
        (b'[0,1,"ok",1.5,null,"",1]\n', "subject_id points at a row of subject that is not in the folder"),
        (b'[-1,1,"ok",1.5,null,"",1]\n', "subject_id points at a row of subject that is not in the folder"),
        (b'[1,99999,"ok",1.5,null,"",1]\n', "column_id points at a row of metric_column that is not in the folder"),
        (b'[1,1,"ok",1.5,null,"",9223372036854775808]\n', "origin_id points at a row of origin that is not in"),
        (b'[1,1,"ok",1.5,null,"",' + b"9" * 50 + b"]\n", "origin_id points at a row of origin that is not in"),
    ],
)
def test_a_line_that_is_no_row(folder, line, text):
    replace_line(folder, "value", line)
    refused(folder, "value.jsonl, line 1: ", text)


def test_the_last_line_must_have_an_end(folder):
    path = folder / "value.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    sign(folder)
    refused(folder, "value.jsonl, line ", "it is cut")


@pytest.mark.parametrize(
    ("table", "change", "text"),
    [
        ("layer", {"position": 2**31}, "position is out of range"),
        ("layer", {"size": 2**63}, "size is out of range"),
        ("layer", {"size": -(2**63) - 1}, "size is out of range"),
        ("checkpoint", {"provisional": 0}, "provisional is a number, and must be true or false"),
        ("checkpoint", {"digest": "F" * 64}, "digest is no digest"),
        ("checkpoint", {"digest": "0" * 63}, "digest is no digest"),
        ("checkpoint", {"digest": 3}, "digest is no digest"),
        ("tensor", {"shape": "[" * 100_000}, "shape is not JSON"),
        ("tensor", {"shape": '{"a":1}'}, "shape is an object in JSON"),
        ("identity", {"parameters": "[]"}, "parameters is a list in JSON"),
        ("run", {"warnings": "no list"}, "warnings is not JSON"),
        ("run", {"request": '{"seed": NaN}'}, "request is not JSON"),
        ("run", {"id": 2**60}, "id is out of range"),
        ("run", {"id": -1}, "id is out of range"),
        ("run", {"id": 0}, "id is out of range"),
        ("label", {"position": 2**31 - 1}, "position is out of range"),
        ("coverage", {"matrices": 2**31 - 1}, "matrices is out of range"),
        ("spectrum", {"length": 2**62}, "length is out of range"),
        ("run", {"label_id": 99}, "label_id points at a row of label that is not in the folder"),
        ("run_failure", {"run_id": 2**40}, "run_id points at a row of run that is not in the folder"),
        ("origin", {"run": 2**62}, "run is out of range"),
        ("spectrum", {"singular_values": "no base64!"}, "singular_values is no text in base64"),
        ("spectrum", {"singular_values": 3}, "singular_values is a number, and must be a text in base64"),
        ("subject", {"kind": "neuron"}, "it names a row of subject_kind that is not in the folder"),
        ("identity", {"kind": "neuron"}, "it names a row of identity_kind that is not in the folder"),
    ],
)
def test_a_field_that_its_column_does_not_have(folder, table, change, text):
    edit(folder, table, change)
    refused(folder, f"{table}.jsonl, line ", text)


@pytest.mark.parametrize(
    "table", ["tensor", "model", "label", "value", "metric_column", "subject", "series_member", "run", "matrix_subject"]
)
def test_a_row_that_is_there_twice(folder, table):
    path = folder / f"{table}.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])
    sign(folder)
    refused(folder, f"{table}.jsonl, line ", "another row has the same")


# --- what the rows say together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "change", "text"),
    [
        ("value", {"state": "excellent"}, "breaks the rule"),
        ("value", {"number": None, "text": None, "state": "ok"}, "breaks the rule"),
        ("coverage", {"state": "guessed"}, "breaks the rule"),
        ("metric_column", {"better": "more"}, "breaks the rule"),
        ("score", {"checkpoint_id": None, "subject_id": None}, "breaks the rule"),
        ("matrix_subject", {"entries": 77}, "is not what its digest"),
        ("matrix_subject", {"groups": 5}, "is not what its digest"),
        ("layer_subject", {"kind": "embedding"}, "is not what its digest"),
        ("layer", {"name": "another"}, "is not what its digest"),
        ("layer", {"shape": "[1,1]"}, "is not what its digest"),
        ("identity", {"version": "99"}, "is not what its digest"),
        ("identity", {"parameters": '{"n":1}'}, "is not what its digest"),
        ("variant", {"extractors": "{}"}, "is not what its digest"),
        ("selection", {"profile": "another"}, "contradicts itself"),
        ("selection", {"extractors": "{}"}, "is not what its digest"),
        ("selection_variant", {"label": "another"}, "is not what its digest"),
        ("pair_subject", lambda row: {"second_id": row["first_id"]}, "is not what its digest"),
        ("reported_subject", {"source": "another"}, "contradicts itself"),
        ("identity", {"kind": "reported"}, "digest: reported"),
        ("score", {"name": "another"}, "is not what its digest"),
        ("score", {"dataset": "another"}, "is not what its digest"),
        ("derivation", {"transform": "another"}, "is not what its digest"),
        ("derivation_parent", {"checkpoint": "a" * 64}, "is not what its digest"),
        ("origin", {"plugin": "another"}, "is not what its digest"),
        ("origin", {"run": 3}, "is not what its digest"),
        ("subject", {"digest": "0" * 64}, "is not what its digest"),
        ("structure", {"digest": "0" * 64}, "is not what its digest"),
        ("spectrum", {"singular_values": "AAAA"}, "spectrum"),
        ("spectrum", {"length": 2**20}, "it does not hold 1048576 values"),
        ("selection_variant", {"scope": "world"}, "a column has a scope that there is not"),
        ("spectrum", {"encoding": "pickle"}, "unknown encoding"),
        ("spectrum", {"noise_floor": -1.0}, "its noise floor is -1.0"),
        ("model", {"name": "a@b"}, "cannot be used"),
        ("model", {"name": ""}, "is empty"),
        ("model", {"name": "x\u202e"}, "cannot be used"),
        ("label", {"name": "\n"}, "cannot be used"),
        ("in_force", {"profile": "another"}, "not the profile's own"),
        (
            "in_force",
            lambda row: {"analysis_id": 3 - min(row["analysis_id"], 2)},
            "is of something else than its label",
        ),
        ("subject_kind", {"name": "zzz"}, "names a row of subject_kind"),
    ],
)
def test_content_that_contradicts_itself(folder, table, change, text):
    edit(folder, table, change, row=_row_with(folder, table, change))
    refused(folder, text)


def _row_with(folder, table, change):
    """The first row that the change makes another one of."""
    columns = manifest_of(folder)["files"][table]["columns"]
    for at, line in enumerate((folder / f"{table}.jsonl").read_text().splitlines()):
        fields = dict(zip(columns, json.loads(line), strict=True))
        new = change(fields) if callable(change) else change
        if any(fields[name] != own and fields[name] not in (None, "") for name, own in new.items()):
            return at
    raise AssertionError("no row to change")


def test_a_run_that_answers_for_a_label_on_something_else(folder):
    columns = manifest_of(folder)["files"]["run"]["columns"]
    place = columns.index("label_id")
    rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    at, other = next((n, row[place]) for n, row in enumerate(rows) if row[place] not in (None, rows[0][place]))
    edit(folder, "run", {"label_id": other}, row=0)
    assert at != 0
    refused(folder, "a run answers for a label that stands on something else")


def test_a_layer_that_is_of_another_structure(folder):
    lines = len((folder / "layer.jsonl").read_text().splitlines())
    edit(folder, "coverage", {"layer_id": lines})
    refused(folder, "an analysis covers a layer of something else")


def test_a_subject_of_which_nothing_is_said(folder):
    path = folder / "layer_subject.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    sign(folder)
    refused(folder, "a subject is of another kind than what is said of it")


def test_a_new_name_that_cannot_be(folder):
    refused(folder, "no model 'nix' in this store", rename={"nix": "new"})
    refused(folder, "there is a model 'odd' already", code=2, rename={"twin": "odd"})
    refused(folder, "cannot be used", code=2, rename={"twin": "a\tb"})
    refused(folder, "are not both models or both versions", code=2, rename={"twin": "a@b"})


@pytest.mark.slow
def test_a_line_of_a_gigabyte_takes_no_memory(folder):
    told = manifest_of(folder)
    hasher = blake3.blake3()
    with (folder / "value.jsonl").open("r+b") as file:
        file.truncate(0)
        file.truncate(10**9)
        while block := file.read(2**20):
            hasher.update(block)
    files = {
        name: ExportedFile(tuple(own["columns"]), own["rows"], own["bytes"], own["blake3"])
        for name, own in told["files"].items()
    }
    files["value"] = ExportedFile(files["value"].columns, 1, 10**9, hasher.hexdigest())
    Manifest(told["revision"], "ww", "", files).write(folder)
    program = (
        "import sys; import ww_core as ww\n"
        "try: ww.import_folder(sys.argv[1], store=sys.argv[2])\n"
        "except ww.CorruptFileError as error: print(error)\n"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    )
    command = [sys.executable, "-c", program, folder, folder.parent / "store.sqlite"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sentence, kilobytes = done.stdout.splitlines()
    assert sentence.endswith("value.jsonl, line 1: it has more than 67,108,864 bytes")
    assert int(kilobytes) < 400_000


def test_no_room_for_the_temporary_copy(folder):
    program = (
        "import resource, sys; import ww_core as ww\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "from ww_core.store import engine; engine.TEMPORARY_CACHE = 1\n"
        "try: ww.import_folder(sys.argv[1], store=None)\n"
        "except ww.StoreError as error: sys.stderr.write(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert "no room for a temporary copy of" in done.stderr
    assert "TMPDIR" in done.stderr

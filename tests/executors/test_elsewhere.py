"""Workers that share no memory: they compute the same, refuse what is not the same there, and may die."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.compute import recipe
from ww_core.plugins.discovery import load_plugins

ELSEWHERE = ["processes", "dask"]

DEADLY = """
import ctypes, os, signal
from pathlib import Path
import ww_core as ww

@ww.metric(version="1")
def deadly(n_rows, singular_values):
    "Ends its process."
    marker = Path(__file__).with_suffix(".died")
    if n_rows == 31 and (ALWAYS or not marker.exists()):
        marker.touch()
        DIE
    return singular_values[0]

@ww.hookimpl
def ww_register_metrics():
    return [deadly]
"""

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"

VERSIONED = """
import os
import ww_core as ww

@ww.metric(version="1" if os.environ["WW_TEST_PARENT"] == str(os.getpid()) else "2")
def theirs(singular_values):
    "The largest."
    return singular_values[0]

@ww.metric(version="1")
def doubled(theirs):
    "Twice that."
    return 2 * theirs

@ww.hookimpl
def ww_register_metrics():
    return [doubled, theirs]
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two workers, which somebody else has started."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        yield cluster


@pytest.fixture(
    params=[
        "processes",
        pytest.param("dask", marks=pytest.mark.stress),
        pytest.param("dask at an address", marks=pytest.mark.stress),
    ],
)
def executor(request):
    if request.param in ELSEWHERE:
        return request.param
    return f"dask[address={request.getfixturevalue('cluster').scheduler_address}]"


@pytest.fixture
def source(tmp_path):
    """Layers of 28 to 35 rows."""
    random = np.random.default_rng(0)
    weights = {f"l{n}.weight": random.standard_normal((n, 20)).astype(np.float32) for n in range(28, 36)}
    weights["l30.bias"] = random.standard_normal(30).astype(np.float32)
    path = tmp_path / "net.safetensors"
    save_file(weights, path)
    return path


class Meanwhile(ww.RunObserver):
    """Does something when all tensors have been digested, and none has been computed with."""

    def __init__(self, act):
        self.act = act

    def on_start(self, start):
        self.act()


def messages(report):
    return {failure.message for failure in report.failures}


def write(path, text):
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("jobs", [1, 2, pytest.param(5, marks=pytest.mark.stress)])
def test_rows_are_the_same_to_the_last_bit(source, executor, jobs):
    extractors = ["pool", "fft"]
    expected = ww.analyze(source, jobs=1, extractors=extractors)
    report = ww.analyze(source, jobs=jobs, executor=executor, extractors=extractors)
    assert not report.failures
    assert not report.warnings
    assert report.layers == expected.layers
    assert report.layer_metrics == expected.layer_metrics
    assert report.model_metrics == expected.model_metrics


def test_the_same_file_on_another_host_is_the_same(source, executor, tmp_path):
    def look_elsewhere():  # another inode, another time: as on a host of its own
        shutil.copyfile(source, tmp_path / "copy")
        os.utime(tmp_path / "copy", (1, 1))
        (tmp_path / "copy").replace(source)

    report = ww.analyze(source, executor=executor, observers=[Meanwhile(look_elsewhere)])
    assert not report.failures
    assert report.layers == ww.analyze(source).layers


def test_other_content_under_the_same_name_is_refused(source, executor, tmp_path):
    def look_elsewhere():
        content = bytearray(source.read_bytes())
        content[-1] ^= 1  # a bit of the last tensor
        source.write_bytes(content)

    report = ww.analyze(source, executor=executor, observers=[Meanwhile(look_elsewhere)])
    (failure,) = report.failures
    assert failure.stage == "read"
    assert failure.message == (
        f"{source}: tensor {failure.subject} is not the one that was digested: "
        "the file changed while it was analysed, or the worker sees another file under this name"
    )
    lost = [row.name for row in report.layers if not row.metrics["alpha"].is_ok]
    assert lost == [failure.subject.removesuffix(".weight")]


def test_a_file_of_another_network_is_refused(source, executor):
    def look_elsewhere():
        source.unlink()
        save_file({"l28.weight": np.ones((28, 20), np.float32), "l29.weight": np.ones((9, 9), np.float32)}, source)

    report = ww.analyze(source, executor=executor, observers=[Meanwhile(look_elsewhere)])
    assert len(report.failures) == 8
    assert all("the worker sees another file under this name" in message for message in messages(report))
    assert any("there is no tensor l29.weight of float32 (29, 20)" in message for message in messages(report))


def test_a_file_that_workers_cannot_see_is_named(source, executor):
    report = ww.analyze(source, executor=executor, observers=[Meanwhile(source.unlink)])
    assert messages(report) == {
        f"{source}: there is no such file or folder; the workers must see it under the same path"
    }
    assert {failure.subject for failure in report.failures} == {f"l{n}" for n in range(28, 36)}


def test_a_metric_of_another_version_is_refused_by_name(source, tmp_path, monkeypatch, executor):
    monkeypatch.setenv("WW_TEST_PARENT", str(os.getpid()))
    file = write(tmp_path / "team.py", VERSIONED)
    if "address" in executor:  # its workers have their environment already
        executor = "dask"
    report = ww.analyze(source, plugin_files=[file], metrics=["doubled"], executor=executor)
    assert {(failure.stage, failure.plugin) for failure in report.failures} == {("execute", "team")}
    assert {failure.subject for failure in report.failures} == {f"l{n}" for n in range(28, 36)}
    (message,) = messages(report)
    assert message == (
        "a worker has another metric team:theirs, or none: the same plugins and versions must be installed for all "
        "workers, files of --plugin under the same path"
    )


def test_a_plugin_file_that_workers_cannot_see_is_named(source, tmp_path, executor):
    file = tmp_path / "team.py"
    write(file, DEADLY.replace("ALWAYS", "False").replace("n_rows == 31", "False").replace("DIE", KILLED))
    report = ww.analyze(source, plugin_files=[str(file)], executor=executor, observers=[Meanwhile(file.unlink)])
    (message,) = messages(report)
    assert message.startswith(f"plugin file {file}: the file does not exist; check the path; the same plugins")


def test_a_file_that_changes_between_two_runs_is_read_anew(source, cluster):
    executor = f"dask[address={cluster.scheduler_address}]"
    first = ww.analyze(source, executor=executor)
    save_file({f"l{n}.weight": np.eye(n, 20, dtype=np.float32) for n in range(36, 27, -1)}, source)
    second = ww.analyze(source, executor=executor)
    assert not first.failures
    assert not second.failures
    assert second.layers == ww.analyze(source).layers


def test_a_worker_that_is_killed_costs_nothing(source, tmp_path, executor):
    file = write(tmp_path / "team.py", DEADLY.replace("ALWAYS", "False").replace("DIE", KILLED))
    metrics = ["alpha", "deadly"]
    report = ww.analyze(source, plugin_files=[file], metrics=metrics, executor=executor, jobs=2)
    assert (tmp_path / "team.died").exists()
    assert not report.failures
    assert report.layers == ww.analyze(source, plugin_files=[file], metrics=metrics).layers


@pytest.mark.parametrize(
    ("executor", "jobs", "die"),
    [
        ("processes", 1, "os._exit(0)"),
        ("processes", 2, KILLED),
        ("processes", 3, "ctypes.string_at(0)"),
        pytest.param("processes", 1, "os._exit(1)", marks=pytest.mark.stress),
        pytest.param("dask", 1, KILLED, marks=pytest.mark.stress),
        pytest.param("dask", 3, KILLED, marks=pytest.mark.stress),
    ],
)
def test_a_layer_that_kills_its_worker_is_the_only_one_lost(source, tmp_path, executor, jobs, die):
    file = write(tmp_path / "team.py", DEADLY.replace("ALWAYS", "True").replace("DIE", die))
    report = ww.analyze(source, plugin_files=[file], metrics=["deadly"], executor=executor, jobs=jobs)
    (failure,) = report.failures
    assert str(failure) == (
        f"l31 (execute, {executor}): its worker died, and so did another that had nothing but this layer to do"
    )
    assert [row.name for row in report.layers if not row.metrics["deadly"].is_ok] == ["l31"]


def test_a_worker_that_vanishes_is_a_sentence_and_exit_4(ww_here, source, tmp_path):
    write(tmp_path / "team.py", DEADLY.replace("ALWAYS", "True").replace("DIE", "os._exit(0)"))
    options = ("--plugin", "team.py", "--metrics", "deadly", "--executor", "processes")
    result = ww_here(*options[:2], "analyze", source, *options[2:])
    assert result.returncode == 4
    assert "failed: l31 (execute, processes): its worker died" in result.stderr
    assert "Traceback" not in result.stderr
    assert "l30" in result.stdout


def test_where_no_scheduler_answers_is_one_sentence_within_seconds(ww_here, source):
    pytest.importorskip("distributed")
    begun = time.perf_counter()
    result = ww_here("analyze", source, "--executor", "dask[address=tcp://127.0.0.1:9]")
    assert time.perf_counter() - begun < 10
    assert result.returncode == 2
    assert result.stderr == (
        "error: no Dask scheduler answers at tcp://127.0.0.1:9: start one there, "
        "or leave the address out for workers on this machine\n"
    )


@pytest.mark.parametrize("address", ["nonsense", "tcp://:x", "http://localhost:1"])
def test_an_address_that_is_none_is_one_sentence(source, address):
    pytest.importorskip("distributed")
    with pytest.raises(ww.UsageError, match="no Dask scheduler answers at"):
        ww.analyze(source, executor=f"dask[address={address}]")


def test_other_versions_at_workers_are_a_warning(source, cluster, monkeypatch):
    import distributed

    found = distributed.Client.get_versions

    def get_versions(client, **options):
        versions = found(client, **options)
        versions["client"]["packages"]["ww_core"] = "0.0.7"
        return versions

    monkeypatch.setattr(distributed.Client, "get_versions", get_versions)
    report = ww.analyze(source, executor=f"dask[address={cluster.scheduler_address}]")
    assert report.warnings == ("executor 'dask': versions differ: ww_core is 0.0.7 here and 0.1.0 at workers",)
    assert not report.failures


CLUSTER = """
import distributed

if __name__ == "__main__":
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
"""


@pytest.mark.stress
def test_a_scheduler_that_dies_loses_what_is_not_back(source, tmp_path):
    pytest.importorskip("distributed")
    write(tmp_path / "cluster.py", CLUSTER)
    command = [sys.executable, tmp_path / "cluster.py"]
    file = write(tmp_path / "team.py", SLOW)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        address = cluster.stdout.readline().strip()

        class Kill(ww.RunObserver):
            def on_layer(self, layer):
                cluster.kill()

        begun = time.perf_counter()
        executor = f"dask[address={address}]"
        report = ww.analyze(
            source, plugin_files=[file], metrics=["slow"], executor=executor, jobs=2, observers=[Kill()]
        )
        assert time.perf_counter() - begun < 30
    assert 4 <= len(report.failures) <= 7
    (message,) = messages(report)
    assert message.startswith(f"no Dask scheduler answers at {address}: ")


SLOW = """
import time
from pathlib import Path
import ww_core as ww

@ww.metric(version="1")
def slow(singular_values):
    "Takes its time."
    Path(__file__).with_suffix(".begun").touch()
    time.sleep(1)
    return singular_values[0]

@ww.hookimpl
def ww_register_metrics():
    return [slow]
"""


@pytest.mark.parametrize("executor", ["threads", *ELSEWHERE])
def test_control_c_is_one_sentence_and_soon(source, tmp_path, executor):
    file = write(tmp_path / "team.py", SLOW)
    command = ["analyze", source, "--plugin", file, "--metrics", "slow", "--executor", executor, "--jobs", "2"]
    program = subprocess.Popen(
        [sys.executable, "-m", "ww_core", *map(str, command), "--store", str(tmp_path / "s.sqlite")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 30
    while not (tmp_path / "team.begun").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    begun = time.perf_counter()
    _, said = program.communicate(timeout=30)
    assert time.perf_counter() - begun < 8  # 4 layers for each worker would take longer
    assert program.returncode == 130
    # On a busy machine the advice to who waits may come as the end does, on either side of it.
    assert "interrupted: the store is intact, and the same command continues from there" in said.splitlines()
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 2, said


def test_sources_without_an_address_are_computed_here(source):
    weights = {"fc.weight": np.eye(5)}
    report = ww.analyze(weights, executor="dask[address=tcp://127.0.0.1:9]", registry=load_plugins())
    assert not report.failures
    (warning,) = report.warnings
    assert warning.endswith("sees neither Python objects nor the store: threads were used")


TRAVELLING = """
import concurrent.futures
import pickle
import ww_core as ww

class Pool(concurrent.futures.Executor):
    def submit(self, fn, /, *args):
        future = concurrent.futures.Future()
        call, given = pickle.loads(pickle.dumps((fn, args)))
        future.set_result(pickle.loads(pickle.dumps(call(*given))))
        return future

class Travelling(ww.Executor):
    name = "travelling"
    description = "Here, and yet as elsewhere."
    shares_memory = False

    def create(self, jobs):
        return Pool()

@ww.hookimpl
def ww_register_executors():
    return [Travelling()]
"""


def test_a_process_stays_prepared_for_the_last_few_runs_only(source, tmp_path, monkeypatch):
    closed = []
    prepared = recipe._Prepared()
    monkeypatch.setattr(recipe, "_prepared", prepared)
    monkeypatch.setattr("ww_core.contracts.loader.Checkpoint.close", lambda checkpoint: closed.append(checkpoint))
    options = {"plugin_files": [write(tmp_path / "team.py", TRAVELLING)], "executor": "travelling", "jobs": 3}
    reports = [ww.analyze(source, **options) for _ in range(recipe.RECIPES + 2)]
    assert not any(report.failures for report in reports)
    expected = ww.analyze(source).layers
    assert all(report.layers == expected for report in reports)
    assert len(prepared.ready) == recipe.RECIPES
    assert len(closed) == len(reports) + 1 + 2  # each run's own, and those of two workers

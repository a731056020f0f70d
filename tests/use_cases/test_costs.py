"""What an analysis takes is told from headers and kept to; too much is refused before anything is allocated."""

import json
import re
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.command.options import bytes_of
from ww_core.compute.memory import LEAST_DEFAULT, Memory, available
from ww_plugins.commands.compare_svd import compare_svd

MIB, GIB = 2**20, 2**30
LOST, USAGE = 4, 2
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")

HUGE = {  # shapes of float16: 20 GB each
    "fc": (100_000, 100_000),
    "tall": (20_000_000, 500),
    "conv": (50_000, 50_000, 2, 2),
}

MEASURE = """
import json, sys, time
import numpy as np
import ww_core as ww
from ww_core.compute import worker
from ww_core.plugins.discovery import load_plugins

def memory():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status") if line.startswith("Vm"))
    return [int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM")]

@ww.metric(version="1", batched=True)
def of_vectors(left_singular_vectors, right_singular_vectors):
    "Of both."
    return float(left_singular_vectors.shape[0])

@ww.metric(version="1", resolution="full")
def of_full(singular_values):
    "The smallest."
    return float(singular_values[-1])

@ww.metric(version="1")
def of_random(randomized_singular_values):
    "The largest."
    return float(randomized_singular_values[0])

class Plugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [of_vectors, of_full, of_random]

registry = load_plugins(objects=[Plugin()])
random = np.random.default_rng(0)
small = {"a.weight": random.standard_normal((300, 400)), "b.weight": random.standard_normal((8, 8, 3, 3))}
ww.analyze(small, registry=registry, jobs=1, extractors=["slice", "fft"])
told, together = [], worker.bytes_together
worker.bytes_together = lambda costs: told.append(together(costs)) or told[-1]
for shape, options in json.loads(sys.argv[1]):
    weight = random.standard_normal(shape, dtype="f")
    open("/proc/self/clear_refs", "w").write("5")
    before, started = memory()[0], time.perf_counter()
    report = ww.analyze({"a.weight": weight}, registry=registry, **{"jobs": 1, "memory": 2**40, **options})
    seconds, peak = time.perf_counter() - started, memory()[1] - before
    print(json.dumps([peak, told[-1] - weight.nbytes, seconds, [str(failure) for failure in report.failures]]))
"""


def measured(*cases):
    """Peak above the start, what was told besides the weight, seconds and failures of analyses in a process."""
    command = [sys.executable, "-c", MEASURE, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def sparse(path, shape):
    """Write a safetensors file of float16 zeros that takes no place on the disk."""
    nbytes = 2 * int(np.prod([int(side) for side in shape], dtype=object))
    header = json.dumps({"a.weight": {"dtype": "F16", "shape": shape, "data_offsets": [0, nbytes]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + nbytes)
    return path


@linux
def test_no_analysis_takes_more_than_is_told():
    random = np.random.default_rng(7)

    def side(least, most):
        return int(random.integers(least, most))

    cases = [
        ((side(800, 1000), side(800, 1000)), {"metrics": ["spectral_norm"]}),
        ((side(200, 300), side(6000, 8000)), {"metrics": ["alpha"]}),
        ((side(500, 700), side(500, 700)), {"metrics": ["of_vectors"]}),
        ((side(300, 400), side(2000, 3000)), {"metrics": ["of_full"]}),
        ((side(300, 400), side(4000, 5000)), {"metrics": ["of_random"]}),
        ((side(60, 90), side(60, 90), 9, 9), {"metrics": ["alpha"], "extractors": ["stack"]}),
        ((1, 1, side(300, 500), side(300, 500)), {"extractors": ["pool", "fft"], "metrics": ["alpha"]}),
        ((side(12, 16), 16, 3, 3), {"metrics": ["spectral_norm"], "extractors": ["fft[n=48]"]}),
        ((1, 1, side(25, 35), side(25, 35)), {"extractors": ["slice"]}),
    ]
    for case, (peak, told, _, failures) in zip(cases, measured(*cases), strict=True):
        assert not failures
        assert peak <= told + 8 * MIB, case  # Python's own modules and the store's pages
        assert told <= 5 * peak + 64 * MIB, case


@linux
def test_small_files_with_large_kernels_take_little():
    cases = [
        (shape, {"extractors": ["pool", "stack", "fft"], "metrics": ["spectral_norm"], "memory": 512 * MIB})
        for shape in ((1, 1, 160, 160), (1, 1, 113, 226), (2, 1, 226, 8), (1, 1, 25_600))
    ]
    for case, (peak, _, seconds, failures) in zip(cases, measured(*cases), strict=True):
        assert peak < 64 * MIB, case
        assert seconds < 5, case
        assert not failures


@pytest.mark.stress
@linux
@pytest.mark.parametrize(
    "shape", [(1, 1, 160, 160), (1, 1, 226, 226), (1, 1, 700, 700), (8, 1, 1, 2048), (3, 1, 256, 9)]
)
def test_a_comparison_keeps_to_its_memory(ww_program, shape):
    path = sparse(ww_program.folder / "net.safetensors", shape)
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float16).tobytes()
    path.write_bytes(path.read_bytes()[: -len(weight)] + weight)
    done = ww_program("compare-svd", path.name, "--memory", "1GiB", "--json", timeout=300)
    assert done.returncode in {0, LOST}
    assert json.loads(done.stdout)["layers"]


@pytest.mark.parametrize("name", HUGE)
def test_what_is_too_large_is_described_and_refused_before_it_is_read(ww_here, name):
    path, started = sparse(ww_here.folder / f"{name}.safetensors", HUGE[name]), time.perf_counter()
    described = json.loads(ww_here("describe", path.name, "--json").stdout)["layers"][0]["matrices"][0]
    assert described["memory"] > 20e9
    done = ww_here("analyze", path.name, "--memory", "4GiB")
    assert done.returncode == LOST
    assert "it takes 18.6 GiB of memory, and 4.0 GiB are allowed: --memory 19GiB allows it" in done.stderr
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(
    ("weight", "options"),
    [
        (np.ones((1500, 1400)), {}),
        (np.ones((400, 30, 9, 9)), {"extractors": ["stack"]}),
        (np.ones((8, 8, 3, 3)), {"extractors": ["fft[n=128]"]}),
    ],
)
def test_a_matrix_that_takes_too_much_is_a_failure_and_tried_again(tmp_path, weight, options):
    weights = {
        "large.weight": weight + np.random.default_rng(0).standard_normal(weight.shape),
        "small.weight": np.eye(9),
    }
    with ww.open_store(tmp_path / "store.sqlite") as store:
        refused = ww.analyze(weights, store=store, memory=MIB * 20, name="net", **options)
        (failure,) = refused.failures
        said = re.fullmatch(
            r"it takes (.*) MiB of memory, and 20.0 MiB are allowed: --memory 1GiB allows it", failure.message
        )
        assert float(said[1].replace(",", "")) > 20
        assert failure.subject.startswith("large")
        rows = {row.name: row for row in refused.layers if row.metrics}
        assert rows["small"].metrics
        assert not any(outcome.is_ok for outcome in rows["large"].metrics.values()) if "large" in rows else True
        done = ww.analyze(weights, store=store, memory=GIB, name="net", **options)
        assert not done.failures
        assert done.version == refused.version
        large = next(row for row in done.layers if row.name == "large")
        assert any(outcome.is_ok for outcome in large.metrics.values())
        # What is stored takes nothing but room for what is computed of it.
        again = ww.analyze(weights, store=store, memory=MIB * 20, name="net", **options)
        assert not again.failures
        assert again.run.computed == 0


def test_a_backfill_keeps_to_its_memory_too(tmp_path):
    store, weight = tmp_path / "store.sqlite", np.random.default_rng(0).standard_normal((2, 2, 60, 60))
    ww.analyze({"c.weight": weight}, store=store, extractors=["slice"], metrics=["spectral_norm"], name="net")
    refused = ww.backfill(store, metrics=["stable_rank"], memory=100_000)
    assert not refused.filled
    (lost,) = refused.not_repeatable
    assert "3600 more matrices" in lost.reason
    assert "100,000 bytes are allowed: --memory 1GiB allows it" in lost.reason
    (filled,) = ww.backfill(store, metrics=["stable_rank"], memory=GIB).filled
    assert filled.values == 7200


def test_workers_in_processes_keep_to_the_memory_of_the_analysis(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"large": np.random.default_rng(0).standard_normal((1500, 1400)), "small": np.eye(9)}, path)
    report = ww.analyze(path, memory=20 * MIB, executor="processes", jobs=1)
    (failure,) = report.failures
    assert failure.subject.startswith("large")
    assert "20.0 MiB are allowed" in failure.message
    assert [row.name for row in report.layers if any(own.is_ok for own in row.metrics.values())] == ["small"]


def test_one_extractor_that_takes_too_much_costs_the_others_nothing():
    weight = np.random.default_rng(0).standard_normal((8, 8, 3, 3))
    report = ww.analyze({"c.weight": weight}, extractors=["pool", "fft[n=1024]", "stack"], memory=64 * MIB)
    (failure,) = report.failures
    assert (failure.stage, failure.plugin, failure.subject) == ("extract", "ww.extractors:fft", "c")
    assert {row.extractor for row in report.layers if row.metrics["alpha"].is_ok} == {"pool", "stack"}


@pytest.mark.parametrize(("shape", "n"), [((1100, 1100, 1, 1), 32), ((1100, 1120, 1), 1000), ((1110, 1100, 3), 1000)])
def test_operations_are_refused_too(shape, n):
    report = ww.analyze({"c.weight": np.ones(shape, np.float16)}, extractors=[f"fft[n={n}]"], memory=320 * MIB, jobs=1)
    (failure,) = report.failures
    assert re.fullmatch(
        r"it takes [\de.+]+ operations, and 5.5e\+12 are allowed: --memory 1GiB allows it", failure.message
    )


@pytest.mark.parametrize(
    ("shape", "groups"), [((1, 1, 700, 700), 1), ((20_000, 1, 3, 3), 20_000), ((1, 1, 490_000), 1)]
)
def test_too_many_matrices_are_refused(shape, groups):
    started = time.perf_counter()
    comparison = compare_svd({"c.weight": np.ones(shape, np.float16)}, groups={"c": groups}, memory=GIB, n=4, jobs=1)
    messages = [failure.message for failure in comparison.failures if failure.plugin == "ww.extractors:slice"]
    assert len(messages) == 1
    assert re.search(r"it promises \d+ matrices of one layer, and 131072 are the most", messages[0])
    assert time.perf_counter() - started < 30


def test_matrices_of_all_layers_together_are_counted():
    random = np.random.default_rng(0)
    weights = {f"c{i}.weight": random.standard_normal((1, 1, 12, 12)) for i in range(14)}
    report = ww.analyze(weights, extractors=["slice"], memory=24 * MIB, jobs=1)
    assert {failure.stage for failure in report.failures} == {"extract"}
    assert all("allows it" in failure.message for failure in report.failures)
    assert 0 < len(report.layers) < 14 * 144


@pytest.mark.filterwarnings("error")
def test_what_little_memory_refuses_is_told_in_bytes():
    report = ww.analyze({"fc.weight": np.eye(4)}, memory=1024, jobs=1)
    assert [failure.message for failure in report.failures if "0.0 MiB" in failure.message] == []
    assert any("1,024 bytes are allowed" in failure.message for failure in report.failures)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("16GiB", 2**34), ("500MB", 5 * 10**8), ("2g", 2**31), ("1.5 GiB", 3 * 2**29), ("4096", 4096), ("1KB", 1000)],
)
def test_sizes_are_read(text, nbytes):
    assert bytes_of(text, "--memory") == nbytes


@pytest.mark.parametrize("text", ["-1GiB", "0", "GiB", "1EiB", "nan", "inf", "1e9", "0.0000001", "\uff11GiB"])
def test_what_is_no_size_is_said(text):
    with pytest.raises(
        ww.UsageError, match=r"^--memory .* is not a size: give one as 16GiB, 500MB or a count of bytes$"
    ):
        bytes_of(text, "--memory")


def test_what_is_no_size_ends_the_program(ww_here, model_file):
    for command in (["analyze", model_file], ["backfill"], ["compare-svd", model_file]):
        done = ww_here(*command, "--memory", "much")
        assert (done.returncode, done.stderr) == (
            USAGE,
            "error: --memory 'much' is not a size: give one as 16GiB, 500MB or a count of bytes\n",
        )


def test_who_needs_more_than_is_free_waits():
    memory, order = Memory(100, workers=2), []

    def take(name, nbytes):
        with memory.taken(nbytes):
            order.append(name)

    with memory.taken(60):
        other = threading.Thread(target=take, args=("waited", 1000))  # no more than all there is
        other.start()
        take("fitted", 40)
        other.join(0.05)
        assert other.is_alive()
        order.append("done")
    other.join(10)
    assert order == ["fitted", "done", "waited"]


def test_the_default_is_half_of_what_is_available():
    assert Memory().limit == pytest.approx(max(LEAST_DEFAULT, available() / 2), rel=0.2)
    assert 0 < available() < 2**50


@pytest.mark.parametrize("names", [("memory.max", "memory.current"), ("limit_in_bytes", "usage_in_bytes")])
def test_files_that_a_container_remembers_are_available(tmp_path, monkeypatch, names):
    """Reading a large model fills the cache, and leaves no less for the analysis of it."""
    monkeypatch.setattr("ww_core.compute.memory._CGROUP", tmp_path)
    group, begin = (tmp_path, "") if names[0] == "memory.max" else (tmp_path / "memory", "memory.")
    group.mkdir(exist_ok=True)
    total = "" if begin == "" else "total_"
    for name, content in zip(names, ("1000000", "900000"), strict=True):
        (group / f"{begin}{name}").write_text(f"{content}\n")
    (group / "memory.stat").write_text(f"{total}anon 100000\n{total}inactive_file 700000\n{total}active_file 50000\n")
    assert available() == 850_000
    (group / f"{begin}{names[0]}").write_text("max\n")
    assert available() > 2**20


def shown_of(report):
    told = report.to_dict()
    return {key: told[key] for key in ("layers", "summary", "model_metrics", "coverage")}


@pytest.mark.parametrize("memory", [1000, 15_000, 60_000])
def test_what_was_computed_once_stays_when_memory_is_short(weights, tmp_path, memory):
    """The run fails, and what the store shows of these weights is what it showed before."""
    path = tmp_path / "store.sqlite"
    first = ww.analyze(weights, store=path, name="net")
    again = ww.analyze(weights, store=path, name="net", memory=memory)
    assert again.failures
    with ww.open_store(path, mode="read") as store:
        assert shown_of(store.report("net")) == shown_of(first)
        assert not store.verify().faults


def test_what_memory_was_short_for_is_computed_the_next_time(weights, tmp_path):
    path = tmp_path / "store.sqlite"
    lost = ww.analyze(weights, store=path, name="net", memory=1000)
    assert lost.failures
    assert {own.state for own in lost.model_metrics.values()} == {"failed"}
    whole = ww.analyze(weights, store=path, name="net")
    assert not whole.failures
    assert shown_of(whole) == shown_of(ww.analyze(weights))

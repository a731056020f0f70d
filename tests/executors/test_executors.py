"""Executors through the public door: the same rows from any pool, one pool for many runs, and what is refused."""

import concurrent.futures
import multiprocessing
import subprocess
import sys
import threading
import time
from queue import LifoQueue

import numpy as np
import pytest

import ww_core as ww
from ww_core.plugins.discovery import load_plugins
from ww_plugins.executors import ww_register_executors

EXECUTORS = {executor.name: executor for executor in ww_register_executors()}


class Own(ww.Executor):
    """An executor that makes the pool it is given a maker of, and counts."""

    name = "own"
    description = "a test"
    shares_memory = True

    def __init__(self, make):
        self.make = make
        self.created = 0
        self.pools = []

    def create(self, jobs):
        self.created += 1
        self.pools.append(self.make(jobs))
        return self.pools[-1]


def plugin(executor):
    class Plugin:
        @ww.hookimpl
        def ww_register_executors(self):
            return [executor]

    return Plugin()


def with_executor(make, weights, **options):
    own = Own(make)
    report = ww.analyze(weights, plugins=[plugin(own)], executor="own", **options)
    return report, own


def last_first(jobs):
    """A pool whose queue is a stack: what was asked last begins first."""
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    pool._work_queue = LifoQueue()
    return pool


class Inside(concurrent.futures.Executor):
    """Runs calls inside submit."""

    def submit(self, fn, /, *args, **kwargs):
        future = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def test_names():
    assert list(EXECUTORS) == ["threads", "processes", "dask"]


@pytest.mark.parametrize(
    ("make", "jobs"),
    [
        (last_first, 2),
        (lambda jobs: last_first(1), 4),
        (lambda jobs: concurrent.futures.ThreadPoolExecutor(1), 4),
        (lambda jobs: Inside(), 3),
    ],
    ids=["last first", "last first, one worker", "one worker", "inside submit"],
)
def test_any_pool_gives_the_same_rows_and_ends(make, jobs, weights):
    wide = weights | {"wide.weight": np.random.default_rng(0).standard_normal((300, 4000))}  # has pieces to share
    expected = ww.analyze(wide, jobs=1)
    report, _ = with_executor(make, wide, jobs=jobs)
    assert not report.failures
    assert report.layers == expected.layers
    assert report.layer_metrics == expected.layer_metrics


def test_a_thread_whose_start_was_interrupted_is_waited_for(monkeypatch):
    begun, over = threading.Event(), threading.Event()
    start = threading.Thread.start

    def work():
        begun.set()
        time.sleep(0.1)
        over.set()

    def started_when_ctrl_c_comes(thread):
        start(thread)
        begun.wait(10)
        raise KeyboardInterrupt

    pool = EXECUTORS["threads"].create(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", started_when_ctrl_c_comes)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(work)
    pool.shutdown()
    assert over.is_set()


def test_processes_that_ctrl_c_kills_at_the_end_are_waited_for(monkeypatch):
    def interrupted(_):
        patched.undo()
        for process in multiprocessing.active_children():
            process.kill()
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    pool = EXECUTORS["processes"].create(1)
    pool.submit(time.sleep, 60)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", interrupted)
        patched.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.shutdown()
    assert set(threading.enumerate()) <= before


def test_one_worker_is_not_asked_for_help(weights):
    asked = []

    class Watched(Inside):
        def submit(self, fn, /, *args, **kwargs):
            asked.append(args)
            return super().submit(fn, *args, **kwargs)

    with_executor(lambda jobs: Watched(), weights, jobs=1)
    assert asked
    assert all(args for args in asked)  # each has a batch


def test_nothing_to_do_makes_no_pool(weights, tmp_path):
    ww.analyze(weights, store=tmp_path / "s.sqlite", name="net")
    _, own = with_executor(concurrent.futures.ThreadPoolExecutor, weights, store=tmp_path / "s.sqlite", name="net")
    assert own.created == 0


def test_one_pool_serves_all_runs_of_a_backfill_and_ends(tmp_path):
    store = tmp_path / "s.sqlite"
    for seed in range(5):
        ww.analyze({"fc.weight": np.random.default_rng(seed).standard_normal((9, 6))}, store=store, name=f"net{seed}")

    @ww.metric(version="1")
    def largest(singular_values):
        """The largest."""
        return singular_values[0]

    class Largest:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [largest]

    own = Own(concurrent.futures.ThreadPoolExecutor)
    done = ww.backfill(store, plugins=[Largest(), plugin(own)], executor="own", jobs=2)
    assert len(done.filled) == 5
    assert own.created == 1
    with pytest.raises(RuntimeError):
        own.pools[0].submit(print)


def test_an_interrupted_run_leaves_no_call_and_no_thread(weights):
    class Stop(ww.RunObserver):
        def on_layer(self, layer):
            raise KeyboardInterrupt

    before = threading.active_count()
    own = Own(concurrent.futures.ThreadPoolExecutor)
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(weights, plugins=[plugin(own)], executor="own", jobs=3, observers=[Stop()])
    assert threading.active_count() == before
    with pytest.raises(RuntimeError):
        own.pools[0].submit(print)


def test_what_an_executor_warns_of_is_a_warning_of_the_run(weights):
    def make(jobs):
        import warnings

        warnings.warn("the moon\nis full", stacklevel=1)
        return concurrent.futures.ThreadPoolExecutor(jobs)

    report, _ = with_executor(make, weights)
    assert "executor 'own': the moon is full" in report.warnings


def test_a_pool_that_cannot_be_closed_is_one_sentence(weights):
    class Stuck(Inside):
        def shutdown(self, wait=True, *, cancel_futures=False):
            raise OSError("it is gone")

    with pytest.raises(ww.PluginError, match="executor 'own' could not be closed: OSError: it is gone"):
        with_executor(lambda jobs: Stuck(), weights)


def test_a_call_that_is_refused_is_given_again(weights):
    class Moody(Inside):
        refused = 0

        def submit(self, fn, /, *args, **kwargs):
            if self.refused < 2:
                self.refused += 1
                raise OSError("not now")
            return super().submit(fn, *args, **kwargs)

    report, own = with_executor(lambda jobs: Moody(), weights, jobs=1)
    assert not report.failures
    assert own.created == 1


def test_workers_that_die_before_they_do_anything_are_one_sentence_for_each_layer(weights):
    class Dead(Inside):
        def submit(self, fn, /, *args, **kwargs):
            future = concurrent.futures.Future()
            future.set_exception(concurrent.futures.BrokenExecutor("dead"))
            if fn is not int:
                raise concurrent.futures.BrokenExecutor("dead")
            return future

    report, own = with_executor(lambda jobs: Dead(), weights)
    assert {failure.message for failure in report.failures} == {
        "the workers of executor 'own' die before they have anything to do"
    }
    assert [failure.subject for failure in report.failures].count("first") == 1
    assert own.created == 2


class Old(ww.Executor):
    name = "old"
    description = "a test"
    shares_memory = True

    def create(self, jobs, initializer, initargs):
        raise NotImplementedError


def test_an_executor_that_wants_an_initializer_is_one_sentence():
    registry = load_plugins(objects=[plugin(Old())])
    (problem,) = [problem.message for info, problem in registry.problems() if info.name == "Plugin"]
    assert problem.endswith("executor 'old': create takes the count of workers and nothing else, as create(self, jobs)")
    with pytest.raises(ww.UsageError, match="unknown executor 'old'"):
        registry.executors.find("old")


def test_without_the_package_dask_is_one_sentence_when_it_is_asked_for(ww_program, model_file):
    (ww_program.folder / "distributed.py").write_text("raise ImportError\n")
    environ = {"PYTHONPATH": f"{ww_program.folder}:{':'.join(sys.path)}"}
    result = ww_program("analyze", model_file, "--executor", "dask", environ=environ)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == (
        "error: executor 'dask' needs distributed: pip install 'ww-core[dask]', or take processes\n"
    )
    assert ww_program("analyze", model_file, environ=environ).returncode == 0


def test_listing_executors_imports_no_dask():
    code = "import ww_core, sys; ww_core.load_plugins(); sys.exit('distributed' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

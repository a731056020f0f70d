"""What plugins ask of the core beside its questions: estimators by a text, and files that are whole or not there."""

import os
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

import ww_core as ww
from ww_core.store.new_files import new_file


@dataclass(frozen=True)
class Mean(ww.Estimator):
    name = "mean"
    version = "1"
    description = "the mean"
    trees: int = 3

    def fit(self, features, targets, seed):
        raise NotImplementedError


@ww.hookimpl
def ww_register_estimators():
    return [Mean()]


@pytest.fixture(scope="module")
def registry():
    plugin = SimpleNamespace(ww_register_estimators=ww_register_estimators, __name__="means")
    return ww.load_plugins(objects=[plugin])


@pytest.mark.parametrize("spec", ["mean[trees=7]", "means:mean[trees=7]"])
def test_an_estimator_of_a_text(registry, spec):
    owned = ww.configured_estimator(registry, spec)
    assert owned.object == Mean(trees=7)
    assert f"{owned.plugin}:{owned.object.label}" == "means:mean[trees=7]"


@pytest.mark.parametrize("spec", ["median", "mean[leaves=2]", "mean[trees=two]", "mean[trees", "other:mean", ""])
def test_a_text_that_means_none(registry, spec):
    with pytest.raises(ww.UsageError):
        ww.configured_estimator(registry, spec)


def test_what_an_estimator_raises_is_one_sentence(registry):
    owned = ww.configured_estimator(registry, "mean")
    with (
        pytest.raises(ww.PluginError, match="estimator means:mean failed: ZeroDivisionError"),
        ww.estimator_at_work(owned),
    ):
        _ = 1 / 0
    with pytest.raises(ww.MissingExtraError, match="install it"), ww.estimator_at_work(owned):
        raise ww.MissingExtraError("install it")
    with pytest.raises(KeyboardInterrupt), ww.estimator_at_work(owned):
        raise KeyboardInterrupt


def test_a_file_is_whole_or_not_there(tmp_path):
    place = tmp_path / "file"
    with pytest.raises(TypeError), ww.new_output(place) as file:
        file.write_text(["half", file.touch()])
    assert not list(tmp_path.iterdir())
    with ww.new_output(place) as file:
        file.write_text("whole")
        assert not place.exists()
    assert place.read_text() == "whole"


def test_a_file_that_is_there_gives_way_only_if_that_is_said(tmp_path):
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(ww.UsageError, match="exists already"), ww.new_output(place) as file:
        file.write_text("new")
    with pytest.raises(ww.UsageError, match="exists already"):
        ww.output_place(place)
    assert ww.output_place(place, replace=True) == place
    with ww.new_output(place, replace=True) as file:
        file.write_text("new")
    assert place.read_text() == "new"


@pytest.mark.parametrize("is_link", [False, True])
def test_a_pipe_or_a_device_is_never_replaced(tmp_path, is_link):
    """As /dev/null would be for everybody, by whoever may write in its folder."""
    pipe = place = tmp_path / "pipe"
    os.mkfifo(pipe)
    if is_link:
        place = tmp_path / "link"
        place.symlink_to(pipe)
    with pytest.raises(ww.OutputError, match="a pipe or a device"):
        ww.output_place(place, replace=True)
    with pytest.raises(ww.OutputError), ww.new_output(place, replace=True) as file:
        file.write_text("new")
    with pytest.raises(FileExistsError), new_file(place, replace=True) as file:
        file.write_text("new")
    assert place.is_fifo()
    assert place.is_symlink() == is_link


def test_a_place_is_refused_before_there_is_work(tmp_path):
    with pytest.raises(ww.OutputError):
        ww.output_place(tmp_path / "missing" / "file")
    with pytest.raises(ww.OutputError):
        ww.output_place(tmp_path, replace=True)
    with pytest.raises(ww.UsageError, match=r"give another name$"):
        ww.output_place(tmp_path)
    with pytest.raises(ww.UsageError):
        ww.output_place("https://example.org/file")

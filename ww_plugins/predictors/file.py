"""The file of a predictor: written whole or not at all, and read without running anything that is in it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.json_text import parse_json
from ww_core.loading.names import quoted
from ww_plugins.predictors.archive import read_arrays, read_text, write_archive
from ww_plugins.predictors.content import arrays_of, follow_one_another, predictor_of, told_of
from ww_plugins.predictors.predictor import FORMAT, Predictor

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

TEXT = "predictor.json"
DIGEST = "digest"
SHOWN = 16
"""Characters of a digest that people see, as in ``predictor:1a2b3c4d5e6f7a8b``."""

SAME = 1e-9
"""How far a prediction of a calibration network may be from the one in the file; of large ones, this share of it."""


def digest_of_predictor(predictor: Predictor) -> str:
    """Return the content address of a predictor: blake3, 64 hex digits, of all that its file says.

    Two predictors have the same one exactly if their files say the same, however these are packed.
    """
    return _digest(told_of(predictor), arrays_of(predictor))


def write_predictor(predictor: Predictor, path: str | os.PathLike[str], *, replace: bool = False) -> int:
    """Write a predictor into a file, and return its bytes. The same predictor gives the same bytes.

    Args:
        predictor: The predictor.
        path: The file.
        replace: Whether a file that is there already gives way.

    Raises:
        UsageError: There is a file already, or something of the predictor could not be read again, such as a name
            that cannot be printed.
        OutputError: The file cannot be written.
    """
    told, arrays = told_of(predictor), arrays_of(predictor)
    try:
        predictor_of(told, arrays, "a predictor", lambda _: predictor.fitted)
    except ww.CorruptFileError as error:
        raise ww.UsageError(f"{error}: so it cannot be written") from None
    if not follow_one_another(predictor.tensors):
        raise ww.UsageError("the tensors of the zoo do not follow one another in a row: so no predictor can be written")
    text = json.dumps({DIGEST: _digest(told, arrays), **told}, indent=1, allow_nan=False) + "\n"
    with ww.new_output(path, replace=replace) as file:
        write_archive(file, TEXT, text.encode(), arrays)
        return file.stat().st_size


def read_predictor(path: str | os.PathLike[str], registry: ww.Registry) -> Predictor:
    """Read a predictor. The file may be a stranger's: it is checked, and nothing in it is run.

    What the estimator kept as arrays is asked for its predictions as it is; where it kept none, it learns again from
    the networks in the file. Either way the calibration networks are predicted, and must come out as the file says.

    Args:
        path: The file.
        registry: The plugins, among which are its estimator and feature sets.

    Raises:
        SourceError: It cannot be read, is none, is of a newer format, or was made by an estimator or feature sets that
            are not here or are of another version.
        CorruptFileError: It is cut short, was edited, or contradicts itself.
        MissingExtraError: What its estimator needs to learn again is not installed.
        PluginError: Its estimator failed.
    """
    file = FileSource(Path(path))
    told = parse_json(read_text(file, TEXT), file.label, "predictor of ww")
    if not isinstance(told, dict) or type(told.get("format")) is not int:
        raise ww.CorruptFileError(f"{file.label}: {TEXT} tells no format")
    if told["format"] > FORMAT:
        raise ww.SourceError(
            f"{file.label}: a predictor of format {quoted(told['format'])}, {FORMAT} is read: upgrade ww"
        )
    if told["format"] < FORMAT:
        raise ww.CorruptFileError(f"{file.label}: there is no format {quoted(told['format'])} of predictors")
    arrays = read_arrays(file, TEXT)
    digest = told.pop(DIGEST, None)

    def fitted(own: Mapping[str, Any]) -> ww.Fitted:
        if digest != _digest(told, arrays):
            raise ww.CorruptFileError(f"{file.label}: it was changed after it was written: its digest differs")
        return _fitted(own, file.label, registry)

    predictor = predictor_of(told, arrays, file.label, fitted)
    _check_predictions(predictor, file.label, registry)
    return predictor


def _digest(told: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    from blake3 import blake3

    hasher = blake3(b"ww:predictor\0")
    hasher.update(_canonical(told))
    for name in sorted(arrays):
        own = arrays[name]
        kind = own.dtype.newbyteorder("<")
        hasher.update(b"\0" + _canonical([name, kind.str, list(own.shape)]) + b"\0")
        hasher.update(np.ascontiguousarray(own, kind).tobytes())
    return hasher.hexdigest()


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _fitted(own: Mapping[str, Any], label: str, registry: ww.Registry) -> ww.Fitted:
    """Return what was learned.

    Raises:
        SourceError: The estimator or a feature set is not here, or is of another version.
        CorruptFileError: What the estimator kept contradicts itself.
        MissingExtraError: What it needs to learn again is not installed.
        PluginError: It failed.
    """
    for told, version in own["feature_versions"]:
        _check_features(told, version, own["program"], label, registry)
    estimator = _estimator(own["estimator"], label, registry)
    installed = estimator.object.version
    if installed != own["estimator_version"]:
        raise ww.SourceError(
            f"{label}: {_other_version('estimator', own['estimator'], own['estimator_version'], installed)}: "
            f"{_remedy(own['program'])}"
        )
    state = own["state"]
    with _at_work(estimator, state, label):
        if state is not None:
            kept: ww.Fitted = estimator.object.from_state(state, len(own["names"]))
            return kept
        estimator.object.check()
        learned: ww.Fitted = estimator.object.fit(own["training"].features, own["training"].targets, own["seed"])
        return learned


@contextlib.contextmanager
def _at_work(estimator: Any, state: object, label: str) -> Iterator[None]:
    """Let an estimator work on what a file says: where it fails by what it kept, the file is to blame.

    Raises:
        CorruptFileError: It kept something, and failed.
        MissingExtraError: What it needs is not installed.
        PluginError: It kept nothing, and failed.
    """
    try:
        with ww.estimator_at_work(estimator):
            yield
    except ww.MissingExtraError:
        raise
    except ww.WWError as error:
        if state is None:
            raise
        raise ww.CorruptFileError(f"{label}: what its estimator kept cannot be: {error}") from error


def _estimator(spec: str, label: str, registry: ww.Registry) -> Any:
    """Return the estimator with its owner.

    Raises:
        SourceError: It is not here, or does not take these options.
    """
    try:
        return ww.configured_estimator(registry, spec)
    except ww.UnknownNameError as error:
        raise ww.SourceError(f"{label}: {_missing('estimator', spec)} ({error})") from None
    except ww.UsageError as error:
        raise ww.SourceError(f"{label}: its estimator {quoted(spec)} cannot be had: {error}") from None


def _check_features(told: str, version: str, program: str, label: str, registry: ww.Registry) -> None:
    """Raise if what features are called means something else here than where the predictor was made.

    Raises:
        SourceError: It does, or nothing has that name here.
    """
    name = told.partition("[")[0]
    for kind, known in (("feature set", registry.feature_sets), ("metric", registry.quantities)):
        try:
            installed = known.find(name).object.version
        except ww.UsageError:
            continue
        if installed != version:
            raise ww.SourceError(f"{label}: {_other_version(kind, told, version, installed)}: {_remedy(program)}")
        return
    raise ww.SourceError(f"{label}: {_missing('feature set or metric', told)}")


def _missing(kind: str, spec: str) -> str:
    plugin, colon, _ = spec.partition("[")[0].rpartition(":")
    whose = f"install the plugin {quoted(plugin)}" if colon else "install the plugin that has it"
    return f"it was made with the {kind} {quoted(spec)}, which is not installed: {whose}"


def _other_version(kind: str, spec: str, told: str, installed: str) -> str:
    return f"it was made with version {quoted(told)} of the {kind} {quoted(spec)}, and {quoted(installed)} is installed"


def _remedy(program: str) -> str:
    return f"fit it again, or read it with the software of that time, with ww {program}"


def _check_predictions(predictor: Predictor, label: str, registry: ww.Registry) -> None:
    """Raise if what was learned does not predict what the file says that it does.

    Raises:
        CorruptFileError: It does not.
        PluginError: The estimator failed.
    """
    if not len(predictor.calibration):
        return
    with _at_work(_estimator(predictor.estimator, label, registry), predictor.state, label):
        found = predictor.predict(predictor.calibration.features)
    gap = np.abs(found - predictor.calibrated) - SAME * np.maximum(1.0, np.abs(predictor.calibrated))
    if gap.max() > 0.0:
        at = int(np.argmax(gap))
        how = "was edited" if predictor.state is not None else "was edited, or other software learns otherwise"
        raise ww.CorruptFileError(
            f"{label}: it predicts {found[at]:.6g} of network {predictor.calibration.networks[at]} and says that it "
            f"predicted {predictor.calibrated[at]:.6g}: it {how}, so fit it again"
        )

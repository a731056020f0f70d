"""What a file says of a predictor: a text in JSON and arrays, and the checks that all of it can be so."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

import ww_core as ww
from ww_core.loading.names import quoted
from ww_plugins.predictors.predictor import FORMAT, Agreement, Learned, Predictor

if TYPE_CHECKING:
    import numpy.typing as npt

Arrays = Mapping[str, "npt.NDArray[Any]"]

STATE = "state/"
"""What stands before the names of the arrays that an estimator keeps."""

_LEARNED = ("training", "calibration")
_PARTS = ("networks", "features", "targets")
_ARRAYS = frozenset({*(f"{own}/{part}" for own in _LEARNED for part in _PARTS), "calibrated", "held_out"})
_TEXTS = ("program", "features", "estimator", "estimator_version", "target", "zoo", "data", "layout", "family_by")
_EMPTY = frozenset({"data", "family_by"})  # texts that may be
_NUMBERS = {"seed": 2**63 - 1, "trials": 10**9, "folds": 10**6}
_LISTS = ("feature_versions", "names", "tensors", "fold_scores")
_KEYS = frozenset({"format", *_TEXTS, *_NUMBERS, *_LISTS, "families", "held_out_score", "has_state"})
_SCORE = tuple(own.name for own in fields_of(Agreement))
_LONGEST = 10_000  # characters of a text
_MOST = 1_000_000  # things in a list
_STATE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def told_of(predictor: Predictor) -> dict[str, Any]:
    """Return what is said in JSON; NaN is null."""
    return {
        "format": FORMAT,
        **{name: getattr(predictor, name) for name in (*_TEXTS, *_NUMBERS)},
        "feature_versions": [list(own) for own in predictor.feature_versions],
        "names": list(predictor.names),
        "tensors": [
            {"name": own.name, "layer": own.layer, "role": own.role, "shape": list(own.shape)}
            for own in predictor.tensors
        ],
        "fold_scores": [_score_told(own) for own in predictor.fold_scores],
        "held_out_score": _score_told(predictor.held_out_score),
        "families": {own: [str(family) for family in getattr(predictor, own).families] for own in _LEARNED},
        "has_state": predictor.state is not None,  # one of no array is another thing than none
    }


def arrays_of(predictor: Predictor) -> dict[str, npt.NDArray[Any]]:
    """Return its arrays by their names in the file."""
    own = {f"{kind}/{part}": getattr(getattr(predictor, kind), part) for kind in _LEARNED for part in _PARTS}
    state = {STATE + name: values for name, values in (predictor.state or {}).items()}
    found = {**own, "calibrated": predictor.calibrated, "held_out": predictor.held_out, **state}
    return {name: _native(np.asarray(values)) for name, values in found.items()}


def predictor_of(
    told: object, arrays: Arrays, label: str, fitted: Callable[[Mapping[str, Any]], ww.Fitted]
) -> Predictor:
    """Return the predictor that a file tells of.

    Args:
        told: What its JSON says, of this format.
        arrays: Its arrays.
        label: The file, for messages.
        fitted: Gives what was learned, from all other fields of the predictor by their names.

    Raises:
        CorruptFileError: Something has another type or size than it should, or parts contradict each other.
    """
    return _Reading(label).predictor(told, arrays, fitted)


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _score_told(score: Agreement) -> dict[str, Any]:
    told = {name: getattr(score, name) for name in _SCORE}
    return {name: None if own != own else own for name, own in told.items()}


class _Reading:
    """Checks what is read.

    Args:
        label: The file, for messages.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    def predictor(self, told: object, arrays: Arrays, fitted: Callable[[Mapping[str, Any]], ww.Fitted]) -> Predictor:
        """Return the predictor."""
        content = self.members(told, _KEYS, "the predictor")
        texts = {name: self.text(content[name], name, may_be_empty=name in _EMPTY) for name in _TEXTS}
        if texts["layout"] not in {"keras", "pytorch"}:
            self.refuse(f"layout {quoted(texts['layout'])} is neither keras nor pytorch")
        names = self.names(content["names"])
        families = self.members(content["families"], frozenset(_LEARNED), "families")
        self.known(arrays, has_state=self.truth(content["has_state"], "has_state"))
        learned = {own: self.learned(own, arrays, families[own], len(names)) for own in _LEARNED}
        held_out = self.array(arrays, "held_out", np.int64, (-1,))
        self.apart(learned["training"].networks, learned["calibration"].networks, held_out)
        own: dict[str, Any] = {
            **texts,
            **{name: self.whole(content[name], name, most) for name, most in _NUMBERS.items()},
            **learned,
            "names": names,
            "feature_versions": self.versions(content["feature_versions"]),
            "tensors": self.tensors(content["tensors"]),
            "fold_scores": tuple(self.score(own) for own in self.items(content["fold_scores"], "fold_scores")),
            "held_out_score": self.score(content["held_out_score"]),
            "held_out": held_out,
            "calibrated": self.array(arrays, "calibrated", np.float64, (len(learned["calibration"]),)),
            "state": self.state(arrays) if content["has_state"] else None,
        }
        return Predictor(**own, fitted=fitted(own))

    # --- arrays ---

    def known(self, arrays: Arrays, *, has_state: bool) -> None:
        """Refuse arrays that no reader of this format looks at: what the file is known by would not speak of them."""
        state = {name for name in arrays if name.startswith(STATE)}
        if other := sorted(arrays.keys() - _ARRAYS - state):
            self.refuse(f"it has an array {quoted(other[0])}, which is no part of a predictor")
        if missing := sorted(_ARRAYS - arrays.keys()):
            self.refuse(f"it lacks the array {missing[0]}")
        if state and not has_state:
            self.refuse(f"it has an array {quoted(min(state))}, and says that there is none")

    def learned(self, kind: str, arrays: Arrays, families: object, columns: int) -> Learned:
        networks = self.array(arrays, f"{kind}/networks", np.int64, (-1,))
        rows = len(networks)
        if kind == "training" and not rows:
            self.refuse("no network is among those that it was fitted on")
        texts = [self.text(own, "a family", may_be_empty=True) for own in self.items(families, "families")]
        if len(texts) != rows:
            self.refuse(f"it has {rows} {kind} networks, and {len(texts)} families of them")
        named = np.empty(rows, object)
        named[:] = texts
        features = self.array(arrays, f"{kind}/features", np.float64, (rows, columns))
        return Learned(networks, features, self.array(arrays, f"{kind}/targets", np.float64, (rows,)), named)

    def array(self, arrays: Arrays, name: str, dtype: type, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return an array of this dtype and shape, of finite numbers; -1 is any length."""
        found = np.asarray(arrays[name])
        if found.dtype != dtype:
            self.refuse(f"array {name} is of {found.dtype}, and not of {np.dtype(dtype)}")
        is_so = len(found.shape) == len(shape) and all(
            want in {-1, own} for own, want in zip(found.shape, shape, strict=True)
        )
        if not is_so:
            self.refuse(f"array {name} has the shape {list(found.shape)}, and not {_shape_text(shape)}")
        if dtype is np.int64 and (found < 0).any():
            self.refuse(f"array {name} holds a number of a network below 0")
        if not np.isfinite(found).all():
            self.refuse(f"array {name} holds a number that is not finite")
        return found

    def apart(self, *kinds: npt.NDArray[np.int64]) -> None:
        """Refuse a network that was used for two purposes: what is told of its predictions would be too good."""
        first, *others = kinds
        for own in others:
            both = np.intersect1d(first, own)
            if len(both):
                self.refuse(f"network {both[0]} is in two of training, calibration and held-out networks")
            first = np.union1d(first, own)

    def state(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        found = {name.removeprefix(STATE): np.asarray(own) for name, own in arrays.items() if name.startswith(STATE)}
        for name, own in found.items():
            if _STATE_NAME.fullmatch(name) is None:
                self.refuse(f"{quoted(name)} is no name of what an estimator keeps")
            if own.dtype.kind not in "biuf" or own.dtype.itemsize > 8:
                self.refuse(f"{quoted(name)}, which the estimator keeps, is of {own.dtype}")
        if len({name.casefold() for name in found}) < len(found):
            self.refuse("two arrays that the estimator keeps differ in capital letters only")
        return {name: found[name] for name in sorted(found)}

    # --- JSON ---

    def names(self, told: object) -> tuple[str, ...]:
        names = tuple(self.text(own, "the name of a feature") for own in self.items(told, "names"))
        if not names or len(set(names)) < len(names):
            self.refuse("it has no features" if not names else "two of its features have one name")
        return names

    def versions(self, told: object) -> tuple[tuple[str, str], ...]:
        pairs = [self.items(own, "feature_versions") for own in self.items(told, "feature_versions")]
        texts = [tuple(self.text(own, "feature_versions") for own in pair) for pair in pairs]
        if not all(len(own) == 2 for own in texts):
            self.refuse("feature_versions are not pairs of a label and a version")
        return tuple((own[0], own[1]) for own in texts)

    def tensors(self, told: object) -> tuple[ww.ZooTensor, ...]:
        """Return the tensors, which follow one another from column 0."""
        tensors: list[ww.ZooTensor] = []
        for item in self.items(told, "tensors"):
            own = self.members(item, frozenset({"name", "layer", "role", "shape"}), "a tensor")
            shape = tuple(self.whole(length, "a shape", 2**31) for length in self.items(own["shape"], "a shape"))
            if own["role"] not in ("weight", "bias") or not shape or len(shape) > 8 or 0 in shape:
                self.refuse(f"a tensor is {quoted(own['role'])} of shape {quoted(list(shape))}, which cannot be")
            start = tensors[-1].stop if tensors else 0
            name, layer = self.text(own["name"], "the name of a tensor"), self.text(own["layer"], "a layer")
            tensors.append(ww.ZooTensor(name, layer, own["role"], start, start + math.prod(shape), shape))
        if len({(own.layer, own.role) for own in tensors}) < len(tensors):
            self.refuse("two tensors of one layer have one role")
        return tuple(tensors)

    def score(self, told: object) -> Agreement:
        own = self.members(told, frozenset(_SCORE), "a score")
        networks = self.whole(own["networks"], "networks", 2**62)
        return Agreement(networks, *(self.number(own[name], name) for name in _SCORE if name != "networks"))

    def members(self, told: object, keys: frozenset[str], what: str) -> dict[str, Any]:
        """Return an object of JSON with these keys and no other: a newer program would tell a newer format."""
        if not isinstance(told, dict):
            self.refuse(f"what it says of {what} is not a JSON object")
        if told.keys() != keys:
            lacks, more = sorted(keys - told.keys()), sorted(map(str, told.keys() - keys))
            self.refuse(f"what it says of {what} {'lacks' if lacks else 'has'} {quoted((lacks or more)[0])}")
        return told

    def items(self, told: object, what: str) -> Sequence[Any]:
        if not isinstance(told, list) or len(told) > _MOST:
            self.refuse(f"{what} should be a list")
        return told

    def text(self, told: object, what: str, *, may_be_empty: bool = False) -> str:
        is_sound = isinstance(told, str) and told.isprintable() and len(told) <= _LONGEST and (told or may_be_empty)
        if not is_sound:
            self.refuse(f"{what} should be a text that can be printed, and is {quoted(told)}")
        return str(told)

    def whole(self, told: object, what: str, most: int) -> int:
        if type(told) is not int or not 0 <= told <= most:
            self.refuse(f"{what} should be a whole number from 0 to {most}, and is {quoted(told)}")
        return told

    def number(self, told: object, what: str) -> float:
        if told is None:
            return math.nan
        if not (isinstance(told, float | int) and type(told) is not bool and abs(told) < 2**1000):
            self.refuse(f"{what} should be a finite number, and is {quoted(told)}")
        return float(told)

    def truth(self, told: object, what: str) -> bool:
        if type(told) is not bool:
            self.refuse(f"{what} should be true or false, and is {quoted(told)}")
        return told

    def refuse(self, fault: str) -> NoReturn:
        raise ww.CorruptFileError(f"{self.label}: {fault}")


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join('any' if own < 0 else str(own) for own in shape)}]"


def follow_one_another(tensors: Sequence[ww.ZooTensor]) -> bool:
    """Tell whether each tensor begins where the one before ends, the first one at 0, as a file takes for granted."""
    starts = all(after.start == before.stop for before, after in pairwise(tensors))
    return starts and (not tensors or tensors[0].start == 0)

"""Reads the text in which LightGBM writes its models. A file of a stranger is read here, and not by LightGBM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.estimators.trees import LEAF, MOST_TREES, Trees, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

END_OF_TREES = "end of trees"
LAST_LINE = "pandas_categorical:null"

NUMERICAL = (0, 2)
"""Decision types of ``feature <= threshold`` without missing values; 2 tells where those would go."""

HEAD = {"version": ("v3", "v4"), "num_class": ("1",), "num_tree_per_iteration": ("1",), "objective": ("regression",)}
"""What the head must say. Others predict classes, or the logarithm of what they say."""

OTHER_HEAD = {"label_index", "max_feature_idx", "feature_names", "feature_infos", "tree_sizes"}


def trees_of_text(text: str, columns: int) -> Trees:
    """Return the trees of a regression model.

    Args:
        text: The model, version 3 or 4 of LightGBM's form.
        columns: How many features a network has.

    Raises:
        CorruptFileError: It is cut, contradicts itself, is over other features, or has trees of another kind: with
            categories, missing values, or linear functions in their leaves.
    """
    if not text.endswith(f"\n{LAST_LINE}\n"):
        _refuse("its end is missing")
    trees, found, _ = text.partition(f"\n{END_OF_TREES}\n")
    if not found:
        _refuse(f"the line '{END_OF_TREES}' is missing")
    head, *blocks = trees.split("\nTree=")
    if not 0 < len(blocks) <= MOST_TREES:
        _refuse(f"it has {len(blocks)} trees, and may have 1 to {MOST_TREES}")
    _check_head(head, columns, len(blocks))
    whole = joined(columns, [_table(number, block) for number, block in enumerate(blocks)], rounding="zero")
    whole.check()
    return whole


def _check_head(head: str, columns: int, trees: int) -> None:
    first, *lines = (line for line in head.split("\n") if line)
    fields = _fields(lines)
    if first != "tree":
        _refuse("it does not start with 'tree'")
    for name, values in HEAD.items():
        if fields.get(name) not in values:
            _refuse(f"its {name} must be {' or '.join(values)}")
    if unknown := sorted(set(fields) - set(HEAD) - OTHER_HEAD):
        _refuse(f"its head has a line that is not known: {unknown[0][:40]!r}")
    if fields.get("max_feature_idx") != str(columns - 1):
        _refuse(f"it is not over {columns} features")
    if len(fields.get("tree_sizes", "").split()) != trees:
        _refuse("its number of trees is not that of its head")


def _table(number: int, block: str) -> dict[str, npt.NDArray[Any]]:
    """Return the nodes of one tree: decisions first, as LightGBM counts them, then leaves.

    LightGBM counts leaves from -1 downwards: ~i, or -1 - i, is leaf i.
    """
    own, *lines = block.split("\n")
    fields = _fields(line for line in lines if line)
    if own != str(number):
        _refuse(f"tree {number} has another number")
    for name in ("num_cat", "is_linear"):
        if fields.get(name) != "0":
            _refuse(f"tree {number} has {name} other than 0")
    values = _numbers(fields, "leaf_value", number, float)
    leaves = len(values)
    if not leaves or fields.get("num_leaves") != str(leaves):
        _refuse(f"tree {number} has not as many leaves as it says")
    inner = leaves - 1
    feature = _numbers(fields, "split_feature", number, int)
    threshold = _numbers(fields, "threshold", number, float)
    left, right = (_numbers(fields, f"{side}_child", number, int) for side in ("left", "right"))
    decisions = _numbers(fields, "decision_type", number, int)
    if any(len(array) != inner for array in (feature, threshold, left, right, decisions)):
        _refuse(f"tree {number} has not as many decisions as its leaves need")
    if not np.isin(decisions, NUMERICAL).all():
        _refuse(f"tree {number} has decisions other than <=, or missing values")
    if (feature < 0).any():
        _refuse(f"tree {number} asks for a feature that is none")
    for children in (left, right):
        if ((children >= inner) | (children < -leaves)).any():
            _refuse(f"tree {number} has a child that is none of its nodes")
        children[children < 0] = inner - 1 - children[children < 0]
    none = np.full(leaves, LEAF)
    return {
        "feature": np.concatenate([feature, none]),
        "threshold": np.concatenate([threshold, np.zeros(leaves)]),
        "left": np.concatenate([left, none]),
        "right": np.concatenate([right, none]),
        "value": np.concatenate([np.zeros(inner), values]),
    }


def _fields(lines: Iterator[str] | list[str]) -> dict[str, str]:
    """Return lines ``name=value``.

    Raises:
        CorruptFileError: One is none, or a name comes twice.
    """
    fields: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or name in fields:
            _refuse(f"a line is not known, or comes twice: {line[:40]!r}")
        fields[name] = value
    return fields


def _numbers(fields: dict[str, str], name: str, tree: int, read: type[int] | type[float]) -> npt.NDArray[Any]:
    """Return the numbers of a line, as float64, or as int64 of at most 32 bits.

    Raises:
        CorruptFileError: One is none.
    """
    try:
        found = [read(token) for token in fields.get(name, "").split()]
        return np.array(found, np.float64) if read is float else np.array(found, np.int32).astype(np.int64)
    except (ValueError, OverflowError):
        _refuse(f"tree {tree} has something in {name} that is no number, or too large")
        raise AssertionError from None


def _refuse(why: str) -> None:
    raise ww.CorruptFileError(f"the predictor's LightGBM model cannot be read: {why}")

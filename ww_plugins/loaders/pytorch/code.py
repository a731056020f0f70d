"""The code of TorchScript: what its calls do with which tensor. It is read as text, line by line, and never run.

PyTorch writes one statement a line. A tensor is an attribute of ``self``, or of a module under it, or a constant of the
archive (``CONSTANTS.c3``). Local variables that stand for a tensor, or for a list of some, are followed; a tensor that
is computed from others is none of them. What is kept of a line does not grow with what lies before it, so that no code
takes more than its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import ww_core as ww
from ww_plugins.loaders.pytorch.calls import (
    CALLS,
    GROUPS,
    KEPT,
    NOT_STORED,
    NUMBERED,
    RECURRENT,
    TRANSPOSES,
    WITH_STATISTICS,
    Use,
    kind_of,
)

CONSTANTS = "CONSTANTS."
"""How the constants of an archive begin in its code."""

_TOKEN = re.compile(
    r"""
    "(?:[^"\\]|\\.)*+"?  |  '(?:[^'\\]|\\.)*+'?
    | \.?[A-Za-z_][\w.]*+  |  -?[0-9][\w.]*+  |  \S
    """,
    re.VERBOSE,
)
_LINE = re.compile(r"[^\n]+")
_TARGET = re.compile(r" *+(\w++) = ")
_HEADER = re.compile(r" *+def \w++\((\w++)")
_NAME = re.compile(r"[A-Za-z_]")
_ELEMENT = "[]"  # stands for a function that takes something out of a list
_TOLD_APART = 2  # of more, none is the only one either
_LONGEST_PATH = 1000
_DEEPEST = 64


class Tensor(NamedTuple):
    """A tensor that is stored, or a module on the way to one.

    Attributes:
        path: Its attributes behind ``self``, joined by dots, or ``CONSTANTS.c3``.
        turned: Whether its two axes were exchanged.
    """

    path: str
    turned: bool = False


class Product(NamedTuple):
    """What a matrix makes of something, to which a bias may be added."""

    weight: str


class Function(NamedTuple):
    """A function that a variable stands for."""

    name: str


Value = Tensor | Product | Function | int | list["Value"] | None
"""What is known of the value of an expression."""


@dataclass(slots=True)
class Uses:
    """What code does with tensors, by their paths, in the order of the code.

    Attributes:
        weights: What each tensor is the weight of.
        computed: Convolutions with a kernel that is computed, or given by whoever calls: two of them at most.
        biases: The weight that each bias stands beside: the first one.
        buffers: Statistics.
        recurrent: The tensors that recurrent layers get in one list, weights and biases.
        has_batch_norm: Whether a batch norm is left.
        not_stored: How many tensors it names that an archive does not hold.
    """

    weights: dict[str, dict[Use, None]] = field(default_factory=dict)
    computed: dict[Use, None] = field(default_factory=dict)
    biases: dict[str, str] = field(default_factory=dict)
    buffers: dict[str, None] = field(default_factory=dict)
    recurrent: list[tuple[str, ...]] = field(default_factory=list)
    has_batch_norm: bool = False
    not_stored: int = 0


@dataclass(slots=True)
class _Frame:
    """What stands between two brackets, as far as it was read."""

    function: str = ""
    is_list: bool = False
    values: list[Value] = field(default_factory=list)
    value: Value = None
    atoms: int = 0
    is_keyword: bool = False

    def put(self, value: Value) -> None:
        self.atoms += 1
        self.value = value if self.atoms == 1 else None

    def end_value(self) -> None:
        if self.atoms and not self.is_keyword:
            self.values.append(self.value)
        self.value, self.atoms, self.is_keyword = None, 0, False


class CodeReader:
    """Reads code of one archive.

    Args:
        most: Words and signs that are read of it, all together.
    """

    def __init__(self, most: int = 2_000_000) -> None:
        self._left = most

    def uses(self, code: str) -> Uses:
        """Return what the functions of a type do with its tensors and with constants."""
        reading = _Reading()
        for line in _LINE.finditer(code):  # a list of them might take much more memory than the code
            if self._left < 0:
                break
            self._left -= reading.line(line[0])
        return reading.uses


class _Reading:
    """Reads the code of one type."""

    def __init__(self) -> None:
        self.uses = Uses()
        self._self = ""
        self._variables: dict[str, Value] = {}
        self._listed: dict[int, list[Value]] = {}

    def line(self, line: str) -> int:
        """Read a line; return how many words and signs it has, and what keeping them counts as."""
        header = _HEADER.match(line)
        if header is not None:
            self._self, self._variables = header[1], {}
            return 1
        target = _TARGET.match(line)
        value, count = self._expression(line, target.end() if target else 0)
        if target is not None:
            name = target[1]
            # In another branch it is something else: then it stands for neither.
            known = self._variables.get(name, value)
            self._variables[name] = value if known is value or known == value else None
        kept = len(value.path) if isinstance(value, Tensor) else 0
        return count + 1 + kept // 8

    def _expression(self, line: str, start: int) -> tuple[Value, int]:
        stack = [_Frame()]
        last, count = "", 0
        for found in _TOKEN.finditer(line, start):
            sign, frame = found[0], stack[-1]
            count += 1
            if sign in {"(", "["}:
                if len(stack) == _DEEPEST:
                    return None, count
                function = self._function(last) if sign == "(" and _NAME.match(last) else ""
                function = _ELEMENT if sign == "[" and frame.atoms else function
                frame.atoms -= 1 if function else 0
                stack.append(_Frame(function, sign == "["))
            elif sign in {")", "]"}:
                if len(stack) == 1:
                    return None, count
                frame.end_value()
                stack.pop()
                stack[-1].put(self._closed(frame))
            elif sign == ",":
                frame.end_value()
            elif sign == "=":
                frame.is_keyword, frame.atoms = True, 0
            else:
                frame.put(self._value(sign))
            last = sign
        return stack[0].value if len(stack) == 1 and not stack[0].values else None, count

    def _value(self, token: str) -> Value:
        if token.isdecimal():
            return int(token) if len(token) < 10 else None
        if token.startswith(CONSTANTS):
            return Tensor(token) if len(token) < _LONGEST_PATH else None
        if not _NAME.match(token) or len(token) > _LONGEST_PATH:
            return None
        head, _, rest = token.partition(".")
        if head == "__torch__":
            return Function(token)
        if head == self._self:
            return Tensor(rest)
        known = self._variables.get(head)
        if not rest:
            return known
        if not isinstance(known, Tensor) or known.turned or len(known.path) + len(rest) >= _LONGEST_PATH:
            return None
        return Tensor(f"{known.path}.{rest}" if known.path else rest)

    def _function(self, name: str) -> str:
        known = self._variables.get(name)
        return NUMBERED.sub("", known.name if isinstance(known, Function) else name)

    def _closed(self, frame: _Frame) -> Value:
        if not frame.function:
            if frame.is_list:
                return frame.values
            return frame.values[0] if len(frame.values) == 1 else None
        return self._called(frame.function, frame.values)

    def _called(self, function: str, given: list[Value]) -> Value:
        """Note what a call does with tensors, and return what is known of its result."""
        if function in KEPT:
            return _at(given, KEPT[function])
        if function in TRANSPOSES:
            return _turned(given)
        if function in {"torch.matmul", "torch.mm"}:
            return self._product(given)
        if function == "torch.addmm" and isinstance(matrix := _at(given, 2), Tensor):
            self._note_bias(_at(given, 0), matrix.path)
            return self._product(given[1:])
        if function in {"torch.add", "torch.add_"}:
            return self._sum(given)
        if function in RECURRENT:
            self._note_recurrent(given)
        if function in NOT_STORED:
            self.uses.not_stored += 1
        self._note_call(function, given)
        return None

    def _note_call(self, function: str, given: list[Value]) -> None:
        for place, bias, named in CALLS.get(function, ()):
            weight, kind = _at(given, place), kind_of(named, _at(given, 3))
            if kind is None:
                continue
            use = Use(kind, _groups(function, given), isinstance(weight, Tensor) and weight.turned)
            # The axes of a kernel that was transposed are others than those that the call gets.
            if isinstance(weight, Tensor) and not (weight.turned and kind.is_convolution):
                self._note_weight(weight.path, use)
                self._note_bias(_at(given, bias), weight.path)
            elif kind.is_convolution and len(self.uses.computed) < _TOLD_APART:
                self.uses.computed[use] = None
        if function in WITH_STATISTICS:
            self.uses.has_batch_norm = self.uses.has_batch_norm or function.endswith("batch_norm")
            for place in WITH_STATISTICS[function]:
                if isinstance(statistic := _at(given, place), Tensor):
                    self.uses.buffers[statistic.path] = None

    def _product(self, given: list[Value]) -> Value:
        """A matrix from the right is (in, out) as it stands, one from the left (out, in)."""
        left, right = _at(given, 0), _at(given, 1)
        if isinstance(right, Tensor) and not isinstance(left, Tensor):
            self._note_weight(right.path, Use(ww.LayerKind.DENSE, 1, not right.turned))
            return Product(right.path)
        if isinstance(left, Tensor) and not isinstance(right, Tensor):
            self._note_weight(left.path, Use(ww.LayerKind.DENSE, 1, left.turned))
            return Product(left.path)
        return None

    def _sum(self, given: list[Value]) -> Value:
        for value, other in (given[:2], given[1::-1]) if len(given) > 1 else ():
            if isinstance(value, Product) and isinstance(other, Tensor):
                self._note_bias(other, value.weight)
        return None

    def _note_recurrent(self, given: list[Value]) -> None:
        """Packed sequences are given in two tensors, others in one."""
        listed = next((own for own in (_at(given, 3), _at(given, 2)) if isinstance(own, list)), [])
        if id(listed) in self._listed:  # each list is gone through once, however many calls have it
            return
        self._listed[id(listed)] = listed
        paths = tuple(own.path for own in listed if isinstance(own, Tensor))
        self.uses.recurrent.append(paths)
        for path in paths:
            self._note_weight(path, Use(ww.LayerKind.RECURRENT))

    def _note_weight(self, path: str, use: Use) -> None:
        self.uses.weights.setdefault(path, {})[use] = None

    def _note_bias(self, bias: Value, weight: str) -> None:
        if isinstance(bias, Tensor):
            self.uses.biases.setdefault(bias.path, weight)


def _at(values: list[Value], place: int, default: Value = None) -> Value:
    return values[place] if place < len(values) else default


def _turned(given: list[Value]) -> Value:
    matrix = _at(given, 0)
    return Tensor(matrix.path, not matrix.turned) if isinstance(matrix, Tensor) else None


def _groups(function: str, given: list[Value]) -> int | str:
    """Return the groups of a convolution, as `Use` has them."""
    told = _at(given, GROUPS[function], 1) if function in GROUPS else 1
    groups = told.path if isinstance(told, Tensor) else told
    return groups if isinstance(groups, (int, str)) else 0

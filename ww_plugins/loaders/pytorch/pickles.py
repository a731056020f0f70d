"""Pickles, read and not obeyed.

A pickle is a program for a small stack machine, and two of its instructions, REDUCE and BUILD, let it do whatever
Python can. Here the same program runs on a machine that has no such instructions: a call becomes a `Call` that says
what was to be called with what, and that is all that ever happens. Nothing is imported, no class is made, no method of
anything is called; what comes out are Python's own constants, lists, tuples and dicts, and the classes below. It may be
nested to any depth, and contain itself: whoever goes through it must not recur, and the classes do not show their
content.

The instructions and their arguments are those of the standard library's ``pickletools``, which executes nothing either.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ww_core.contracts.budget import Budget

LOADS_A_PICKLE = "torch.storage._load_from_bytes"
"""What is called with the bytes of a pickle within a pickle."""

LONGEST_NAME = 1000
_TAKEN_BY_EACH = 25  # instructions; what reading a pickle takes besides its own
_AT_ONCE = 1000  # instructions that are taken from the budget together
_KEPT = 4096  # bytes; longer constants stay in the file
_LENGTH_BYTES = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8, "BINSTRING": 4}
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_SMALL = 2**60  # larger numbers are nobody's keys, and take long to hash


class PickleFault(Exception):  # noqa: N818 - a reason, put into a sentence by who knows the file
    """Why a pickle cannot be read."""


@dataclass(frozen=True, slots=True)
class Global:
    """Something of a module, by name: a class, a function, a dtype. It is never looked up."""

    module: str
    name: str
    dotted: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dotted", f"{self.module}.{self.name}")

    def __str__(self) -> str:
        return self.dotted


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """A call that did not happen, and what was then to be put into its result.

    Attributes:
        function: What was to be called: a `Global`, or anything else, which is a fault of the file.
        arguments: The positional arguments.
        state: What the result was to be built from; None for nothing.
        items: Entries it was to be given, as a dict is.
        elements: What was to be appended to it, as to a list.
    """

    function: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] | None = None
    elements: list[Any] | None = None

    def calls(self, *names: str) -> bool:
        """Whether it is a call of one of these, named with their modules."""
        return isinstance(self.function, Global) and self.function.dotted in names


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Persistent:
    """What the pickle names by an identifier and does not hold."""

    id: Any


@dataclass(frozen=True, slots=True)
class Extent:
    """A constant of bytes: where it lies in the file, and its content if that is short."""

    offset: int
    length: int
    content: bytes | None


class NumberKey(int):
    """A number as a key of a dict: the hash of an `int` is itself, so a stranger could choose some that collide."""

    __slots__ = ()

    def __hash__(self) -> int:
        """Hash its text, which Python does with a secret."""
        return hash(str(self))


class OddKey:
    """A key of a dict that is no text and no small number: kept apart, and never hashed by its content.

    Attributes:
        content: The key.
        told: What `names_of` tells of it, once somebody has asked.
    """

    __slots__ = ("content", "told")

    def __init__(self, content: Any) -> None:
        self.content = content
        self.told: tuple[str, str] | None = None


@dataclass(slots=True)
class Pickle:
    """What a pickle comes to.

    Attributes:
        root: The object it describes.
        called: Everything that was to be called, in order, each once.
        made: Classes of which objects were to be made without a call: only of their ``__new__``, and of the
            ``__setstate__`` that their own code may have.
        named: Everything of a module that it names, in order, each once: what is named can be called in many ways.
        within: Calls that were to load a pickle within this one, in order.
        persistent: Everything that it names and does not hold, in order.
    """

    root: Any = None
    called: dict[str, None] = field(default_factory=dict)
    made: dict[str, None] = field(default_factory=dict)
    named: dict[str, None] = field(default_factory=dict)
    within: list[Call] = field(default_factory=list)
    persistent: list[Persistent] = field(default_factory=list)

    def add_calls(self, other: Pickle) -> None:
        """Add what another pickle of the same file calls, makes and names."""
        self.called |= other.called
        self.made |= other.made
        self.named |= other.named


class PickleReader:
    """Reads the pickles of one file.

    Attributes:
        file: The file, opened for reading.
        budget: What they may take together.
    """

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self.file = file
        self.budget = budget

    def read(self, end: int) -> Pickle:
        """Read one pickle from where the file stands; the file then stands behind it.

        Args:
            end: Where the pickle must have ended.

        Raises:
            PickleFault: It is no pickle, or is damaged.
            SourceError: It takes more than is left.
        """
        self.budget.take("instructions", _TAKEN_BY_EACH)
        return _Machine(_Span(self.file, end, self.budget), self.budget).run()


class _Span:
    """What instructions are read from: a file up to an offset, so that no claimed length is believed beyond it.

    Attributes:
        place: Where the next byte stands in the file, counted here, because asking the file takes long.
    """

    def __init__(self, file: BinaryIO, end: int, budget: Budget) -> None:
        self._file = file
        self._end = end
        self._budget = budget
        self.place = self._paid = file.tell()

    def read(self, count: int) -> bytes:
        if count > self._end - self.place:
            raise PickleFault("it is cut short")
        self.place += count
        if count > _KEPT:
            self.pay()
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(min(self._end - self.place, 1_000_000))
        self.place += len(line)
        self.pay()
        return line

    def skip(self, count: int) -> None:
        if count > self._end - self.place:
            raise PickleFault("it is cut short")
        self.place += count
        self._paid += count
        self._file.seek(self.place)

    def pay(self) -> None:
        """Take from the budget what was read since the last time."""
        self._budget.take("text", self.place - self._paid)
        self._paid = self.place


_MARK = object()


class _Machine:
    """The machine. An instruction has its method in ``_instructions``, or pushes the constant that it carries."""

    def __init__(self, stream: _Span, budget: Budget) -> None:
        self.result = Pickle()
        self._stream = stream
        self._budget = budget
        self._unpaid = 0
        self._globals: dict[tuple[str, str], Global] = {}
        self._stack: list[Any] = []
        self._memo: dict[str, Any] = {}  # the numbers as texts, whose hashes no stranger can choose
        push = self._stack.append
        self._instructions: dict[str, Callable[[Any], None]] = {
            "NONE": lambda _: push(None), "NEWTRUE": lambda _: push(True), "NEWFALSE": lambda _: push(False),
            "EMPTY_LIST": lambda _: push([]), "EMPTY_DICT": lambda _: push({}), "EMPTY_SET": lambda _: push([]),
            "EMPTY_TUPLE": lambda _: push(()), "TUPLE1": self._tuple_of(1), "TUPLE2": self._tuple_of(2),
            "TUPLE3": self._tuple_of(3), "TUPLE": self._tuple, "LIST": self._list, "FROZENSET": self._list,
            "DICT": self._dict, "APPEND": self._append, "APPENDS": self._appends, "ADDITEMS": self._appends,
            "SETITEM": self._set_item, "SETITEMS": self._set_items, "MARK": self._mark, "POP": self._pop,
            "POP_MARK": self._pop_mark, "DUP": self._dup, "GET": self._get, "BINGET": self._get,
            "LONG_BINGET": self._get, "PUT": self._put, "BINPUT": self._put, "LONG_BINPUT": self._put,
            "MEMOIZE": self._put, "GLOBAL": self._global, "STACK_GLOBAL": self._stack_global,
            "EXT1": self._extension, "EXT2": self._extension, "EXT4": self._extension, "REDUCE": self._reduce,
            "NEWOBJ": self._new_object, "NEWOBJ_EX": self._new_object_ex, "INST": self._instance, "OBJ": self._object,
            "BUILD": self._build, "PERSID": self._persistent, "BINPERSID": self._bin_persistent,
        }  # fmt: skip

    def run(self) -> Pickle:
        """Run the program to its end."""
        try:
            while (opcode := self._next()).name != "STOP":
                self._execute(opcode)
        except IndexError:
            raise PickleFault("it takes from an empty stack") from None
        except (ValueError, ArithmeticError) as error:
            raise PickleFault(f"it is damaged: {_first_line(error)}") from None
        self._pay()
        if not self._stack:
            raise PickleFault("it takes from an empty stack")
        self.result.root = self._stack[-1]
        return self.result

    def _next(self) -> pickletools.OpcodeInfo:
        self._unpaid += 1
        if self._unpaid == _AT_ONCE:
            self._pay()
        code = self._stream.read(1)
        if code not in _OPCODES:
            raise PickleFault(f"it is damaged: there is no instruction {code!r}")
        return _OPCODES[code]

    def _pay(self) -> None:
        self._stream.pay()
        self._budget.take("instructions", self._unpaid)
        self._unpaid = 0

    def _execute(self, opcode: pickletools.OpcodeInfo) -> None:
        name = opcode.name
        if name in _LENGTH_BYTES:
            self._stack.append(self._constant(name))
            return
        # What it asks of a file is in _Span; its own type names more.
        argument = opcode.arg.reader(self._stream) if opcode.arg else None  # type: ignore[arg-type]
        instruction = self._instructions.get(name)
        if instruction is not None:
            instruction(argument)
        elif name in _CONSTANTS:
            self._stack.append(argument)
        elif name not in _IGNORED:
            raise PickleFault(f"it has the instruction {name}, which no checkpoint needs")

    def _constant(self, name: str) -> Extent | str:
        """Return a constant of bytes, or a text of Python 2, which may be one; what is long is not read."""
        length = int.from_bytes(self._stream.read(_LENGTH_BYTES[name]), "little")
        start = self._stream.place
        if length > _KEPT:
            self._stream.skip(length)
            return Extent(start, length, None)
        content = self._stream.read(length)
        return content.decode("latin-1") if name == "BINSTRING" else Extent(start, length, content)

    def _pop_to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise PickleFault("it takes from an empty stack")
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items

    def _call(self, function: Any, arguments: Any) -> None:
        function = _class_with_source(function)
        call = Call(function, arguments if isinstance(arguments, tuple) else (arguments,))
        if call.calls(LOADS_A_PICKLE):
            self.result.within.append(call)
        elif (made := _class_made_by(call)) is not None:
            self.result.made[str(made)] = None
        else:
            self._note(function)
            if isinstance(function, Global) and function.name in {"_reconstructor", "__newobj__"}:
                for given in call.arguments[:2]:  # the class, and the one whose __init__ is called
                    self._note(given)
        self._stack.append(call)

    def _note(self, function: Any = None) -> None:
        if isinstance(function, Global):
            self.result.called[function.dotted] = None
        elif not isinstance(function, Call):  # the call it is of has been noted
            self.result.called["something that cannot be called"] = None

    # --- the instructions ---

    def _put(self, index: int | None) -> None:
        self._memo[str(len(self._memo) if index is None else index)] = self._stack[-1]

    def _get(self, index: int) -> None:
        try:
            self._stack.append(self._memo[str(index)])
        except KeyError:
            raise PickleFault("it asks for what it never kept") from None

    def _mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _tuple_of(self, count: int) -> Callable[[Any], None]:
        def make(_: Any) -> None:
            if len(self._stack) < count:
                raise IndexError
            self._stack[-count:] = [tuple(self._stack[-count:])]

        return make

    def _dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._add_items(items)

    def _append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: Iterable[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Call):
            if target.elements is None:
                target.elements = []
            target.elements.extend(items)
        else:
            raise PickleFault("it appends to what is no list")

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._add_items([key, value])

    def _set_items(self, _: Any) -> None:
        self._add_items(self._pop_to_mark())

    def _add_items(self, items: list[Any]) -> None:
        entries = self._stack[-1]
        if isinstance(entries, Call):
            if entries.items is None:
                entries.items = {}
            entries = entries.items
        if not isinstance(entries, dict) or len(items) % 2:
            raise PickleFault("it puts entries into what is no dict")
        entries.update(pairs_of(items[::2], items[1::2]))

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_global(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_global(module, name)

    def _push_global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleFault("it names something by what is no text")
        if len(module) + len(name) > LONGEST_NAME:
            raise PickleFault(f"it names something by more than {LONGEST_NAME} characters")
        named = self._globals.get((module, name))
        if named is None:
            self._budget.take("names", len(module) + len(name))
            named = self._globals[module, name] = Global(module, name)
            self.result.named[named.dotted] = None
        self._stack.append(named)

    def _extension(self, code: int) -> None:
        self._push_global("copyreg", f"extension {code}")

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._call(function, arguments)

    def _new_object(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        function = _class_with_source(function)
        if not isinstance(function, Global):
            self._call(function, arguments)
            return
        self.result.made[str(function)] = None
        # What is made so of a dict is empty: only a call of the class would fill it.
        given = arguments if isinstance(arguments, tuple) and not Call(function, ()).calls(*_DICTS) else ()
        self._stack.append(Call(function, given))

    def _new_object_ex(self, _: Any) -> None:
        self._stack.pop()  # its keyword arguments
        self._new_object(None)

    def _instance(self, argument: str) -> None:
        arguments = tuple(self._pop_to_mark())
        self._global(argument)
        self._call(self._stack.pop(), arguments)

    def _object(self, _: Any) -> None:
        function, *arguments = self._pop_to_mark() or [None]
        self._call(function, tuple(arguments))

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Call):
            target.state = state
        else:
            self._note(target)

    def _persistent(self, identifier: str) -> None:
        self._push_persistent(identifier)

    def _bin_persistent(self, _: Any) -> None:
        self._push_persistent(self._stack.pop())

    def _push_persistent(self, identifier: Any) -> None:
        named = Persistent(identifier)
        self.result.persistent.append(named)
        self._stack.append(named)


def _class_with_source(function: Any) -> Any:
    """Return the class where the oldest files name one with its source beside it."""
    if isinstance(function, Persistent) and isinstance(function.id, tuple) and function.id[:1] == ("module",):
        return function.id[1] if len(function.id) > 1 else function
    return function


def _class_made_by(call: Call) -> Global | None:
    """Return the class of which a call makes an object by its ``__new__`` alone; None if it does anything else."""
    match call.arguments:
        case (Global() as made, *_) if call.calls("copyreg.__newobj__", "copy_reg.__newobj__"):
            return made
        case (Global() as made, Global() as base, None) if call.calls(*_RECONSTRUCTORS) and str(base) in _OBJECT:
            return made
    return None


def pairs_of(keys: Iterable[Any], values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Pair keys and values; what a stranger could make slow or deep to hash becomes an `OddKey`."""
    for key, value in zip(keys, values, strict=False):
        if isinstance(key, str):
            yield key, value
        elif type(key) is int and abs(key) < _SMALL:
            yield NumberKey(key), value
        else:
            yield OddKey(key), value


_CONSTANTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")
_OBJECT = ("builtins.object", "__builtin__.object")
_DICTS = ("collections.OrderedDict", "collections.Counter", "collections.defaultdict", "builtins.dict")
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:100] or type(error).__name__

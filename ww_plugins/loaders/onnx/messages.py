"""The messages of an ONNX file, as far as they tell of weights: models, graphs, nodes and tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.loading.protobuf import BYTES, Field, Reader, signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MODEL = {1: "varint", 7: "bytes", 8: "messages", 25: "messages"}
_GRAPH = {1: "messages", 5: "messages", 15: "messages"}
_FUNCTION = {1: "bytes", 4: "messages", 5: "messages", 7: "messages", 10: "bytes", 11: "messages", 13: "bytes"}
_NODE = {1: "messages", 2: "messages", 3: "bytes", 4: "bytes", 5: "messages", 7: "bytes", 8: "bytes", 9: "messages"}
_ATTRIBUTE = {
    1: "bytes", 2: "fixed32", 3: "varint", 4: "bytes", 5: "bytes", 6: "bytes", 7: "fixed32s", 8: "varints",
    10: "messages", 11: "messages", 21: "bytes", 22: "bytes",
}  # fmt: skip
_TENSOR = {
    1: "varints", 2: "varint", 3: "bytes", 4: "fixed32s", 5: "varints", 6: "messages", 7: "varints", 8: "bytes",
    9: "bytes", 10: "fixed64s", 11: "varints", 13: "messages", 14: "varint",
}  # fmt: skip
_SPARSE = {1: "bytes", 2: "bytes", 3: "varints"}
_ENTRY = {1: "bytes", 2: "bytes"}

_SCOPES = "pkg.torch.onnx.name_scopes"
_TYPED = frozenset({4, 5, 6, 7, 10, 11})
_MOST_AXES = 64  # NumPy's limit
_MOST_INTS = 1 << 12  # of an attribute: more are no permutation and no kernel
_OF_A_LOOSE_NUMBER = 60
_OF_A_NODE = 6  # visits of the budget for each node and attribute: it takes more memory than a field


@dataclass(slots=True, eq=False)
class Tensor:
    """A tensor as its message tells of it; nothing of it is checked.

    Attributes:
        name: Its name; for that of a constant the name of the value.
        code: The number of its dtype.
        shape: Its dimensions.
        raw: The field of its bytes, if it has such.
        typed: The fields of its numbers, if they stand as protobuf's own, by the number of the field.
        external: Where its bytes lie beside the file, as the file tells it; None if they do not.
        indices: Of a sparse tensor, whose own numbers are its values.
        dense_shape: Of a sparse tensor.
    """

    name: str = ""
    code: int = 0
    shape: tuple[int, ...] = ()
    raw: Field | None = None
    typed: dict[int, list[Field]] = field(default_factory=dict)
    external: dict[str, str] | None = None
    indices: Tensor | None = None
    dense_shape: tuple[int, ...] = ()


@dataclass(slots=True)
class Attribute:
    """An attribute of a node: one of these."""

    name: str = ""
    integer: int | None = None
    text: Field | None = None
    integers: list[Field] = field(default_factory=list)
    numbers: list[Field] = field(default_factory=list)
    number_at: Field | None = None
    tensor: Tensor | None = None
    graphs: list[Graph] = field(default_factory=list)
    refers_to: str = ""


@dataclass(slots=True)
class Node:
    """A node of a graph.

    Attributes:
        scopes: The modules around it, from the outermost on, as PyTorch's exporter writes them beside it.
    """

    op: str = ""
    domain: str = ""
    overload: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    scopes: str = ""


@dataclass(slots=True)
class Graph:
    """A graph, or the body of a function, which has no tensors of its own."""

    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)


@dataclass(slots=True)
class Function:
    """A function of the model's own, which nodes call by domain, name and overload."""

    key: tuple[str, str, str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    defaults: Mapping[str, Attribute]
    body: Graph


@dataclass(slots=True)
class Model:
    """A model."""

    graph: Graph
    functions: Mapping[tuple[str, str, str], Function]


def read_model(reader: Reader) -> Model:
    """Read the messages of a file.

    Raises:
        CorruptFileError: They are no model.
        SourceError: They take more than the budget.
    """
    version, opsets = 0, 0
    graph: Graph | None = None
    functions: dict[tuple[str, str, str], Function] = {}
    for part in reader.fields(0, reader.file.size, _MODEL):
        if part.number == 1:
            version = signed(part.start)
        elif part.number == 7:
            graph = _graph(reader, part, 0)
        elif part.number == 8:
            opsets += 1
        else:
            function = _function(reader, part)
            if function.key in functions:
                reader.refuse("a function stands twice")
            functions[function.key] = function
    if version < 1:
        reader.refuse("it tells no version of the format")
    if graph is None:
        reader.refuse("it holds no graph")
    if not opsets and version >= 3:
        reader.refuse("it does not say which operators it means")
    return Model(graph, functions)


def _graph(reader: Reader, place: Field, depth: int) -> Graph:
    if depth > reader.budget.depth:
        reader.refuse(f"its graphs are nested more than {reader.budget.depth} deep")
    graph = Graph()
    for part in reader.fields(place.start, place.stop, _GRAPH):
        if part.number == 1:
            graph.nodes.append(_node(reader, part, depth))
        else:
            graph.tensors.append((_tensor if part.number == 5 else _sparse_tensor)(reader, part))
    return graph


def _function(reader: Reader, place: Field) -> Function:
    name = domain = overload = ""
    inputs, outputs, defaults, body = [], [], {}, Graph()
    for part in reader.fields(place.start, place.stop, _FUNCTION):
        match part.number:
            case 1:
                name = reader.text(part)
            case 4:
                inputs.append(reader.text(part))
            case 5:
                outputs.append(reader.text(part))
            case 7:
                body.nodes.append(_node(reader, part, 0))
            case 10:
                domain = reader.text(part)
            case 11:
                default = _attribute(reader, part, 0)
                defaults[default.name] = default
            case 13:
                overload = reader.text(part)
    return Function((domain, name, overload), inputs, outputs, defaults, body)


def _node(reader: Reader, place: Field, depth: int) -> Node:
    reader.budget.take("visits", _OF_A_NODE)
    node = Node()
    for part in reader.fields(place.start, place.stop, _NODE):
        match part.number:
            case 1:
                node.inputs.append(reader.text(part))
            case 2:
                node.outputs.append(reader.text(part))
            case 3:
                node.name = reader.text(part)
            case 4:
                node.op = reader.text(part)
            case 5:
                attribute = _attribute(reader, part, depth)
                if attribute.name in node.attributes:
                    reader.refuse("an attribute of a node stands twice")
                node.attributes[attribute.name] = attribute
            case 7:
                node.domain = reader.text(part)
            case 8:
                node.overload = reader.text(part)
            case 9:
                node.scopes = _scopes(reader, part) or node.scopes
    return node


def _attribute(reader: Reader, place: Field, depth: int) -> Attribute:
    reader.budget.take("visits", _OF_A_NODE)
    found = Attribute()
    for part in reader.fields(place.start, place.stop, _ATTRIBUTE):
        match part.number:
            case 1:
                found.name = reader.text(part)
            case 2:
                found.number_at = part
            case 3:
                found.integer = signed(part.start)
            case 4:
                found.text = part
            case 5:
                found.tensor = _tensor(reader, part)
            case 6 | 11:
                found.graphs.append(_graph(reader, part, depth + 1))
            case 7:
                found.numbers.append(part)
            case 8:
                found.integers.append(part)
            case 21:
                found.refers_to = reader.text(part)
            case 22:
                found.tensor = _sparse_tensor(reader, part)
    return found


def _tensor(reader: Reader, place: Field) -> Tensor:
    reader.budget.take("tensors")
    tensor, shape, is_external = Tensor(), list[int](), False
    for part in reader.fields(place.start, place.stop, _TENSOR):
        match part.number:
            case 1:
                shape += _lengths(reader, part, _MOST_AXES - len(shape))
            case 2:
                tensor.code = signed(part.start)
            case 3:
                reader.refuse("a tensor is stored in segments, which no program writes")
            case 8:
                reader.budget.take("names", part.stop - part.start)
                tensor.name = reader.text(part)
            case 9:
                tensor.raw = part
            case 13:
                key, value = _entry(reader, part)
                tensor.external = {**(tensor.external or {}), key: value}
                if len(tensor.external) > 16:
                    reader.refuse("a tensor tells too much of where it lies")
            case 14:
                is_external = part.start == 1
            case number if number in _TYPED:
                if part.wire != BYTES:  # all programs write such numbers in a row
                    reader.budget.take("visits", _OF_A_LOOSE_NUMBER)
                tensor.typed.setdefault(number, []).append(part)
    tensor.shape = tuple(shape)
    tensor.external = (tensor.external or {}) if is_external else None
    return tensor


def _sparse_tensor(reader: Reader, place: Field) -> Tensor:
    values, indices, shape = Tensor(), Tensor(), list[int]()
    for part in reader.fields(place.start, place.stop, _SPARSE):
        if part.number == 1:
            values = _tensor(reader, part)
        elif part.number == 2:
            indices = _tensor(reader, part)
        else:
            shape += _lengths(reader, part, _MOST_AXES - len(shape))
    values.indices, values.dense_shape = indices, tuple(shape)
    return values


def _scopes(reader: Reader, place: Field) -> str:
    """Return the value of an entry beside a node if it tells scopes; others may be long, and are not read."""
    is_told = False
    for part in reader.fields(place.start, place.stop, _ENTRY):
        if part.number == 1:
            is_told = part.stop - part.start == len(_SCOPES) and reader.text(part) == _SCOPES
        elif is_told:
            return reader.text(part)
    return ""


def _entry(reader: Reader, place: Field) -> tuple[str, str]:
    told = {1: "", 2: ""}
    for part in reader.fields(place.start, place.stop, _ENTRY):
        told[part.number] = reader.text(part)
    return told[1], told[2]


def _lengths(reader: Reader, place: Field, most: int) -> list[int]:
    lengths = []
    for length in reader.integers(place):
        if length < 0:
            reader.refuse("a tensor has an axis of negative length")
        lengths.append(length)
        if len(lengths) > most:
            reader.refuse(f"a tensor has more than {_MOST_AXES} axes")
    return lengths


def integers_of(reader: Reader, attribute: Attribute | None) -> tuple[int, ...]:
    """Return the whole numbers of an attribute, if they are few; nothing where there are none."""
    found: list[int] = []
    for place in attribute.integers if attribute else []:
        if place.wire == BYTES and place.stop - place.start > _MOST_INTS:
            return ()
        found += reader.integers(place)
        if len(found) > _MOST_INTS:
            return ()
    return tuple(found)

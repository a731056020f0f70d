"""What a model of TensorFlow Lite holds: its subgraphs, their tensors and operators, and the buffers with the numbers.

The numbers of fields are those of the public schema, version 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ww_plugins.loaders.tflite.flatbuffer import Flatbuffer, Table, Vector

DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant",
    15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16", 19: "int2", 20: "uint4",
}  # fmt: skip
"""Names of dtypes, by the schema's numbers."""

_PLACED_BEHIND = 2  # an offset below it says that a buffer does not lie behind the flatbuffer


class Place(NamedTuple):
    """Where the bytes of a buffer lie."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        table: What the file tells of it.
        shape: Its shape.
        dtype: Name of its dtype.
        buffer: Number of its buffer.
        place: Where its numbers lie; None where it has none before the model runs.
    """

    table: Table
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    place: Place | None

    @property
    def name(self) -> str:
        """Its name, which others may have too."""
        return self.table.text(3, "the name of a tensor")

    @property
    def quantisation(self) -> Table | None:
        """How it is quantised."""
        return self.table.table(4)

    @property
    def sparsity(self) -> Table | None:
        """How its numbers are spread, if it is sparse."""
        return self.table.table(6)

    @property
    def is_elsewhere(self) -> bool:
        """Whether its numbers lie in another file."""
        return self.table.number(10, "I") != 0


class Operator(NamedTuple):
    """An operator.

    Attributes:
        code: The schema's number of what it does.
        inputs: Numbers of its tensors; negative where one is left out.
        outputs: The same of what it makes.
        table: What the file tells of it.
    """

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    table: Table

    @property
    def options(self) -> Table | None:
        """Its options."""
        return self.table.table(4)


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A subgraph: the model itself, or the body of a loop or of a condition."""

    name: str
    tensors: Sequence[Tensor]
    operators: Sequence[Operator]


@dataclass
class Model:
    """A model.

    Args:
        content: Its file.
    """

    content: Flatbuffer
    _places: dict[int, Place | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = self.content.root
        self._buffers = self._root.vector(4, 4, "the list of buffers")

    def subgraphs(self) -> Iterator[Subgraph]:
        """Go through the subgraphs.

        Raises:
            CorruptFileError: One contradicts the file or itself.
        """
        codes = [
            max(code.number(0, "b"), code.number(3, "i"))
            for code in self._root.vector(1, 4, "the list of operator codes").tables()
        ]
        for graph in self._root.vector(2, 4, "the list of subgraphs").tables():
            tensors = [self._tensor(table) for table in graph.vector(0, 4, "the list of tensors").tables()]
            operators = [
                self._operator(table, codes, len(tensors))
                for table in graph.vector(3, 4, "the list of operators").tables()
            ]
            yield Subgraph(graph.text(4, "the name of a subgraph"), tensors, operators)

    def _tensor(self, table: Table) -> Tensor:
        shape = table.vector(0, 4, "the shape of a tensor").numbers("<i4").tolist()
        kind = table.number(1, "b")
        buffer = table.number(2, "I")
        return Tensor(table, tuple(shape), DTYPES.get(kind, f"type {kind}"), buffer, self._place(buffer))

    def _operator(self, table: Table, codes: Sequence[int], tensors: int) -> Operator:
        code = table.number(0, "I")
        if code >= len(codes):
            raise self.content.damaged(f"an operator has the code {code}, and {len(codes)} are listed")
        inputs, outputs = (self._indices(table.vector(end, 4, "the tensors of an operator"), tensors) for end in (1, 2))
        return Operator(codes[code], inputs, outputs, table)

    def _indices(self, listed: Vector, tensors: int) -> list[int]:
        indices: list[int] = listed.numbers("<i4").tolist()
        if max(indices, default=-1) >= tensors:
            raise self.content.damaged(f"an operator takes tensor {max(indices)}, and {tensors} are listed")
        return indices

    def _place(self, buffer: int) -> Place | None:
        if buffer not in self._places:
            if buffer >= self._buffers.count:
                raise self.content.damaged(f"a tensor has the buffer {buffer}, and {self._buffers.count} are listed")
            self._places[buffer] = self._found(self._buffers.table(buffer))
        return self._places[buffer]

    def _found(self, table: Table) -> Place | None:
        offset, nbytes = table.number(1, "Q"), table.number(2, "Q")
        if offset >= _PLACED_BEHIND:
            if nbytes > self.content.size or offset > self.content.size - nbytes:
                raise self.content.damaged(f"a buffer of {nbytes:,} bytes lies beyond its end")
            return Place(offset, nbytes) if nbytes else None
        data = table.vector(0, 1, "a buffer")
        return Place(data.offset, data.nbytes) if data.nbytes else None

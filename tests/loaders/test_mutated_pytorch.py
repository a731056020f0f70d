"""Real files of PyTorch's with something changed in them, and pickles of any object: what is read is what was there."""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import pickle
import pickletools
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naming import ByName
from torch_files import CONTAINERS, NUMBERS, Entry, built, call, in_zip, sound, tensor, zip_of

import ww_core as ww
from ww_core.contracts.budget import Budget
from ww_core.loading.names import fault_of_name
from ww_core.loading.state_dict import plain_names
from ww_core.loading.trees import find_weights
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.pytorch.pickles import Call, Extent, OddKey, PickleReader
from ww_plugins.loaders.pytorch.weights_only import _LoadedTree

HAS_TORCH = importlib.util.find_spec("torch") is not None
# What decodes pickles warns of odd escapes in texts, and PyTorch of much.
pytestmark = pytest.mark.filterwarnings("ignore")
MANY = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def made_here():
    """Files without PyTorch: the four containers, and a module."""
    yield from (sound(container, epoch=3, args={"lr": 0.1, "name": "x"}) for container in CONTAINERS)
    inner = {"_parameters": {"weight": tensor()}, "_buffers": {}, "_modules": {}, "training": False}
    linear = built(call("torch.nn.modules.linear.Linear"), inner)
    outer = {"_parameters": {}, "_buffers": {}, "_modules": {"fc": linear}}
    yield in_zip(built(call("torch.nn.modules.container.Sequential"), outer))
    yield pickle.dumps({"fc.weight": NUMBERS, "other.weight": NUMBERS.T, "list": [1, 2.5, None]}, 5)
    yield pickle.dumps({"fc.weight": NUMBERS, "log": {"a": [1, 2]}}, 0)


def made_by_torch():
    """Files that PyTorch wrote: a state dict, a checkpoint of training, a whole module; new, old and plain."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 4).bfloat16())
    optimizer = torch.optim.Adam(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    checkpoint = {"epoch": 1, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}
    for thing in [net.state_dict(), checkpoint, net, {"view": torch.arange(24.0).reshape(4, 6).T[1:, ::2]}]:
        for new in [True, False]:
            file = io.BytesIO()
            torch.save(thing, file, _use_new_zipfile_serialization=new)
            yield file.getvalue()
        yield pickle.dumps(thing)


@functools.cache
def originals() -> list[bytes]:
    return [*made_here(), *(made_by_torch() if HAS_TORCH else ())]


# --- mutants ---

PIECES = [
    b".",
    b"R",
    b"b",
    b"s",
    b"u",
    b"e",
    b"a",
    b"0",
    b"2",
    b"(",
    b"t",
    b"\x85",
    b"\x86",
    b"}",
    b"]",
    b")",
    b"N",
    b"Q",
]
PIECES += [b"K\x00", b"K\x07", b"J\xff\xff\xff\xff", b"h\x00", b"h\x05", b"q\x05", b"X\x01\x00\x00\x00a", b"\x94", b"1"]
PIECES += [b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"cposix\nsystem\n", b"\x88", b"G?\xf0\x00\x00\x00\x00\x00\x00"]
PIECES += [b"PK\x05\x06", b"PK\x01\x02", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"o", b"\x81", b"\x92", b"\x93"]


def changed(draw, items, piece):
    """Set, insert, delete, double, swap, cut or splice some of the items of a list or of bytes."""
    for _ in range(draw(st.integers(1, 4))):
        place, other = (draw(st.integers(0, max(0, len(items) - 1))) for _ in range(2))
        length = draw(st.integers(1, 8))
        new = draw(piece)
        match draw(st.sampled_from(["set", "set", "insert", "delete", "double", "swap", "splice", "cut"])):
            case "set":
                items[place : place + len(new)] = new
            case "insert":
                items[place:place] = new
            case "delete":
                del items[place : place + length]
            case "double":
                items[place:place] = items[place : place + length]
            case "swap" if items:
                items[place], items[other] = items[other], items[place]
            case "splice":
                items[place : place + length] = items[other : other + length]
            case "cut":
                del items[place + length * 20 :]
    return items


@st.composite
def mutants_of_bytes(draw):
    content = bytearray(draw(st.sampled_from(originals())))
    return bytes(changed(draw, content, st.binary(min_size=1, max_size=4) | st.sampled_from(PIECES)))


def instructions(content: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(content)] + [len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(places)]


@st.composite
def mutants_of_instructions(draw):
    content = draw(st.sampled_from(originals()))
    piece = st.lists(st.sampled_from(PIECES), min_size=1, max_size=2)
    if not content.startswith(b"PK"):
        file = io.BytesIO(content)
        parts = []
        while content[file.tell() : file.tell() + 1] in {b"\x80", b"("}:  # a legacy file has five, and then storages
            begin = file.tell()
            for _ in pickletools.genops(file):
                pass
            parts.append(content[begin : file.tell()])
            if len(parts) == 5:
                break
        chosen = draw(st.integers(0, len(parts) - 1))
        rest = content[sum(map(len, parts)) :]
        parts[chosen] = b"".join(changed(draw, instructions(parts[chosen]), piece))
        return b"".join(parts) + rest
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [Entry(name.encode(), archive.read(name)) for name in archive.namelist()]
    place = next(place for place, entry in enumerate(entries) if entry.name.endswith(b"/data.pkl"))
    mutated = b"".join(changed(draw, instructions(entries[place].content), piece))
    entries[place] = entries[place]._replace(content=mutated)
    return zip_of(*entries)


def read_by_torch(path):
    """Tensors by name as ``torch.load`` gives them, under the names that ww has for them; None if it refuses."""
    import torch

    try:
        root = torch.load(path, weights_only=True, map_location="cpu")
        found = find_weights(root, _LoadedTree(torch.Tensor, Budget("it")), "it").tensors
    except Exception:
        return None
    names = plain_names([name for name, _ in found])
    return {names[name]: tensor for name, tensor in found if not fault_of_name(name)}


def as_numbers(tensor):
    import torch

    dense = tensor.detach().contiguous().flatten()
    content = dense.view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), content


def obeys_the_law(content, path, loader, contents):
    path.write_bytes(content)
    assert 0 <= loader.probe(path) <= 1
    try:
        checkpoint = loader.open(path)
    except ww.SourceError as error:
        message = str(error)
    else:
        is_as_torch_has_it(checkpoint, path, contents)
        return
    assert path.name in message
    assert message.isprintable()


def is_as_torch_has_it(checkpoint, path, contents):
    assert all(warning.isprintable() and path.name in warning for warning in checkpoint.warnings)
    read = contents(checkpoint)
    also = read_by_torch(path) if HAS_TORCH and read else None
    for name in read.keys() & (also or {}).keys():
        assert read[name] == as_numbers(also[name])


@pytest.fixture(scope="module")
def loader():
    return ByName(PyTorchLoader())


@pytest.fixture
def no_exotic(monkeypatch):
    """A mutant that PyTorch must read apart would take seconds; the corpus has some."""
    from ww_plugins.loaders.pytorch import weights_only

    monkeypatch.setattr(weights_only, "load_apart", lambda file, names: {})


@MANY
@given(content=mutants_of_bytes())
def test_a_file_with_other_bytes_obeys_the_law(content, tmp_path, loader, contents, no_exotic):
    obeys_the_law(content, tmp_path / "mutant.pt", loader, contents)


@MANY
@given(content=mutants_of_instructions())
def test_a_file_with_other_instructions_obeys_the_law(content, tmp_path, loader, contents, no_exotic):
    obeys_the_law(content, tmp_path / "mutant.pt", loader, contents)


def test_the_originals_are_read(tmp_path, loader, contents):
    """Else the mutants of them would say little."""
    for content in originals():
        path = tmp_path / "model.pt"
        path.write_bytes(content)
        read = contents(loader.open(path))
        assert read
        also = read_by_torch(path) if HAS_TORCH else None
        if also is not None:
            assert read == {name: as_numbers(also[name]) for name in read}


# --- pickles of any object ---

CONSTANTS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
    | st.sampled_from(["x" * 5000, b"x" * 300, 2**31, -(2**63), 2**59])
)  # fmt: skip
KEYS = (
    st.text(max_size=5) | st.integers(-(2**59), 2**59) | st.none() | st.floats(allow_nan=False) | st.binary(max_size=3)
)
OBJECTS = st.recursive(
    CONSTANTS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS, KEYS), inner, max_size=5)
    ),
    max_leaves=30,
)


def as_python(node):
    """What the machine says of an object, as the object."""
    match node:
        case list():
            return [as_python(inner) for inner in node]
        case tuple():
            return tuple(as_python(inner) for inner in node)
        case dict():
            return {as_python(key): as_python(inner) for key, inner in node.items()}
        case OddKey():
            return as_python(node.content)
        case Extent():
            return node.content
        case Call() if node.calls("_codecs.encode"):
            return node.arguments[0].encode(node.arguments[1])
        case Call() if node.calls("builtins.bytes", "__builtin__.bytes"):
            return b""
        case int() if not isinstance(node, bool):
            return int(node)
    return node


@settings(deadline=None, max_examples=150)
@given(thing=OBJECTS, protocol=st.integers(0, 5))
def test_the_machine_makes_what_python_makes(thing, protocol):
    machine_makes_what_python_makes(thing, protocol)


@pytest.mark.stress
@settings(deadline=None, max_examples=1000)
@given(thing=OBJECTS, protocol=st.integers(0, 5))
def test_the_machine_makes_what_python_makes_of_many_more(thing, protocol):
    machine_makes_what_python_makes(thing, protocol)


def machine_makes_what_python_makes(thing, protocol):
    content = pickle.dumps(thing, protocol)
    read = PickleReader(io.BytesIO(content + b"behind it"), Budget("it"))
    assert repr(as_python(read.read(len(content) + 9).root)) == repr(pickle.loads(content))
    assert read.file.read() == b"behind it"


def test_what_is_shared_is_shared():
    inner = [1]
    outer = [inner, inner]
    outer.append(outer)
    root = PickleReader(io.BytesIO(pickle.dumps(outer)), Budget("it")).read(1000).root
    assert root[0] is root[1]
    assert root[2] is root

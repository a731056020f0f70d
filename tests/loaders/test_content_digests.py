"""The digest of a checkpoint covers every tensor, whatever its dtype and wherever it is: through the public doors."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import ml_dtypes
import numpy as np
import pytest
from naming import ByName
from safetensors.numpy import save_file as save_arrays

import ww_core as ww
from ww_core.planning.stored_digests import StoredDigests
from ww_core.sources import digests as digests_module
from ww_core.sources.digests import digest_checkpoint, digest_tensor
from ww_plugins.loaders.arrays import ArraysLoader
from ww_plugins.loaders.pytorch import weights_only
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

FC = torch.arange(120.0).reshape(12, 10).sin()


@pytest.fixture(scope="module", autouse=True)
def group():
    """A process group of one, which ``DTensor`` needs."""
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def without_torch(monkeypatch):
    """What PyTorch would read apart is not read by it."""
    monkeypatch.setattr(weights_only, "unavailable", lambda _: "there is no PyTorch")


def distributed(numbers):
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    return distribute_tensor(numbers, init_device_mesh("cpu", (1,)), [Shard(0)])


def numbers(change):
    """Twelve small integers, of which a change changes the last one."""
    return torch.tensor([0.0, 1, 2, -3, 4, 5, 6, 7, 0, 1, 2, 3 + change]).reshape(3, 4)


def quantized_by_rows(scales, change=0):
    return torch.quantize_per_channel(numbers(change), torch.tensor(scales), torch.zeros(3).long(), 0, torch.qint8)


PLAIN = {
    "float8_e4m3fn": lambda change: numbers(change).to(torch.float8_e4m3fn),
    "float8_e5m2": lambda change: numbers(change).to(torch.float8_e5m2),
    "float8_e8m0fnu": lambda change: (numbers(change) > 2).float().add(1).to(torch.float8_e8m0fnu),
    "float4": lambda change: numbers(change).byte().view(torch.float4_e2m1fn_x2),
    "int8": lambda change: numbers(change).to(torch.int8),
    "uint16": lambda change: numbers(change).abs().to(torch.uint16),
    "int64": lambda change: numbers(change).long(),
    "bool": lambda change: numbers(change) > 3,
    "complex64": lambda change: torch.complex(numbers(change), numbers(change).T.reshape(3, 4)),
    "a scalar": lambda change: torch.tensor(7 + change),
    "transposed": lambda change: numbers(change).to(torch.int8).T,
    "every other": lambda change: numbers(change).long()[::2, 1::2],
}
CHANGED = {"bool": 1, "float8_e8m0fnu": -3, "float8_e5m2": 1}
EXOTIC = {
    "quantized": lambda change: torch.quantize_per_tensor(numbers(change), 0.5, 3, torch.qint8),
    "quantized by rows": lambda change: quantized_by_rows([0.5, 0.25, 0.125], change),
    "sparse": lambda change: numbers(change).to_sparse(),
    "sparse rows": lambda change: numbers(change).to_sparse_csr(),
    "DTensor": lambda change: distributed(numbers(change)),
    "DTensor of int8": lambda change: distributed(numbers(change).to(torch.int8)),
    "nested": lambda change: torch.nested.nested_tensor([numbers(change), numbers(change)[:2]]),
    "nested and jagged": lambda change: torch.nested.nested_tensor([numbers(change)], layout=torch.jagged),
}


def save_zip(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_plain(state, path):
    path.write_bytes(pickle.dumps(state))


CONTAINERS = {"zip": save_zip, "legacy": save_legacy, "plain": save_plain}


def digest(source):
    report = ww.analyze(source, metrics=["stable_rank"])
    assert report.failures == ()
    assert report.layers[0].name == "fc"
    assert not any("does not cover" in warning for warning in report.warnings)
    return report.digest


def beside(tensor):
    return {"fc.weight": FC, "x": tensor}


# --- rows of numbers ---


@pytest.mark.parametrize("kind", PLAIN)
def test_a_tensor_of_any_dtype_counts_and_counts_the_same_everywhere(kind, tmp_path):
    from safetensors.torch import save_file

    found = []
    for change in (0, 0, CHANGED.get(kind, 1) if kind != "bool" else 0):
        tensor = PLAIN[kind](change)
        if len(found) == 2 and kind in {"bool", "every other"}:  # whose last number does not tell
            tensor = tensor.clone()
            tensor[0, 0] = not tensor[0, 0]
        state = beside(tensor)
        for name, write in CONTAINERS.items():
            write(state, tmp_path / f"{name}.pt")
        save_file({key: own.contiguous() for key, own in state.items()}, tmp_path / "m.safetensors")
        sources = [state, *(tmp_path / f"{name}.pt" for name in CONTAINERS), tmp_path / "m.safetensors"]
        [one] = {digest(source) for source in sources}
        found.append(one)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("dtype", ["float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"])
def test_numbers_smaller_than_a_byte_count(dtype, tmp_path, raw):
    name = {"float6_e2m3fn": "F6_E2M3", "float6_e3m2fn": "F6_E3M2", "float4_e2m1fn": "F4"}[dtype]
    width = 3 if name.startswith("F6") else 2
    fc = FC.numpy().tobytes()
    found = []
    for content in (bytes(width), bytes(width), bytes(width - 1) + b"\1"):
        header = {
            "fc.weight": {"dtype": "F32", "shape": [12, 10], "data_offsets": [0, 480]},
            "x": {"dtype": name, "shape": [4], "data_offsets": [480, 480 + width]},
        }
        (tmp_path / "m.safetensors").write_bytes(raw(header, fc + content))
        found.append(digest(tmp_path / "m.safetensors"))
    assert found[0] == found[1] != found[2]
    checkpoint = ByName(SafetensorsLoader()).open(tmp_path / "m.safetensors")
    [skipped] = checkpoint.skipped
    with checkpoint.read_bytes(skipped) as read:
        assert read.tobytes() == content
        assert not read.flags.writeable


@pytest.mark.parametrize("dtype", [">i8", ">c8", "<c16", ml_dtypes.float8_e5m2, ml_dtypes.bfloat16, "?", "u2"])
def test_arrays_count_as_tensors_do(dtype, tmp_path):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    canonical = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    state = {"fc.weight": FC.numpy(), "x": array}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(state))
    (tmp_path / "fortran.pkl").write_bytes(pickle.dumps(state | {"x": np.asfortranarray(array)}))
    save_arrays(state | {"x": canonical}, tmp_path / "m.safetensors") if np.dtype(dtype).char != "D" else None
    sources = [state, state | {"x": array.T.copy().T}, *tmp_path.iterdir()]
    assert len({digest(source) for source in sources}) == 1
    assert digest(state | {"x": array[::-1]}) != digest(state)


@pytest.mark.parametrize("dtype", ["M8[D]", "U3", [("a", "f4"), ("b", "i4")]])
def test_arrays_that_hold_other_things_than_numbers_count(dtype, tmp_path):
    found = {}
    for change in (0, 0, 1):
        array = np.zeros(3, dtype)
        array[1] = np.ones(1, dtype)[0] if change else array[0]
        state = {"fc.weight": FC.numpy(), "x": array}
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(state))
        found.setdefault(change, set()).update({("memory", digest(state)), ("file", digest(tmp_path / "m.pkl"))})
    assert len(found[0]) == len(found[1]) == 2
    assert not found[0] & found[1]


def test_what_does_not_belong_to_a_long_double_does_not_count():
    made = [np.frombuffer(bytes([fill]) * 48, np.longdouble).copy() for fill in (0, 255)]
    for array in made:
        array[:] = [1, 2, 3]
    assert digest({"fc.weight": FC, "x": made[0]}) == digest({"fc.weight": FC, "x": made[1]})


def test_the_counter_of_a_norm_counts(tmp_path):
    from safetensors.torch import save_file

    net = torch.nn.Sequential()
    net.add_module("fc", torch.nn.Linear(10, 12))
    net.add_module("bn", torch.nn.BatchNorm1d(12))
    before = digest(net)
    net.bn.num_batches_tracked += 1
    after = digest(net)
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    torch.save(net.state_dict(), tmp_path / "m.pth")
    torch.save(net, tmp_path / "module.pt")
    assert {digest(path) for path in tmp_path.iterdir()} == {after}
    assert after != before


def test_tied_tensors_that_are_not_analysed_are_one_too(tmp_path):
    shared = numbers(0).to(torch.int8)
    state = {"fc.weight": FC, "a": shared, "b": shared}
    torch.save(state, tmp_path / "m.pt")
    wanted = digest({"fc.weight": FC, "a": shared})
    for source in (state, tmp_path / "m.pt"):
        assert digest(source) == wanted
        assert ww.analyze(source).coverage.parameters == 120 + 12


def test_what_is_put_off_in_memory_is_made_up_for(tmp_path):
    numbers_ = torch.complex(torch.ones(2, 2), torch.arange(4.0).reshape(2, 2))
    assert digest(beside(numbers_.conj())) == digest(beside(numbers_.conj().resolve_conj()))
    torch.save(beside(numbers_), tmp_path / "a.pt")
    torch.save(beside(numbers_.conj()), tmp_path / "b.pt")
    assert digest(tmp_path / "a.pt") != digest(tmp_path / "b.pt")
    torch.save(beside(numbers_.conj().imag), tmp_path / "b.pt")  # whose numbers have the other sign than its storage
    [skipped] = ByName(PyTorchLoader()).open(tmp_path / "b.pt").skipped
    assert skipped.reason == "the tensor is stored as its negative"


def test_the_digests_of_floating_point_tensors_are_what_they_were(tmp_path):
    """Those of other tensors are made in the same way, and stand beside them."""
    random = np.random.default_rng(0)
    state = {f"{dtype}.weight": random.normal(size=(3, 4)).astype(dtype) for dtype in ("f2", "f4", "f8")}
    state["norm.running_mean"] = np.ones(3, "f4")
    wanted = {name: digest_tensor(array, array.dtype.name) for name, array in state.items()}
    steps = np.arange(3)
    with ww.open_store(tmp_path / "s.sqlite") as store:
        made = [
            digest_checkpoint(ByName(ArraysLoader()).open(own), StoredDigests(store), loader="x", rehash=False, jobs=1)
            for own in (state, state | {"steps": steps})
        ]
    assert made[0].tensors == wanted
    assert made[1].tensors == wanted | {"steps": digest_tensor(steps, "int64")}
    assert not made[0].provisional
    assert made[0].checkpoint != made[1].checkpoint


# --- tensors of several parts ---


@pytest.mark.parametrize("kind", EXOTIC)
def test_a_tensor_that_is_no_row_of_numbers_counts_in_memory(kind):
    first, again, other = (digest(beside(EXOTIC[kind](change))) for change in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("kind", EXOTIC)
def test_a_tensor_that_is_no_row_of_numbers_counts_in_a_file(kind, tmp_path, without_torch):
    """And is not read by PyTorch, which would make some of them plain."""
    found = []
    for change in (0, 0, 1):
        for name, write in CONTAINERS.items():
            # Other tensors before it: its storages have other keys.
            state = {"first": torch.ones(len(found) + 1)} if name == "plain" else {}
            write({"weights": beside(EXOTIC[kind](change)), **state}, tmp_path / f"{name}.pt")
        [one] = {digest(tmp_path / f"{name}.pt") for name in CONTAINERS}
        found.append(one)
    assert found[0] == found[1] != found[2]


def test_what_pytorch_made_plain_counts_too(tmp_path):
    found = set()
    for quantized, sparse in ((0, 0), (0, 1), (1, 0)):
        both = {"x": EXOTIC["quantized"](quantized), "y": EXOTIC["sparse"](sparse)}
        torch.save({"fc.weight": FC, **both}, tmp_path / "m.pt")
        found.add(digest(tmp_path / "m.pt"))
    assert len(found) == 3


@pytest.mark.parametrize("where", ["memory", "zip", "legacy"])
def test_the_scales_of_a_quantized_tensor_count(where, tmp_path, without_torch):
    made = {
        "by rows": [quantized_by_rows([0.5, 0.25, scale]) for scale in (0.125, 0.0625)],
        "scale": [torch._make_per_tensor_quantized_tensor(numbers(0).char(), scale, 0) for scale in (0.5, 0.25)],
        "zero": [torch._make_per_tensor_quantized_tensor(numbers(0).char(), 0.5, zero) for zero in (0, 1)],
    }
    for pair in made.values():
        found = []
        for tensor in pair:
            source = beside(tensor)
            if where != "memory":
                CONTAINERS[where](source, tmp_path / "m.pt")
                source = tmp_path / "m.pt"
            found.append(digest(source))
        assert found[0] != found[1]


def test_where_a_tensor_was_and_whether_it_was_trained_does_not_count(tmp_path, without_torch):
    """Nor its place in a storage, nor the strides there."""
    whole = torch.zeros(5, 8)
    whole[1:4, 2:6] = numbers(0)
    forms = {
        "plain": distributed(numbers(0)),
        "parameter": torch.nn.Parameter(distributed(numbers(0))),
        "again": torch.nn.Parameter(distributed(numbers(0)), requires_grad=False),
        "sparse": numbers(0).to_sparse(),
        "sparse parameter": torch.nn.Parameter(numbers(0).to_sparse()),
    }
    local = distributed(numbers(0))
    local._local_tensor = whole[1:4, 2:6]
    forms["view"] = local
    found = {}
    for name, tensor in forms.items():
        torch.save(beside(tensor), tmp_path / "m.pt")
        found[name] = digest(tmp_path / "m.pt")
    assert found["plain"] == found["parameter"] == found["again"] == found["view"]
    assert found["sparse"] == found["sparse parameter"] != found["plain"]


SAVES = """
import sys, torch, torch.distributed as dist
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
tensor = distribute_tensor(torch.arange(12.0).reshape(3, 4), init_device_mesh("cpu", (1,)), [Shard(0)])
hash(tensor._spec), hash(tensor.device_mesh)
torch.save({"fc.weight": torch.eye(12)[:, :10], "x": tensor}, sys.argv[1])
dist.destroy_process_group()
"""


def test_the_process_that_saved_does_not_count(tmp_path):
    """The hashes that objects keep are others in each."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", SAVES, tmp_path / "a.pt"], check=True, timeout=120)
    tensor = distributed(torch.arange(12.0).reshape(3, 4))
    hash(tensor._spec), hash(tensor.device_mesh)
    torch.save({"fc.weight": torch.eye(12)[:, :10], "x": tensor}, tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() != (tmp_path / "b.pt").read_bytes()
    assert digest(tmp_path / "a.pt") == digest(tmp_path / "b.pt")


def test_a_tensor_of_a_class_of_its_own_is_skipped_with_a_plain_reason():
    report = ww.analyze({"fc.weight": FC, "x": distributed(numbers(0))})
    [skip] = report.coverage.reasons
    assert skip.reason == "the tensor is of a class of its own, DTensor: its numbers do not lie in a row"
    report = ww.analyze(torch.nn.ParameterDict({"fc": FC, "x": torch.nn.Parameter(distributed(numbers(0)))}))
    assert (report.failures, report.warnings) == ((), ())


class Stubborn(torch.Tensor):
    """A tensor whose class answers nothing."""

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"not\nof {cls}")


class Locked(torch.Tensor):
    """One that does not even tell its dtype."""

    @property
    def dtype(self):
        raise RuntimeError("locked\x1b[2J")


@pytest.mark.parametrize("made", [Stubborn, Locked])
def test_a_tensor_that_answers_nothing_is_named(made):
    odd = torch.Tensor._make_subclass(made, torch.ones(2, 2))
    report = ww.analyze({"fc.weight": FC, "x": odd})
    assert report.failures == ()
    assert report.warnings == ("the content of 1 tensor cannot be read (x): the digest does not cover it",)
    [skip] = report.coverage.reasons
    assert skip.reason.isprintable()


def test_a_tensor_that_shows_its_numbers_many_times_counts(tmp_path):
    found = []
    for content, shape in [(1.0, (9, 5)), (1.0, (9, 5)), (2.0, (9, 5)), (1.0, (10**6, 10**6))]:
        torch.save(beside(torch.tensor([content]).expand(shape)), tmp_path / "m.pt")
        found.append(digest(tmp_path / "m.pt"))
    assert found[0] == found[1]
    assert len(set(found)) == 3


# --- what is not there ---


def test_what_has_no_content_is_named_and_the_checkpoint_is_provisional(tmp_path):
    without = [torch.ones(3, device="meta"), torch.nn.parameter.UninitializedParameter()]
    state = {"fc.weight": FC, **{f"x{place}": own for place, own in enumerate([*without, *without])}}
    with ww.open_store(tmp_path / "s.sqlite") as store:
        report = ww.analyze(state, store=store)
        made = digest_checkpoint(
            ByName(ArraysLoader()).open(state), StoredDigests(store), loader="x", rehash=False, jobs=1
        )
    said = "the content of 4 tensors cannot be read (x0, x1, x2, ...): the digest does not cover it"
    assert (report.warnings, report.failures) == ((said,), ())
    assert made.provisional
    assert [own.name for own in made.unread] == ["x0", "x1", "x2", "x3"]
    other = ww.analyze(state | {"x0": torch.ones(4, device="meta")})
    assert other.digest != report.digest == ww.analyze(dict(state)).digest


def test_objects_have_no_content(tmp_path):
    state = {"fc.weight": FC.numpy(), "x": np.array([None, {}], dtype=object)}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(state))
    for source in (state, tmp_path / "m.pkl"):
        said = "the content of 1 tensor cannot be read (x): the digest does not cover it"
        assert ww.analyze(source).warnings[-1] == said


class Broken(ww.Checkpoint):
    """A checkpoint whose skipped tensor says that it can be read."""

    format = "broken"

    def __init__(self, content=None):
        spec = ww.TensorSpec("fc.weight", "float32", (12, 10))
        self.layers = (ww.Layer("fc", ww.LayerKind.DENSE, spec),)
        self.skipped = (ww.SkippedTensor("x", "int8", (4,), "why not", readable=True),)
        self.content = content

    def read(self, tensor):
        import contextlib

        return contextlib.nullcontext(FC.numpy())

    def read_bytes(self, tensor):
        import contextlib

        return super().read_bytes(tensor) if self.content is None else contextlib.nullcontext(self.content)


class Loads(ww.Loader):
    name = "broken"
    description = "what a test holds"

    def probe(self, source):
        return 1.0 if isinstance(source.value, Broken) else 0.0

    def open(self, source):
        return source.value


class Plugin:
    @ww.hookimpl
    def ww_register_loaders(self):
        return [Loads()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the content of tensor x cannot be read from broken"),
        (np.zeros(4, "i1"), "the content of tensor x should be a row of bytes and is int8 (4,)"),
        (np.zeros((2, 2), "u1"), "the content of tensor x should be a row of bytes and is uint8 (2, 2)"),
    ],
)
def test_a_content_that_cannot_be_read_is_a_failure(content, said):
    report = ww.analyze(Broken(content), plugins=[Plugin()])
    assert [(own.stage, own.subject, own.message) for own in report.failures] == [("read", "x", said)]
    assert [row.name for row in report.layers] == ["fc"]
    assert report.digest != ww.analyze(Broken(np.zeros(4, "u1")), plugins=[Plugin()]).digest


def test_an_array_that_changed_its_shape_is_an_error():
    state = {"fc.weight": FC, "x": np.arange(3)}
    checkpoint = ByName(ArraysLoader()).open(state)
    state["x"] = np.arange(4)
    with pytest.raises(ww.CorruptFileError, match="'x' is now int64"), checkpoint.read_bytes(checkpoint.skipped[0]):
        pytest.fail("the array is another")


# --- read once ---


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_content_of_a_file_that_stays_is_not_read_again(suffix, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    path = tmp_path / f"m.{suffix}"
    state = {"fc.weight": FC, "a": numbers(0).to(torch.float8_e4m3fn), "b": numbers(0).long()}
    (torch.save if suffix == "pt" else save_file)(state, path)
    first = ww.analyze(path, store=tmp_path / "s.sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(digests_module, "digest_content", lambda *_: pytest.fail("it was read again"))
        assert ww.analyze(path, store=tmp_path / "s.sqlite").digest == first.digest
    (torch.save if suffix == "pt" else save_file)(state | {"b": numbers(1).long()}, path)
    assert ww.analyze(path, store=tmp_path / "s.sqlite").digest != first.digest


def test_the_bytes_of_a_file_are_mapped(tmp_path):
    torch.save({"fc.weight": FC, "x": torch.zeros(1024, 1024, dtype=torch.int8)}, tmp_path / "m.pt")
    checkpoint = ByName(PyTorchLoader()).open(tmp_path / "m.pt")
    [skipped] = checkpoint.skipped
    assert checkpoint.locate(skipped).nbytes == 1024**2
    with checkpoint.read_bytes(skipped) as content:
        assert (content.shape, content.flags.owndata, content.flags.writeable) == ((1024**2,), False, False)


def test_nothing_is_said_that_pytorch_says():
    """Looking at a tensor is quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ww.analyze({"fc.weight": FC, "x": numbers(0).to(torch.int8), "y": numbers(0).to_sparse()})

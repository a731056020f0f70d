"""What a person would call the weights that a path leads to: the shapes that paths have in the wild."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.domain.name import LONGEST_NAME, check_name
from ww_core.loading.files import FileSource
from ww_core.sources.default_names import DefaultName, default_name, step_of, usable_name

SHARD = "model-00001-of-00003.safetensors"
SHARDED = ["big/model.safetensors.index.json", f"big/{SHARD}", "big/model-00002-of-00003.safetensors"]
TRAINED = ["out/checkpoint-500/model.safetensors", "out/model.safetensors", "out/checkpoint-500/adapter_model.bin"]
LIGHTNING = [
    "proj/lightning_logs/version_3/checkpoints/epoch=9-step=1000.ckpt",
    "proj/lightning_logs/version_3/checkpoints/epoch=9-step=1000-v1.ckpt",
    "proj/lightning_logs/version_3/checkpoints/epoch=02-val_loss=0.32.ckpt",
    "proj/lightning_logs/version_3/checkpoints/last.ckpt",
    "proj/lightning_logs/version_3/checkpoints/last-v1.ckpt",
]
RUN = "proj/lightning_logs/version_3"
PIPELINE = ["sd/model_index.json", "sd/unet/diffusion_pytorch_model.fp16.safetensors", "sd/finetuned.safetensors"]
TRAINED_PIPELINE = ["out/checkpoint-9/model_index.json", "out/checkpoint-9/unet/diffusion_pytorch_model.bin"]
HUB = "hub/models--acme--nine--b/snapshots/0a1b"
BARE_HUB = "hub/models--gpt2/snapshots/0a1b"
CACHED = [f"{HUB}/model.safetensors", f"{HUB}/unet/diffusion_pytorch_model.safetensors", f"{BARE_HUB}/x.gguf"]

# Files to make; the path asked for; the model, its version and step; its home, in the folder of the test or in the hub.
SHAPES = [
    # A file or folder with a name of its own.
    (["resnet50-0676ba61.pth"], "resnet50-0676ba61.pth", "resnet50-0676ba61", "", None, ""),
    (["zoo/big.model.v2.safetensors"], "zoo/big.model.v2.safetensors", "big.model.v2", "", None, "zoo"),
    (["zoo/llama-3.1"], "zoo/llama-3.1", "llama-3.1", "", None, "zoo"),
    (["zoo/resnet.pth.tar"], "zoo/resnet.pth.tar", "resnet", "", None, "zoo"),
    (["zoo/net.weights.h5"], "zoo/net.weights.h5", "net", "", None, "zoo"),
    (["zoo/net.weights.json"], "zoo/net.weights.json", "net", "", None, "zoo"),
    (["zoo/model-2.safetensors"], "zoo/model-2.safetensors", "model-2", "", None, "zoo"),
    (["zoo/.safetensors"], "zoo/.safetensors", ".safetensors", "", None, "zoo"),
    (["bert/model.safetensors"], "bert", "bert", "", None, "bert"),
    (["a/v1.5/model.safetensors"], "a/v1.5", "v1.5", "", None, "a/v1.5"),
    (["zoo/x.bin"], "zoo/", "zoo", "", None, "zoo"),
    # A generic file.
    (["bert/model.safetensors"], "bert/model.safetensors", "bert", "", None, "bert"),
    (["gpt2/model.safetensors"], "gpt2/model.safetensors", "gpt2", "", None, "gpt2"),
    (["gpt2/model.safetensors"], "gpt2/../gpt2/model.safetensors", "gpt2", "", None, "gpt2"),
    *(
        ([f"net/{file}"], f"net/{file}", "net", "", None, "net")
        for file in (
            "pytorch_model.bin",
            "pytorch_model.pt",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin.index.json",
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
            "diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
            "model.safetensors.index.fp16.json",
            "model.fp16.safetensors",
            "adapter_model.bin",
            "model.pt",
            "model.pth",
            "model.ckpt",
            "model.bin",
            "model.onnx",
            "model_quantized.onnx",
            "model.weights.h5",
            "weights.npz",
            "weights.best.hdf5",
            "weights.h5",
            "consolidated.safetensors",
            "consolidated.00.pth",
            "tf_model.h5",
            "flax_model.msgpack",
            "open_clip_pytorch_model.bin",
            "checkpoint.pth.tar",
            "mp_rank_00_model_states.pt",
        )
    ),
    # Shards.
    (SHARDED, "big", "big", "", None, "big"),
    (SHARDED, "big/model.safetensors.index.json", "big", "", None, "big"),
    (SHARDED, f"big/{SHARD}", "big", "", None, "big"),
    (["zoo/llama-00001-of-00002.gguf"], "zoo/llama-00001-of-00002.gguf", "llama", "", None, "zoo"),
    (["zoo/llama.safetensors.index.json"], "zoo/llama.safetensors.index.json", "llama", "", None, "zoo"),
    # Trainer.
    (TRAINED, "out/checkpoint-500", "out", "500", 500, "out"),
    (TRAINED, "out/checkpoint-500/model.safetensors", "out", "500", 500, "out"),
    (TRAINED, "out/model.safetensors", "out", "", None, "out"),
    (TRAINED, "out", "out", "", None, "out"),
    (TRAINED, "out/checkpoint-500/adapter_model.bin", "out", "500", 500, "out"),
    (["out/checkpoint-best/model.safetensors"], "out/checkpoint-best", "out", "best", None, "out"),
    (["out/checkpoint-9-merged/model.pt"], "out/checkpoint-9-merged", "checkpoint-9-merged", "", None, "=path"),
    # What lies in a checkpoint under a name of its own.
    (["out/checkpoint-5/policy.pt"], "out/checkpoint-5/policy.pt", "out/policy", "5", 5, "out"),
    (["out/checkpoint-5/unet/model.pt"], "out/checkpoint-5/unet/model.pt", "out/unet", "5", 5, "out"),
    (["lora/adapter_model.safetensors"], "lora/adapter_model.safetensors", "lora", "", None, "lora"),
    # Lightning.
    (LIGHTNING, LIGHTNING[0], "proj/version_3", "1000", 1000, RUN),
    (LIGHTNING, LIGHTNING[1], "proj/version_3", "1000-v1", 1000, RUN),
    (LIGHTNING, LIGHTNING[2], "proj/version_3", "2", 2, RUN),
    (LIGHTNING, LIGHTNING[3], "proj/version_3", "last", None, RUN),
    (LIGHTNING, LIGHTNING[4], "proj/version_3", "last-v1", None, RUN),
    (LIGHTNING, f"{RUN}/checkpoints", "proj/version_3", "", None, RUN),
    (LIGHTNING, RUN, "proj/version_3", "", None, RUN),
    (LIGHTNING, "proj/lightning_logs", "proj", "", None, "proj"),
    (["logs/net/version_0/checkpoints/epoch=0.ckpt"], "=file", "net/version_0", "0", 0, "logs/net/version_0"),
    # Other trainers.
    (["out/global_step500/mp_rank_00_model_states.pt"], "=file", "out", "500", 500, "out"),
    (["out/checkpoint-500/global_step500/mp_rank_00_model_states.pt"], "=file", "out", "500", 500, "out"),
    (["out/iter_0001000/mp_rank_00/model_optim_rng.pt"], "=file", "out", "1000", 1000, "out"),
    (["out/iter_0001000/mp_rank_00/model_optim_rng.pt"], "out/iter_0001000", "out", "1000", 1000, "out"),
    (["out/step_1000/pytorch_model.bin"], "out/step_1000", "out", "1000", 1000, "out"),
    (["out/step_1000/pytorch_model.bin"], "=file", "out", "1000", 1000, "out"),
    (["out/epoch_3/step_1000.pt"], "=file", "out", "1000", 1000, "out"),
    (["out/epoch20.pt"], "=file", "out", "20", 20, "out"),
    (["out/ckpt-000.npz"], "=file", "out", "0", 0, "out"),
    (["out/iteration-7.pt"], "=file", "out", "7", 7, "out"),
    (["out/model_epoch_7.pt"], "=file", "out", "7", 7, "out"),
    (["out/checkpoint_best.pt"], "=file", "out", "best", None, "out"),
    (["exp/weights/best.pt"], "=file", "exp", "best", None, "exp"),
    (["exp/best.pt"], "=file", "best", "", None, "exp"),
    (["exp/checkpoints/300/model.safetensors"], "=file", "exp", "300", 300, "exp"),
    (["exp/300/model.safetensors"], "=file", "300", "", None, "exp/300"),
    (["exp/Checkpoints/resnet.pt"], "=file", "resnet", "", None, "exp/Checkpoints"),
    (["exp/snapshots/ckpts/model.pt"], "=file", "exp", "", None, "exp"),
    # Averages are no step on the way.
    (["out/swa_model.pt"], "=file", "swa_model", "", None, "out"),
    (["out/averaged/model.safetensors"], "=file", "averaged", "", None, "out/averaged"),
    (["out/checkpoint_avg_last_5.pt"], "=file", "checkpoint_avg_last_5", "", None, "out"),
    # Diffusers.
    (PIPELINE, "sd/unet", "sd/unet", "", None, "sd/unet"),
    (PIPELINE, PIPELINE[1], "sd/unet", "", None, "sd/unet"),
    (PIPELINE, PIPELINE[2], "finetuned", "", None, "sd"),
    (PIPELINE, "sd", "sd", "", None, "sd"),
    (TRAINED_PIPELINE, TRAINED_PIPELINE[1], "out/unet", "9", 9, "out"),
    # The cache of the hub.
    (CACHED, HUB, "acme/nine--b", "", None, "hub:acme/nine--b"),
    (CACHED, f"{HUB}/model.safetensors", "acme/nine--b", "", None, "hub:acme/nine--b"),
    (CACHED, f"{HUB}/unet", "acme/nine--b/unet", "", None, "hub:acme/nine--b/unet"),
    (CACHED, CACHED[1], "acme/nine--b/unet", "", None, "hub:acme/nine--b/unet"),
    (CACHED, BARE_HUB, "gpt2", "", None, "hub:gpt2"),
    (CACHED, CACHED[2], "gpt2", "", None, "hub:gpt2"),
    ([f"{BARE_HUB}/onnx/fp16/model.onnx"], "=file", "gpt2/onnx/fp16", "", None, "hub:gpt2/onnx/fp16"),
    ([f"{BARE_HUB}/checkpoints/step-5/model.pt"], "=file", "gpt2", "5", 5, "hub:gpt2"),
    (["models--x/model.pt"], "=file", "models--x", "", None, "models--x"),
    # Hostile names.
    (["a@b/model.pt"], "a@b", "a-b", "", None, "a@b"),
    (["a\nb\t/model.pt"], "a\nb\t", "a-b-", "", None, "a\nb\t"),
    ([" a /model.pt"], "=file", "a", "", None, " a "),
    (["  .pt"], "  .pt", "model", "", None, ""),
    (["x" * 250 + ".pt"], "=file", "x" * LONGEST_NAME, "", None, ""),
    (["x" * 199 + " y.pt"], "=file", "x" * 199, "", None, ""),
    ([f"{RUN}{'0' * 240}/model.pt"], "=file", ("proj/version_3" + "0" * 240)[:LONGEST_NAME], "", None, "=folder"),
    ([".../model.pt"], "=file", "model", "", None, "..."),
    (["out/checkpoint-" + "9" * 200 + "/model.pt"], "=file", "checkpoint-" + "9" * 189, "", None, "=folder"),
    (["out/step_٣.pt"], "=file", "step_٣", "", None, "out"),
]


@pytest.mark.parametrize(("files", "path", "model", "version", "step", "home"), SHAPES)
def test_a_path_tells_a_name(tmp_path, files, path, model, version, step, home):
    for file in files:
        make(tmp_path / file)
    path = files[0] if path == "=file" else path
    home = {"=path": path, "=folder": str(Path(path).parent)}.get(home, home)
    home = home if home.startswith("hub:") else str(tmp_path / home) if home else str(tmp_path)
    assert default_name(FileSource(Path(f"{tmp_path}/{path}"))) == DefaultName(model, version, step, home)


def make(file):
    """Make an empty file; in a cache of the hub as the hub does, as a link into the blobs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    snapshots = [folder for folder in file.parents if folder.name == "snapshots"]
    if not snapshots or not snapshots[0].parent.name.startswith("models--"):
        file.touch()
        return
    blob = snapshots[0].parent / "blobs" / f"{len(file.name):064x}"
    blob.parent.mkdir(exist_ok=True)
    blob.touch()
    file.symlink_to(os.path.relpath(blob, file.parent))


@pytest.mark.parametrize("path", ["model.safetensors", "./model.safetensors", ".", "", "../bert", "sub/.."])
def test_a_relative_path_is_one_in_the_current_folder(tmp_path, monkeypatch, path):
    make(tmp_path / "bert" / "model.safetensors")
    make(tmp_path / "bert" / "sub" / "x")
    monkeypatch.chdir(tmp_path / "bert")
    assert default_name(FileSource(Path(path))) == DefaultName("bert", home=str(tmp_path / "bert"))


def test_a_link_to_a_folder_is_that_folder(tmp_path):
    make(tmp_path / "out" / "checkpoint-500" / "model.safetensors")
    (tmp_path / "latest").symlink_to("out/checkpoint-500")
    expected = DefaultName("out", "500", 500, str(tmp_path / "out"))
    assert default_name(FileSource(tmp_path / "latest")) == expected
    assert default_name(FileSource(tmp_path / "latest" / "model.safetensors")) == expected


def test_a_link_to_a_file_has_its_own_name(tmp_path):
    make(tmp_path / "blobs" / "0a1b")
    (tmp_path / "bert.safetensors").symlink_to("blobs/0a1b")
    assert default_name(FileSource(tmp_path / "bert.safetensors")) == DefaultName("bert", home=str(tmp_path))


def test_a_cache_of_the_hub_is_known_through_links_and_as_one(tmp_path):
    make(tmp_path / HUB / "unet" / "model.safetensors")
    (tmp_path / "mine").symlink_to(HUB)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models--gpt2").symlink_to("../hub/models--acme--nine--b")
    assert default_name(FileSource(tmp_path / "mine" / "unet" / "model.safetensors")).home == "hub:acme/nine--b/unet"
    assert default_name(FileSource(tmp_path / "cache" / "models--gpt2" / "snapshots" / "0a1b")).model == "gpt2"


def test_the_root_is_a_model():
    root = Path(Path.cwd().anchor)
    assert default_name(FileSource(root)) == DefaultName("model", home=str(root))
    assert default_name(FileSource(root / "checkpoints" / "step_4")) == DefaultName("model", "4", 4, str(root))


def test_a_name_that_is_no_text_has_a_home_that_is(tmp_path):
    folder = tmp_path / os.fsdecode(b"net\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes text only")
    found = default_name(FileSource(folder))
    assert found == DefaultName("net-", home=f"{tmp_path}/net\\udcff")
    found.home.encode()


def test_a_loop_of_links_and_a_current_folder_that_is_gone_do_not_raise(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    assert default_name(FileSource(tmp_path / "loop" / "x" / "model.pt")).model == "x"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert default_name(FileSource(Path("net/model.pt"))).model == "net"
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("version", "step"),
    [
        ("500", 500),
        ("0", 0),
        ("1000-v1", 1000),
        ("checkpoint-500", 500),
        ("checkpoint_7", 7),
        ("ckpt-7", 7),
        ("epoch=3", 3),
        ("epoch-20", 20),
        ("Epoch_20", 20),
        ("epoch20", 20),
        ("step_1000", 1000),
        ("step=5", 5),
        ("global_step7", 7),
        ("iter_0001000", 1000),
        ("iteration-4", 4),
        ("epoch=9-step=1000", 1000),
        ("step=1000-epoch=9", 1000),
        ("epoch_3_step_40", 40),
        ("epoch=02-val_loss=0.32", 2),
        ("epoch=02-val_loss=-1e-05-acc=nan-v2", 2),
        ("", None),
        ("v3", None),
        ("last", None),
        ("best", None),
        ("1.5", None),
        ("-3", None),
        ("val_loss=0.32", None),
        ("checkpoint", None),
        ("checkpoint_avg_last_5", None),
        ("2\n", None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_a_version_tells_its_step(version, step):
    assert step_of(version) == step


PIECES = st.sampled_from(
    [
        "..",
        ".",
        "...",
        "~",
        "weights",
        "version_3",
        "checkpoint-5",
        "models--a--b",
        "models--",
        "snapshots",
        "epoch=2-a=",
    ]
)
NAMES = st.text(st.characters(exclude_categories=()), max_size=30)  # surrogates and control characters too


@given(pieces=st.lists(PIECES | NAMES, max_size=9), absolute=st.booleans(), repeat=st.sampled_from([1, 1, 1, 700]))
@settings(deadline=None, max_examples=40)
def test_every_path_has_a_usable_name(pieces, absolute, repeat):
    path = Path("/" * absolute + "/".join(pieces * repeat))
    found = default_name(FileSource(path))
    check_name("the model", found.model)
    if found.version:
        check_name("the version", found.version)
    assert found.model
    assert found.step == step_of(found.version)
    found.home.encode()


FOLDERS = st.text(st.characters(exclude_categories=(), exclude_characters="/\0"), min_size=1, max_size=50)


@given(name=FOLDERS.filter(lambda name: name not in {".", ".."}))
@settings(deadline=None)
def test_every_folder_that_can_be_made_has_a_usable_name(name):
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, name)
        try:
            (folder / "checkpoints").mkdir(parents=True)
        except (OSError, ValueError):
            return
        for path in (folder, folder / "checkpoints", folder / "model.pt", folder / "checkpoints" / name):
            check_name("the model", default_name(FileSource(path)).model)


@given(text=st.text(st.characters(exclude_categories=()), max_size=2 * LONGEST_NAME))
def test_a_usable_name_stays_what_it_is(text):
    name = usable_name(text)
    check_name("the model", name)
    assert usable_name(name) == name

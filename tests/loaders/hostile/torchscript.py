"""Archives of TorchScript that lie."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_files import Code, Entry, built, named, pickled, storage, tensor, zip_entries, zip_of

from hostile.lie import CANARY, READ, REFUSED, Hostile, of_bytes
from hostile.pytorch import GADGETS


def with_groups(told: bytes) -> Callable[[bytes], bytes]:
    """Change the groups of one convolution, where its class and its call tell them."""
    return lambda code: code.replace(b"groups : Final[int] = 16", b"groups : Final[int] = " + told).replace(
        b"[1, 1], 16)", b"[1, 1], " + told + b")"
    )


ODD = {
    "no code": lambda _: b"",
    "no text": lambda _: b"\xff\xfe" * 40,
    "groups that do not fit": with_groups(b"7"),
    "groups that are none": with_groups(b"1e9"),
    "very many groups": with_groups(b"999999999999"),
    "a call in their place": with_groups(b"__import__('os').abort()"),
    "classes without end": lambda code: code + b"class Conv2d(Module):\n" * 50_000,
}

CODE = b"""class Conv2d(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  groups : Final[int] = 16
"""
CLASS = "__torch__.torch.nn.modules.conv.Conv2d"


def scripted(code: bytes = CODE, thing: Any = None, **pickles: bytes) -> list[Entry]:
    """List the entries of an archive with one convolution, or with another thing, and its code."""
    made = built(Code(named(CLASS) + b")\x81"), {"weight": tensor((4, 1, 2, 3))})
    entries = zip_entries(made if thing is None else thing, **({"constants": pickled(())} | pickles))
    return [*entries, Entry(b"archive/code/__torch__/torch/nn/modules/conv.py", code)]


def _archive(*more: Entry, **how: Any) -> Callable[[Path], Path]:
    return of_bytes(lambda: zip_of(*scripted(**how), *more), "bad.pt")


def _calling(name: str, within: str) -> Callable[[Path], Path]:
    """Write an archive that asks for a call, in its model or in its constants."""

    def write(folder: Path) -> Path:
        evil = GADGETS[name].push(folder / CANARY)
        content = scripted(constants=pickled(evil)) if within == "constants" else scripted(thing={"evil": evil})
        return of_bytes(zip_of(*content), "bad.pt")(folder)

    return write


def _packed(content: bytes, claimed: int | None = None) -> Callable[[Path], Path]:
    """Write an archive whose code is deflated."""

    def made() -> bytes:
        stored = zlib.compress(content)[2:-4]
        sizes = (len(stored), len(content) if claimed is None else claimed)
        *entries, code = scripted(content)
        return zip_of(*entries, code._replace(method=8, stored=stored, sizes=sizes))

    return of_bytes(made, "bad.pt")


LONG = b"class Conv2d(Module):\n  groups : Final[int] = " + b"1" * 5_000_000
SOURCES = {
    "torchscript": {
        **{f"code: {name}": Hostile(_archive(code=change(CODE)), (READ,)) for name, change in ODD.items()},
        **{f"{name} in the model": Hostile(_calling(name, "model"), (REFUSED, READ)) for name in GADGETS},
        **{f"{name} in the constants": Hostile(_calling(name, "constants"), (READ,)) for name in GADGETS},
        "code: a number without end": Hostile(_archive(code=LONG), (READ,)),
        "code: lists without end": Hostile(
            _archive(code=CODE.replace(b"[]", b"[" + b'"a", ' * 500_000 + b"]")), (READ,)
        ),
        "code: calls without end": Hostile(
            _archive(code=b"class Conv2d(Module):\n" + b"torch._convolution(a, b, c, [" * 100_000), (READ,)
        ),
        "code: a bomb": Hostile(_packed(bytes(40_000_000))),
        "code: less than it says": Hostile(_packed(CODE, 10**6), (REFUSED, READ)),
        "code: more than it says": Hostile(_packed(CODE, 10), (REFUSED, READ)),
        "code: twice": Hostile(_archive(Entry(b"archive/code/__torch__/torch/nn/modules/conv.py", CODE))),
        "code: in a file above": Hostile(_archive(Entry(b"archive/code/../../up.py", CODE)), (READ,)),
        "a type of a deep module": Hostile(
            _archive(thing=built(Code(named("__torch__." + "a." * 400 + "B") + b")\x81"), {"weight": tensor()})),
            (REFUSED, READ),
        ),
        "a type that leads out": Hostile(
            _archive(thing=built(Code(named("__torch__./../../up.B") + b")\x81"), {"weight": tensor()})), (READ,)
        ),
        "a storage outside": Hostile(
            _archive(thing=built(Code(named(CLASS) + b")\x81"), {"weight": tensor(of=storage("../x"))}))
        ),
    }
}

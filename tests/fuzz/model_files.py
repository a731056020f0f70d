"""Files of models with something changed in them: bytes, instructions of pickles, entries of archives, values of JSON.

All of it is drawn by one ``random.Random``, so that a seed tells what comes.
"""

from __future__ import annotations

import itertools
import json
import pickle
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save
from torch_files import CONTAINERS, NUMBERS, Entry, built, call, in_zip, named, pickled, sound, tensor, zip_of

CANARY = "fuzz-canary"
"""What a payload makes in the folder where it runs, if anything runs it."""


class Source(NamedTuple):
    """What is given to a loader: some files, and which of them is named."""

    main: str
    files: Mapping[str, bytes]


def originals() -> list[Source]:
    """Sound sources of every kind, small."""
    pickles = [sound(container, epoch=3, args={"lr": 0.1, "name": "x"}) for container in CONTAINERS]
    linear = built(call("torch.nn.modules.linear.Linear"), {"_parameters": {"weight": tensor()}, "_modules": {}})
    net = {"_parameters": {}, "_buffers": {}, "_modules": {"fc": linear}}
    pickles += [in_zip(built(call("torch.nn.modules.container.Sequential"), net))]
    pickles += [in_zip({"fc.weight": tensor(), "fc.bias": tensor((6,)), "again": tensor((3, 2), (1, 4), 5)})]
    pickles += [pickle.dumps({"fc.weight": NUMBERS, "other.weight": NUMBERS.T, "log": [1, 2.5, None]}, 5)]
    pickles += [pickle.dumps({"fc.weight": NUMBERS, "log": {"a": [1, 2]}}, 0)]
    numbers = np.random.Generator(np.random.Philox(1))
    shard = save({"fc.weight": numbers.standard_normal((8, 6)).astype("<f4"), "fc.bias": np.ones(8, "<f8")})
    other = save({"conv.weight": numbers.standard_normal((4, 3, 2, 2)).astype("<f2")})
    index = {"metadata": {}, "weight_map": {"fc.weight": "a.safetensors", "conv.weight": "b.safetensors"}}
    shards = {"a.safetensors": shard, "b.safetensors": other}
    return [
        *(Source("it.pt", {"it.pt": content}) for content in pickles),
        *(Source("it.safetensors", {"it.safetensors": content}) for content in shards.values()),
        Source("model.safetensors.index.json", {"model.safetensors.index.json": _json(index), **shards}),
    ]


def mutant(draw: random.Random, pool: list[Source]) -> Source:
    """Change one file of a source in one to three ways that fit what it is."""
    source = draw.choice(pool)
    name = draw.choice(sorted(source.files))
    content = source.files[name]
    for _ in range(draw.randint(1, 3)):
        try:
            content = _way(draw, content)(draw, content, draw.choice(pool))
        except Exception:
            content = _bytes(draw, content, source)
    return source._replace(files={**source.files, name: content[:MOST_BYTES]})


MOST_BYTES = 200_000

Way = Callable[[random.Random, bytes, Source], bytes]


def _way(draw: random.Random, content: bytes) -> Way:
    if draw.random() < 0.3:
        return _bytes
    if content.startswith(b"PK"):
        return draw.choice([_entries, _pickle_in_zip, _pickle_in_zip])
    if content[8:9] == b"{":
        return _header
    if content.startswith(b"{"):
        return lambda draw, content, _: _json(_tree(draw, json.loads(content)))
    return _pickle


# --- bytes ---

NUMBERS_OF_SIZES = [0, 1, -1, 127, 128, 255, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63)]


def _bytes(draw: random.Random, content: bytes, other: Source) -> bytes:
    place, length = draw.randrange(len(content) + 1), draw.choice([1, 1, 2, 4, 8, 64])
    match draw.choice(["flip", "number", "insert", "delete", "double", "cut", "splice", "piece", "end"]):
        case "flip" if place < len(content):
            return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        case "number":
            number = struct.pack("<q", draw.choice(NUMBERS_OF_SIZES))[: draw.choice([1, 2, 4, 8])]
            return content[:place] + number + content[place + len(number) :]
        case "insert":
            return content[:place] + draw.randbytes(length) + content[place:]
        case "delete":
            return content[:place] + content[place + length :]
        case "double":
            return content[:place] + content[place : place + length] * draw.choice([2, 3, 50]) + content[place:]
        case "cut":
            return content[:place]
        case "piece":
            return content[:place] + draw.choice(PIECES) + content[place:]
        case "end":
            return content + draw.choice([b"\0" * 4096, content, *PIECES])
    foreign = draw.choice(list(other.files.values()))
    start = draw.randrange(len(foreign) + 1)
    return content[:place] + foreign[start : start + draw.choice([8, 64, 4096])] + content[place + length :]


# --- pickles ---

PAYLOADS = [
    call("posix.system", f"touch {CANARY}"),
    call("builtins.eval", f"open('{CANARY}', 'w')"),
    call("builtins.exec", f"open('{CANARY}', 'w')"),
    call("subprocess.Popen", ["touch", CANARY]),
    call("pathlib.Path.touch", call("pathlib.Path", CANARY)),
    call(call("operator.attrgetter", "system"), f"touch {CANARY}"),
    call("torch.storage._load_from_bytes", pickled(call("posix.system", f"touch {CANARY}"))),
    call("runpy._run_code", f"open('{CANARY}', 'w')", {}),
]
TEXTS = ["", "a" * 5000, "\x1b[2J", "\u202eabc", "../../up", "/etc/passwd", "a\0b", "\ud800", "=1+1", "\r\n"]
TEXTS += ["fc.weight"]
ENCODED = [text.encode("utf-8", "surrogatepass") for text in TEXTS]
PIECES = [
    *PAYLOADS,
    *(bytes([one]) for one in b".RbsuaetlNQ0122(}]){\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98io\x81"),
    *(b"J" + struct.pack("<q", number)[:4] for number in NUMBERS_OF_SIZES),
    *(b"\x8a\x08" + struct.pack("<q", number) for number in NUMBERS_OF_SIZES),
    *(b"X" + struct.pack("<I", len(text)) + text for text in ENCODED),
    *(b"\x8d" + struct.pack("<q", number) for number in NUMBERS_OF_SIZES),
    *(b"h" + bytes([place]) for place in range(12)),
    *(b"q" + bytes([place]) for place in range(12)),
    *(named(name) for name in ["torch.FloatStorage", "torch.ByteStorage", "torch._utils._rebuild_qtensor"]),
    *(b"G" + struct.pack(">d", number) for number in [0.0, 1e308, float("nan"), float("-inf")]),
    tensor((3, 4), (0, 0)),
    tensor((2**40, 2), (0, 0)),
    tensor(offset=2**62),
    tensor((), ()),
]


def _instructions(content: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(content)] + [len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(places)]


def _pickle(draw: random.Random, content: bytes, other: Source) -> bytes:
    """Change instructions of one of the pickles of which a file consists; a legacy one has five."""
    starts, file = [0], BytesIO(content)
    while len(starts) < 6 and content[file.tell() : file.tell() + 1] in {b"\x80", b"("}:
        for _ in pickletools.genops(file):
            pass
        starts.append(file.tell())
    if len(starts) == 1:
        return _bytes(draw, content, other)
    chosen = draw.randrange(len(starts) - 1)
    begin, end = starts[chosen], starts[chosen + 1]
    return content[:begin] + _changed(draw, content[begin:end]) + content[end:]


def _changed(draw: random.Random, content: bytes) -> bytes:
    own = _instructions(content)
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(own) + 1), draw.randint(1, 8)
        match draw.choice(["set", "insert", "delete", "double", "many", "move"]):
            case "set":
                own[place : place + 1] = [draw.choice(PIECES)]
            case "insert":
                own[place:place] = [draw.choice(PIECES)]
            case "delete":
                del own[place : place + length]
            case "double":
                own[place:place] = own[place : place + length]
            case "many":
                own[place:place] = own[place : place + length] * draw.choice([20, 500])
            case "move":
                other = draw.randrange(len(own) + 1)
                own[place:place] = own[other : other + length]
    return b"".join(own)


# --- archives ---


def _read(content: bytes) -> list[Entry]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return [Entry(info.filename.encode(), archive.read(info)) for info in archive.infolist()]


def _pickle_in_zip(draw: random.Random, content: bytes, _other: Source) -> bytes:
    entries = _read(content)
    place = next(place for place, entry in enumerate(entries) if entry.name.endswith(b"/data.pkl"))
    entries[place] = entries[place]._replace(content=_changed(draw, entries[place].content))
    return zip_of(*entries)


ENTRY_CHANGES = ["name", "local", "double", "drop", "method", "flags", "sizes", "offset", "extra", "content", "count"]


def _entries(draw: random.Random, content: bytes, _other: Source) -> bytes:
    entries = _read(content)
    place = draw.randrange(len(entries))
    own = entries[place]
    names = [own.name.swapcase(), own.name + b"\0", b"../" + own.name, own.name[:-1], b"archive/data/0"]
    names += [
        b"archive/data.pkl",
        b"archive/constants.pkl",
        b"archive/byteorder",
        own.name.replace(b"/", b"\\"),
        b"x/" + own.name,
        b"",
    ]
    size = draw.choice([0, 1, len(own.content) + 1, 2**31, 2**32 - 1])
    match draw.choice(ENTRY_CHANGES):
        case "name":
            entries[place] = own._replace(name=draw.choice(names))
        case "local":
            entries[place] = own._replace(local_name=draw.choice(names))
        case "double":
            entries.insert(draw.randrange(len(entries) + 1), own._replace(name=draw.choice([own.name, *names])))
        case "drop":
            del entries[place]
        case "method":
            entries[place] = own._replace(method=draw.choice([8, 9, 12, 14, 99]))
        case "flags":
            entries[place] = own._replace(flags=1 << draw.randrange(16))
        case "sizes":
            entries[place] = own._replace(sizes=(size, draw.choice([size, len(own.content)])))
        case "offset":
            entries[place] = own._replace(offset=draw.choice([0, 1, len(content), 2**31, 2**32 - 1]))
        case "extra":
            entries[place] = own._replace(extra=b"\x01\0" + struct.pack("<H", 24) + draw.randbytes(24))
        case "content":
            contents = [b"", draw.choice(entries).content, b"big", b"\0" * 5000]
            entries[place] = own._replace(content=draw.choice(contents))
        case "count":
            return zip_of(*entries, count=draw.choice([0, 1, 65535]), comment=draw.choice([b"", b"PK\x05\x06" * 9]))
    return zip_of(*entries)


# --- JSON ---

VALUES = [None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**300, 1.5, 1e308, float("nan"), [], {}, [0] * 9]
VALUES += [
    *TEXTS,
    [[[[]]]],
    "F32",
    "BF16",
    "F8_E4M3",
    "I64",
    "BOOL",
    "a.safetensors",
    "b.safetensors",
    [2**32, 2**32],
    [0, 0],
    [-1, 3],
]


def _json(tree: object) -> bytes:
    return json.dumps(tree).encode()


def _header(draw: random.Random, content: bytes, _other: Source) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header, rest = content[8 : 8 + length], content[8 + length :]
    changed = _json(_tree(draw, json.loads(header)))
    told = draw.choice([len(changed)] * 8 + [len(changed) - 1, 2**62])
    return struct.pack("<Q", told) + changed + rest


def _tree(draw: random.Random, tree: Any) -> Any:
    """Change one value, one key, or how deep it lies, somewhere in a tree of JSON."""
    if draw.random() < 0.3 or not isinstance(tree, dict | list) or not tree:
        return draw.choice([*VALUES, tree, [tree], {"again": tree}])
    if isinstance(tree, list):
        place = draw.randrange(len(tree))
        return [*tree[:place], _tree(draw, tree[place]), *tree[place + 1 :]]
    key = draw.choice(sorted(tree))
    match draw.choice(["value", "value", "value", "key", "drop", "add"]):
        case "key":
            return {(draw.choice(TEXTS) if name == key else name): value for name, value in tree.items()}
        case "drop":
            return {name: value for name, value in tree.items() if name != key}
        case "add":
            return {**tree, draw.choice(TEXTS): draw.choice([*VALUES, tree[key]])}
    return {**tree, key: _tree(draw, tree[key])}

"""Zip archives of ``torch.save`` with something changed in them, by a seed: names, headers, records, pickles.

``mutant(seed)`` is always the same for one seed. Half of the changes leave an archive that some reader accepts: entries
are added, doubled, renamed by case or with a NUL, moved and told of with other sizes, flags and fields, ends are
doubled, moved into comments and given records of zip64; and instructions of the pickle are changed.
"""

from __future__ import annotations

import functools
import io
import pickletools
import random
import struct
import zipfile
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

from torch_files import NUMBERS, Entry, call, code, ending, named, storage, tensor, zip_entries, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = (-NUMBERS).tobytes()
PIECES = [
    b"R", b"b", b"s", b"u", b"e", b"a", b"0", b"(", b"t", b"\x85", b"\x86", b"}", b"]", b")", b"N", b"Q", b"K\x00",
    b"K\x07", b"h\x00", b"h\x05", b"q\x05", b"\x88", b"\x89", b"\x81", b"G?\xf0\x00\x00\x00\x00\x00\x00",
]  # fmt: skip


@functools.cache
def originals() -> list[list[Entry]]:
    """Entries of sound archives, and of some that PyTorch wrote."""
    two = {"0": NUMBERS.tobytes(), "1": OTHER, "2a": NUMBERS[::-1].tobytes()}
    state = {
        "a.weight": tensor(), "b.weight": tensor(of=storage("1")), "c.weight": tensor((6, 4), (1, 6), of=storage("2a")),
        "d.bias": tensor((4,), (6,), 2, of=storage("1", kind="torch.FloatStorage")),
    }  # fmt: skip
    keys = {None: tensor(), True: tensor(of=storage("1")), 1.5: tensor((2, 3), (6, 2)), (1, "k"): tensor((0,))}
    lazy = call("torch._utils._rebuild_tensor_v2", storage(), 0, (4, 6), (6, 1), False, code({}), {"neg": True})
    third = call(
        "torch._utils._rebuild_tensor_v3", storage(), 0, (4, 6), (6, 1), False, code({}), named("torch.int32"), {}
    )
    made = [state, {"state_dict": state, "epoch": 3}, keys, {"a.weight": tensor(), "lazy": lazy, "third": third}]
    listed = [zip_entries(thing, two) for thing in made]
    listed[1].append(Entry(b"archive/byteorder", b"big"))
    listed[2].append(Entry(b"archive/byteorder", b"little"))
    return [*listed, *map(entries_of, written_by_torch())]


def written_by_torch() -> list[bytes]:
    """What PyTorch writes today."""
    import torch

    torch.manual_seed(0)
    files = []
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    for thing in (net.state_dict(), {"m": {"x.weight": torch.arange(24.0).reshape(4, 6).T[1:, ::2]}, "lr": 0.1}):
        file = io.BytesIO()
        torch.save(thing, file)
        files.append(file.getvalue())
    return files


def entries_of(content: bytes) -> list[Entry]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [Entry(info.filename.encode(), archive.read(info)) for info in archive.infolist()]


def mutant(seed: int) -> bytes:
    """Make the archive of a seed."""
    chance = random.Random(seed)
    entries = list(chance.choice(originals()))
    for _ in range(chance.choice((0, 1, 1, 1, 1, 2))):
        chance.choice(ENTRIES)(chance, entries)
    comment = chance.choice((b"",) * 20 + (b"x" * 9, b"PK\5\6", ending(b"", b"", 0), b"\0" * 30))
    count = len(entries) + chance.choice((0,) * 30 + (1, -1))
    content = zip_of(*entries, count=max(0, count), comment=comment)
    for _ in range(chance.choice((0, 0, 0, 1))):
        content = chance.choice(BYTES)(chance, content)
    return content


# --- changes of entries ---


def place_in(chance: random.Random, entries: list[Entry]) -> int:
    return chance.randrange(len(entries))


def renamed(chance: random.Random, name: bytes) -> bytes:
    place = chance.randrange(len(name) or 1)
    return chance.choice([
        name.upper(), name.swapcase(), name.title(), name[:place] + name[place : place + 1].upper() + name[place + 1 :],
        name + b"\0", name + b"\0x", name[:place] + b"\0" + name[place:], name + b"/", b"/" + name, b"./" + name,
        name.replace(b"/", b"\\"), name.replace(b"/", b"//"), b"other" + name[name.find(b"/") :], name + b" ",
        b"\xef\xbb\xbf" + name,
        name.replace(b"a", b"\xc3\xa1"), name[name.find(b"/") + 1 :], name[:place], name + b".", b"",
    ])  # fmt: skip


def rename(chance: random.Random, entries: list[Entry]) -> None:
    place = place_in(chance, entries)
    entries[place] = entries[place]._replace(name=renamed(chance, entries[place].name))


def rename_all(chance: random.Random, entries: list[Entry]) -> None:
    folder = chance.choice((b"other", b"ARCHIVE", b"", b"a/b", b"..", b"\xc3\xa9"))
    entries[:] = [entry._replace(name=folder + entry.name[entry.name.find(b"/") :]) for entry in entries]


def double(chance: random.Random, entries: list[Entry]) -> None:
    """Add an entry with the name of another, or nearly so, and other bytes."""
    other = entries[place_in(chance, entries)]
    name = chance.choice((other.name, renamed(chance, other.name)))
    content = chance.choice((other.content, other.content[::-1], entries[place_in(chance, entries)].content))
    entries.insert(chance.randrange(len(entries) + 1), Entry(name, content))


def shuffle(chance: random.Random, entries: list[Entry]) -> None:
    chance.shuffle(entries)


def drop(chance: random.Random, entries: list[Entry]) -> None:
    if len(entries) > 2:
        del entries[place_in(chance, entries)]


def swap(chance: random.Random, entries: list[Entry]) -> None:
    """Let two entries have each other's bytes."""
    one, other = place_in(chance, entries), place_in(chance, entries)
    first, second = entries[one].content, entries[other].content
    entries[one], entries[other] = entries[one]._replace(content=second), entries[other]._replace(content=first)


def lie(chance: random.Random, entries: list[Entry]) -> None:
    """Tell of an entry in another way than it is."""
    place = place_in(chance, entries)
    entry, offsets = entries[place], (0, 1, 30, 100, 2**31, 2**32 - 1)
    size = len(entry.content)
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(entry.content) + packer.flush()
    zip64 = struct.pack("<HHQQQ", 1, 24, size, size, chance.choice(offsets))
    entries[place] = entry._replace(**chance.choice([
        {"method": 8, "stored": packed}, {"method": 8}, {"flags": chance.choice((1, 8, 0x800, 0x20, 0x40, 0x2000))},
        {"sizes": (size, size + 1)}, {"sizes": (size + 1, size + 1)}, {"sizes": (max(0, size - 4),) * 2},
        {"sizes": (0, size)},
        {"offset": chance.choice(offsets)}, {"local_name": renamed(chance, entry.name)},
        {"sizes": (2**32 - 1,) * 2, "extra": zip64}, {"sizes": (2**32 - 1,) * 2}, {"extra": zip64},
        {"extra": zip64 * 2},
        {"extra": struct.pack("<HH", 0x7075, 9) + b"\1" + struct.pack("<I", zlib.crc32(entry.name)) + b"evil"},
        {"extra": b"\1\0\xff\xff"}, {"extra": b"xx"},
    ]))  # fmt: skip


def change_pickle(chance: random.Random, entries: list[Entry]) -> None:
    """Change some instructions of the pickle, or of what stands in its place."""
    place = next((at for at, entry in enumerate(entries) if entry.name.endswith(b"/data.pkl")), None)
    if place is None:
        return
    try:
        places = [at for _, _, at in pickletools.genops(entries[place].content)] + [len(entries[place].content)]
    except Exception:
        return
    parts = [entries[place].content[begin:end] for begin, end in pairwise(places)]
    for _ in range(chance.randint(1, 2)):
        at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(5):
            case 0:
                parts[at] = chance.choice(PIECES)
            case 1:
                parts.insert(at, chance.choice(PIECES))
            case 2 if len(parts) > 1:
                del parts[at]
            case 3:
                parts[at], parts[other] = parts[other], parts[at]
            case _:
                parts[at:at] = parts[other : other + chance.randint(1, 8)]
    entries[place] = entries[place]._replace(content=b"".join(parts))


def order(chance: random.Random, entries: list[Entry]) -> None:
    names = [entry.name for entry in entries]
    folder = names[0][: names[0].find(b"/") + 1]
    told = chance.choice((b"big", b"little", b"Big", b"bigger", b"little\n", b""))
    entries.append(Entry(folder + b"byteorder", told))


ENTRIES: list[Callable[[random.Random, list[Entry]], None]] = [
    rename, rename_all, double, double, shuffle, drop, swap, lie, lie, change_pickle, change_pickle, order,
]  # fmt: skip

# --- changes of bytes ---

RECORDS = {b"PK\3\4": 30, b"PK\1\2": 46, b"PK\5\6": 22}


def change_field(chance: random.Random, content: bytes) -> bytes:
    """Change two bytes of a header or a record."""
    magic = chance.choice(list(RECORDS))
    places = [at for at in range(len(content)) if content.startswith(magic, at)]
    if not places:
        return content
    at = chance.choice(places) + 2 * chance.randrange(2, RECORDS[magic] // 2)
    (number,) = struct.unpack("<H", content[at : at + 2].ljust(2, b"\0"))
    new = chance.choice((0, 1, number + 1, number - 1, number ^ (1 << chance.randrange(16)), 0xFFFF, 16))
    return content[:at] + struct.pack("<H", new & 0xFFFF) + content[at + 2 :]


def change_byte(chance: random.Random, content: bytes) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def join(chance: random.Random, content: bytes) -> bytes:
    other, zeros = zip_of(*chance.choice(originals())), bytes(chance.randint(1, 30))
    return chance.choice((content + other, other + content, content + other[-22:], content + zeros))


def cut(chance: random.Random, content: bytes) -> bytes:
    return content[: len(content) - chance.randint(1, 60)]


def add_zip64(chance: random.Random, content: bytes) -> bytes:
    """Put records of zip64 before the end, true or not."""
    end = content.rfind(b"PK\5\6")
    if end < 0 or end + 20 > len(content):
        return content
    count, size, begin = struct.unpack_from("<HII", content, end + 10)
    begin, count = begin + chance.choice((0, 0, 0, 1, -1, 46)), count + chance.choice((0, 0, 0, 1, -1))
    told = (0, 0, max(0, count), max(0, count), size, max(0, begin))
    large = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", chance.choice((44, 44, 44, 0, 45)), 45, 45, *told)
    place = max(0, end + chance.choice((0, 0, 0, -56, 8)))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, place, chance.choice((1, 1, 0, 2)))
    whole = content[:end] + large + locator + content[end:]
    if chance.random() < 0.3:  # the small numbers say: look there
        whole = whole[: end + 76 + 8] + b"\xff" * 12 + whole[end + 76 + 20 :]
    return whole


BYTES: list[Callable[[random.Random, bytes], bytes]] = [
    change_field, change_field, change_field, change_byte, join, cut, add_zip64, add_zip64,
]  # fmt: skip

"""Damage as it happens and as it is done on purpose: to values, to JSON files and to bytes."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 10**9, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0),
    *(1e308, float("nan"), float("inf"), -float("inf"), "", "x", "0", "1", "é", "\x00", "a\nb"),
    *("../../etc/passwd", "/etc/passwd", "..\\..\\x", "C:\\x.png", "http://127.0.0.1:9/x.png"),
    *(
        "a" * 5000,
        [],
        [[]],
        {},
        {"": {}},
        [0],
        [None],
        {"id": 0},
        [1, 2, 3, 4],
        "<script>x</script>",
    ),
)
Path = tuple[Any, ...]


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """The keys that lead to each part of a value, the whole first."""
    yield at
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, part in items:
        yield from places(part, (*at, key))


def change_value(value: Any, random: Random) -> tuple[str, Any]:
    """Change one part of a JSON value; returns what was done, and the new value."""
    value = copy.deepcopy(value)
    found = list(places(value))
    # Long lists of numbers would take nearly all of the changes.
    short = [at for at in found if not at or not isinstance(at[-1], int) or len(at) < 3]
    at = random.choice(short if random.random() < 0.8 else found)
    if not at:
        odd = random.choice(ODD)
        return f"all = {odd!r:.40}", odd
    parent = value
    for key in at[:-1]:
        parent = parent[key]
    key, old = at[-1], parent[at[-1]]
    kind = random.choice(("delete", "double", "odd", "odd", "retype", "negate", "nest", "rename"))
    name = f"{kind} {'.'.join(map(str, at))}"
    if kind == "delete":
        del parent[key]
    elif kind == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(old))
    elif kind == "rename" and isinstance(parent, dict):
        parent[random.choice((f"{key} ", str(key).upper(), f"_{key}", ""))] = parent.pop(key)
    elif kind == "retype":
        parent[key] = _retyped(old)
    elif kind == "negate" and isinstance(old, (int, float)):
        parent[key] = random.choice((-old, ~int(old), old * 10**6, old + 1))
    elif kind == "nest":
        for _ in range(random.choice((1, 2, 50))):
            old = random.choice(([old], {"x": old}))
        parent[key] = old
    else:
        odd = random.choice(ODD)
        parent[key] = odd
        name += f" = {odd!r:.40}"
    return name, value


def _retyped(old: Any) -> Any:
    if isinstance(old, bool) or old is None:
        return str(old)
    if isinstance(old, (int, float)):
        return str(old)
    if isinstance(old, str):
        return int(old) if old.isdigit() else list(old[:50])
    if isinstance(old, list):
        return {str(i): part for i, part in enumerate(old)}
    return list(old.values())


def change_json(value: Any, random: Random) -> tuple[str, bytes]:
    """A JSON file with one kind of damage: of its values, its text or its bytes."""
    kind = random.choices(
        ("value", "values", "bytes", "encoding", "deep", "twice", "digits"), (60, 12, 8, 6, 2, 4, 2)
    )[0]
    text = json.dumps(value)
    if kind in ("value", "values"):
        names = []
        for _ in range(1 if kind == "value" else 3):
            name, value = change_value(value, random)
            names.append(name)
        return ", ".join(names), json.dumps(value).encode()
    if kind == "encoding":
        codec = random.choice(("utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"))
        changed = json.dumps(value, ensure_ascii=False).replace("a", "é")
        return f"as {codec}", changed.encode(codec)
    if kind == "deep":
        depth = random.choice((100, 20_000))
        return f"{depth} deep", text.replace(":", ":" + "[" * depth, 1).encode()
    if kind == "twice" and isinstance(value, dict) and value:
        key = random.choice(list(value))
        return (
            f"'{key}' twice",
            f'{text[:-1]}, "{key}": {json.dumps(random.choice(ODD))}}}'.encode(),
        )
    if kind == "digits":
        return "5000 digits", text.replace(":", f': {"9" * 5000}, "x":', 1).encode()
    return change_bytes(text.encode(), random)


def change_bytes(data: bytes, random: Random) -> tuple[str, bytes]:
    """A file that is cut, empty, flipped, of another kind, or has more bytes than it should."""
    kind = random.choice(
        ("flip", "flip", "flip", "cut", "cut", "empty", "zeros", "append", "other")
    )
    if kind == "flip" and data:
        changed = bytearray(data)
        count = random.choice((1, 1, 2, 8))
        for _ in range(count):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return f"{count} bits", bytes(changed)
    if kind == "cut":
        end = random.randrange(len(data) + 1)
        return f"cut at {end}", data[:end]
    if kind == "zeros":
        start = random.randrange(len(data) + 1)
        return f"zeros at {start}", data[:start] + b"\0" * 64 + data[start + 64 :]
    if kind == "append":
        return "something behind", data + random.choice((b"\0", b"x" * 100, data))
    if kind == "other":
        other = random.choice(
            (b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"<html>", b"GIF89a", b"\x80\x04.")
        )
        return f"another kind {other!r}", other + data[len(other) :]
    return "empty", b""

"""A JSON list of objects, read and written one object at a time."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

_CHUNK = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")


def write_json_list(stream: IO[bytes], items: Iterable[Any]) -> None:
    """Write a list, one item a line; NaN is refused.

    Raises:
        ValueError: If an item holds NaN or an infinity.
    """
    separator = b"["
    for item in items:
        text = json.dumps(item, separators=(",", ":"), allow_nan=False)
        stream.write(separator + text.encode())
        separator = b",\n"
    stream.write(b"[]\n" if separator == b"[" else b"]\n")


def read_json_list(stream: IO[bytes], name: str) -> Iterator[dict[str, Any]]:
    """Read the objects of a list; memory holds one of them and a piece of the file.

    Args:
        stream: UTF-8.
        name: Named in errors.

    Raises:
        ValueError: If it is no list of objects, or is cut off; says after how many objects.
    """
    reader = _Reader(io.TextIOWrapper(stream, encoding="utf-8"))
    count = 0
    try:
        if reader.next_character() != "[":
            raise ValueError("a list is needed")
        reader.skip()
        if reader.next_character() == "]":
            reader.skip()
        else:
            while True:
                if reader.next_character() != "{":
                    raise ValueError("an item is no object")
                yield reader.next_object()
                count += 1
                character = reader.next_character()
                reader.skip()
                if character == "]":
                    break
                if character != ",":
                    raise ValueError("there is no comma between objects")
        if reader.next_character():
            raise ValueError("something follows the list")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{name}' is damaged after object {count}: {error}") from error


class _Reader:
    """A text of which only a piece is in memory."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = ""
        self._position = 0
        self._decoder = json.JSONDecoder()

    def next_character(self) -> str:
        """The next character that is no white space, without taking it; "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read(_CHUNK):
                return ""

    def skip(self) -> None:
        """Take one character."""
        self._position += 1

    def next_object(self) -> dict[str, Any]:
        """Take the object that begins here."""
        while True:
            try:
                value, self._position = self._decoder.raw_decode(self._text, self._position)
                return value
            except json.JSONDecodeError:
                # Doubling the piece keeps the cost of a large object linear.
                if not self._read(max(_CHUNK, len(self._text) - self._position)):
                    raise

    def _read(self, size: int) -> bool:
        more = self._stream.read(size)
        self._text, self._position = self._text[self._position :] + more, 0
        return bool(more)

"""Bytes of messages and states: fixed-width big-endian fields and counted blocks.

Decides: how a reader refuses. Every length is checked against what is left before anything is copied or
allocated, every collection is bounded by what its caller allows, and nothing may be left over.
Refuses to know: what the fields mean.
"""

from collections.abc import Iterable

import numpy as np

from secagg.errors import MalformedMessage, VersionSkew

Buffer = bytes | memoryview


class Writer:
    """Appends fields to a list of chunks; `finish` joins them once."""

    def __init__(self, tag: int, version: int) -> None:
        self._chunks: list[Buffer] = [bytes((tag, version))]

    def number(self, value: int, width: int) -> "Writer":
        """An unsigned integer of `width` bytes."""
        self._chunks.append(value.to_bytes(width, "big"))
        return self

    def raw(self, value: Buffer) -> "Writer":
        """Bytes whose length the reader knows."""
        self._chunks.append(value)
        return self

    def members(self, indices: Iterable[int], size: int) -> "Writer":
        """A subset of 1..size as a bitmap of ceil(size / 8) bytes: each peer is named once or not at all."""
        named = np.fromiter(indices, dtype=np.int64)
        if named.size and not 1 <= named.min() <= named.max() <= size:
            wrong = named.min() if named.min() < 1 else named.max()
            raise MalformedMessage(f"there is no client {wrong} among {size}; nothing was written")
        bits = np.zeros(size, dtype=np.uint8)
        bits[named - 1] = 1
        self._chunks.append(np.packbits(bits, bitorder="little").tobytes())
        return self

    def finish(self) -> bytes:
        """All fields in order."""
        return b"".join(self._chunks)


class Reader:
    """Takes fields off the front of a buffer.

    Raises:
        MalformedMessage: from every method, when the buffer is not what the caller expects.
    """

    def __init__(self, data: object, tag: int, version: int, name: str) -> None:
        if not isinstance(data, bytes | memoryview):
            raise MalformedMessage(f"a {name} message is bytes, not {type(data).__name__}")
        self._data = memoryview(data)
        self._at = 0
        self._name = name
        head = self.raw(2)
        if head[0] == tag and head[1] != version:
            raise VersionSkew(
                f"a {name} message of format {head[1]} came to code of format {version}; install the same version of "
                "Chorus on the server and on every node"
            )
        if head[0] != tag:
            raise MalformedMessage(f"these bytes are not a {name} message of format {version}")

    def raw(self, size: int) -> bytes:
        """The next `size` bytes, copied."""
        return bytes(self.view(size))

    def view(self, size: int) -> memoryview:
        """The next `size` bytes without copying."""
        if size > len(self._data) - self._at:
            left = len(self._data) - self._at
            raise MalformedMessage(f"a {self._name} message ends early: {size} bytes due, {left} left")
        field = self._data[self._at : self._at + size]
        self._at += size
        return field

    def number(self, width: int, least: int = 0, most: int | None = None) -> int:
        """An unsigned integer of `width` bytes within [least, most]."""
        value = int.from_bytes(self.view(width), "big")
        if value < least or (most is not None and value > most):
            raise MalformedMessage(f"a number in a {self._name} message is out of range: {value}")
        return value

    def members(self, size: int) -> frozenset[int]:
        """A subset of 1..size; bits beyond `size` must be zero."""
        bitmap = np.frombuffer(self.view((size + 7) // 8), dtype=np.uint8)
        bits = np.unpackbits(bitmap, bitorder="little")
        if bits[size:].any():
            raise MalformedMessage(f"a {self._name} message names clients beyond the cohort")
        return frozenset((np.flatnonzero(bits) + 1).tolist())

    def finish(self) -> None:
        """Refuse whatever is left over."""
        if self._at != len(self._data):
            surplus = len(self._data) - self._at
            raise MalformedMessage(f"{surplus} bytes too many in a {self._name} message")

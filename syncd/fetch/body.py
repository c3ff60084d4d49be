"""The body: counted as it comes, inflated in small steps, counted again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import httpx

from syncd.fetch.exchange import Exchange, Failure

# The most bytes inflated at once. A gzip bomb grows a thousandfold: this bounds what is in memory before it is counted.
_STEP = 65_536

_GZIP_WRAPPER = 31  # zlib's name for "expect a gzip header and trailer, window of 32 KiB"


class Limit:
    """The most bytes a body may have, and the deadline: one look at both for each part of it."""

    def __init__(self, most: int, exchange: Exchange) -> None:
        self._most = most
        self._exchange = exchange

    def check(self, size: int) -> None:
        """Raise `Failure` if `size` bytes are too many or the time is over."""
        self._exchange.left()
        if size > self._most:
            message = f"The body from {self._exchange.host} is larger than the limit of {self._most} bytes."
            raise Failure("too_large", message)


def announced_length(response: httpx.Response) -> int:
    """Content-Length, or 0 where there is none to go by."""
    try:
        return int(response.headers.get("content-length", "0"))
    except ValueError:
        return 0


def raw(response: httpx.Response) -> Iterator[bytes]:
    """The body as it was sent. Not `iter_raw`: that refuses the ready-made responses of a test's transport."""
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("the transport gave an asynchronous response")
    return iter(response.stream)


class _Unpacker(Protocol):
    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """What `chunk` unpacks to, in parts of bounded size; may raise `Failure`."""

    def end(self) -> None:
        """The body is over; raises `Failure` if it should not be."""


def unpacker(encoding: str, exchange: Exchange) -> _Unpacker:
    """What unpacks a body of that Content-Encoding; raises `Failure` for one that was not asked for."""
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gunzip(exchange)
        case _:
            raise Failure("encoding", f"The body from {exchange.host} is packed in a way nobody asked for.")


class _Plain:
    """A body that is not packed."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        return (chunk,)

    def end(self) -> None:
        pass


class _Gunzip:
    """Inflates gzip, one or more members, at most `_STEP` bytes at a time. An empty body is accepted as one."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._member = zlib.decompressobj(_GZIP_WRAPPER)
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(chunk)
        part = b""
        # A full step may leave output inside zlib though all input is taken: go on until a step is not full.
        while chunk or len(part) == _STEP:
            if self._member.eof:
                chunk = chunk.lstrip(b"\0")  # zeros after a member are padding
                if not chunk:
                    return
                self._member = zlib.decompressobj(_GZIP_WRAPPER)
            try:
                part = self._member.decompress(chunk, _STEP)
            except zlib.error:
                raise self._bad("is not the gzip its header says") from None
            yield part
            chunk = self._member.unconsumed_tail or self._member.unused_data

    def end(self) -> None:
        if self._begun and not self._member.eof:
            raise self._bad("ends in the middle of its gzip")

    def _bad(self, what: str) -> Failure:
        return Failure("encoding", f"The body from {self._exchange.host} {what}.")

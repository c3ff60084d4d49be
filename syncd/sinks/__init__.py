"""Where messages go: one module (or folder) per kind of destination.

A sink's contract. It keeps no state between calls, raises nothing, and never retries by itself: every retry is the
outbox's.

    locate(target)  the sink's own name for the destination, by which a message is found again; never posts
    send(parcel)    renders the message in the form asked for, hands it over, and says what became of it
    look(parcel)    whether a message that may have arrived is there; never posts
    probe(target)   whether the destination works (again); never posts. None if it does, else what is wrong

What `send` may answer, and what it promises:

    Delivered    it is there
    NotSent      nothing arrived, so trying again cannot repeat it
    RateLimited  nothing arrived, and nothing is wanted before a time
    Ambiguous    it may have arrived
    Refused      nothing arrived, and this form of it never will
    Unusable     nothing arrived, and nothing will until a person has mended something
    Impossible   it will never be taken
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from syncd.core.delivery import Attempted, Looked, NotSent, RateLimited, Rung, Unusable
from syncd.core.message import Message


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message on its way to one destination.

    `target` is the destination's spec behind its scheme (``#vivix`` of ``slack:#vivix``), `channel` the sink's own name
    for it. `edits` is the sink's own reference of the message to change, `thread` of the message to answer. `started`
    is when its last attempt began. `note` is a remark for the reader that is no part of the stored message ("may repeat
    an earlier alert").
    """

    id: str
    target: str
    channel: str
    message: Message
    started: datetime
    rung: Rung = "rich"
    thread: str | None = None
    edits: str | None = None
    note: str = ""


# What a sink may find where it was not to post anything.
NotReached: TypeAlias = NotSent | RateLimited | Unusable


class Sink(Protocol):
    """Sends messages to one kind of destination; see the module's contract.

    `distance`: messages that are not urgent are so far apart. `settles`: so long after an attempt began, a message that
    arrived can be found.
    """

    distance: timedelta
    settles: timedelta

    def locate(self, target: str) -> str | NotReached:
        """The sink's own name for the destination."""
        ...

    def send(self, parcel: Parcel) -> Attempted:
        """Try once."""
        ...

    def look(self, parcel: Parcel) -> Looked:
        """Look for a message that may have arrived."""
        ...

    def probe(self, target: str) -> Unusable | None:
        """Whether the destination works, without posting."""
        ...

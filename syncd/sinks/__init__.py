"""Where messages go: one module per kind of destination.

A sink's contract. `send(message, delivery_id, note)` renders the message, hands it over and says what became of it:

    Delivered    it is there
    NotSent      nothing arrived, so trying again cannot repeat it
    Ambiguous    it may have arrived
    Impossible   it will never be taken

It raises nothing, keeps no state between calls, and never retries by itself: every retry is the outbox's.
`note` is a remark for the reader that is no part of the stored message ("may repeat an earlier alert").
"""

from __future__ import annotations

from typing import Protocol

from syncd.core.delivery import Attempted
from syncd.core.message import Message


class Sink(Protocol):
    """Sends messages to one kind of destination."""

    def send(self, message: Message, *, delivery_id: str, note: str = "") -> Attempted:
        """Try once; see the module's contract."""
        ...

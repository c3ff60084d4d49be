"""Alerts as plain text on a stream: standard output, which systemd puts into the journal."""

from __future__ import annotations

import threading
from typing import TextIO

from syncd.core.delivery import Attempted, Delivered, NotSent
from syncd.core.message import Message, as_text


class ConsoleSink:
    """Writes each message in one piece, so that two of them never interleave."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._one_at_a_time = threading.Lock()

    def send(self, message: Message, *, delivery_id: str, note: str = "") -> Attempted:  # noqa: ARG002 - it stands in the message
        """Write and flush."""
        text = as_text(message, note=note) + "\n\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            with self._one_at_a_time:
                # A terminal that cannot show an emoji gets a question mark, not an exception.
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
                self._stream.flush()
        except (OSError, ValueError) as error:  # a closed pipe, a full disk, a closed stream
            return NotSent(f"console: {error}")
        return Delivered()

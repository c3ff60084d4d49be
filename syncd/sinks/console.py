"""Alerts as plain text on a stream: standard output, which systemd puts into the journal."""

from __future__ import annotations

import io
import os
import threading
from datetime import timedelta
from typing import TextIO

from syncd.core.delivery import Ambiguous, Attempted, CannotEverLook, Delivered, Looked, NotSent, Unusable
from syncd.core.message import as_text
from syncd.sinks import NotReached, Parcel


class ConsoleSink:
    """Writes each message in one piece, so that two of them never interleave."""

    # A terminal calls nobody away from work, and nobody can read it back.
    distance = timedelta(0)
    settles = timedelta(0)

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._one_at_a_time = threading.Lock()

    def locate(self, target: str) -> str | NotReached:
        """There is one."""
        return target

    def send(self, parcel: Parcel) -> Attempted:
        """Hand the text to the system, past the stream's own buffer: what is left in that would come again later."""
        text = as_text(parcel.message, note=parcel.note) + "\n\n"
        written = 0
        try:
            # A terminal that cannot show an emoji gets a question mark, not an exception.
            content = text.encode(self._stream.encoding or "utf-8", "replace")
            with self._one_at_a_time:
                self._stream.flush()
                while written < len(content):
                    written += self._write(content[written:])
        except (OSError, ValueError) as error:  # a closed pipe, a full disk, a closed stream
            reason = f"console: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
            return Ambiguous(reason) if written else NotSent(reason)
        return Delivered()

    def look(self, parcel: Parcel) -> Looked:  # noqa: ARG002 - nobody can read a console back
        """There is no looking."""
        return CannotEverLook()

    def probe(self, target: str) -> Unusable | None:  # noqa: ARG002
        """A console is never out of order for good."""
        return None

    def _write(self, content: bytes) -> int:
        try:
            descriptor = self._stream.fileno()
        except io.UnsupportedOperation:  # a stream in memory, which takes everything
            self._stream.write(content.decode(self._stream.encoding or "utf-8"))
            return len(content)
        return os.write(descriptor, content)

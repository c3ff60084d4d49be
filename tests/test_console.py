"""The console sink: in one piece, past the buffer, and honest about what arrived."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from syncd.core.delivery import Ambiguous, Delivered, NotSent
from syncd.core.message import Message, Paragraph, Span, as_text
from syncd.sinks.console import ConsoleSink

MESSAGE = Message(
    "other_changed", "risky", "🟠", "A title", "A sentence", (Paragraph((Span("A paragraph"),)),), ("dlv_1",)
)


def send(stream) -> object:
    return ConsoleSink(stream).send(MESSAGE, delivery_id="dlv_1")


def test_a_message_is_text_with_an_empty_line_after_it(tmp_path):
    file = tmp_path / "out"
    with file.open("w", encoding="utf-8") as stream:
        assert send(stream) == Delivered()
    assert file.read_text("utf-8") == as_text(MESSAGE) + "\n\n"


def test_the_note_for_the_reader_stands_in_it():
    stream = io.StringIO()
    ConsoleSink(stream).send(MESSAGE, delivery_id="dlv_1", note="may repeat an earlier alert")
    assert "may repeat an earlier alert" in stream.getvalue()


def test_what_a_terminal_cannot_show_is_a_question_mark(tmp_path):
    file = tmp_path / "out"
    with file.open("w", encoding="ascii") as stream:
        assert send(stream) == Delivered()
    assert file.read_bytes().startswith(b"? A title\n")


def test_other_output_stays_before_it(tmp_path):
    file = tmp_path / "out"
    with file.open("w", encoding="utf-8") as stream:
        stream.write("said before\n")
        send(stream)
    assert file.read_text("utf-8").startswith("said before\n🟠")


def test_a_full_disk_takes_nothing_and_nothing_comes_later():
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        assert send(stream) == NotSent("console: No space left on device")
    # closing the stream would raise if anything of it were left in its buffer


def test_a_reader_who_has_gone_got_nothing():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        assert send(stream) == NotSent("console: Broken pipe")


def test_a_closed_stream_takes_nothing():
    stream = io.StringIO()
    stream.close()
    assert isinstance(send(stream), NotSent)


def test_half_a_message_may_have_arrived(monkeypatch, tmp_path):
    sizes = iter([5])

    def write(_descriptor: int, content: bytes) -> int:
        size = next(sizes, None)
        if size is None:
            raise OSError(28, "No space left on device")
        return min(size, len(content))

    monkeypatch.setattr(os, "write", write)
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        assert send(stream) == Ambiguous("console: No space left on device")


@pytest.mark.parametrize("stream", [io.StringIO()])
def test_a_stream_in_memory_will_do(stream):
    assert send(stream) == Delivered()
    assert stream.getvalue() == as_text(MESSAGE) + "\n\n"

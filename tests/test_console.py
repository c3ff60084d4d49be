"""The console sink: in one piece, past the buffer, and honest about what arrived."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.core.delivery import MAY_REPEAT, RUNGS, Ambiguous, CannotEverLook, Delivered, NotSent, Rung
from syncd.core.message import Message, Paragraph, Span, as_text
from syncd.sinks import Parcel
from syncd.sinks.console import ConsoleSink

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MESSAGE = Message(
    kind="other_changed",
    severity="risky",
    emoji="🟠",
    title="A title",
    summary="A sentence",
    blocks=(Paragraph((Span("A paragraph"),)),),
    keys=("prod",),
    detected=AT,
    reference="dlv_1",
)
PARCEL = Parcel("dlv_1", "", "", MESSAGE, AT)


def send(stream) -> object:
    return ConsoleSink(stream).send(PARCEL)


def test_a_message_is_text_with_an_empty_line_after_it(tmp_path):
    file = tmp_path / "out"
    with file.open("w", encoding="utf-8") as stream:
        assert send(stream) == Delivered()
    assert file.read_text("utf-8") == as_text(MESSAGE) + "\n\n"


def test_the_note_for_the_reader_stands_in_it():
    stream = io.StringIO()
    ConsoleSink(stream).send(replace(PARCEL, note=MAY_REPEAT))
    assert stream.getvalue() == as_text(MESSAGE, note=MAY_REPEAT) + "\n\n"
    assert stream.getvalue().splitlines()[1] == f"   ({MAY_REPEAT})"


@pytest.mark.parametrize("rung", RUNGS)
def test_every_form_is_the_same_text(rung: Rung):
    stream = io.StringIO()
    assert ConsoleSink(stream).send(replace(PARCEL, rung=rung, thread="1", edits="2")) == Delivered()
    assert stream.getvalue() == as_text(MESSAGE) + "\n\n"


def test_it_can_neither_be_read_nor_be_out_of_order():
    sink = ConsoleSink(io.StringIO())
    assert (sink.look(PARCEL), sink.probe("")) == (CannotEverLook(), None)


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

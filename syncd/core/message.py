"""A message before anybody decides how it looks: what `core.compose` writes and every sink renders.

It is stored with its delivery as JSON, so that a later attempt, perhaps by a newer syncd, renders the same words.
All vendor text in it has passed `core.text.clean`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from syncd.core.rules import Severity
from syncd.core.text import clean, moment, number

Style: TypeAlias = Literal["plain", "bold", "code", "strike"]


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of text in one style."""

    text: str
    style: Style = "plain"


class Paragraph(msgspec.Struct, frozen=True, tag="paragraph"):
    """A sentence or two."""

    spans: tuple[Span, ...]


class Bullets(msgspec.Struct, frozen=True, tag="bullets"):
    """A list; each item is one line."""

    items: tuple[tuple[Span, ...], ...]


class Table(msgspec.Struct, frozen=True, tag="table"):
    """Rows of plain cells under a header. `named` is the column that holds slugs, to be taken literally."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    named: int = 0


class Code(msgspec.Struct, frozen=True, tag="code"):
    """Lines shown as they are."""

    lines: tuple[str, ...]


class Quote(msgspec.Struct, frozen=True, tag="quote"):
    """The vendor's own words."""

    text: str


Block: TypeAlias = Paragraph | Bullets | Table | Code | Quote


class Message(msgspec.Struct, frozen=True):
    """`kind` names the design; `title` and `summary` each stand alone; the rest is the small print.

    `names` are the slugs that stand in title and summary: a sink whose title is read as markup, or which must not show
    every text there, can tell them apart. `reference` is the delivery's id, `detected` in UTC. `mentions` calls people
    to it (``@here``, ``@channel``, ids of users and groups); they come from the configuration alone. `replies` follow
    it in its thread, one after the other.
    """

    kind: str
    severity: Severity
    emoji: str
    title: str
    summary: str
    blocks: tuple[Block, ...]
    keys: tuple[str, ...]
    detected: datetime
    reference: str
    names: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    replies: tuple[Message, ...] = ()


def encode(message: Message) -> str:
    """The message as it is stored."""
    return msgspec.json.encode(message).decode()


def decode(text: str) -> Message:
    """The message as it was stored."""
    return msgspec.json.decode(text, type=Message)


def bold(text: str) -> Span:
    """Bold text."""
    return Span(text, "bold")


def code(text: str) -> Span:
    """Text to be taken literally: a slug, a value, a command."""
    return Span(text, "code")


def flat(spans: tuple[Span, ...]) -> str:
    """The words alone."""
    return "".join(span.text for span in spans)


def as_text(message: Message, *, note: str = "") -> str:
    """The message as plain lines: what the console shows, and the last resort of every other sink.

    A headline, the body three columns in, the small print. A blank line stands before each section of a digest, around
    what is read as one thing (a table, code), and before the small print.
    """
    lines = [f"{message.emoji} {message.title}", *([f"({note})"] if note else [])]
    previous: Block | None = None
    for block in message.blocks:
        lines += [""] if _apart(previous, block) else []
        lines += _lines(block)
        previous = block
    lines += ["", small_print(message)]
    return "\n".join([lines[0], *(f"   {line}".rstrip() for line in lines[1:])])


EMOJI: Final[Mapping[Severity, str]] = {"breaking": "🔴", "risky": "🟠", "additive": "🟢", "informational": "⚪"}
# So many names stand in one line.
_MOST_NAMES: Final = 4


def small_print(message: Message) -> str:
    """🔴 breaking · key prod · detected 2026-11-23 10:33:44 UTC · dlv_1M83ZG135V8AC9C."""
    keys = [f"{'key' if len(message.keys) == 1 else 'keys'} {names(message.keys)}"] if message.keys else []
    severity = f"{EMOJI[message.severity]} {message.severity}"
    return " · ".join((severity, *keys, f"detected {moment(message.detected)}", message.reference))


def names(keys: Sequence[str]) -> str:
    """A few names, and how many more."""
    named = ", ".join(clean(key, 64) for key in keys[:_MOST_NAMES])
    rest = len(keys) - _MOST_NAMES
    return (named or "(none)") + (f" and {number(rest)} more" if rest > 0 else "")


def is_heading(block: Block | None) -> bool:
    """Whether the block heads a section of a digest: a paragraph of bold text and nothing else."""
    return isinstance(block, Paragraph) and [span.style for span in block.spans] == ["bold"]


def _apart(previous: Block | None, block: Block) -> bool:
    """Whether a blank line stands between the two; code follows the sentence that announces it without one."""
    if is_heading(block) or isinstance(block, Table) or isinstance(previous, Table | Code):
        return not is_heading(previous)
    return isinstance(block, Code) and not isinstance(previous, Paragraph)


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(spans):
            yield flat(spans)
        case Bullets(items):
            yield from (f"• {flat(item)}" for item in items)
        case Code(lines):
            yield from (f"  {line}" for line in lines)
        case Quote(text):
            yield f"| {text}"
        case Table(header, rows):
            widths = [max(map(_width, column)) for column in zip(header, *rows, strict=True)]
            for row in (header, *rows):
                yield "   ".join(
                    cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
                ).rstrip()


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
        for character in text
    )

"""What is left of a message that told of a key nobody may read of any more. Only processes data."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from syncd.core.message import Block, Bullets, Code, Message, Paragraph, Quote, Span, Table

# In place of a name. No key can be called so.
FORGOTTEN: Final = "(forgotten)"


def emptied(message: Message, name: str) -> Message:
    """It keeps its place and its kind; what it said is gone, of whichever key."""
    said = "It told of a key that was forgotten, and of others: see their changes"
    keys = tuple(key for key in message.keys if key != name)
    return structs.replace(
        message, title="A message that was emptied", summary=said, blocks=(), keys=keys, names=(), replies=()
    )


def struck(message: Message, name: str) -> Message:
    """The message with the name struck out wherever it stands as a word."""

    def spans(given: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple(structs.replace(span, text=struck_text(span.text, name)) for span in given)

    def lines(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(struck_text(line, name) for line in given)

    def block(given: Block) -> Block:
        match given:
            case Paragraph():
                return Paragraph(spans(given.spans))
            case Bullets():
                return Bullets(tuple(map(spans, given.items)))
            case Table():
                return structs.replace(given, header=lines(given.header), rows=tuple(map(lines, given.rows)))
            case Code():
                return Code(lines(given.lines))
            case Quote():
                return Quote(struck_text(given.text, name))

    return structs.replace(
        message,
        title=struck_text(message.title, name),
        summary=struck_text(message.summary, name),
        blocks=tuple(map(block, message.blocks)),
        keys=tuple(FORGOTTEN if key == name else key for key in message.keys),
        replies=tuple(struck(reply, name) for reply in message.replies),
    )


def struck_text(text: str, name: str) -> str:
    """``prod`` is no part of ``prod-eu`` or ``eu.prod``; what ends a sentence or follows ``key:`` is a word."""
    apart = r"(?<![\w/@-])(?:(?<![\w/@-][.:])|(?<=\bkey:))"
    return re.sub(rf"{apart}{re.escape(name)}(?![\w/@-]|[.:][\w/@-])", FORGOTTEN, text)

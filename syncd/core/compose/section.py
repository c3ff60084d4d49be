"""A section of a message, and what every section is written with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

from syncd.core.message import Block, Paragraph, Span, code
from syncd.core.rules import Severity
from syncd.core.text import number

MOST_LINES: Final = 25


@dataclass(frozen=True, slots=True)
class Section:
    """One family's part of a message. `changes` is how many it tells, 0 for a condition."""

    kind: str
    severity: Severity
    emoji: str
    title: str
    blocks: tuple[Block, ...]
    keys: tuple[str, ...]
    at: datetime
    changes: int = 0


def merged(keys: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every key once, in the order in which they first come."""
    return tuple(dict.fromkeys(chain.from_iterable(keys)))


def and_more(total: int, command: str) -> list[Block]:
    """How many lines were left out, and the command that shows them."""
    rest = total - MOST_LINES
    return [Paragraph((Span(f"and {number(rest)} more: "), code(command)))] if rest > 0 else []

"""From what is due at one destination to one message: grouping, order, wording. Only processes data.

    due                                                                                     due
      conditions   the same one of several keys -> one section that names them              conditions, states
      changes      how each is told: by itself, with what it takes back, not at all         tellings
                   the same change of several keys -> one item that names them              items
                   items -> the design they are shown in -> sections                        designs, models, prices,
                                                                                            parameters, other, doubts,
                                                                                            toggles
      first catalogues                                                                      watching
      notices      what syncd says of itself                                                notices
    one section    its own design and title                                                 here, section
    several        one message, a section after the other
    too many       a table of what changed and what breaks; the rest as replies             digest

The worst comes first, in a message and in a section. Nothing is dropped in silence: what finds no room is counted, with
the command that shows it. Nothing raises for what a vendor may have sent: a message that cannot be composed would block
its destination.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncd.core.compose import conditions, designs, notices, watching
from syncd.core.compose.digest import Digest, digest
from syncd.core.compose.due import ChangeDue, ChangeEdge, ConditionDue, Due, Edge, Elsewhere, NoticeDue, is_over_there
from syncd.core.compose.items import Item, items_of, slug_of
from syncd.core.compose.section import MOST_LINES, Section, merged
from syncd.core.compose.states import condition_summary
from syncd.core.compose.tellings import answers
from syncd.core.compose.watching import is_first
from syncd.core.message import Block, Message, Paragraph, bold, names
from syncd.core.rules import Severity, rank
from syncd.core.text import clean, count

__all__ = [
    "MOST_LINES",
    "ChangeDue",
    "ChangeEdge",
    "ConditionDue",
    "Due",
    "Edge",
    "Elsewhere",
    "NoticeDue",
    "answers",
    "compose",
    "condition_summary",
    "is_first",
    "is_over_there",
]

# More changes than these in one message are read by nobody. A single table or list may be longer: it is one thing.
_MOST_ITEMS: Final = 8


def compose(due: Sequence[Due], reference: str) -> Message:
    """One message that says everything that is due. `reference` is the delivery's id; `due` is not empty."""
    items = items_of(one for one in due if isinstance(one, ChangeDue) and not is_first(one))
    told = list(designs.sections(items))
    others = _others(due)
    if _too_many(items, told):
        return _digest(due, others, told, digest(items), reference)
    sections = sorted((*others, *told), key=lambda section: rank(section.severity))
    keys = merged(section.keys for section in sections)
    worst, *more = sections
    if more:
        head = ("digest", "📦", _title(sections, keys))
        blocks = tuple(block for section in sections for block in (_heading(section, keys), *section.blocks))
    else:
        head, blocks = (worst.kind, worst.emoji, worst.title), worst.blocks
    return _message(due, sections, head, blocks, reference, mentions=_mentions(due, items))


def _others(due: Sequence[Due]) -> tuple[Section, ...]:
    """What has changed nothing in a catalogue."""
    return (
        *conditions.sections(one for one in due if isinstance(one, ConditionDue)),
        *notices.sections(one for one in due if isinstance(one, NoticeDue)),
        *watching.sections(one for one in due if isinstance(one, ChangeDue) and is_first(one)),
    )


def _too_many(items: Sequence[Item], sections: Sequence[Section]) -> bool:
    return len(items) > (_MOST_ITEMS if len(sections) > 1 else MOST_LINES)


def _digest(
    due: Sequence[Due], others: Sequence[Section], told: Sequence[Section], found: Digest, reference: str
) -> Message:
    """Conditions in full before the table; nobody is called to it by name."""
    sections = sorted((*others, *told), key=lambda section: rank(section.severity))
    keys = merged(section.keys for section in sections)
    blocks = (*(block for section in others for block in (_heading(section, keys), *section.blocks)), *found.blocks)
    only = sections[0] if len(sections) == 1 else None
    head = ("digest", only.emoji, only.title) if only else ("digest", "📦", _title(sections, keys))
    return _message(due, sections, head, blocks, reference, replies=found.replies)


def _message(
    due: Sequence[Due],
    sections: Sequence[Section],
    head: tuple[str, str, str],
    blocks: tuple[Block, ...],
    reference: str,
    *,
    mentions: tuple[str, ...] = (),
    replies: tuple[Message, ...] = (),
) -> Message:
    kind, emoji, title = head
    severity = sections[0].severity
    titles = title if replies else "; ".join(section.title for section in sections)
    return Message(
        kind=kind,
        severity=severity,
        emoji=emoji,
        title=title,
        summary=_sentence(titles, severity),
        blocks=blocks,
        keys=tuple(clean(key, 64) for key in merged(section.keys for section in sections)),
        detected=min(section.at for section in sections),
        reference=reference,
        names=_named(due, f"{title}\n{titles}"),
        mentions=mentions,
        replies=replies,
    )


def _mentions(due: Sequence[Due], items: Sequence[Item]) -> tuple[str, ...]:
    """Whom the routes of what is told call. The end of a condition calls nobody, nor does a first catalogue."""
    lasting = (one for one in due if isinstance(one, ConditionDue) and one.edge != "closed")
    of_conditions = (one.mention for one in lasting if one.mention is not None)
    return tuple(dict.fromkeys([*(mention for item in items for mention in item.calls), *of_conditions]))


def _named(due: Sequence[Due], titles: str) -> tuple[str, ...]:
    """The slugs that stand in the titles, longest first: one may be the beginning of another."""
    slugs = {slug_of(one.change) for one in due if isinstance(one, ChangeDue)}
    return tuple(sorted((slug for slug in slugs if slug in titles), key=len, reverse=True))


def _heading(section: Section, keys: Sequence[str]) -> Block:
    """The section's title, with its keys where they are not all and the title does not name them."""
    named = section.keys == tuple(keys) or not section.keys or names(section.keys) in section.title
    return Paragraph((bold(f"{section.emoji} {section.title}{'' if named else f' · for {names(section.keys)}'}"),))


def _title(sections: Sequence[Section], keys: Sequence[str]) -> str:
    changes = sum(section.changes for section in sections)
    others = sum(not section.changes for section in sections)
    counts = [count(n, noun) for n, noun in ((others, "notice"), (changes, "change")) if n]
    return f"{' and '.join(counts)}{f' for {names(keys)}' if keys else ''}"


def _sentence(text: str, severity: Severity) -> str:
    word = severity.capitalize()
    return clean(text if text.startswith(word) else f"{word}: {text}", 300)

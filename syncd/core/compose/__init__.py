"""From what is due at one destination to one message: grouping, order, wording. Only processes data.

    due                                                                                     due
      conditions   the same one of several keys -> one section that names them              conditions, notices
      changes      the same change of several keys -> one item that names them              items
                   items -> the design they are shown in -> sections                        designs, models, prices,
                                                                                            parameters, other
    one section    its own design and title                                                 here, section
    several        one message, a section after the other

The worst comes first, in a message and in a section. A section holds at most `MOST_LINES` items; the rest is counted,
never dropped in silence. Nothing raises for what a vendor may have sent: a message that cannot be composed would block
its destination.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.core.compose import conditions, designs
from syncd.core.compose.due import ChangeDue, ConditionDue, Due, Edge
from syncd.core.compose.items import slug_of
from syncd.core.compose.notices import condition_summary
from syncd.core.compose.section import MOST_LINES, Section, merged
from syncd.core.message import Block, Message, Paragraph, bold, names
from syncd.core.rules import Severity, rank
from syncd.core.text import clean, count

__all__ = ["MOST_LINES", "ChangeDue", "ConditionDue", "Due", "Edge", "compose", "condition_summary"]


def compose(due: Sequence[Due], reference: str) -> Message:
    """One message that says everything that is due. `reference` is the delivery's id; `due` is not empty."""
    sections = _sections(due)
    keys = merged(section.keys for section in sections)
    worst, *others = sections
    if others:
        kind, emoji, title = "digest", "📦", _digest_title(sections, keys)
        blocks = tuple(block for section in sections for block in (_heading(section, keys), *section.blocks))
    else:
        kind, emoji, title, blocks = worst.kind, worst.emoji, worst.title, worst.blocks
    titles = "; ".join(section.title for section in sections)
    return Message(
        kind=kind,
        severity=worst.severity,
        emoji=emoji,
        title=title,
        summary=_sentence(titles, worst.severity),
        blocks=blocks,
        keys=tuple(clean(key, 64) for key in keys),
        detected=min(section.at for section in sections),
        reference=reference,
        names=_named(due, titles),
    )


def _sections(due: Sequence[Due]) -> Sequence[Section]:
    """Every section, the worst first."""
    found = (
        *conditions.sections(one for one in due if isinstance(one, ConditionDue)),
        *designs.sections(one for one in due if isinstance(one, ChangeDue)),
    )
    return sorted(found, key=lambda section: rank(section.severity))


def _named(due: Sequence[Due], titles: str) -> tuple[str, ...]:
    """The slugs that stand in the titles, longest first: one may be the beginning of another."""
    slugs = {slug_of(one.change) for one in due if isinstance(one, ChangeDue)}
    return tuple(sorted((slug for slug in slugs if slug in titles), key=len, reverse=True))


def _heading(section: Section, keys: Sequence[str]) -> Block:
    """The section's title, with its keys where they are not all and the title does not name them."""
    named = section.keys == tuple(keys) or names(section.keys) in section.title
    return Paragraph((bold(f"{section.emoji} {section.title}{'' if named else f' · for {names(section.keys)}'}"),))


def _digest_title(sections: Sequence[Section], keys: Sequence[str]) -> str:
    changes = sum(section.changes for section in sections)
    notices = sum(not section.changes for section in sections)
    counts = [count(n, noun) for n, noun in ((notices, "notice"), (changes, "change")) if n]
    return f"{' and '.join(counts)} for {names(keys)}"


def _sentence(text: str, severity: Severity) -> str:
    word = severity.capitalize()
    return clean(text if text.startswith(word) else f"{word}: {text}", 300)

"""What syncd says of itself: a test, the end of a silence, that all is well. A line or two each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from syncd.core.canon import Json
from syncd.core.compose.due import NoticeDue
from syncd.core.compose.section import Section
from syncd.core.message import Block, Paragraph, Span, code, names
from syncd.core.text import clean, count, number

Detail: TypeAlias = Mapping[str, Json]
# Of a notice's detail: its emoji, its title, and the words below it.
Words: TypeAlias = Callable[[Detail], tuple[str, str, tuple[Span, ...]]]

_MOST_LASTING: Final = 5


def sections(due: Iterable[NoticeDue]) -> Iterable[Section]:
    """A section per notice."""
    for one in due:
        emoji, title, words = WORDS[one.kind](one.detail)
        blocks: tuple[Block, ...] = (Paragraph(words),) if words else ()
        design = one.kind.replace(".", "_")
        yield Section(design, "informational", emoji, title, blocks, tuple(one.detail.get("keys", ())), one.at)


def _test(detail: Detail) -> tuple[str, str, tuple[Span, ...]]:
    by = clean(str(detail.get("author") or ""), 60)
    words = (Span(f"Sent by {by or 'somebody'} with "), code("syncd alerts test"), Span(". Alerts arrive here."))
    return "🔔", "A test of syncd's alerts", words


def _silence_ended(detail: Detail) -> tuple[str, str, tuple[Span, ...]]:
    """What was muted, and what of it lasts: nobody was told that it began."""
    muted = count(int(detail["muted"]), "alert")
    why = clean(str(detail.get("comment") or ""), 200)
    by = clean(str(detail.get("author") or ""), 60)
    words = (
        Span(f"Set by {by}: {why}. {_lasting(detail.get('open', ()))}What changed meanwhile: "),
        code(f"syncd changes --since {detail['since']}"),
    )
    return "🔈", f"A silence has ended: it muted {muted}", words


def _lasting(titles: Sequence[str]) -> str:
    if not titles:
        return ""
    rest = len(titles) - _MOST_LASTING
    more = f" and {number(rest)} more (syncd status)" if rest > 0 else ""
    return f"Still so: {'; '.join(clean(title, 120) for title in titles[:_MOST_LASTING])}{more}. "


def _summary(detail: Detail) -> tuple[str, str, tuple[Span, ...]]:
    """Watching 42 models on 3 keys; 5 changes; all polls good."""
    models, keys = int(detail["models"]), tuple(str(key) for key in detail["keys"])
    changes, polls, failed = (int(detail[name]) for name in ("changes", "polls", "failed"))
    worked = "all polls good" if not failed else f"{number(failed)} of {count(polls, 'poll')} without an answer"
    title = f"Watching {count(models, 'model')} on {count(len(keys), 'key')}; {count(changes, 'change')}; {worked}"
    since = (Span(f"Since {detail['since']}, for {names(keys)}. "), code("syncd changes"), Span(" shows every change."))
    return "🗓️", title, since


WORDS: Final[Mapping[str, Words]] = {"test": _test, "silence.ended": _silence_ended, "summary": _summary}

"""Conditions that opened or closed.

due --the same one of several keys--> one section: since when, what is known, the vendor's advice, what to do
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from syncd.core.canon import Json, is_number
from syncd.core.compose.due import ConditionDue
from syncd.core.compose.section import MOST_LINES, Section, and_more, merged
from syncd.core.compose.states import STATES, closed_title, opened_title
from syncd.core.message import Block, Bullets, Code, Paragraph, Quote, Span, bold, code, names
from syncd.core.rules import CONDITIONS
from syncd.core.text import clean, duration, moment, number

# What the vendor said, and where the condition's detail holds it.
_ANSWER: Final = (("code", "code"), ("request", "request_id"))


def sections(due: Iterable[ConditionDue]) -> Iterable[Section]:
    """A section per condition; the same one of several keys is told once and names them."""
    due = list(due)
    # Where its beginning is still to be told, that tells of its end too.
    beginning = {one.condition for one in due if one.edge == "opened"}
    grouped: dict[tuple[str, ...], list[ConditionDue]] = {}
    for one in due:
        if one.edge == "opened" or one.condition not in beginning:
            grouped.setdefault(_alike(one), []).append(one)
    for ones in grouped.values():
        yield _opened(ones) if ones[0].edge == "opened" else _closed(ones)


def _alike(one: ConditionDue) -> tuple[str, ...]:
    if one.kind.startswith("access."):
        return (one.kind, one.edge, str(one.detail.get("status")), str(one.detail.get("code")))
    return (one.kind, one.edge, one.subject, one.opened_at.isoformat())


def _opened(ones: Sequence[ConditionDue]) -> Section:
    first = ones[0]
    state = STATES[first.kind]
    keys = merged(one.keys for one in ones)
    since = moment(min(one.opened_at for one in ones))
    title = opened_title(first.kind, first.detail, keys)
    if all(one.closed_at is not None for one in ones):
        return _over(ones, title, keys)
    blocks = (
        Paragraph((Span(f"Since {since}. "), bold(state.meanwhile))),
        *_known(ones),
        *and_more(len(ones), "syncd status"),
        *_advice(ones),
        *_gauge(first.detail),
        Paragraph(state.remedy),
    )
    at = min(one.at for one in ones)
    return Section(state.design, CONDITIONS[first.kind], state.emoji, title, blocks, keys, at)


def _over(ones: Sequence[ConditionDue], title: str, keys: tuple[str, ...]) -> Section:
    """What a message that told of the beginning says once it is over, or nobody asks any more."""
    first = ones[0]
    until = max(one.closed_at for one in ones if one.closed_at is not None)
    since = min(one.opened_at for one in ones)
    retired = all(one.detail.get("retired") and not one.detail.get("recovered") for one in ones)
    word = "No longer watched" if retired else "Over"
    text = f"From {moment(since)} to {moment(until)}, for {duration(until - since)}."
    blocks = (Paragraph((Span(text),)), *_known(ones))
    at = min(one.at for one in ones)
    return Section(STATES[first.kind].design, "informational", "✅", f"{word}: {title}", blocks, keys, at)


def _closed(ones: Sequence[ConditionDue]) -> Section:
    kind = ones[0].kind
    keys = merged(one.keys for one in ones)
    lasted = max(one.at - one.opened_at for one in ones)
    text = f"After {duration(lasted)}. {STATES[kind].afterwards}"
    blocks = (Paragraph((Span(text),)),)
    at = min(one.at for one in ones)
    return Section(
        STATES[kind].design, "informational", "✅", closed_title(kind, ones[0].detail, keys), blocks, keys, at
    )


def _advice(ones: Sequence[ConditionDue]) -> Iterable[Block]:
    """What the vendor says to do next, if it says so."""
    words = next((words for one in ones if (words := clean(str(one.detail.get("next") or ""), 300))), "")
    if words:
        yield Quote(words)


# --- what is known -------------------------------------------------------------------------------------------------


def _known(ones: Sequence[ConditionDue]) -> Iterable[Block]:
    """The facts of one condition, a line each; of several, a condition a line."""
    say = _facts if len(ones) == 1 else _facts_in_a_line
    facts = tuple(line for one in ones[:MOST_LINES] for line in say(one))
    if facts:
        yield Bullets(facts)


def _facts(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    match one.kind:
        case "vendor.unreachable":
            return _facts_of_vendor(one)
        case "destination.broken":
            return _facts_of_destination(one.detail)
        case "listing.suspicious":
            return _facts_of_listing(one.detail)
        case "balance.low":
            return _facts_of_balance(one.detail)
    return _facts_of_access(one.detail)


def _facts_of_destination(detail: Mapping[str, Json]) -> Iterable[tuple[Span, ...]]:
    if detail.get("what"):
        yield (Span("It answers "), code(clean(str(detail["what"]), 80)))
    if detail.get("hint"):
        hint = clean(str(detail["hint"]), 300)
        yield (Span(hint[:1].upper() + hint[1:]),)


def _facts_in_a_line(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    parts = [span for line in _facts(one) for span in (Span(" · "), *line)]
    over = [Span(" · over")] if one.closed_at is not None else []
    yield (code(names(one.keys)), *parts, *over)


def _facts_of_vendor(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    if one.detail.get("what"):
        what = clean(str(one.detail["what"]), 200)
        yield (Span(what[:1].upper() + what[1:]),)
    yield (Span("Address "), code(clean(one.subject.removeprefix("url:"), 120)))
    yield (Span(f"Affected: {names(one.keys)}"),)


def _facts_of_listing(detail: Mapping[str, Json]) -> Iterable[tuple[Span, ...]]:
    missing, known = _number(detail, "missing"), _number(detail, "of")
    if missing is not None and known is not None:
        yield (bold(number(missing)), Span(f" of {number(known)} models are missing from one poll to the next"))


# What is known of a balance, and how each is said.
_OF_BALANCE: Final = (
    ("left", "Left {} credits"),
    ("burn", "Burns {} credits a day"),
    ("days", "Empty in about {} days"),
)


def _facts_of_balance(detail: Mapping[str, Json]) -> Iterable[tuple[Span, ...]]:
    for name, words in _OF_BALANCE:
        if (value := _number(detail, name)) is not None:
            yield (Span(words.format(number(value))),)
    below, rearm = _number(detail, "below"), _number(detail, "rearm")
    if below is not None and rearm is not None:
        unit = clean(str(detail.get("unit") or ""), 20)
        yield (Span(f"Told below {number(below)} {unit}, and again once it has been above {number(rearm)}"),)


_GAUGE: Final = 20


def _gauge(detail: Mapping[str, Json]) -> Iterable[Block]:
    """How much is left of what counts as low."""
    unit = clean(str(detail.get("unit") or ""), 20)
    left, below = _number(detail, "days" if unit == "days" else "left"), _number(detail, "below")
    if left is None or below is None or below <= 0:
        return
    full = max(0, min(_GAUGE, int(_GAUGE * left / below)))
    yield Code((f"{'█' * full}{'░' * (_GAUGE - full)} {number(left)} of {number(below)} {unit}",))


def _number(detail: Mapping[str, Json], name: str) -> int | Decimal | None:
    value = detail.get(name)
    return value if is_number(value) else None


def _facts_of_access(detail: Mapping[str, Json]) -> Iterable[tuple[Span, ...]]:
    if answer := tuple(_answer(detail)):
        yield answer
    if detail.get("fingerprint"):
        yield (Span("Fingerprint "), code(clean(str(detail["fingerprint"]), 20)))


def _answer(detail: Mapping[str, Json]) -> Iterable[Span]:
    known = [(name, clean(str(detail[field]), 80)) for name, field in _ANSWER if detail.get(field)]
    for n, (name, value) in enumerate(known):
        yield Span(f" · {name} " if n else f"{name.capitalize()} ")
        yield code(value)

"""Conditions that opened, last, or closed.

due --the same one of several keys--> one section: since when, what is known, the vendor's advice, what to do
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from syncd.core.canon import Json, is_number
from syncd.core.compose.due import ConditionDue
from syncd.core.compose.section import MOST_LINES, Section, and_more, merged
from syncd.core.compose.states import STATES, afterwards, closed_title, opened_title
from syncd.core.message import Block, Bullets, Code, Paragraph, Quote, Span, bold, code, names
from syncd.core.rules import CONDITIONS
from syncd.core.text import clean, duration, moment, number

# What the vendor said, and where the condition's detail holds it.
_ANSWER: Final = (("code", "code"), ("request", "request_id"))


def sections(due: Iterable[ConditionDue]) -> Iterable[Section]:
    """A section per condition; the same one of several keys is told once and names them."""
    due = list(due)
    grouped: dict[tuple[str, ...], list[ConditionDue]] = {}
    for one in due:
        if not _is_told_by_another(one, due):
            grouped.setdefault(_alike(one), []).append(one)
    for ones in grouped.values():
        yield _closed(ones) if ones[0].edge == "closed" else _lasting(ones)


def _is_told_by_another(one: ConditionDue, due: Iterable[ConditionDue]) -> bool:
    """Where its beginning is still to be told, that tells of its end too; either tells more than that it lasts."""
    others = {other.edge for other in due if other.condition == one.condition and other.edge != one.edge}
    return "opened" in others or (one.edge == "reminder" and bool(others))


def _alike(one: ConditionDue) -> tuple[str, ...]:
    if one.kind.startswith("access."):
        return (one.kind, one.edge, str(one.detail.get("status")), str(one.detail.get("code")))
    return (one.kind, one.edge, one.subject, one.opened_at.isoformat())


def _lasting(ones: Sequence[ConditionDue]) -> Section:
    """That it began, or still lasts: the facts as they are now."""
    first = ones[0]
    state = STATES[first.kind]
    keys = merged(one.keys for one in ones)
    since = moment(min(one.opened_at for one in ones))
    title = opened_title(first.kind, first.detail, keys)
    if all(one.closed_at is not None for one in ones):
        return _over(ones, title, keys)
    if first.edge == "reminder":
        title = f"Still: {title}, for {duration(max(one.at - one.opened_at for one in ones))}"
    blocks = (
        Paragraph((Span(f"Since {since}. "), bold(state.meanwhile))),
        *_known(ones),
        *and_more(len(ones), "syncd status"),
        *_advice(ones),
        *_gauge(first),
        Paragraph(state.remedy),
    )
    at = min(one.opened_at for one in ones)
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
    kind, detail = ones[0].kind, ones[0].detail
    keys = merged(one.keys for one in ones)
    lasted = max(one.at - one.opened_at for one in ones)
    blocks = (Paragraph((Span(f"After {duration(lasted)}. {afterwards(kind, detail)}"),)),)
    at = min(one.at for one in ones)
    title = closed_title(kind, detail, keys)
    return Section(STATES[kind].design, "informational", "✅", title, blocks, keys, at)


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
            return _facts_of_balance(one)
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
    if why := _why_suspicious(detail):
        yield why
    if requests := _texts(detail.get("requests")):
        yield (Span("In doubt, for they use such models: "), code(names(requests)))


def _why_suspicious(detail: Mapping[str, Json]) -> tuple[Span, ...]:
    """A share never without the numbers: of a small catalogue a third is little."""
    missing, known = _number(detail, "missing"), _number(detail, "of")
    if detail.get("why") == "incomplete":
        return (Span("It looks like one page of several: what is not on it counts as neither gone nor missing"),)
    if missing is None or known is None:
        return ()
    share = f" ({100 * missing / known:.0f} %)" if 0 < missing <= known else ""
    of = f"{number(missing)} of {number(known)} models"
    match detail.get("why"):
        case "emptied":
            return (bold("It is empty:"), Span(f" 0 of {number(known)} models are left"))
        case "rotated":
            return (
                Span("The key was replaced, and "),
                bold(of),
                Span(f"{share} are missing from what the new one lists"),
            )
    return (bold(of), Span(f"{share} are missing from one poll to the next"))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list | tuple) else ()


# What is known of a balance, and how each is said.
_OF_BALANCE: Final = (
    ("left", "Left {} credits"),
    ("burn", "Burns {} credits a day"),
    ("days", "Empty in about {} days"),
)


def _facts_of_balance(one: ConditionDue) -> Iterable[tuple[Span, ...]]:
    for name, words in _OF_BALANCE:
        if (value := _number(one.detail, name)) is not None:
            yield (Span(words.format(number(value))),)
    for request in _too_dear(one):
        costs = number(request["credits"])
        name, slug = clean(str(request.get("request")), 80), clean(str(request.get("model")), 80)
        yield (Span("Not enough for your request "), code(name), Span(f": at least {costs} credits on "), code(slug))
    below, rearm = _below(one), _number(one.detail, "rearm")
    if below is not None and rearm is not None:
        unit = clean(str(one.detail.get("unit") or ""), 20)
        yield (Span(f"Told below {number(below)} {unit}, and again once it has been above {number(rearm)}"),)


def _too_dear(one: ConditionDue) -> Sequence[Mapping[str, Json]]:
    """The requests that there is too little for, each once: of the keys that may be named."""
    by_key = one.detail.get("requests") or {}
    theirs = [by_key[key] for key in one.keys if key in by_key and _number(by_key[key], "credits") is not None]
    return [request for n, request in enumerate(theirs[:MOST_LINES]) if request not in theirs[:n]]


def _below(one: ConditionDue) -> int | Decimal | None:
    """Below what it is low; None where that is what another key's request costs."""
    below = _number(one.detail, "below")
    shared = one.detail.get("why") != "cheapest" or any(request["credits"] == below for request in _too_dear(one))
    return below if shared else None


_GAUGE: Final = 20


def _gauge(one: ConditionDue) -> Iterable[Block]:
    """How much is left of what counts as low."""
    unit = clean(str(one.detail.get("unit") or ""), 20)
    left, below = _number(one.detail, "days" if unit == "days" else "left"), _below(one)
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

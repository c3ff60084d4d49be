"""Parameters that changed: how many break, what they are, how a spec was and is, and a request that fails now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from syncd.core import wording
from syncd.core.canon import MISSING
from syncd.core.changes import Change
from syncd.core.compose.items import Item, Saying, lines, phrase, phrase_of_model, section, slug_of
from syncd.core.compose.saved import touched
from syncd.core.compose.section import MOST_LINES, Section
from syncd.core.message import EMOJI, Block, Code, Paragraph, Span, bold, code
from syncd.core.rules import Severity
from syncd.core.text import count, number, shown

# Few enough for a section each where parameters of several models changed.
_MOST_OWN_SECTIONS: Final = 3

# /models/{slug}/params/{name}
_PARAM_DEPTH: Final = 4


def changed(items: list[Item]) -> Iterable[Section]:
    """A section for each model, or one for all where there are many."""
    by_slug: dict[str | None, list[Item]] = {}
    for item in items:
        by_slug.setdefault(item.change.slug, []).append(item)
    if len(by_slug) > _MOST_OWN_SECTIONS:
        yield _section(items, count(len(by_slug), "model"), phrase_of_model)
        return
    for members in by_slug.values():
        yield _section(members, slug_of(members[0].change), phrase, *_spec_lines(members))


def _section(items: list[Item], whose: str, say: Saying, *specs: Block) -> Section:
    breaking = sum(item.change.severity == "breaking" for item in items)
    title = f"Breaking change{'' if breaking == 1 else 's'}: {whose}" if breaking else f"Parameters changed: {whose}"
    blocks = (Paragraph(tuple(_tally(items))), *touched(items), *lines(items, say), *specs, *_witness(items))
    return section("parameters_changed", EMOJI[items[0].change.severity], title, items, *blocks)


def _tally(items: list[Item]) -> Iterable[Span]:
    """3 breaking and 1 safe change in the request parameters."""
    safe: dict[Severity, str] = {"additive": "safe", "informational": "safe"}
    counts = Counter(safe.get(item.change.severity, item.change.severity) for item in items)
    for n, (word, many) in enumerate(counts.items()):
        yield Span(" and " if n == len(counts) - 1 else ", ") if n else Span("")
        yield bold(f"{number(many)} {word}") if word == "breaking" else Span(f"{number(many)} {word}")
        last = many
    yield Span(f" {'change' if last == 1 else 'changes'} in the request parameters.")
    undecided = sum(not item.change.decided for item in items)
    if undecided:
        of = "" if undecided == len(items) else f" for {number(undecided)} of them"
        yield Span(f" Whether requests break cannot be decided{of}.")
    elif "breaking" not in counts:
        yield Span(" What was accepted still is.")


def _spec_lines(items: list[Item]) -> Iterable[Block]:
    """The parameter before and after, where the change holds its whole spec."""
    specs = [line for item in items[:MOST_LINES] for line in _spec_of(item.change)]
    if specs:
        yield Code(tuple(specs))


def _spec_of(change: Change) -> Iterable[str]:
    """Of the changes of one parameter only the worst holds its specs, unless it is the parameter that came or went."""
    name = change.path[_PARAM_DEPTH - 1]
    new_name = change.detail.get("replacement", name) if change.kind == "param.renamed" else name
    whole = change.kind in ("param.removed", "param.renamed") or change.kind.startswith("param.added.")
    before, after = (
        (change.before, change.after)
        if whole
        else (change.detail.get("spec_before", MISSING), change.detail.get("spec_after", MISSING))
    )
    old, new = (
        None if spec is MISSING else wording.spec_line(shown(called, 80), spec)
        for called, spec in ((name, before), (new_name, after))
    )
    # What differs only where a line has no room says nothing.
    if old != new:
        yield from (f"{sign} {line}" for sign, line in (("-", old), ("+", new)) if line is not None)


def _witness(items: list[Item]) -> Iterable[Block]:
    proof = next((item.change.witness for item in items if item.change.witness is not None), None)
    if proof is not None:
        yield Paragraph((Span("Worked before, fails now: "), code(shown(proof, 300))))

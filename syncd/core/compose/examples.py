"""How to start with a new model: what a first request needs, and the vendor's own example of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from syncd.core.canon import Json, dumps
from syncd.core.compat import is_required
from syncd.core.message import Block, Code, Paragraph, Span, code
from syncd.core.requests import accepts
from syncd.core.text import clean, number, shown

# So many parameters are named, and so many members of an example shown.
_MOST_MEMBERS: Final = 12


def start_with(slug: str, body: Mapping[str, Json]) -> Iterable[Block]:
    """What a first request to the model needs, and an example of one, unless that would fail."""
    stated = body.get("example_request")
    example: Mapping[str, Json] = stated if isinstance(stated, dict) else {}
    wrong = _wrong(example, body)
    if needed := _needed(body):
        end = "." if not example else f". Its example request {wrong}." if wrong else ". An example request:"
        yield Paragraph((code(slug), Span(" needs "), *_listed(needed), Span(end)))
    elif example:
        how = f": its example request {wrong}." if wrong else " can be called like this:"
        yield Paragraph((code(slug), Span(how)))
    if example and not wrong:
        yield Code(_pretty(example))


def _wrong(example: Mapping[str, Json], body: Mapping[str, Json]) -> str:
    """Why nobody should send it; empty where nothing speaks against it."""
    slug = body.get("slug")
    if example.get("model", slug) != slug:
        return "is one for another model"
    return "is refused by its own parameters" if example and accepts(example, body) == "rejected" else ""


def _needed(body: Mapping[str, Json]) -> Sequence[str]:
    params = body.get("params")
    return [name for name, spec in params.items() if is_required(spec)] if isinstance(params, dict) else []


def _listed(names: Sequence[str]) -> Iterable[Span]:
    for n, name in enumerate(names[:_MOST_MEMBERS]):
        if n:
            yield Span(", ")
        yield code(shown(name, 60))
    if len(names) > _MOST_MEMBERS:
        yield Span(f" and {number(len(names) - _MOST_MEMBERS)} more")


def _pretty(request: Mapping[str, Json]) -> tuple[str, ...]:
    """A request body, a member a line."""
    members = [clean(f"{dumps(name)}: {dumps(value)}", 160) for name, value in list(request.items())[:_MOST_MEMBERS]]
    members += ["…"] if len(request) > _MOST_MEMBERS else []
    starts = ("{", *(" " for _ in members[1:]))
    ends = (*("," for _ in members[1:]), "}")
    return tuple(start + member + end for start, member, end in zip(starts, members, ends, strict=True))

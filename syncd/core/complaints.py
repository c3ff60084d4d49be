"""What is wrong with a request, in sentences for people: one for each way to be refused. Only processes data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from syncd.core import compat
from syncd.core.canon import Json, dumps
from syncd.core.compat import Constraint
from syncd.core.text import clean, count, shown

# What a value of the kind is called.
_WANTED: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "enum": "one of its values",
    "array": "a list",
}
# So many listed values are told; a drop-down of thousands is no sentence.
_TOLD: Final = 8
_TEXT: Final = 60


def told(value: Json) -> str:
    """A value in a sentence: a text in quotes; of a list or an object only that it is one."""
    match value:
        case str():
            return dumps(clean(value, _TEXT))
        case list():
            return f"a list of {count(len(value), 'element')}"
        case dict():
            return "an object"
    return shown(value)


def refused(name: str, value: Json, by: Constraint) -> str:
    """Why the constraint does not let the value through: duration is 12, the most is 10."""
    argument = by.argument
    match by.attribute:
        case "min" | "max":
            return f"{name} is {told(value)}, the {_extreme(by)} is {told(argument)}"
        case "min_length" | "max_length":
            return f"{name} has {count(_length(value), 'character')}, the {_extreme(by)} is {told(argument)}"
        case "min_items" | "max_items":
            return f"{name} has {count(_length(value), 'element')}, the {_extreme(by)} is {told(argument)}"
        case "step":
            return f"{name} is {told(value)}, which is not in steps of {told(argument)}"
        case "values":
            return f"{name} is {told(value)}, which is not among {_listed(argument)}"
        case "pattern":
            return f"{name} is {told(value)}, which does not match {clean(str(argument), _TEXT)}"
        case "type":
            return f"{name} is {told(value)}, where {_WANTED.get(str(argument), 'something else')} is wanted"
    return f"{name} is {told(value)}, which {clean(by.attribute)} does not admit"


def _extreme(by: Constraint) -> str:
    return "least" if by.attribute.startswith("min") else "most"


def _length(value: Json) -> int:
    return len(value) if isinstance(value, str | list) else 0


def _listed(values: Json) -> str:
    if not isinstance(values, list) or not values:
        return "its values: there are none"
    more = len(values) - _TOLD
    told_ones = ", ".join(told(value) for value in values[:_TOLD])
    return f"{told_ones} and {count(more, 'more', 'more')}" if more > 0 else told_ones


def null(name: str, spec: Json) -> str:
    """Null was sent, and is no value here."""
    kind = compat.kind_of(spec)
    return f"{name} is null, where {_WANTED.get(str(kind), 'a value')} is wanted"


def one_reading(name: str, value: Json, step: Json, low: Json) -> str:
    """Where a step begins to count decides, and the vendor does not say where it does."""
    return (
        f"{name} is {told(value)}: whether that is in steps of {told(step)} depends on whether they are counted from 0 "
        f"or from the minimum {told(low)}, which the vendor does not say"
    )


def more_elements(name: str, many: int) -> str:
    """So many elements are refused that not each is told."""
    return f"{name} has {count(many, 'more element')} that would be refused"


def more_unclear(name: str, many: int) -> str:
    """So many elements cannot be judged that not each is told."""
    return f"whether {count(many, 'more element')} of {name} would be accepted cannot be told"


def unreadable(name: str, spec: Json) -> str:
    """Why nothing more can be said of a parameter's values."""
    reasons = "; ".join(islice(_unread(spec), 3)) or "its description is not understood"
    return f"whether {name} is accepted cannot be told: {reasons}"


def _unread(spec: Json) -> Iterator[str]:
    if not isinstance(spec, dict):
        yield "its description is not an object"
        return
    if compat.kind_of(spec) is None:
        stated = spec.get("type")
        yield "it has no type" if stated is None else f"the type {told(stated)} is not known"
        return
    core = {key: spec[key] for key in ("type", "values", "items") if key in spec}
    if not compat.domain(core).decided:
        yield "its values are not published or not readable"
    # Each other attribute beside what is readable without it.
    type_alone = {"type": spec["type"], "values": []}
    for attribute in spec.keys() - core.keys():
        if not compat.domain({**type_alone, attribute: spec[attribute]}).decided:
            yield f"{clean(attribute, _TEXT)} is {told(spec[attribute])}, which is not understood"

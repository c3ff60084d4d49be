"""A model's parameters as JSON Schema (draft 2020-12): what a request to it has to be.

    of_request   a model's body  -> the schema of a request; of contents that conflict, all of theirs at once
      of_spec    one parameter   -> the schema of its values

It admits exactly what `compat.contains` does, the grid of a `step` counted from zero. What cannot be translated is left
out, which admits more, and a ``$comment`` says so. Numbers stay exact: write the result with `canon.dumps`.
Only processes data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

from syncd.core import compat, findings
from syncd.core.canon import Json, canonical
from syncd.core.compat import Constraint

Schema: TypeAlias = dict[str, Any]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


# --- a request -------------------------------------------------------------------------------------------------------


def of_request(slug: str, body: Json, *, unknown_params: Literal["reject", "ignore"] = "reject") -> Schema:
    """The schema of a request to the model. `body` is a list where the slug is listed with different contents."""
    if not isinstance(body, list):
        return {"$schema": _DRAFT, **_of_content(slug, body, unknown_params)}
    why = f"The vendor lists this model {len(body)} times with different contents. What all of them accept is right."
    return {"$schema": _DRAFT, "$comment": why, "allOf": [_of_content(slug, one, unknown_params) for one in body]}


def _of_content(slug: str, body: Json, unknown_params: str) -> Schema:
    params = body.get("params") if isinstance(body, dict) else None
    model = {"model": {"const": slug}}
    if not isinstance(params, dict):
        why = "The vendor does not publish the parameters of this model, so nothing is known of them."
        return {**_titles(body), "$comment": why, "type": "object", "properties": model, "required": ["model"]}
    # What says which model is meant is no parameter, whatever is listed under its name.
    sent = {name: spec for name, spec in params.items() if name != "model"}
    return {
        **_titles(body),
        "type": "object",
        "properties": model | {name: of_spec(spec) for name, spec in sent.items()},
        "required": ["model", *(name for name, spec in sent.items() if compat.is_required(spec))],
        "additionalProperties": unknown_params == "ignore",
    }


def _titles(body: Json) -> Schema:
    stated = {"title": body.get("name"), "description": body.get("description")} if isinstance(body, dict) else {}
    return {keyword: text for keyword, text in stated.items() if isinstance(text, str)}


# --- a parameter -----------------------------------------------------------------------------------------------------


def of_spec(spec: Json) -> Schema:
    """The schema of one parameter's values."""
    remarks = list(_remarks(spec))
    comment = {"$comment": "; ".join(remarks)} if remarks else {}
    if not isinstance(spec, dict):
        return comment
    texts = {name: spec[name] for name in ("title", "description") if isinstance(spec.get(name), str)}
    return {**texts, **comment, **_admitted(spec), **_usage(spec)}


def _usage(spec: Mapping[str, Json]) -> Schema:
    """What a validator passes over and a form shows."""
    found: Schema = {"deprecated": True} if spec.get("deprecated") is True else {}
    # Where null is admitted, it may be what holds if nothing is sent; elsewhere it states no default.
    if spec.get("default") is not None or ("default" in spec and spec.get("nullable") is True):
        found["default"] = spec["default"]
    return found


def _admitted(spec: Mapping[str, Json]) -> Schema:
    of = compat.domain(spec)
    schema: Schema = {}
    for constraint in of.constraints:
        schema |= _keyword(constraint, spec)
    if not of.nullable:
        return schema
    # Keywords about numbers, texts and lists say nothing of null; these do.
    if "not" in schema:
        return {"type": "null"}
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _keyword(constraint: Constraint, spec: Mapping[str, Json]) -> Schema:
    argument = constraint.argument
    match constraint.attribute:
        case "type":
            return {} if argument == "enum" else {"type": argument}
        case "values":
            return {"enum": _once(argument)}
        case "min":
            return {"minimum": argument}
        case "max":
            return {"maximum": argument}
        case "step":
            return {"multipleOf": argument}
        case "min_length" | "min_items":
            return {_COUNTS[constraint.attribute]: max(0, math.ceil(Fraction(argument)))}
        case "max_length" | "max_items":
            most = math.floor(Fraction(argument))
            # No text is shorter than the empty one, and no such keyword may be negative.
            return {_COUNTS[constraint.attribute]: most} if most >= 0 else {"not": {}}
        case "pattern":
            return {"pattern": argument} if _is_portable(argument) else {}
        case "items":
            items = compat.items_of(spec)
            return {} if items is None else {"items": of_spec(items)}
    raise ValueError(constraint.attribute)


def _once(values: list[Json]) -> list[Json]:
    """Each value once, as it is spelled first: what makes code of a schema stumbles over repetitions."""
    found: dict[str, Json] = {}
    for value in values:
        found.setdefault(canonical(value), value)
    return list(found.values())


_COUNTS: Final = {
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
}


# --- what could not be translated ------------------------------------------------------------------------------------

_TELLING: Final = frozenset(
    {
        "param.type-unknown",
        "param.attr-unknown",
        "param.attr-misplaced",
        "param.attr-type-invalid",
        "param.domain-empty",
    }
)
_ANYWHERE: Final = ("models", "", "params", "")


def _remarks(spec: Json) -> Iterator[str]:
    # The elements of a list say what is odd about themselves.
    alone = spec
    if isinstance(spec, dict) and isinstance(spec.get("items"), dict):
        alone = {name: argument for name, argument in spec.items() if name != "items"}
    for finding in findings.of_spec(_ANYWHERE, alone):
        if finding.id in _TELLING:
            yield finding.what
    kind = compat.kind_of(spec)
    if kind == "enum" and spec.get("values") is None:
        yield "its values are not published"
    if kind in ("integer", "number") and _is_off_zero(spec):
        yield "whether the step counts from zero or from the minimum is not published: here it counts from zero"
    pattern = spec.get("pattern") if kind == "string" else None
    if isinstance(pattern, str) and compat.well_formed("pattern", pattern) and not _is_portable(pattern):
        yield "the pattern means different things to different validators and is left out"


def _is_off_zero(spec: Mapping[str, Json]) -> bool:
    """Whether a step means something else where it is counted from the minimum."""
    return compat.anchors_matter(spec) and spec["step"] > 0 and Fraction(spec["min"]) % Fraction(spec["step"]) != 0


# Escapes that every dialect of regular expressions reads the same way.
_ESCAPES: Final = frozenset("dDwWsSbBnrtfv")
_TOKENS: Final = re.compile(r"\\.|.", re.DOTALL)
# Flags, names and lookarounds; sets in sets, classes by name, empty sets; a repetition without a lower end.
_DIALECT: Final = re.compile(r"\(\?(?!:)|\[\^?\]|\[[^\]]*\[|\{,|&&|--|~~")


def _is_portable(pattern: str) -> bool:
    """Whether Python, ECMAScript and RE2 all read the pattern the same way."""
    tokens: list[str] = _TOKENS.findall(pattern)
    escaped = [token[1] for token in tokens if len(token) > 1]
    plain = "".join("x" if len(token) > 1 else token for token in tokens)
    return all(c in _ESCAPES or not c.isalnum() for c in escaped) and _DIALECT.search(plain) is None

"""What is odd about one catalogue, whatever it was before: predicates, computed when somebody looks.

    of_catalog   slugs too much alike, the account's limits, what could not be kept, and of every model
      of_model   the price, the category, the example request, and of every parameter
        of_spec  what the spec says of itself: contradictions, defaults it refuses, attributes nobody can read

A finding is no change: it is never stored, routed or told by itself, and no verdict follows from it. What can be read
in two ways, such as where the grid of a `step` begins, is found only if it is odd in both. Only processes data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from syncd.core import compat, complaints
from syncd.core.canon import Json, Path, canonical, is_number, pointer
from syncd.core.catalog import Catalog
from syncd.core.compat import Constraint
from syncd.core.complaints import told
from syncd.core.credits import Band, read_band
from syncd.core.ordinary_specs import is_ordinary
from syncd.core.requests import accepts, validate
from syncd.core.text import clean, count, fold

FINDINGS: Final[Mapping[str, str]] = {
    "param.domain-empty": "the parameter admits no value: its bounds cross, or leave nothing",
    "model.uncallable": "a parameter must be sent and admits no value, so no request is accepted",
    "param.default-out-of-domain": "the parameter itself refuses its default",
    "param.required-with-default": "the parameter must be sent, yet states what holds if it is not",
    "param.enum-duplicate": "a value is listed more than once",
    "param.attr-type-invalid": "an attribute is not of the form it takes, such as a maximum that is a text",
    "param.attr-misplaced": "an attribute that means nothing on this type, such as a maximum of a text",
    "param.attr-unknown": "an attribute that syncd does not know; verdicts about the parameter stay undecided",
    "param.values-unpublished": "an enum or a list does not say what it takes; verdicts about it stay undecided",
    "param.type-unknown": "the type is missing, or syncd does not know it; verdicts about the parameter stay undecided",
    "model.example-request-invalid": "the example request is refused by the model's own parameters",
    "model.example-slug-mismatch": "the example request is one for another model, or for none",
    "model.unkeyable": "a model without a usable slug; it is left out, because nothing can be kept under it",
    "category-unknown": "the category is none of those that the vendor documents",
    "credits.band-crossed": "the price's minimum is above its maximum",
    "credits.band-invalid": "the price is no price",
    "credits.band-partial": "the price states only one of its ends",
    "catalogue.duplicate-slug.identical": "a slug is listed more than once with the same content, and counts once",
    "catalogue.duplicate-slug.conflicting": "a slug is listed more than once with different contents; a request counts"
    " as accepted only if all of them accept it",
    "catalogue.slug-near-collision": "slugs that differ only in case, in the space around them or in their encoding",
    "account.limit-invalid": "a rate limit is not a number that can be one",
}

CATEGORIES: Final = ("image", "video", "audio", "text", "utility")
_LIMITS: Final = ("calls_per_minute", "concurrent_jobs")


@dataclass(frozen=True, slots=True)
class Finding:
    """One oddity: its id, where it is in the canonical document (a JSON Pointer), and a sentence about it."""

    id: str
    place: str
    what: str


def _found(kind: str, path: Path, what: str) -> Finding:
    return Finding(kind, pointer(path), what)


# --- a parameter -----------------------------------------------------------------------------------------------------


def of_spec(path: Path, spec: Json) -> Iterator[Finding]:
    """What is odd about one parameter; `path` leads to it. Cheap: ordinary specs are left at a glance."""
    if not is_ordinary(spec):
        yield from _looked_at(path, spec)


def _looked_at(path: Path, spec: Json) -> Iterator[Finding]:
    yield from _of_values(path, spec)
    if not isinstance(spec, dict):
        return
    yield from _of_domain(path, spec)
    if compat.is_required(spec) and spec.get("default") is not None:
        what = f"must be sent, yet the default is {told(spec['default'])}"
        yield _found("param.required-with-default", (*path, "default"), what)


def _of_values(path: Path, spec: Json) -> Iterator[Finding]:
    """What holds of the elements of a list too, whose spec has no default and is never required."""
    kind = compat.kind_of(spec)
    if kind is None:
        yield _found("param.type-unknown", (*path, "type") if _states_type(spec) else path, _why_unknown(spec))
    if not isinstance(spec, dict):
        return
    if (kind == "enum" and spec.get("values") is None) or (kind == "array" and compat.items_of(spec) is None):
        name = "values" if kind == "enum" else "items"
        yield _found("param.values-unpublished", (*path, name) if name in spec else path, f"states no {name}")
    for name, argument in spec.items():
        if name not in compat.ANNOTATIONS or name == "required":
            yield from _of_attribute((*path, name), kind, argument)


def _states_type(spec: Json) -> bool:
    return isinstance(spec, dict) and spec.get("type") is not None


def _why_unknown(spec: Json) -> str:
    if not isinstance(spec, dict):
        return f"is no object but {told(spec)}"
    return f"the type {told(spec['type'])} is not known" if _states_type(spec) else "states no type"


def _of_attribute(path: Path, kind: compat.Kind | None, argument: Json) -> Iterator[Finding]:
    name = path[-1]
    constrained = compat.CONSTRAINTS.get(name)
    if constrained is None:
        yield from _of_flag(path, argument) if name in _FLAGS else _of_unknown(path, kind)
    elif kind is None or argument is None:
        return  # with a type that nobody knows it may mean anything; null says nothing
    elif kind not in constrained:
        yield _found("param.attr-misplaced", path, f"{name} means nothing on the type {kind}")
    elif name == "items" and isinstance(argument, dict):
        yield from _of_values(path, argument)
        yield from _of_emptiness(path, argument)
    elif not compat.well_formed(name, argument):
        what = f"{name} cannot be {told(argument)}, which is not taken into account"
        yield _found("param.attr-type-invalid", path, what)
    elif name == "values":
        yield from _of_list(path, argument)


_FLAGS: Final = frozenset({"required", "nullable"})


def _of_flag(path: Path, argument: Json) -> Iterator[Finding]:
    if argument is not None and not isinstance(argument, bool):
        what = f"{path[-1]} is neither true nor false but {told(argument)}, and counts as false"
        yield _found("param.attr-type-invalid", path, what)


def _of_unknown(path: Path, kind: compat.Kind | None) -> Iterator[Finding]:
    # Of a type that is not known, its own attributes are not known either: once is enough.
    if kind is not None:
        yield _found("param.attr-unknown", path, f"{clean(path[-1], 60)} is not known: it may narrow what is admitted")


def _of_list(path: Path, values: list[Json]) -> Iterator[Finding]:
    """Values that stand there twice, each named once."""
    seen: set[str] = set()
    twice: dict[str, Json] = {}
    for value in values:
        key = canonical(value)
        if key in seen:
            twice[key] = value
        seen.add(key)
    if twice:
        first = ", ".join(told(value) for value in list(twice.values())[:_MOST_VALUES])
        more = f" and {len(twice) - _MOST_VALUES} more" if len(twice) > _MOST_VALUES else ""
        yield _found("param.enum-duplicate", path, f"listed more than once: {first}{more}")


_MOST_VALUES: Final = 3


# --- what it admits --------------------------------------------------------------------------------------------------


def _of_domain(path: Path, spec: Mapping[str, Json]) -> Iterator[Finding]:
    default = spec.get("default")
    refused = () if default is None else _refused(spec, default)
    if refused:
        what = "; ".join(complaints.refused("the default", default, by) for by in refused)
        yield _found("param.default-out-of-domain", (*path, "default"), what)
    if default is not None and not refused:
        return  # what is admitted is not nothing
    for finding in _of_emptiness(path, spec):
        yield finding
        if compat.is_required(spec):
            what = f"{clean(path[-1], 60)} must be sent and admits no value: no request is accepted"
            yield _found("model.uncallable", path[:-2], what)


def _refused(spec: Mapping[str, Json], value: Json) -> tuple[Constraint, ...]:
    """What refuses the value wherever the grid of a step begins; of a wrong type no more is said."""
    refused = compat.refusals(compat.domain(spec), value)
    if not refused or _is_admitted_at_min(spec, value):
        return ()
    return refused[:1] if refused[0].attribute == "type" else refused


def _is_admitted_at_min(spec: Mapping[str, Json], value: Json) -> bool:
    return compat.anchors_matter(spec) and compat.contains(compat.domain(spec, grid_at_min=True), value)


def _of_emptiness(path: Path, spec: Mapping[str, Json]) -> Iterator[Finding]:
    if _NARROWING.isdisjoint(spec) or not _is_empty(spec):
        return
    yield _found("param.domain-empty", path, f"admits no value: {_why_empty(spec)}")


# Without any of these there is always some value; the elements of a list may always be none.
_NARROWING: Final = compat.CONSTRAINTS.keys() - {"items", "pattern"}


def _is_empty(spec: Mapping[str, Json]) -> bool:
    of = compat.domain(spec)
    unpublished = of.kind == "enum" and of.get("values") is None
    if of.kind is None or of.nullable or unpublished or compat.sample(of) is not None:
        return False
    return not compat.anchors_matter(spec) or compat.sample(compat.domain(spec, grid_at_min=True)) is None


def _why_empty(spec: Mapping[str, Json]) -> str:
    """The attributes that leave nothing between them, as stated."""
    of = compat.domain(spec)
    stated = [c for c in of.constraints if c.attribute in _NARROWING]
    return ", ".join(f"{c.attribute} {told(c.argument)}" for c in stated)


# --- a model ---------------------------------------------------------------------------------------------------------


def of_model(slug: str, body: Json) -> list[Finding]:
    """Everything odd about one model. `body` is a list where the slug is listed with different contents."""
    path = ("models", slug)
    if not isinstance(body, list):
        return list(_of_content(path, body))
    what = f"listed with {count(len(body), 'different content')}: a request has to suit all of them"
    inside = (finding for n, one in enumerate(body) for finding in _of_content((*path, str(n)), one))
    return [_found("catalogue.duplicate-slug.conflicting", path, what), *inside]


def _of_content(path: Path, body: Json) -> Iterator[Finding]:
    if not isinstance(body, dict):
        return
    category, params = body.get("category"), body.get("params")
    if category is not None and category not in CATEGORIES:
        what = f"{told(category)} is none of {', '.join(CATEGORIES)}"
        yield _found("category-unknown", (*path, "category"), what)
    yield from _of_band((*path, "credits_band"), read_band(body.get("credits_band")), body.get("credits_band"))
    if isinstance(params, dict):
        for name, spec in params.items():
            yield from of_spec((*path, "params", name), spec)
    if body.get("example_request") is not None:
        yield from _of_example((*path, "example_request"), body["example_request"], body)


def _of_band(path: Path, band: Band, raw: Json) -> Iterator[Finding]:
    if band.form == "crossed":
        what = f"the minimum {told(band.low)} is above the maximum {told(band.high)}"
        yield _found("credits.band-crossed", path, what)
    elif band.form == "partial":
        stated, missing = ("minimum", "maximum") if band.high is None else ("maximum", "minimum")
        edge = band.low if band.high is None else band.high
        yield _found("credits.band-partial", path, f"states the {stated} {told(edge)} and no {missing}")
    elif band.form == "invalid":
        yield _found("credits.band-invalid", path, f"{told(raw)} is no price")


def _of_example(path: Path, example: Json, body: Mapping[str, Json]) -> Iterator[Finding]:
    if not isinstance(example, dict):
        yield _found("model.example-request-invalid", path, f"is no object but {told(example)}")
        return
    named = example.get("model")
    if named != body.get("slug"):
        what = "names no model" if named is None else f"names the model {told(named)}"
        yield _found("model.example-slug-mismatch", (*path, "model") if "model" in example else path, what)
    if accepts(example, body) == "rejected":
        wrong = [problem.message for problem in validate(example, body).problems if problem.decided]
        more = [f"{len(wrong) - _MOST_PROBLEMS} more"] if len(wrong) > _MOST_PROBLEMS else []
        yield _found("model.example-request-invalid", path, "; ".join([*wrong[:_MOST_PROBLEMS], *more]))


_MOST_PROBLEMS: Final = 8


# --- a catalogue -----------------------------------------------------------------------------------------------------


def of_catalog(catalog: Catalog) -> list[Finding]:
    """Everything odd about one catalogue: the account, what was left out or merged, then each model."""
    models = catalog.models
    return [
        *of_account(catalog.account),
        *(Finding(note.id, note.place, note.what) for note in catalog.notes if note.id in _NOTED),
        *(finding for _, finding in near_collisions(models)),
        *(finding for slug in sorted(models) for finding in of_model(slug, models[slug].body())),
    ]


# What only the answer as it came shows. Different contents are found in what was kept of them.
_NOTED: Final = frozenset({"model.unkeyable", "catalogue.duplicate-slug.identical"})


def of_account(account: Mapping[str, Json]) -> Iterator[Finding]:
    """Rate limits that are none; null and absent state nothing."""
    limits = account.get("rate_limit")
    if limits is not None and not isinstance(limits, dict):
        yield _found("account.limit-invalid", ("rate_limit",), f"is no object but {told(limits)}")
        return
    for name in _LIMITS:
        limit = (limits or {}).get(name)
        if limit is not None and not (is_number(limit) and limit >= 0):
            yield _found("account.limit-invalid", ("rate_limit", name), f"{name} cannot be {told(limit)}")


def near_collisions(slugs: Iterable[str]) -> Iterator[tuple[str, Finding]]:
    """Slugs that a person would take for one another, each with a finding."""
    alike: dict[str, list[str]] = {}
    for slug in sorted(slugs):
        alike.setdefault(fold(slug), []).append(slug)
    for group in alike.values():
        for slug in group if len(group) > 1 else ():
            others = ", ".join(told(other) for other in group if other != slug)
            what = f"differs only in spelling from {clean(others, 300)}"
            yield slug, _found("catalogue.slug-near-collision", ("models", slug), what)

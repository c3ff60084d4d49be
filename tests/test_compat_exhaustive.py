"""The gate: every ordered pair of some small specs, the verdict against brute force by an unrelated validator.

    two specs --model_changes--> verdict, witness        ours
              --translated--> JSON Schema --jsonschema--> which requests of a universe are valid, before and after

Where a `step` begins, at zero or at the minimum, the vendor does not say; what breaks under either reading breaks.
JSON Schema knows the first reading only, so for the second the grid is checked here, beside the schema.
"""

# ruff: noqa: FBT003 - they are JSON's true and false, not flags
from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, TypeGuard

import jsonschema
import pytest

from syncd.core import changes, compat
from syncd.core.canon import canonical, decode, dumps, is_number
from syncd.core.changes import Change, Policy
from syncd.core.compat import admission, numbers

HALF, ONE_AND_HALF, QUARTER = Decimal("0.5"), Decimal("1.5"), Decimal("0.25")


def integer(**attributes: Any) -> dict[str, Any]:
    return {"type": "integer", **attributes}


def number(**attributes: Any) -> dict[str, Any]:
    return {"type": "number", **attributes}


def string(**attributes: Any) -> dict[str, Any]:
    return {"type": "string", **attributes}


def enum(*values: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": "enum", "values": list(values), **attributes}


def array(items: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **attributes}


BOOLEAN = {"type": "boolean"}


SPECS: tuple[dict[str, Any] | None, ...] = (
    None,  # no such parameter
    {"type": "boolean"},
    {"type": "bool", "min": 1},
    enum(),
    enum(True, False),
    enum(False),
    enum("true", "false"),
    enum(1),
    enum(Decimal("1.0"), 2, 3),
    enum(3, 2, 1, 1),
    enum(1, Decimal("1.0"), "1", True),
    enum(True, "1", 1),
    enum(None, 1, Decimal("1.5")),
    enum(""),
    enum("1K", "1k"),
    enum("1k", "1K", "1K"),
    enum("a", "b", "aaaaa"),
    enum("aa", "1:1", "a.b", ""),
    enum([1], {"a": 1}),
    {**enum("a", 2), "max": 1, "max_length": 0},
    integer(),
    integer(min=None, max=None),
    integer(min=1, max=1),
    integer(min=1, max=3),
    integer(min=1, max=4),
    integer(min=0, max=4),
    integer(min=3, max=1),
    integer(min=Decimal("0.5"), max=Decimal("3.5")),
    integer(min=Decimal("1.25"), max=Decimal("1.75")),
    integer(min=-3),
    integer(max=12),
    integer(step=2),
    integer(step=HALF, max=4),
    integer(step=ONE_AND_HALF, min=0, max=9),
    integer(step=ONE_AND_HALF, min=1, max=9),
    integer(step=2, min=0, max=11),
    integer(step=2, min=0, max=10),
    integer(step=2, min=1, max=10),
    integer(step=2, min=1, max=1),
    integer(step=3, min=1, max=10),
    integer(step=3, min=HALF, max=10),
    integer(step=ONE_AND_HALF, min=HALF, max=10),
    integer(step=2, min=HALF, max=10),
    integer(step=4, min=-3, max=-1),
    integer(values=[1, 2, 3]),
    {**integer(min=2, max=9), "values": [3, Decimal("2.0"), 1, "2"]},
    integer(min=1, step=2, values=[1, 2, 3]),
    number(),
    number(min=1, max=1),
    number(min=1, max=3),
    number(min=1, max=Decimal("4.5")),
    number(min=1, max=Decimal("1.5")),
    number(min=QUARTER, max=HALF),
    number(min=HALF, max=QUARTER),
    number(max=0),
    number(min=-2),
    number(step=1),
    number(step=HALF, min=1, max=3),
    number(step=ONE_AND_HALF, min=0, max=3),
    number(step=ONE_AND_HALF, min=1, max=4),
    number(step=3, min=1, max=2),
    number(min=1, max=3, values=[1, 2, 3, 4]),
    string(),
    string(max_length=0),
    string(max_length=2),
    string(min_length=0, max_length=5),
    string(min_length=1),
    string(min_length=3, max_length=3),
    string(min_length=4, max_length=2),
    string(max_length=Decimal("1.5")),
    string(min_length=Decimal("0.5"), max=1),
    string(max_length=-1),
    string(max_length=1, values=["a", "bb", 1]),
    string(values=["a", "b"]),
    string(values=["a", "b", "aa"], pattern="^a"),
    string(max_length=1, pattern=".*"),
    string(pattern="^a", max_length=3),
    string(pattern="^a", max_length=3, min_length=2),
    string(pattern="^[0-9]+$", min_length=1, default="12"),
    string(pattern="^[b-d]{2,}$", max_length=3, default="bb"),
    string(pattern="^x(?=y)", default="xy"),
    {"type": "boolean", "nullable": True},
    integer(min=1, max=3, nullable=True),
    integer(min=1, max=3, nullable=False),
    string(max_length=2, nullable=True),
    enum(1, "a", nullable=True),
    enum(None, 1, nullable=True),
    enum(nullable=True),
    {"type": "string[]"},
    {"type": "string[]", "max_items": 2},
    array(string(max_length=1), min_items=1),
    array(BOOLEAN),
    array(BOOLEAN, max_items=1, nullable=True),
    array({**BOOLEAN, "nullable": True}, max_items=1),
    array(integer(min=1, max=3), max_items=2),
    array(integer(min=1, max=1), max_items=2),
    array(integer(min=1, max=2), min_items=1, max_items=Decimal("2.5")),
    array(number(min=1, max=1), min_items=2, max_items=1),
    array(enum()),
    array(enum(), min_items=1),
    array(enum("a"), max_items=0),
    array(array(BOOLEAN, min_items=1), max_items=1),
    array(string(pattern="^a"), max_items=2),
    array(string(pattern="^(a|b)"), max_items=2),
    array(string(pattern="^x(?=y)"), min_items=1, max_items=2),
    array({**enum(), "nullable": True}, max_items=2),
    array({**integer(min=6, max=5), "nullable": True}, max_items=1),
    enum([], [True], [False]),
    enum([], [1], [1, 1]),
)

UNIVERSE: tuple[Any, ...] = (
    *(int(n) if n.denominator == 1 else float(n) for n in (Fraction(k, 4) for k in range(-4 * 5, 4 * 15))),
    *(-1000, 1000, 1e6),
    *(letter * length for letter in "abcd0A" for length in range(8)),
    *("1", "1K", "1k", "1:1", "a.b", "true", "false", "xy", "12"),
    *(True, False, None, [1], {"a": 1}, []),
    *(
        [element] * length
        for element in (0, 1, 2, 3, 4, "a", "b", "aa", "xy", True, False, None)
        for length in (1, 2, 3)
    ),
    *([1, 2], [True, False], ["a", 1], [[]], [[True]], [[True], [False]], [[1]]),
)
REQUESTS: tuple[dict[str, Any], ...] = ({}, *({"p": value} for value in UNIVERSE))


class Reading:
    """A spec as JSON Schema sees it, its grid at zero or at the minimum."""

    def __init__(self, spec: dict[str, Any] | None, *, required: bool, at_minimum: bool) -> None:
        translated = {} if spec is None else {"p": _schema(spec)}
        self._low = self._step = Fraction(0)
        if at_minimum and "multipleOf" in translated.get("p", {}):  # no list in SPECS holds numbers on a grid
            self._step = Fraction(translated["p"].pop("multipleOf"))
            self._low = Fraction(translated["p"].get("minimum", 0))
        self._validator = jsonschema.Draft202012Validator(
            {
                "type": "object",
                "properties": translated,
                "required": ["p"] if required and spec is not None else [],
                "additionalProperties": False,
            }
        )

    def accepts(self, request: Mapping[str, Any]) -> bool:
        value = request.get("p")
        on_grid = not self._step or not is_plain_number(value) or (Fraction(value) - self._low) % self._step == 0
        return on_grid and self._validator.is_valid(request)


def is_plain_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


NAMES = {
    "min": ("minimum", "integer number"),
    "max": ("maximum", "integer number"),
    "step": ("multipleOf", "integer number"),
    "min_length": ("minLength", "string"),
    "max_length": ("maxLength", "string"),
    "pattern": ("pattern", "string"),
    "values": ("enum", "integer number string enum"),
    "min_items": ("minItems", "array"),
    "max_items": ("maxItems", "array"),
}


def _schema(spec: Mapping[str, Any]) -> dict[str, Any]:
    spec = {**spec, "type": "array", "items": string()} if spec["type"] == "string[]" else spec
    kind = {"bool": "boolean"}.get(spec["type"], spec["type"])
    schema = {} if kind == "enum" else {"type": kind}
    for attribute, (keyword, kinds) in NAMES.items():
        if spec.get(attribute) is not None and kind in kinds.split():
            schema[keyword] = plain(spec[attribute])
    if kind == "array":
        schema["items"] = _schema(spec["items"])
    return {"anyOf": [schema, {"type": "null"}]} if spec.get("nullable") else schema


def plain(value: Any) -> Any:
    """The value in the types that jsonschema knows; every number here is a binary fraction, so nothing is rounded."""
    if isinstance(value, list):
        return [plain(element) for element in value]
    return float(value) if isinstance(value, Decimal) else value


@cache
def readings(number_of_spec: int, *, required: bool) -> tuple[Reading, Reading]:
    spec = SPECS[number_of_spec]
    return tuple(Reading(spec, required=required, at_minimum=at_minimum) for at_minimum in (False, True))  # type: ignore[return-value]


@cache
def accepted(number_of_spec: int, *, required: bool) -> tuple[frozenset[int], ...]:
    """Which requests of the universe are valid, under each reading."""
    return tuple(
        frozenset(n for n, request in enumerate(REQUESTS) if reading.accepts(request))
        for reading in readings(number_of_spec, required=required)
    )


def model(spec: dict[str, Any] | None, *, required: bool) -> dict[str, Any]:
    if spec is None:
        return {"slug": "m", "params": {}}
    return {"slug": "m", "params": {"p": {**spec, "required": True} if required else spec}}


Pair = tuple[tuple[int, bool], tuple[int, bool]]


def every_pair(of: Sequence[int] = range(len(SPECS))) -> Iterable[Pair]:
    sides = list(itertools.product(of, (False, True)))
    return itertools.product(sides, sides)


def wrong_verdicts(pairs: Iterable[Pair]) -> list[str]:
    """The gate itself: what is wrong with the verdict of each pair, in words."""
    wrong = []
    for (a, a_required), (b, b_required) in pairs:
        before, after = accepted(a, required=a_required), accepted(b, required=b_required)
        found = changes.model_changes(
            "m", model(SPECS[a], required=a_required), model(SPECS[b], required=b_required), Policy()
        )
        complaints = [
            *_wrong_severity(found, before, after, undecidable=narrows_texts(a) or narrows_texts(b)),
            *(
                complaint
                for change in found
                if change.severity == "breaking"
                for complaint in _wrong_witness(
                    change, readings(a, required=a_required), readings(b, required=b_required)
                )
            ),
        ]
        wrong += [f"{SPECS[a]} {a_required} -> {SPECS[b]} {b_required}: {complaint}" for complaint in complaints]
    return wrong


Accepted = tuple[frozenset[int], ...]


def narrows_texts(number_of_spec: int) -> bool:
    """Whether a pattern narrows texts that nobody can list: then a verdict may be left open, but must not be wrong."""
    spec = SPECS[number_of_spec] or {}
    return any("pattern" in each and each["pattern"] != ".*" for each in (spec, spec.get("items", {})))


def _wrong_severity(found: list[Change], before: Accepted, after: Accepted, *, undecidable: bool) -> Iterator[str]:
    open_ = not all(change.decided for change in found)
    if open_ and not undecidable:
        yield "not decided"
        return
    lost = any(old - new for old, new in zip(before, after, strict=True))
    gained = any(new - old for old, new in zip(before, after, strict=True))
    severities = {change.severity for change in found}
    if open_ and "breaking" not in severities:
        return
    if ("breaking" in severities) != lost:
        yield f"breaking={not lost}, yet some request is {'' if lost else 'not '}lost"
    # The rule book calls a new optional parameter additive, even one that admits nothing.
    added = any(change.kind.startswith("param.added") for change in found)
    if not lost and not added and not undecidable and any(before) and ("additive" in severities) != gained:
        yield f"additive={not gained}, yet some request is {'' if gained else 'not '}gained"


def _wrong_witness(change: Change, before: Sequence[Reading], after: Sequence[Reading]) -> Iterator[str]:
    if change.witness is None and not change.decided:
        return
    if change.witness is None:
        yield f"{change.kind} has no witness"
        return
    request = {name: plain(value) for name, value in change.witness.items()}
    if not any(a.accepts(request) and not b.accepts(request) for a, b in zip(before, after, strict=True)):
        yield f"{change.kind} has the witness {request}, which proves nothing"


def only_if_anchored(pair: Pair) -> bool:
    """Whether the pair breaks only where a step counts from the minimum."""
    (a, a_required), (b, b_required) = pair
    before, after = accepted(a, required=a_required), accepted(b, required=b_required)
    return not before[0] - after[0] and bool(before[1] - after[1])


def test_no_pair_of_small_specs_gets_a_wrong_verdict():
    assert wrong_verdicts(every_pair()) == []


def test_only_a_step_beside_a_minimum_is_judged_more_strictly_than_json_schema_would():
    stricter = [pair for pair in every_pair() if only_if_anchored(pair)]
    assert stricter
    for pair in stricter:
        assert any(compat.anchors_matter(SPECS[number]) for number, _ in pair)


# Of these few specs have the attribute: those of its kind without it are taken too.
KIN = {"pattern": "string", "items": "array", "min_items": "array", "max_items": "array"}


@pytest.mark.parametrize("attribute", ["type", *compat.CONSTRAINTS])
def test_the_gate_notices_a_rule_that_lets_everything_through(attribute, monkeypatch):
    some = [
        n for n, spec in enumerate(SPECS) if spec is None or attribute in spec or KIN.get(attribute) == spec["type"]
    ]
    some = some[: 12 if attribute not in KIN else None]
    assert wrong_verdicts(every_pair(some)) == []
    monkeypatch.setitem(admission.RULES, attribute, lambda _constraint, _value: True)
    assert wrong_verdicts(every_pair(some)) != []


def test_the_gate_notices_a_probe_too_few(monkeypatch):
    some = [n for n, spec in enumerate(SPECS) if spec is not None and spec["type"] == "number"]
    assert wrong_verdicts(every_pair(some)) == []
    monkeypatch.setattr(numbers, "wanted", lambda _: 1)
    assert wrong_verdicts(every_pair(some)) != []


# --- what no small universe shows ----------------------------------------------------------------------------------


def one_change(old: dict[str, Any], new: dict[str, Any]) -> Change:
    """The change between two specs that were sent as JSON."""
    before, after = (decode(dumps(model(spec, required=False))).value for spec in (old, new))
    (change,) = changes.model_changes("m", before, after, Policy())
    return change


GOOGOL = 10**100
TINY = Decimal("1E-40")
HAIR_OVER_ONE = Decimal("1." + "0" * 39 + "1")

FAR_AND_NARROW = [
    ("one off a huge maximum", integer(max=GOOGOL), integer(max=GOOGOL - 1), GOOGOL),
    ("half off a huge maximum", number(max=Decimal(f"{GOOGOL}.5")), number(max=GOOGOL), Decimal(f"{GOOGOL}.5")),
    (
        "an interval narrower than any step",
        number(min=1, max=HAIR_OVER_ONE),
        number(min=1, max=HAIR_OVER_ONE, step=TINY * 2),
        None,
    ),
    ("a maximum a hair lower", number(min=1, max=HAIR_OVER_ONE), number(min=1, max=1), HAIR_OVER_ONE),
    ("a type that leaves a hair", number(min=Decimal("0." + "9" * 40), max=1), integer(max=1), None),
    ("a huge grid that misses one", integer(step=GOOGOL), integer(step=GOOGOL * 2), None),
    ("every listed value is in, one more is not", number(), number(values=[Decimal(n) / 2 for n in range(300)]), None),
    (
        "a longer list than letters",
        string(max_length=1),
        string(max_length=1, values=[chr(n) for n in range(0x61, 0x200)]),
        None,
    ),
    ("a negative grid", integer(min=-7, max=-1), integer(min=-7, max=-1, step=7), None),
]


@pytest.mark.parametrize(
    ("old", "new", "witness"), [row[1:] for row in FAR_AND_NARROW], ids=[row[0] for row in FAR_AND_NARROW]
)
def test_far_bounds_and_narrow_gaps_are_proved_exactly(old, new, witness):
    change = one_change(old, new)
    assert change.severity == "breaking"
    assert change.witness is not None
    value = change.witness["p"]
    assert witness is None or canonical(value) == canonical(witness)
    assert compat.contains(compat.domain(old), value)
    assert not compat.contains(compat.domain(new), value)


LENGTHS = [
    # old, new, severity, length of the witness
    (string(max_length=10**9), string(max_length=5), "breaking", 6),
    (string(), string(max_length=5000), "breaking", 5001),
    (string(min_length=3), string(min_length=4), "breaking", 3),
    (string(max_length=10**9), string(max_length=10**9 - 1), "breaking", None),
    (string(min_length=10**9), string(min_length=10**9 + 1), "breaking", None),
    (string(min_length=10**9), integer(), "breaking", None),
    (string(min_length=10**9), enum("a"), "breaking", None),
    (string(min_length=10**9), string(min_length=10**9, max_length=10**10), "breaking", None),
    (string(max_length=10**9 - 1), string(max_length=10**9), "additive", None),
    (string(min_length=10**9, max_length=10**9 - 1), string(max_length=1), None, None),
    (string(min_length=10**9), string(), "additive", None),
]


@pytest.mark.parametrize(("old", "new", "severity", "length"), LENGTHS)
def test_texts_are_as_short_as_they_prove_and_never_huge(old, new, severity, length):
    found = changes.model_changes("m", model(old, required=False), model(new, required=False), Policy())
    severities = {change.severity for change in found}
    assert ("breaking" in severities) == (severity == "breaking")
    assert severity is None or severity in severities
    for change in found:
        assert (change.witness is None) == (length is None or change.severity != "breaking")
        assert change.witness is None or len(change.witness["p"]) == length


LAST = int("9" * 400)
UNWRITABLE = [
    (integer(), integer(max=LAST)),
    (number(), number(min=-(LAST // 10))),
    (number(min=LAST), number(min=LAST, step=Decimal("1E-390"))),
]


@pytest.mark.parametrize(("old", "new"), UNWRITABLE)
def test_a_number_that_could_not_be_read_again_is_no_witness_but_breaks_all_the_same(old, new):
    change = one_change(old, new)
    assert (change.severity, change.witness) == ("breaking", None)


def test_a_required_text_too_long_to_show_leaves_no_witness_but_the_verdict():
    params = {"long": {**string(min_length=10**9), "required": True}}
    old = {"slug": "m", "params": {**params, "n": integer(max=4)}}
    new = {"slug": "m", "params": {**params, "n": integer(max=3)}}
    (change,) = changes.model_changes("m", old, new, Policy())
    assert (change.kind, change.severity, change.witness) == ("param.max.lowered", "breaking", None)


def test_a_request_that_only_one_reading_of_the_grid_admits_proves_nothing_under_the_other():
    only_from_minimum = {**integer(min=1, max=1, step=2), "required": True}
    only_from_zero = {**integer(min=1, max=2, step=2), "required": True}
    for other, value in ((only_from_minimum, 1), (only_from_zero, 2)):
        old = {"slug": "m", "params": {"other": other, "n": integer(max=4)}}
        new = {"slug": "m", "params": {"other": other, "n": integer(max=3)}}
        (change,) = changes.model_changes("m", old, new, Policy())
        assert change.severity == "breaking"
        assert change.witness is not None
        assert change.witness["n"] == 4
        assert is_number(change.witness["other"])
        assert change.witness["other"] in (1, value)


def test_a_long_list_that_is_replaced_takes_no_time_to_speak_of():
    old, new = enum(*(f"a{n}" for n in range(3000))), {"type": "select", "values": [f"b{n}" for n in range(3000)]}
    started = time.process_time()
    assert one_change(old, new).severity == "breaking"
    assert time.process_time() - started < 5

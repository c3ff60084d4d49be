"""A second opinion on every verdict of the gate (tests/test_compat_exhaustive.py), by a library that reasons too.

    two specs --model_changes----------------------------> breaking or not                     ours
              --JSON Schema, the gate's--> jsoncompat ---> may an old request be refused now?  theirs, or no answer
    where they differ --the gate's brute force---------> who is right

Brute force sees what its universe holds; jsoncompat knows no universe and argues from the schemas, as we do. Asked is
the role of a "deserializer": who reads requests, and to whom the old ones must stay readable.

Where it differs or is silent (version 0.3.1; found by trying, so that nobody has to find it again):

- It says "breaks" where nothing is lost, because it takes one keyword after the other:
  a range or a length that holds but a few values, against a list of them (`1..3` -> `[1, 2, 3]`; `max_length` 0);
  a list beside bounds that already refuse some of its values (`[1, 2, 3, 4]` with `max` 3, `["a", 1]` on a string);
  a bound that no point of the grid reaches (`step` 2, `max` 11 -> 10), or a range that none lies in (`step` 3, 1..2);
  a number in whole steps, against integers;
  lists of something that no value can be: they hold the empty list alone, or nothing at all.
- It says "fine" where a step that counts from the minimum loses a value: JSON Schema's `multipleOf` counts from zero.
  That is the question it was asked, and right.
- It says "fine" of patterns that lose something (`^[b-d]{2,}$` -> `^a`), so it is not asked about patterns.
- It does not answer for a `step` with a fraction on a number, and for lengths and counts below zero or with fractions.

Patterns apart, it has never found a loss that we had missed, and never missed one itself. Of specs that hold one
constraint or one range it is right without exception, so there it also vouches for what lies far outside any universe.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import jsoncompat
import pytest

from syncd.core.changes import Policy, model_changes
from tests import test_compat_exhaustive as gate
from tests.test_compat_exhaustive import Pair


@dataclass(frozen=True)
class Opinions:
    """Whether a request is lost between two specs: as we say, as they say, and by brute force, each reading apart."""

    pair: Pair
    ours: bool
    theirs: bool

    @property
    def words(self) -> str:
        (a, _), (b, _) = self.pair
        return f"{gate.SPECS[a]} -> {gate.SPECS[b]}: breaking for us {self.ours}, for them {self.theirs}"

    @property
    def lost_at_zero(self) -> bool:
        """Whether a request is lost where steps count from zero: what jsoncompat was asked."""
        before, after = self._accepted
        return bool(before[0] - after[0])

    @property
    def lost(self) -> bool:
        """Whether one is lost wherever steps count from: what we are asked."""
        return any(old - new for old, new in zip(*self._accepted, strict=True))

    @property
    def _accepted(self) -> tuple[gate.Accepted, gate.Accepted]:
        (a, a_required), (b, b_required) = self.pair
        return gate.accepted(a, required=a_required), gate.accepted(b, required=b_required)


def breaks_for_us(pair: Pair) -> bool:
    old, new = (gate.model(gate.SPECS[number], required=required) for number, required in pair)
    return any(change.severity == "breaking" for change in model_changes("m", old, new, Policy()))


def breaks_for_them(pair: Pair) -> bool | None:
    """None if jsoncompat does not answer."""
    old, new = (schema(number, required=required) for number, required in pair)
    try:
        return not jsoncompat.check_compat(old, new, "deserializer")
    except ValueError:
        return None


@cache
def schema(number_of_spec: int, *, required: bool) -> str:
    """The spec as the gate translates it, steps counting from zero."""
    at_zero, _ = gate.readings(number_of_spec, required=required)
    return json.dumps(at_zero._validator.schema)


def pairs() -> Iterable[Pair]:
    """Every pair without a pattern, of optional parameters: that one must be sent is told from the spec at a glance."""
    sides = [(number, False) for number in range(len(gate.SPECS)) if not gate.narrows_texts(number)]
    return itertools.product(sides, sides)


def answered() -> Iterator[Opinions]:
    """Both opinions on every pair that jsoncompat answers for."""
    for pair in pairs():
        theirs = breaks_for_them(pair)
        if theirs is not None:
            yield Opinions(pair, breaks_for_us(pair), theirs)


@pytest.fixture(scope="module")
def opinions() -> list[Opinions]:
    return list(answered())


@pytest.fixture(scope="module")
def disputed(opinions: list[Opinions]) -> list[Opinions]:
    return [opinion for opinion in opinions if opinion.ours != opinion.theirs]


def test_the_question_is_whether_old_requests_stay_valid():
    four, three = '{"type": "integer", "maximum": 4}', '{"type": "integer", "maximum": 3}'
    assert not jsoncompat.check_compat(four, three, "deserializer")
    assert jsoncompat.check_compat(three, four, "deserializer")


def test_it_answers_for_most_pairs_and_not_always_the_same(opinions):
    # Measured: 8,100 of 9,409 pairs, 1,277 of them "fine".
    assert len(opinions) > 7_000
    assert sum(not opinion.theirs for opinion in opinions) > 1_000


def test_where_opinions_differ_we_are_never_the_one_that_is_wrong(disputed):
    assert disputed
    assert [opinion.words for opinion in disputed if opinion.ours != opinion.lost] == []


def test_it_errs_only_towards_caution(disputed):
    """A "fine" of its own that is wrong would be worth nothing as a second opinion."""
    assert [opinion.words for opinion in disputed if opinion.lost_at_zero and not opinion.theirs] == []


def test_the_steps_that_count_from_the_minimum_are_all_that_we_call_breaking_and_it_does_not(disputed):
    stricter = [opinion for opinion in disputed if opinion.ours]
    assert stricter
    assert [opinion.words for opinion in stricter if not gate.only_if_anchored(opinion.pair)] == []


# --- far from any universe ------------------------------------------------------------------------------------------

NUMBERS = (None, -(10**6), -1, 0, 999_999, 10**6, 10**12)
LENGTHS = (None, 0, 1, 999, 10**6)


def ranges(bounds: Sequence[int | None]) -> Iterator[tuple[int | None, int | None]]:
    """Every range that is not empty, open ends included."""
    for low, high in itertools.product(bounds, repeat=2):
        if low is None or high is None or low <= high:
            yield low, high


FAR = (
    *(gate.integer(min=low, max=high) for low, high in ranges(NUMBERS)),
    *(gate.number(min=low, max=high) for low, high in ranges(NUMBERS)),
    *(gate.string(min_length=low, max_length=high) for low, high in ranges(LENGTHS)),
    *(gate.integer(step=step) for step in (2, 7, 1000, 7000, 10**6)),
)


def test_far_bounds_get_the_same_verdict_from_both():
    schemas = [json.dumps(gate._schema(spec)) for spec in FAR]
    differing = []
    for (old, old_schema), (new, new_schema) in itertools.product(zip(FAR, schemas, strict=True), repeat=2):
        theirs = not jsoncompat.check_compat(old_schema, new_schema, "deserializer")
        found = model_changes("m", gate.model(old, required=False), gate.model(new, required=False), Policy())
        if theirs != any(change.severity == "breaking" for change in found):
            differing.append(f"{old} -> {new}: theirs {theirs}")
    assert differing == []

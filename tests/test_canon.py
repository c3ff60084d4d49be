"""JSON as syncd understands it: every oddity noted with its place, typed equality, one text per meaning."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.canon import (
    MAX_DEPTH,
    MAX_DIGITS,
    Note,
    UnreadableError,
    canonical,
    decode,
    digest,
    dumps,
    is_number,
    pointer,
    same,
)
from syncd.core.catalog import Memo, assemble, describe

# --- decoding ------------------------------------------------------------------------------------------------------

REPEATED = "key repeated; the last value is taken"
REPLACED = "U+0000 or a lone surrogate, stored as U+FFFD"

NOTED = [
    (b'{"a": 1, "a": 2}', {"a": 2}, [("/a", REPEATED)]),
    (b'{"m": [{"x/y": 1, "x/y": 1, "x/y": 1}]}', {"m": [{"x/y": 1}]}, [("/m/0/x~1y", REPEATED)]),
    (b'{"a": {"b": 1, "b": 2}, "a": {"c": 1, "c": 2}}', {"a": {"c": 2}}, [("/a", REPEATED), ("/a/c", REPEATED)]),
    (rb'{"a": ["b\u0000"]}', {"a": ["b\ufffd"]}, [("/a/0", REPLACED)]),
    (rb'["\ud800x\udfff"]', ["\ufffdx\ufffd"], [("/0", REPLACED)]),
    (rb'{"a": {"k\u0000": 1}}', {"a": {"k\ufffd": 1}}, [("/a", REPLACED)]),
]


@pytest.mark.parametrize(("data", "value", "notes"), NOTED)
def test_what_is_odd_is_mended_and_noted_with_its_place(data, value, notes):
    decoded = decode(data)
    assert same(value, decoded.value)
    assert decoded.notes == tuple(Note(place, what) for place, what in notes)
    assert decoded.mended


UNREADABLE = [
    (b"", "line 1 column 1", "not JSON: Expecting value"),
    (b'{"a": 1', "line 1 column 8", "not JSON: Expecting ',' delimiter"),
    (b'{"a": 1} x', "line 1 column 10", "not JSON: Extra data"),
    (b'{"a":\n tru}', "line 2 column 2", "not JSON: Expecting value"),
    (b'{"a": "\xff"}', "byte 7", "not UTF-8"),
    ('{"a": 1}'.encode("utf-16"), "byte 0", "not UTF-8"),
    (b'{"a": [1, NaN]}', "/a/1", "NaN is not JSON"),
    (b'{"a": -Infinity}', "/a", "-Infinity is not JSON"),
    (b'{"a": ' + b"9" * (MAX_DIGITS + 1) + b"}", "/a", f"a number of {MAX_DIGITS + 1} digits"),
    (b'{"a/b": 1e999999999}', "/a~1b", "a number out of every sensible range"),
    (b'{"a": 1e-999999999}', "/a", "a number out of every sensible range"),
    (b'{"a": 1e+000000000000000999999999}', "/a", "a number out of every sensible range"),
    (b'{"a": 0.' + b"1" * MAX_DIGITS + b"}", "/a", "a number out of every sensible range"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), None, None),
    (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "/0/0/0/…", f"nested deeper than {MAX_DEPTH}"),
    (b"[" * 100_000, "", f"nested deeper than {MAX_DEPTH}"),
    (b'{"a":' * 100_000, "", f"nested deeper than {MAX_DEPTH}"),
]


@pytest.mark.parametrize(("data", "place", "what"), UNREADABLE)
def test_what_cannot_be_kept_is_refused_with_its_place(data, place, what):
    if place is None:
        decode(data)
        return
    with pytest.raises(UnreadableError) as caught:
        decode(data)
    assert (caught.value.place, caught.value.what) == (place, what)


READ = [
    (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    (b"1e+0000000000000000002", Decimal(100)),
    (b"-0", 0),
    (b"1E400", None),
    (b"1E399", Decimal("1E399")),
    (b"0.10", Decimal("0.1")),
    (b"9" * MAX_DIGITS, int("9" * MAX_DIGITS)),
    (rb'"\ud83d\ude00"', "\U0001f600"),
]


@pytest.mark.parametrize(("data", "value"), READ)
def test_what_is_only_unusual_is_read_without_a_note(data, value):
    if value is None:
        with pytest.raises(UnreadableError):
            decode(data)
        return
    decoded = decode(data)
    assert same(value, decoded.value)
    assert not decoded.mended


# --- equality ------------------------------------------------------------------------------------------------------

BIG = 2**53 + 1
CLASSES: list[list[Any]] = [
    [None],
    [True],
    [False],
    [1, Decimal("1.0"), Decimal("10E-1")],
    [0, Decimal("-0.0"), Decimal("0E5")],
    ["1"],
    ["true"],
    [""],
    [BIG, Decimal(BIG)],
    [BIG - 1],
    [10**30, Decimal("1E30")],
    [Decimal("0.1"), Decimal("0.10")],
    [[]],
    [{}],
    [[1, True], [Decimal("1.0"), True]],
    [[True, 1]],
    [[1, 1]],
    [{"a": 1, "b": [None]}, {"b": [None], "a": Decimal(1)}],
    [{"a": True, "b": [None]}],
    [{"a": 1}],
    [{"a": 1, "b": None}],
    ["é"],
    ["e\u0301"],
]
MEMBERS = [(n, member) for n, members in enumerate(CLASSES) for member in members]


def test_values_are_the_same_exactly_within_their_class():
    for (n, a), (m, b) in itertools.product(MEMBERS, MEMBERS):
        assert same(a, b) == (n == m), (a, b)
        assert (canonical(a) == canonical(b)) == (n == m), (a, b)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [Decimal("4.0"), True]}, '{"a":[4,true],"b":1}'),
        (Decimal("-0.0"), "0"),
        (Decimal("0E+5"), "0"),
        (Decimal("1E3"), "1000"),
        (Decimal("1.50"), "1.5"),
        (Decimal("-1E-3"), "-0.001"),
        ('ü"\n/', '"ü\\"\\n/"'),
    ],
)
def test_the_canonical_text_is_the_shortest_exact_one(value, expected):
    assert canonical(value) == expected


def test_only_decoded_json_is_written():
    for stranger in (1.5, {1, 2}, b"x", object()):
        with pytest.raises(TypeError, match="is not a decoded JSON value"):
            canonical(stranger)


def test_a_boolean_is_no_number():
    assert [is_number(value) for value in (1, Decimal("1.5"), True, "1", None)] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":4.0}',
        "[1.50,1E+5,-0.0,1e400]".replace(",1e400", ""),
        '"\\u00e9"',
        '{"a":{"z":[],"y":{}}}',
        "0.000001",
        "-1E-9",
    ],
)
def test_dumps_keeps_order_and_the_spelling_of_numbers(text):
    assert dumps(decode(text).value) == text.replace("\\u00e9", "é")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), ""),
        (("",), "/"),
        (("models", "fal-ai/flux.2", "params", "a~b"), "/models/fal-ai~1flux.2/params/a~0b"),
        (("~1",), "/~01"),
        (("a\0b",), "/a\ufffdb"),
    ],
)
def test_a_pointer_escapes_what_would_be_ambiguous(path, expected):
    assert pointer(path) == expected


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.text(st.sampled_from("~/01.a")), max_size=4), st.lists(st.text(st.sampled_from("~/01.a")), max_size=4)
)
def test_different_paths_have_different_pointers(a, b):
    assert (pointer(a) == pointer(b)) == (a == b)


numbers = st.one_of(
    st.integers(), st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=2)
)
documents = st.recursive(
    st.one_of(
        st.none(), st.booleans(), numbers, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "~/"]), inner)),
    max_leaves=10,
)
twins = st.one_of(
    st.tuples(documents, documents), documents.map(lambda value: (value, json.loads(dumps(value), parse_float=Decimal)))
)


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(twins)
def test_texts_are_equal_exactly_if_meanings_are(pair):
    a, b = pair
    assert (canonical(a) == canonical(b)) == same(a, b)
    assert same(a, b) == same(b, a)


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(documents)
def test_a_value_survives_both_ways_of_writing_it(value):
    assert same(decode(dumps(value)).value, value)
    assert same(decode(canonical(value)).value, value)
    assert canonical(decode(canonical(value)).value) == canonical(value)
    assert not decode(dumps(value)).mended


def test_a_digest_is_of_the_text_and_the_form():
    assert digest("a") != digest("b")
    assert len(digest("")) == 32


# --- catalogues ----------------------------------------------------------------------------------------------------

LEFT_OUT = [
    (b"5", "not an object"),
    (b'[{"slug": "a"}]', "not an object"),
    (b"{}", "no slug"),
    (b'{"slug": null}', "no slug"),
    (b'{"slug": 5}', "a slug that is no text"),
    (b'{"slug": " "}', "an empty slug"),
]


@pytest.mark.parametrize(("raw", "why"), LEFT_OUT)
def test_a_model_without_a_usable_slug_is_left_out_with_a_note(raw, why):
    found = assemble({}, [b'{"slug": "a"}', raw], Memo())
    assert list(found.models) == ["a"]
    assert found.notes == (Note("/models/1", f"model left out: {why}"),)


BROKEN = [
    (b'{"slug": "a", "params": {"n": {"max": NaN}}}', "/models/1/params/n/max"),
    (b'{"slug": "a"', "/models/1 line 1 column 13"),
    (b"[" * 100_000, "/models/1"),
    (b'{"slug": "\xff"}', "/models/1 byte 10"),
]


@pytest.mark.parametrize(("raw", "place"), BROKEN)
def test_an_unreadable_model_is_named_by_its_place_in_the_answer(raw, place):
    with pytest.raises(UnreadableError) as caught:
        assemble({}, [b'{"slug": "z"}', raw], Memo())
    assert caught.value.place == place


def test_the_same_content_twice_counts_once_and_different_content_is_kept_in_one_order():
    first, spelled, other = b'{"slug": "a", "n": 4}', b'{"n": 4.0, "slug": "a"}', b'{"slug": "a", "n": 5}'
    assert assemble({}, [first, spelled], Memo()).digest == assemble({}, [first], Memo()).digest
    conflicts = [assemble({}, raws, Memo()) for raws in itertools.permutations([first, spelled, other])]
    assert len({found.digest for found in conflicts}) == 1
    assert len({canonical(found.models["a"].body()) for found in conflicts}) == 1
    assert len(conflicts[0].models["a"].body()) == 2


def test_no_slug_can_pass_for_two_models():
    one, two = b'{"slug": "a"}', b'{"slug": "b"}'
    forged = json.dumps({"slug": "a\n" + (describe(one).digest) + "\nb"}).encode()
    digests = {assemble({}, raws, Memo()).digest for raws in ([one, two], [forged])}
    assert len(digests) == 2


def test_conflicting_models_of_the_greatest_depth_can_still_be_read():
    raws = [
        b'{"slug": "a", "x": ' + b"[" * (MAX_DEPTH - 1) + end + b"]" * (MAX_DEPTH - 1) + b"}" for end in (b"1", b"2")
    ]
    assert len(assemble({}, raws, Memo()).models["a"].body()) == 2


def test_a_mended_model_is_kept_as_mended():
    found = assemble({}, [rb'{"slug": "a", "n": 1, "n": 2, "t": "\u0000"}'], Memo())
    assert found.models["a"].text == '{"slug":"a","n":2,"t":"\ufffd"}'


def test_the_memo_forgets_rather_than_grows():
    memo = Memo(limit=3)
    for n in range(10):
        assert memo.describe(b'{"slug": "a%d"}' % n) == describe(b'{"slug": "a%d"}' % n)
        assert len(memo.texts) <= 3

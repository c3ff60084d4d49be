"""What a message says of saved requests, as a person in a terminal reads it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core import canon
from syncd.core.affected import touched
from syncd.core.canon import MISSING
from syncd.core.catalog import Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.compose import ChangeDue, Due, compose
from syncd.core.message import as_text, decode, encode
from syncd.core.requests import SavedRequest
from syncd.demo.vendor import made_up_models, real_models
from syncd.sinks.slack import render
from tests.fake_slack import check

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GROK, WAN = real_models()
SLUG = WAN["slug"]
SHORTER = {"type": "integer", "min": 2, "max": 8, "default": 5}

Model = dict[str, Any]


def saved(name: str, *, model: str = SLUG, **params: Any) -> SavedRequest:
    return SavedRequest(name, {"model": model, "prompt": "a harbour", **params})


def catalog(models: Iterable[Model]) -> Catalog:
    raws = [json.dumps(model).encode() for model in models]
    return assemble(canon.decode('{"tier": "pro"}').value, raws, Memo())


def changed(
    before: Iterable[Model], after: Iterable[Model], *requests: SavedRequest, key: str = "prod", **policy: Any
) -> list[Due]:
    """What is due after a poll of the key that found these differences, where these requests are sent with it."""
    old, new = catalog(before), catalog(after)
    confirmed, rules = Before(old.account, old.models), Policy(**policy)
    found = touched(diff(confirmed, new, rules), confirmed, new, requests, rules)
    return [ChangeDue(number, key, NOW, change) for number, change in enumerate(found)]


def wan(**params: Any) -> Model:
    """The video model with other parameters; one given as None is gone."""
    model: Model = copy.deepcopy(WAN)
    model["params"] = {name: spec for name, spec in {**model["params"], **params}.items() if spec is not None}
    return model


def text(due: Sequence[Due]) -> str:
    return as_text(compose(due, "dlv_1"))


def said(due: Sequence[Due], start: str = "") -> list[str]:
    """The lines of the body that begin so."""
    lines = [line.strip() for line in text(due).splitlines()[1:]]
    return [line for line in lines if line.startswith(start)]


def test_a_request_that_breaks_is_named_with_the_reason_and_the_edit_before_the_changes():
    due = changed([WAN], [wan(duration=SHORTER, audio=None)], saved("nightly hero", duration=10, audio=True))

    assert text(due).splitlines()[:5] == [
        "🔴 Breaking changes: wan-2.7-text-to-video",
        "   2 breaking changes in the request parameters.",
        (
            "   Breaks your saved request nightly hero: audio is no parameter of the model; duration is 10,"
            ' the most is 8. Send "duration": 8 and leave out "audio".'
        ),
        "   • Removed audio",
        "   • Narrowed duration maximum 10 → 8",
    ]


def test_several_requests_that_break_are_named_together_and_each_has_its_sentence():
    due = changed([WAN], [wan(duration=SHORTER)], saved("thumbs", duration=9), saved("hero", duration=10))

    assert said(due)[1:4] == [
        "Breaks your saved requests hero, thumbs.",
        'hero: duration is 10, the most is 8. Send "duration": 8.',
        'thumbs: duration is 9, the most is 8. Send "duration": 8.',
    ]


def test_of_many_requests_a_few_are_named_and_fewer_explained():
    requests = [saved(f"job {number:02}", duration=10) for number in range(40)]

    assert said(changed([WAN], [wan(duration=SHORTER)], *requests))[1:5] == [
        "Breaks your saved requests job 00, job 01, job 02, job 03, job 04 and 35 more.",
        'job 00: duration is 10, the most is 8. Send "duration": 8.',
        'job 01: duration is 10, the most is 8. Send "duration": 8.',
        'job 02: duration is 10, the most is 8. Send "duration": 8.',
    ]


def test_a_request_that_means_something_else_is_told_how_to_keep_what_it_meant():
    due = changed([WAN], [wan(duration={**WAN["params"]["duration"], "default": 8})], saved("nightly hero"))

    assert said(due, "Another") == [
        (
            "Another result, without an error, of your saved request nightly hero: duration is 8 now where it is"
            ' not sent, it was 5. Pin "duration": 5 to keep what you got.'
        )
    ]


def test_several_defaults_that_moved_are_pinned_together():
    moved = wan(
        duration={**WAN["params"]["duration"], "default": 8},
        resolution={**WAN["params"]["resolution"], "default": "720p"},
    )

    (line,) = said(changed([WAN], [moved], saved("hero")), "Another")

    assert line.endswith('Pin "duration": 5, "resolution": "1080p" to keep what you got.')


def test_a_request_that_breaks_is_not_also_told_to_pin_a_default():
    moved = wan(duration={**SHORTER, "default": 3}, audio={"type": "boolean", "default": True})

    lines = said(changed([WAN], [moved], saved("hero", duration=10), saved("other", duration=4)))

    assert [line.partition(":")[0] for line in lines[1:3]] == [
        "Breaks your saved request hero",
        "Another result, without an error, of your saved request other",
    ]


def test_a_request_that_a_vendor_will_ignore_a_part_of_is_told():
    due = changed([WAN], [wan(audio=None)], saved("hero", audio=True), unknown_params="ignore")

    assert said(due, "Another") == [
        (
            "Another result, without an error, of your saved request hero: audio is no longer known and is"
            " ignored without a word."
        )
    ]


def test_a_model_that_is_gone_breaks_every_request_to_it():
    due = changed([GROK, WAN], [GROK], saved("hero"), saved("thumbs", model=GROK["slug"]))

    assert said(due)[0] == "Breaks your saved request hero: wan-2.7-text-to-video is no longer listed."


def test_a_model_that_comes_makes_a_request_possible():
    assert said(changed([GROK], [GROK, WAN], saved("hero")))[0] == "Now accepted: your saved request hero."


def test_a_change_that_accepts_at_last_what_was_refused_is_told():
    due = changed([wan(duration=SHORTER)], [WAN], saved("hero", duration=10), saved("b", duration=9))

    assert said(due, "Now accepted") == ["Now accepted: your saved requests b, hero."]


def test_a_request_that_nothing_happens_to_is_not_mentioned():
    due = changed([WAN], [wan(duration=SHORTER)], saved("hero", duration=4), saved("thumbs", model=GROK["slug"]))

    assert "saved request" not in text(due)


def test_a_change_of_several_keys_names_the_requests_of_each():
    after = [wan(duration=SHORTER)]
    due = [
        *changed([WAN], after, saved("hero", duration=10)),
        *changed([WAN], after, saved("thumbs", duration=9), saved("hero", duration=10), key="staging"),
    ]

    assert said(due, "Breaks") == ["Breaks your saved requests hero, thumbs."]
    assert len(said(due, "hero:")) == 1


def test_requests_of_several_keys_that_are_mended_in_different_ways_are_told_by_key():
    after = [wan(duration=SHORTER)]
    due = [
        *changed([WAN], after, saved("hero", duration=10)),
        *changed([WAN], after, saved("hero", duration=10), key="staging"),
        *changed([WAN], after, saved("hero", duration=1), key="spare"),
        *changed([WAN], after, saved("hero", duration=9), key="other"),
    ]

    assert said(due, "Breaks") == [
        (
            "Breaks your saved request hero."
            ' For prod, staging: duration is 10, the most is 8. Send "duration": 8.'
            ' For other: duration is 9, the most is 8. Send "duration": 8.'
        )
    ]


def undecided(key: str, *, proved: bool) -> ChangeDue:
    """A change that cannot be decided, but where a saved request of the key proves that it breaks requests."""
    change = Change("param.max.added", ("models", SLUG, "params", "n", "max"), "risky", MISSING, 5, SLUG, decided=False)
    if proved:
        touch = {"effect": "rejected", "why": "n is 6, the most is 5"}
        proof: dict[str, Any] = {"detail": {"requests": {"hero": touch}}, "affects": ("hero",), "witness": {"n": 6}}
        change = replace(change, severity="breaking", decided=True, **proof)
    return ChangeDue(1, key, NOW, change)


@pytest.mark.parametrize("order", [("prod", "staging"), ("staging", "prod")])
def test_what_one_key_proves_is_told_of_all(order: tuple[str, str]):
    due = [undecided(key, proved=key == "prod") for key in order]

    assert text(due).splitlines()[0] == "🔴 Breaking change: wan-2.7-text-to-video"
    assert said(due, "Worked before") == ['Worked before, fails now: {"n":6}']
    assert "cannot be decided" not in text(due)


@pytest.mark.parametrize("order", [("prod", "staging"), ("staging", "prod")])
def test_what_one_key_proves_stands_in_a_digest(order: tuple[str, str]):
    crowd = changed([], made_up_models(40))
    more = changed([GROK], [{**GROK, "category": "video"}])
    message = compose([*crowd, *more, *(undecided(key, proved=key == "prod") for key in order)], "dlv_1")

    assert message.severity == "breaking"
    assert message.replies
    assert "1 can break requests." in as_text(message)


def test_a_request_refused_by_what_could_not_be_decided_is_not_said_to_break():
    due = changed([{**WAN, "params": None}], [WAN], saved("hero", duration=99))

    assert [one.change.severity for one in due if isinstance(one, ChangeDue)] == ["risky"]
    assert said(due, "Refuses") == [
        (
            "Refuses now (nobody could tell before) your saved request hero: duration is 99, the most is 10."
            ' Send "duration": 10.'
        )
    ]


def test_a_digest_names_the_requests_in_the_message_itself():
    crowd = made_up_models(60)
    requests = [saved(f"job {n}", model=crowd[n]["slug"]) for n in range(3)]

    message = compose(changed(crowd, [WAN], *requests), "dlv_1")

    assert message.replies
    assert "Breaks your saved requests job 0, job 1, job 2." in as_text(message)


def test_long_sentences_of_many_keys_are_bounded():
    def touch(key: str) -> dict[str, Any]:
        edit = {f"/{n}{'<' * 200}": "&" * 200 for n in range(9)}
        return {"effect": "rejected", "why": key + "&" * 999, "edit": edit}

    at = ("models", SLUG, "params", "n")
    gone = Change("param.removed", at, "breaking", {}, MISSING, SLUG, affects=("hero",))
    touches = [{"requests": {"hero": touch(str(n))}} for n in range(5)]
    due = [ChangeDue(n, f"key {n}", NOW, replace(gone, detail=detail)) for n, detail in enumerate(touches)]

    message = compose(due, "dlv_1")

    assert said(due, "Breaks")[0].endswith(" …")
    check(render.payload(message, "dlv_1"))


def test_hostile_names_do_nothing():
    hostile = "a\x1b[31m\u202e<!channel>*b*`" + "x" * 500
    due = changed([WAN], [wan(duration=SHORTER)], saved(hostile, duration=10), saved("b\n\nc", duration=10))

    message = compose(due, "dlv_1")

    assert "\x1b" not in as_text(message)
    assert "\u202e" not in as_text(message)
    assert max(map(len, as_text(message).splitlines())) < 300
    check(render.payload(message, "dlv_1"))


TEXT = st.text(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(Decimal("1.5")) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TOUCH = st.fixed_dictionaries(
    {"effect": st.sampled_from(["rejected", "different", "accepted", "of a newer version"])},
    optional={"why": TEXT, "pin": st.dictionaries(TEXT, JSON, max_size=6), "edit": st.dictionaries(TEXT, JSON)},
)


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(st.lists(st.dictionaries(TEXT, TOUCH, max_size=8), min_size=1, max_size=4))
def test_nothing_is_too_odd_to_be_told(every: list[dict[str, Any]]):
    due = [
        ChangeDue(
            n,
            f"key {n}",
            NOW,
            Change(
                "param.removed",
                ("models", "m", "params", f"p{n % 2}"),
                "breaking",
                {},
                MISSING,
                "m",
                detail={"requests": requests},
                affects=tuple(requests),
            ),
        )
        for n, requests in enumerate(every)
    ]

    message = compose(due, "x")

    assert decode(encode(message)) == message
    check(render.payload(message, "dlv_1"))


def test_a_request_that_is_refused_is_also_told_what_to_pin_once_it_is_mended():
    resolution = {"type": "enum", "values": ["720p", "1080p"], "default": "720p"}
    due = changed([WAN], [wan(duration=SHORTER, resolution=resolution)], saved("nightly", duration=10))
    (line,) = said(due, "Breaks your saved request nightly")
    assert 'Pin "resolution": "1080p" to keep what you got' in line
    assert 'Send "duration": 8' in line

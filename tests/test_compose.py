"""`compose` and `as_text`: every message of this version, as a person in a terminal reads it."""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core import canon
from syncd.core.canon import MISSING
from syncd.core.catalog import Catalog, Memo, assemble
from syncd.core.changes import Before, Change, Policy, diff
from syncd.core.compose import (
    ChangeDue,
    ChangeEdge,
    ConditionDue,
    Due,
    Edge,
    Elsewhere,
    answers,
    compose,
    condition_summary,
)
from syncd.core.message import Bullets, Code, Message, Paragraph, Quote, Span, Table, as_text, bold, decode, encode
from syncd.core.rules import CONDITIONS, RULES
from syncd.core.text import count
from syncd.core.wording import spec_line
from syncd.demo.vendor import made_up_models, real_models, sample_models

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = {"calls_per_minute": 240, "concurrent_jobs": 5}
GROK, WAN = real_models()

Model = dict[str, Any]


def catalog(models: Iterable[Model], **account: Any) -> Catalog:
    raws = [json.dumps(model).encode() for model in models]
    envelope = canon.decode(json.dumps({"tier": "pro", "rate_limit": LIMITS, **account})).value
    return assemble(envelope, raws, Memo())


def changed(
    before: Iterable[Model],
    after: Iterable[Model],
    *,
    key: str = "prod",
    at: datetime = NOW,
    gone: Sequence[Model] = (),
    **account: Any,
) -> list[Due]:
    """What is due at a destination after a poll that found these differences."""
    old, new = catalog(before), catalog(after, **account)
    found = diff(Before(old.account, old.models, catalog(gone).models), new, Policy())
    return [ChangeDue(number, key, at, change) for number, change in enumerate(found)]


def wan(band: Any = None, **params: Any) -> Model:
    """The video model with other parameters, or another price; a parameter given as None is gone."""
    model = copy.deepcopy(WAN)
    model["params"] = {name: spec for name, spec in {**model["params"], **params}.items() if spec is not None}
    return {**model, "credits_band": band or model["credits_band"]}


def condition(kind: str, *keys: str, edge: Edge = "opened", subject: str = "key:prod", **detail: Any) -> ConditionDue:
    at = NOW + {"closed": timedelta(hours=3, minutes=12), "reminder": timedelta(days=2)}.get(edge, timedelta())
    return ConditionDue(1, 1, keys or ("prod",), at, kind, edge, subject, NOW, detail)


def text(due: Sequence[Due]) -> str:
    return as_text(compose(due, "dlv_1"))


def says(due: Sequence[Due], expected: str) -> None:
    """The whole message."""
    assert text(due) == expected.strip("\n")


def title(due: Sequence[Due]) -> str:
    return compose(due, "dlv_1").title


# --- models came and went ------------------------------------------------------------------------------------------


def test_one_model_unlocked():
    says(
        changed([GROK], [GROK, WAN]),
        """
🔓 1 model unlocked for prod

   Model                   Type    Credits       Creator
   wan-2.7-text-to-video   video   400 to 1440   Alibaba

   wan-2.7-text-to-video needs prompt. An example request:
     {"model": "wan-2.7-text-to-video",
      "prompt": "neon-lit Tokyo street, cinematic",
      "duration": 5}

   🟢 additive · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_three_models_unlocked_let_people_start_with_each():
    unpriced = {"slug": "clerk", "category": "text", "credits_band": None, "params": {"p": 7}, "example_request": {}}
    optional = {"slug": "loupe", "params": {"size": {"type": "integer"}}, "example_request": {"model": "loupe"}}
    says(
        changed([], [GROK, unpriced, optional]),
        """
🔓 3 models unlocked for prod

   Model                        Type    Credits      Creator
   clerk                        text    not stated   -
   grok-imagine-image-quality   image   80 to 211    xAI
   loupe                        -       not stated   -

   grok-imagine-image-quality needs prompt. An example request:
     {"model": "grok-imagine-image-quality",
      "prompt": "a misty forest at dawn, cinematic 24mm",
      "aspect_ratio": "16:9",
      "resolution": "4K"}

   loupe can be called like this:
     {"model": "loupe"}

   🟢 additive · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


@pytest.mark.parametrize(
    ("params", "example", "expected"),
    [
        ({}, {"model": "other"}, "loupe: its example request is one for another model."),
        ({}, {"model": "loupe", "n": 1}, "loupe: its example request is refused by its own parameters."),
        (
            {"n": {"type": "integer", "max": 3, "required": True}},
            {"model": "loupe", "n": 4},
            "loupe needs n. Its example request is refused by its own parameters.",
        ),
        (None, {"n": 4}, "loupe can be called like this:"),
    ],
)
def test_an_example_that_would_fail_is_not_shown(params: Any, example: dict[str, Any], expected: str):
    lines = text(changed([], [{"slug": "loupe", "params": params, "example_request": example}])).splitlines()
    assert f"   {expected}" in lines
    assert any('"n": 4' in line for line in lines) == expected.endswith(":")


def test_twelve_models_unlocked_are_one_table():
    lines = text(changed([], made_up_models(12))).splitlines()
    assert lines[0] == "🔓 12 models unlocked for prod"
    assert lines[3] == "   simulated-image-0000   image   10 to 40   Nobody"
    assert len([line for line in lines if "simulated-" in line]) == 12
    assert "example" not in text(changed([], made_up_models(12)))


def test_models_back():
    assert title(changed([], [WAN], gone=[WAN])) == "1 model back for prod"
    assert title(changed([], [WAN, GROK], gone=[WAN])) == "2 models unlocked or back for prod"


def test_models_removed():
    says(
        changed([GROK, WAN, {"slug": "clerk"}], []),
        """
🗑️ 3 models removed for prod
   • clerk · - · price not stated
   • grok-imagine-image-quality · image · 80 to 211 credits
   • wan-2.7-text-to-video · video · 400 to 1440 credits

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_models_removed_at_different_times():
    later = NOW + timedelta(minutes=5)
    says(
        [*changed([GROK], []), *changed([WAN], [], at=later)],
        """
🗑️ 2 models removed for prod
   • grok-imagine-image-quality · image · 80 to 211 credits · gone since 2026-03-02 09:00:00 UTC
   • wan-2.7-text-to-video · video · 400 to 1440 credits · gone since 2026-03-02 09:05:00 UTC

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


USES_WAN: dict[str, Any] = {"nightly hero": {"effect": "rejected"}, "preview": {"effect": "rejected"}}


def doubtful(
    *models: Model, edge: ChangeEdge = "unconfirmed", key: str = "prod", at: datetime = NOW, **elsewhere: Elsewhere
) -> list[Due]:
    """Models that saved requests use were missing from a listing of the key, for 35 minutes by now."""
    return [
        replace(
            one,
            change=replace(one.change, affects=tuple(USES_WAN), detail={**one.change.detail, "requests": USES_WAN}),
            edge=edge,
            at=at + timedelta(minutes=35) if edge == "back" else at,
            since=at,
            elsewhere=elsewhere,
        )
        for one in changed(models, [], key=key)
        if isinstance(one, ChangeDue)
    ]


def test_a_model_that_may_be_gone():
    says(
        doubtful(WAN, spare="lists", other="later"),
        """
❓ wan-2.7-text-to-video is not listed for prod (unconfirmed)
   Missing since 2026-03-02 09:00:00 UTC. Not certain yet: it is told once it is removed for certain, or listed again.
   • wan-2.7-text-to-video · used by nightly hero, preview
   Still listed for spare.
   What waits to be certain: syncd held list

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_models_that_may_be_gone_have_a_line_each_and_say_since_when_if_that_differs():
    later = NOW + timedelta(minutes=5)
    lines = text([*doubtful(GROK), *doubtful(WAN, at=later)]).splitlines()
    assert lines[0] == "❓ 2 models are not listed for prod (unconfirmed)"
    assert lines[2].endswith("used by nightly hero, preview · since 2026-03-02 09:00:00 UTC")
    assert lines[3].endswith("used by nightly hero, preview · since 2026-03-02 09:05:00 UTC")


def test_thirty_models_that_may_be_gone_are_counted_and_the_worst_named():
    message = compose(doubtful(*made_up_models(30)), "x")
    assert message.title == "30 models are not listed for prod (unconfirmed)"
    assert len(message.replies) == 1
    assert "not listed (unconfirmed) · used by nightly hero, preview" in as_text(message)
    assert "Breaks" not in as_text(message)


def test_models_that_are_listed_again():
    says(
        doubtful(WAN, edge="back"),
        """
✅ wan-2.7-text-to-video is listed again for prod
   It was missing for 35 m. Nothing was told as removed; what else has changed meanwhile is told as usual.

   ⚪ informational · key prod · detected 2026-03-02 09:35:00 UTC · dlv_1
""",
    )
    lines = text(doubtful(GROK, WAN, edge="back")).splitlines()
    assert lines[0] == "✅ 2 models are listed again for prod"
    assert lines[2] == "   • grok-imagine-image-quality was missing for 35 m"


def test_of_a_doubt_and_its_end_only_the_end_is_told():
    assert title([*doubtful(WAN), *doubtful(WAN, edge="back")]) == "wan-2.7-text-to-video is listed again for prod"


@pytest.mark.parametrize(
    ("elsewhere", "planned", "expected"),
    [
        ({}, False, ""),
        ({"a": "lists"}, False, "Still listed for a: it is the access that has changed, likely an allowlist;"),
        ({"a": "lists", "b": "gone", "c": "later"}, False, "Still listed for a: it is the access"),
        ({"a": "lists"}, True, "Still listed for a: it is the access that has changed, with the plan."),
        ({"a": "gone"}, False, "Gone for every key that had it: the vendor has likely withdrawn it."),
        ({"a": "gone", "b": "without"}, False, "Gone for every key that had it: the vendor has likely withdrawn it."),
        ({"a": "gone", "b": "silent"}, False, "Gone for every key that had it and could be asked: the vendor has"),
        ({"a": "gone", "b": "later"}, False, ""),
        ({"a": "gone"}, True, "The plan changed at the same poll, which decides what a key may call."),
        ({"a": "without"}, False, "No other key that is watched here lists it."),
        ({"a": "silent"}, False, ""),
        ({"a": "later"}, True, "The plan changed at the same poll, which decides what a key may call."),
    ],
)
def test_the_cause_as_far_as_other_keys_tell(elsewhere: dict[str, Elsewhere], planned: bool, expected: str):  # noqa: FBT001
    (gone,) = changed([WAN], [], tier="free" if planned else "pro")[-1:]
    assert isinstance(gone, ChangeDue)
    lines = text([replace(gone, elsewhere=elsewhere)]).splitlines()[2:-2]
    assert [line.strip()[: len(expected)] for line in lines if line.strip()] == ([expected] if expected else [])


def test_the_cause_may_differ_by_key():
    found = [*changed([WAN], [], tier="free")[-1:], *changed([WAN], [], key="dev")]
    lines = text([replace(one, elsewhere={"spare": "lists"}) for one in found if isinstance(one, ChangeDue)])
    assert (
        "Still listed for spare: it is the access that has changed, of prod with the plan, of dev likely by an" in lines
    )


# --- back and forth ------------------------------------------------------------------------------------------------


def detailed(due: Sequence[Due], *, id: int = 2, **detail: Any) -> list[Due]:  # noqa: A002 - the field's name
    """The same with more to say of each, two hours and ten minutes later."""
    at = NOW + timedelta(hours=2, minutes=10)
    changes = [one for one in due if isinstance(one, ChangeDue)]
    return [
        replace(one, id=id, at=at, since=NOW, change=replace(one.change, detail={**one.change.detail, **detail}))
        for one in changes
    ]


SHORT = wan(duration={"type": "integer", "min": 2, "max": 8, "default": 5})
FLAPS: dict[str, Any] = {"times": 3, "since": "2026-03-02T06:00:00Z", "stable": "6h"}


def test_parameters_that_are_taken_back():
    says(
        detailed(changed([SHORT], [WAN]), reverts=1),
        """
↩️ Parameters back: wan-2.7-text-to-video
   • Widened duration maximum 8 → 10: back as it was after 2 h 10 m

   ⚪ informational · key prod · detected 2026-03-02 11:10:00 UTC · dlv_1
""",
    )


def test_what_breaks_when_it_is_taken_back_stays_breaking():
    message = compose(detailed([mentioning(one) for one in changed([WAN], [SHORT])], reverts=1), "x")
    assert (message.severity, message.mentions) == ("breaking", ("@here",))
    assert message.title == "Parameters back: wan-2.7-text-to-video"


def mentioning(one: Due) -> ChangeDue:
    assert isinstance(one, ChangeDue)
    return replace(one, mention="@here")


def test_what_changed_and_changed_back_is_one_thing_that_calls_nobody():
    there = [replace(mentioning(one), id=1) for one in changed([WAN], [SHORT])]
    back = detailed([mentioning(one) for one in changed([SHORT], [WAN])], reverts=1)
    says(
        [*there, *back],
        """
↩️ Parameters changed and changed back: wan-2.7-text-to-video
   • Narrowed duration maximum 10 → 8, and back after 2 h 10 m

   ⚪ informational · key prod · detected 2026-03-02 11:10:00 UTC · dlv_1
""",
    )
    assert compose([*there, *back], "x").mentions == ()


def test_an_account_and_other_facts_that_are_taken_back():
    assert title(detailed(changed([], [], tier="free"), reverts=1)) == "Account of prod changed back"
    film = {**WAN, "category": "film"}
    assert title(detailed(changed([film], [WAN]), reverts=1)) == "wan-2.7-text-to-video changed back"
    both = detailed(
        changed([GROK, WAN], [{**one, "credits_band": {"min": 1, "max": 2}} for one in (GROK, WAN)]), reverts=1
    )
    assert title(both) == "Price back at 1 to 2: 2 models"


def test_what_keeps_changing():
    says(
        detailed(changed([SHORT], [WAN]), flapping=FLAPS),
        """
🌀 wan-2.7-text-to-video keeps changing: params.duration.max
   params.duration.max changed 3 times since 2026-03-02 06:00:00 UTC; it is now 10.
   Told again once it has been the same for 6 h, if not as here: syncd changes --model wan-2.7-text-to-video

   🟢 additive · key prod · detected 2026-03-02 11:10:00 UTC · dlv_1
""",
    )


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        (
            changed([wan(audio=None)], [WAN]),
            "params.audio changed 3 times since 2026-03-02 06:00:00 UTC; it is now so: Added",
        ),
        (
            changed([], [WAN], gone=[WAN]),
            "The model came and went 3 times since 2026-03-02 06:00:00 UTC; it is now there.",
        ),
        (changed([], [], tier="free"), "tier changed 3 times since 2026-03-02 06:00:00 UTC; it is now free."),
    ],
)
def test_what_it_is_now_is_said_of_everything_that_can_flap(due: list[Due], expected: str):
    assert expected in text(detailed(due, flapping=FLAPS))


def test_several_fields_that_keep_changing_are_one_section():
    due = detailed(changed([GROK, SHORT], [{**GROK, "category": "film"}, WAN]), flapping=FLAPS)
    lines = text(due).splitlines()
    assert lines[0] == "🌀 2 models: 2 fields keep changing"
    assert [line.strip()[:30] for line in lines[1:3]] == [
        "• grok-imagine-image-quality: ",
        "• wan-2.7-text-to-video: param",
    ]


def test_what_keeps_changing_and_has_settled_swallows_what_led_to_it():
    there, back = changed([WAN], [SHORT]), changed([SHORT], [WAN])
    notice = detailed(there, id=3, flapping=FLAPS)
    settled = detailed(back, id=5, flapping={**FLAPS, "times": 5, "notice": 3})
    assert (
        title([*there, *detailed(back, reverts=1), *notice])
        == "wan-2.7-text-to-video keeps changing: params.duration.max"
    )
    says(
        [*there, *notice, *settled],
        """
🌀 wan-2.7-text-to-video has settled: params.duration.max
   params.duration.max is 10, after it changed 5 times since 2026-03-02 06:00:00 UTC.
   So it has been for 6 h.

   🟢 additive · key prod · detected 2026-03-02 11:10:00 UTC · dlv_1
""",
    )


def test_no_command_is_made_of_a_slug_that_a_shell_would_run():
    odd = {**WAN, "slug": "a; rm -rf ~"}
    assert "syncd changes --since 2d" in text(detailed(changed([odd], [{**odd, "category": "x"}]), flapping=FLAPS))


# --- prices --------------------------------------------------------------------------------------------------------


def test_a_price_up():
    says(
        changed([WAN], [wan({"min": 520, "max": 1920})]),
        """
📈 Price up 33.3 %: wan-2.7-text-to-video
   • Minimum 400 → 520 (+30.0 %), Maximum 1440 → 1920 (+33.3 %)

   🟠 risky · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_prices_up_and_down():
    says(
        changed([GROK, WAN], [{**GROK, "credits_band": {"min": 70, "max": 211}}, wan({"min": 400, "max": 1500})]),
        """
💱 Price changed: 2 models
   • wan-2.7-text-to-video: Maximum 1440 → 1500 (+4.2 %)
   • grok-imagine-image-quality: Minimum 80 → 70 (−12.5 %)

   🟠 risky · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",  # noqa: RUF001 - a minus sign
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"min": 400, "max": 1440}, {"min": 200, "max": 1000}, "📉 Price down 50.0 %: wan-2.7-text-to-video"),
        ({"min": 0, "max": 1440}, {"min": 5, "max": 1440}, "📈 Price up: wan-2.7-text-to-video"),
        ({"min": 400, "max": 1440}, {"min": 300, "max": 1500}, "💱 Price changed: wan-2.7-text-to-video"),
        ({"min": 400, "max": 1440}, {}, "💱 Price changed: wan-2.7-text-to-video"),
        ({"x": 0}, {"min": 400, "max": 1440}, "💱 Price changed: wan-2.7-text-to-video"),
        ({"min": 400, "max": 1440}, {"min": "x"}, "💱 Price changed: wan-2.7-text-to-video"),
    ],
)
def test_a_price_is_up_or_down_only_if_it_is(before: Any, after: Any, expected: str):
    due = changed([{**WAN, "credits_band": before}], [{**WAN, "credits_band": after}])
    assert text(due).splitlines()[0] == expected


def test_a_reason_for_a_price_is_pointed_at():
    faster = wan({"min": 400, "max": 2000}, duration={"type": "integer", "min": 2, "max": 15, "default": 5})
    lines = text(changed([WAN], [faster])).splitlines()
    assert "   Its parameters changed at the same poll, which may be the reason." in lines


# --- parameters ----------------------------------------------------------------------------------------------------


def test_parameters_that_break_requests():
    stricter = wan(
        audio=None,
        duration={"type": "integer", "min": 2, "max": 8, "default": 5},
        resolution={"type": "string", "required": True, "default": "1080p"},
        seed={"type": "integer", "min": 0},
    )
    says(
        changed([WAN], [stricter]),
        """
🔴 Breaking changes: wan-2.7-text-to-video
   3 breaking and 2 safe changes in the request parameters.
   • Removed audio
   • Narrowed duration maximum 10 → 8
   • Now required resolution, although it states a default
   • Widened resolution type enum → string
   • Added (safe) seed

     - audio: boolean = false
     - duration: integer 2..10 = 5
     + duration: integer 2..8 = 5
     - resolution: enum[720p, 1080p] = 1080p
     + resolution: string = 1080p (required)
     + seed: integer 0..

   Worked before, fails now: {"prompt":"a","audio":false}

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_a_parameter_under_another_name():
    sound = {"type": "boolean", "default": False}
    lines = text(changed([WAN], [wan(audio=None, audios=sound)])).splitlines()
    assert "   • Renamed audio → audios" in lines
    assert "     - audio: boolean = false" in lines
    assert "     + audios: boolean = false" in lines


def test_a_model_under_another_name_names_the_other_on_both_sides():
    renamed = {**WAN, "slug": "wan-2.7-text-to-video-hd"}
    said = text(changed([WAN], [renamed]))
    assert "wan-2.7-text-to-video · video · 400 to 1440 credits · now called wan-2.7-text-to-video-hd" in said
    assert "wan-2.7-text-to-video-hd replaces wan-2.7-text-to-video: it is the same model under another name" in said


def test_what_to_call_instead_is_said_where_every_key_is_told_the_same():
    renamed = {**WAN, "slug": "wan-2.7-text-to-video-hd"}
    other = {**WAN, "slug": "wan-2.7-text-to-video-4k"}
    knows, knows_too = changed([WAN], [renamed]), changed([WAN], [renamed], key="staging")
    knows_nothing, knows_another = changed([WAN], [GROK], key="spare"), changed([WAN], [other], key="spare")

    assert "now called wan-2.7-text-to-video-hd" in text([*knows, *knows_too])
    for due in ([*knows, *knows_nothing], [*knows_nothing, *knows], [*knows, *knows_another]):
        assert "now called" not in text(due)


def test_what_a_new_model_replaces_is_said_where_every_key_is_told_the_same():
    renamed = {**WAN, "slug": "wan-2.7-text-to-video-hd"}
    knows, knows_nothing = changed([WAN], [renamed]), changed([GROK, WAN], [GROK, WAN, renamed], key="spare")

    assert "replaces" in text([*knows, *changed([WAN], [renamed], key="staging")])
    assert "replaces" not in text([*knows, *knows_nothing])
    assert "replaces" not in text([*knows_nothing, *knows])


def test_what_to_call_instead_of_a_model_that_is_gone():
    newer = {**WAN, "slug": "wan-2.8-text-to-video", "name": "Wan 2.8 Text to Video", "params": {}}
    assert "· newer version wan-2.8-text-to-video" in text(changed([WAN, newer], [newer]))
    alike = {**WAN, "slug": "wan-2.7-text-to-video-fast", "name": "Wan Fast"}
    assert "· likely replacement wan-2.7-text-to-video-fast" in text(changed([WAN, alike], [alike]))


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"type": "integer", "min": 1, "max": 10, "step": 2, "default": 3}, "integer 1..10 step 2 = 3"),
        ({"type": "string", "max_length": 9, "pattern": "^a"}, "string ..9 characters matching ^a"),
        ({"type": "string", "format": "uri", "nullable": True}, "string format uri or null"),
        ({"type": "array", "items": {"type": "string"}, "min_items": 1, "max_items": 3}, "array of string 1..3"),
        (
            {"type": "array", "items": {"type": "integer", "min": 1}, "max_items": 3, "required": True},
            "array of (integer 1..) ..3 (required)",
        ),
        ({"type": "array", "items": 7}, "array of 7"),
        ({"type": "enum", "values": ["a", 1, "1"]}, 'enum[a, 1, "1"]'),
        (7, "7"),
    ],
)
def test_a_spec_in_a_line_holds_every_constraint(spec: Any, line: str):
    assert spec_line("n", spec) == f"n: {line}"


def test_elements_within_elements_come_to_an_end():
    spec: dict[str, Any] = {"type": "array"}
    for _ in range(500):
        spec = {"type": "array", "items": spec}
    assert len(spec_line("n", spec)) < 161


def test_a_step_that_changes_is_seen_in_the_specs():
    lines = text(changed([wan(n={"type": "integer", "step": 1})], [wan(n={"type": "integer", "step": 2})])).splitlines()
    assert [line.strip() for line in lines if " n: " in line] == ["- n: integer step 1", "+ n: integer step 2"]


def test_specs_that_read_the_same_are_not_shown():
    lines = text(changed([wan(n={"type": "integer", "tempo": 1})], [wan(n={"type": "integer", "tempo": 2})]))
    assert " n: " not in lines


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (60, "at most sixty", 'Changed n maximum 60 → "at most sixty", which cannot be read'),
        ("at most sixty", 60, 'Changed n maximum "at most sixty", which cannot be read, → 60'),
        (60, None, "Widened n maximum 60 is gone"),
        (None, 60, "Narrowed n maximum is now 60"),
    ],
)
def test_a_bound_that_cannot_be_read_is_not_called_gone(before: Any, after: Any, expected: str):
    old, new = ({"type": "integer", "max": side} for side in (before, after))
    assert f"   • {expected}" in text(changed([wan(n=old)], [wan(n=new)])).splitlines()


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ({"min": "x", "max": 10}, 'unreadable (min "x", max 10)'),
        ({"min": -5}, "unreadable (min -5)"),
        ([1, 2], "unreadable ([1,2])"),
        ({"min": 9, "max": 5}, "9 to 5 (crossed)"),
    ],
)
def test_a_price_that_cannot_be_read_is_shown_as_it_was_sent(band: Any, expected: str):
    assert f"Credits 400 to 1440 → {expected}" in text(changed([WAN], [{**WAN, "credits_band": band}]))
    assert expected in text(changed([], [{**WAN, "credits_band": band}]))


def test_a_parameter_that_is_safe():
    says(
        changed([WAN], [wan(duration={"type": "integer", "min": 2, "max": 15, "default": 5})]),
        """
🟢 Parameters changed: wan-2.7-text-to-video
   1 safe change in the request parameters. What was accepted still is.
   • Widened duration maximum 10 → 15

     - duration: integer 2..10 = 5
     + duration: integer 2..15 = 5

   🟢 additive · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


@pytest.mark.parametrize(
    ("audio", "tally"),
    [
        ({"type": "boolean", "default": True}, "1 risky change in the request parameters. What was accepted still is."),
        (
            {"type": "boolean", "default": False, "tempo": 3},
            "1 risky change in the request parameters. Whether requests break cannot be decided.",
        ),
        (
            {"type": "boolean", "default": True, "tempo": 3},
            "2 risky changes in the request parameters. Whether requests break cannot be decided for 1 of them.",
        ),
        (None, "1 breaking change in the request parameters."),
    ],
)
def test_the_tally_promises_only_what_is_known(audio: Any, tally: str):
    assert text(changed([WAN], [wan(audio=audio)])).splitlines()[1].strip() == tally


def test_parameters_of_many_models_share_a_section():
    after = sample_models()
    for model in after:
        model["params"]["steps"] = {"type": "integer"}
    lines = text(changed(sample_models(), after)).splitlines()
    assert lines[0] == "🟢 Parameters changed: 6 models"
    assert lines[2] == "   • grok-imagine-image-quality: Added (safe) steps"


# --- the rest ------------------------------------------------------------------------------------------------------


def test_the_account():
    says(
        changed([], [], tier="ultimate", rate_limit={"calls_per_minute": 100, "concurrent_jobs": 20}, promo="spring"),
        """
🟠 Account of prod changed
   • Limit calls a minute 240 → 100
   • Limit jobs at a time 5 → 20
   • Plan pro → ultimate
   • Account field promo (not stated) → spring

   🟠 risky · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_other_facts_of_models():
    says(
        changed([WAN], [{**WAN, "category": "film", "sunset": "2026-04-01"}]),
        """
🟠 wan-2.7-text-to-video changed
   • Category video → film
   • Field sunset (not stated) → 2026-04-01

   🟠 risky · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )
    both = [{**model, "name": "N"} for model in (GROK, WAN)]
    assert text(changed([GROK, WAN], both)).splitlines()[:2] == [
        "⚪ 2 models changed",
        "   • grok-imagine-image-quality: Name Grok Imagine Image Quality → N",
    ]


# --- several things ------------------------------------------------------------------------------------------------


def test_the_same_change_of_several_keys_is_one_item():
    says(
        [*changed([WAN], []), *changed([WAN], [], key="staging"), *changed([GROK], [], key="staging")],
        """
🗑️ 2 models removed for prod, staging
   • wan-2.7-text-to-video · video · 400 to 1440 credits · for prod, staging
   • grok-imagine-image-quality · image · 80 to 211 credits · for staging

   🔴 breaking · keys prod, staging · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_keys_have_a_column_where_they_differ():
    lines = text([*changed([], [WAN]), *changed([], [GROK], key="staging")]).splitlines()
    assert lines[2].split() == ["Model", "Type", "Credits", "Creator", "Keys"]
    assert lines[3].endswith("Alibaba   prod")
    assert lines[4].endswith("xAI       staging")


def test_many_keys_are_a_few_names_and_a_count():
    due = [one for n in range(30) for one in changed([WAN], [], key=f"k{n}")]
    assert title(due) == "1 model removed for k0, k1, k2, k3 and 26 more"


def test_a_digest_puts_the_worst_first():
    says(
        [
            *changed([WAN], [GROK, wan({"min": 400, "max": 1500}, audio=None)]),
            *changed([], [], key="staging", tier="ultimate"),
            condition("vendor.unreachable", edge="closed", subject="url:https://v.example"),
        ],
        """
📦 1 notice and 4 changes for prod, staging

   🔴 Breaking change: wan-2.7-text-to-video · for prod
   1 breaking change in the request parameters.
   • Removed audio

     - audio: boolean = false

   Worked before, fails now: {"prompt":"a","audio":false}

   📈 Price up 4.2 %: wan-2.7-text-to-video · for prod
   • Maximum 1440 → 1500 (+4.2 %)
   Its parameters changed at the same poll, which may be the reason.

   🔓 1 model unlocked for prod
   Model                        Type    Credits     Creator
   grok-imagine-image-quality   image   80 to 211   xAI

   grok-imagine-image-quality needs prompt. An example request:
     {"model": "grok-imagine-image-quality",
      "prompt": "a misty forest at dawn, cinematic 24mm",
      "aspect_ratio": "16:9",
      "resolution": "4K"}

   🟢 Account of staging changed
   • Plan pro → ultimate

   ✅ The vendor answers again · for prod
   After 3 h 12 m. What changed meanwhile is reported as usual.

   🔴 breaking · keys prod, staging · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_a_summary_stands_alone():
    assert compose(changed([WAN], []), "x").summary == "Breaking: 1 model removed for prod"
    assert compose(changed([WAN], [wan(audio=None)]), "x").summary == "Breaking change: wan-2.7-text-to-video"
    both = [*changed([WAN], []), *changed([], [GROK])]
    assert compose(both, "x").summary == "Breaking: 1 model removed for prod; 1 model unlocked for prod"


# --- conditions ----------------------------------------------------------------------------------------------------

REJECTED: dict[str, Any] = {
    "status": 401,
    "code": "KEY_REVOKED",
    "request_id": "req_abc123",
    "fingerprint": "3fa94c1e",
    "next": "Generate a new key in Settings.",
}


def test_a_key_is_rejected():
    says(
        [condition("access.rejected", **REJECTED)],
        """
⛔ Key prod is rejected (401)
   Since 2026-03-02 09:00:00 UTC. The last catalogue is kept; no removals are reported.
   • Code KEY_REVOKED · request req_abc123
   • Fingerprint 3fa94c1e
   | Generate a new key in Settings.
   Put a valid key where the configuration reads it, restart syncd, then look at syncd status

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_several_keys_are_rejected():
    more = [condition("access.rejected", key, **{**REJECTED, "next": None}) for key in ("prod", "staging")]
    lines = text(more).splitlines()
    assert lines[0] == "⛔ 2 keys are rejected (401): prod, staging"
    assert lines[3] == "   • staging · Code KEY_REVOKED · request req_abc123 · Fingerprint 3fa94c1e"


def test_a_locked_tier():
    says(
        [condition("access.tier-locked", status=403, code="TIER_LOCKED")],
        """
🔒 Key prod has no API access (403)
   Since 2026-03-02 09:00:00 UTC. The last catalogue is kept; no removals are reported.
   • Code TIER_LOCKED
   Move the account to a plan with API access; syncd notices by itself.

   🔴 breaking · key prod · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_a_key_is_refused():
    lines = text([condition("access.forbidden", status=403)]).splitlines()
    assert lines[0] == "⛔ Key prod is refused (403)"
    assert lines[2] == "   Ask the vendor why; syncd keeps asking by itself."


def test_the_vendor_cannot_be_reached():
    what = "no answer from v.example within 20 s"
    says(
        [condition("vendor.unreachable", "prod", "dev", subject="url:https://v.example", code="timeout", what=what)],
        """
🔌 The vendor cannot be reached
   Since 2026-03-02 09:00:00 UTC. The last catalogue is kept; no removals are reported.
   • No answer from v.example within 20 s
   • Address https://v.example
   • Affected: prod, dev
   Nothing to do unless it lasts: syncd keeps asking. How each key fares: syncd status

   🟠 risky · keys prod, dev · detected 2026-03-02 09:00:00 UTC · dlv_1
""",
    )


def test_an_answer_that_is_of_no_use_is_not_called_silence():
    due = condition("vendor.unreachable", status=503, what="a fault at the vendor (503 PROVIDER_DOWN)")
    assert title([due]) == "The vendor gives no usable answer (503)"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("access.rejected", "Key prod works again"),
        ("access.tier-locked", "Key prod has API access again"),
        ("access.forbidden", "Key prod works again"),
        ("vendor.unreachable", "The vendor answers again"),
    ],
)
def test_a_condition_closes(kind: str, expected: str):
    says(
        [condition(kind, edge="closed", status=403)],
        f"""
✅ {expected}
   After 3 h 12 m. What changed meanwhile is reported as usual.

   ⚪ informational · key prod · detected 2026-03-02 12:12:00 UTC · dlv_1
""",
    )


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("drop", "14 of 42 models (33 %) are missing from one poll to the next"),
        ("emptied", "It is empty: 0 of 42 models are left"),
        ("incomplete", "It looks like one page of several: what is not on it counts as neither gone nor missing"),
        ("rotated", "The key was replaced, and 14 of 42 models (33 %) are missing from what the new one lists"),
        ("a newer version's", "14 of 42 models (33 %) are missing from one poll to the next"),
    ],
)
def test_why_a_listing_is_suspicious(why: str, expected: str):
    due = condition("listing.suspicious", why=why, missing=14, of=42, requests=["nightly hero"])
    assert text([due]).splitlines()[1:4] == [
        "   Since 2026-03-02 09:00:00 UTC. Nothing is told as removed until it has been missing for longer.",
        f"   • {expected}",
        "   • In doubt, for they use such models: nightly hero",
    ]


def test_a_suspicious_listing_ends_whole_or_right():
    whole = condition("listing.suspicious", edge="closed", why="drop", missing=14, of=42)
    assert title([whole]) == "The listing for prod looks right again"
    right = replace(whole, detail={**whole.detail, "confirmed": 14})
    assert title([right]) == "14 removals for prod are confirmed"
    assert "After 3 h 12 m. What has stayed missing is told as removed." in text([right])


def test_that_a_condition_lasts():
    lines = text([condition("access.rejected", edge="reminder", **REJECTED)]).splitlines()
    assert lines[0] == "⛔ Still: Key prod is rejected (401), for 2 d"
    assert lines[1:] == text([condition("access.rejected", **REJECTED)]).splitlines()[1:]


def test_that_a_condition_lasts_is_told_only_where_nothing_else_is_told_of_it():
    edges: tuple[Edge, ...] = ("opened", "closed")
    for edge in edges:
        both = [condition("access.rejected", edge=edge), condition("access.rejected", edge="reminder")]
        assert title(both) == title(both[:1])


def test_every_condition_has_every_design():
    edges: tuple[Edge, ...] = ("opened", "reminder", "closed")
    for kind in CONDITIONS:
        for edge in edges:
            assert title([condition(kind, edge=edge)])


def test_a_condition_in_one_sentence():
    assert condition_summary("access.rejected", {"status": 401, "keys": {"prod": ""}}) == "Key prod is rejected (401)"
    assert condition_summary("access.forbidden", {"recovered": ["a", "b"]}) == "2 keys are refused: a, b"
    assert condition_summary("vendor.unreachable", {}) == "The vendor cannot be reached"


COMMANDS = {"run", "once", "check", "migrate", "demo", "status", "models", "changes", "held", "alerts", "sql"}


def test_next_steps_name_commands_that_exist():
    due = [*(condition(kind) for kind in CONDITIONS), *changed([], made_up_models(160))]
    message = compose(due, "x")
    styled = [
        span.text
        for block in (*message.blocks, *(block for reply in message.replies for block in reply.blocks))
        if isinstance(block, Paragraph)
        for span in block.spans
        if span.style == "code" and span.text.startswith("syncd ")
    ]
    assert {words.split()[1] for words in styled} == {"status", "changes", "held", "alerts"}
    assert {words.split()[1] for words in styled} <= COMMANDS


# --- rendering -----------------------------------------------------------------------------------------------------


def test_a_note_stands_under_the_title():
    message = compose(changed([WAN], []), "x")
    assert as_text(message, note="may repeat an earlier alert").splitlines()[1] == "   (may repeat an earlier alert)"


def test_wide_characters_keep_a_table_aligned():
    table = Table(("Model", "Type"), (("日本", "x"), ("abc", "y")))
    lines = as_text(Message("k", "risky", "!", "t", "s", (table,), ("prod",), NOW, "dlv_1")).splitlines()
    assert lines[2:5] == ["   Model   Type", "   日本    x", "   abc     y"]


def test_every_block_survives_storage():
    blocks = (
        Paragraph((Span("a"), bold("b"), Span("c", "strike"))),
        Bullets(((Span("one"),), ())),
        Table(("h",), (("c",),)),
        Code(("x", "y")),
        Quote("q 日本 😀"),
    )
    message = Message("kind", "breaking", "🔴", "t", "s", blocks, ("a", "b"), NOW, "dlv_1", ("x",))
    assert decode(encode(message)) == message


# --- whatever the vendor sends -------------------------------------------------------------------------------------

EVIL = "\x1b[31m\x9b2J\u202e\u2066\u200b\ufeff\r\n\u2028\0\ud800\U000e0041evil" + "x" * 10_000
LONGEST_LINE = 2_000


def check_clean(message: Message) -> None:
    stored = decode(encode(message))
    assert stored == message
    for line in as_text(message).split("\n"):
        assert len(line) <= LONGEST_LINE
        assert not [
            c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u200b\ufeff"
        ]


def test_hostile_vendor_text_comes_out_clean():
    spec = {EVIL: EVIL, "type": EVIL, "values": [EVIL] * 50, "default": EVIL, "required": True}
    model = {
        **dict.fromkeys(("slug", "name", "category", "creator", "description", EVIL), EVIL),
        "params": {EVIL: spec, **{f"{n}{EVIL}": {"required": True} for n in range(50)}},
        "example_request": {f"{n}{EVIL}": EVIL for n in range(50)},
    }
    other = copy.deepcopy(model)
    other["params"] = {EVIL: {"type": "integer", "max": 10**399}}
    other[EVIL] = other["category"] = other["name"] = "short"
    mild = {**model, "credits_band": {"min": 1, "max": 10**390}}
    dear = {**model, "credits_band": {"min": 10**390, "max": 10**391}}
    due = [
        *changed([], [model]),
        *changed([model], []),
        *changed([model], [other], **{EVIL: EVIL}, tier=EVIL),  # type: ignore[arg-type]
        *changed([mild], [dear]),
        *(condition(k, EVIL, subject=f"url:{EVIL}", **EVERY_DETAIL) for k in CONDITIONS),
        *(condition(k, EVIL, edge="closed", subject=EVIL) for k in CONDITIONS),
    ]
    for one in due:
        check_clean(compose([one], "x"))
    check_clean(compose(due, "x"))


DETAIL = ("code", "status", "request_id", "fingerprint", "next", "what", "message")
EVERY_DETAIL: dict[str, Any] = dict.fromkeys(DETAIL, EVIL)

# What the decoder lets through: anything but lone surrogates. Of a condition's detail not even that is known.
TEXT = st.text(max_size=12)
ANY_TEXT = st.text(st.characters(), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.builds(Decimal, st.sampled_from(["0.5", "1E+30", "-2"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MODEL = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("category", "creator", "credits_band", "example_request"), JSON),
        "params": JSON | st.dictionaries(TEXT, JSON | st.fixed_dictionaries({"required": st.booleans()}), max_size=20),
    },
)
SIDE = st.just(MISSING) | JSON | MODEL | st.lists(MODEL, max_size=2)
PATHS: Mapping[str, int] = {"account": 1, "catalogue": 2, "model": 2, "credits": 3, "param": 5}


@st.composite
def garbage(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from([kind for kind in sorted(RULES) if kind != "catalogue.baseline"]))
    depth = PATHS[kind.partition(".")[0]]
    path = tuple(draw(st.lists(TEXT, min_size=depth, max_size=depth)))
    names = ("cause", "related", "spec_before", "spec_after", "new_default", "variants", "flapping", "reverts")
    return Change(
        kind,
        path,
        draw(st.sampled_from(["breaking", "risky", "additive", "informational"])),
        draw(SIDE),
        draw(SIDE),
        None if kind.startswith("account.") else draw(TEXT),
        draw(st.none() | TEXT),
        draw(st.booleans()),
        draw(st.none() | st.dictionaries(TEXT, JSON, max_size=3)),
        draw(st.dictionaries(st.sampled_from(names), JSON, max_size=3)),
    )


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.lists(garbage(), min_size=1, max_size=6),
    st.lists(TEXT, min_size=1, max_size=3),
    st.sampled_from([None, None, "unconfirmed", "back"]),
)
def test_no_change_is_too_odd_to_be_told(found: list[Change], keys: list[str], edge: ChangeEdge | None):
    due = [ChangeDue(n, keys[n % len(keys)], NOW, change, edge=edge, id=n) for n, change in enumerate(found)]
    check_clean(compose(due, "x"))
    assert all(len(answers(one)) < 3 for one in due)


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.sampled_from(sorted(CONDITIONS)),
    st.dictionaries(st.sampled_from(DETAIL), JSON | ANY_TEXT),
    st.lists(ANY_TEXT, max_size=9),
)
def test_no_condition_is_too_odd_to_be_told(kind: str, detail: dict[str, Any], keys: list[str]):
    opened = replace(condition(kind), keys=tuple(keys), detail=detail)
    check_clean(compose([opened, replace(opened, edge="closed", at=NOW - timedelta(days=1))], "x"))
    assert condition_summary(kind, {**detail, "keys": dict.fromkeys(keys, "failing")})


@pytest.mark.parametrize("kind", sorted(kind for kind in RULES if kind != "catalogue.baseline"))
def test_every_kind_has_a_design(kind: str):
    path = ("models", "m", "params", "p", "max")[: PATHS[kind.partition(".")[0]]]
    slug = None if kind.startswith("account.") else "m"
    change = Change(kind, path, RULES[kind].severity or "risky", 1, 2, slug)
    assert text([ChangeDue(1, "prod", NOW, change)])


def test_counting_is_left_to_one_place():
    assert title(changed([], made_up_models(2))) == f"{count(2, 'model')} unlocked for prod"

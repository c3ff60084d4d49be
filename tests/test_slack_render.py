"""How a message looks in Slack: the designs, and what holds for every message whatever a vendor sent."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.delivery import MAY_REPEAT, RUNGS, Rung
from syncd.core.message import Bullets, Code, Message, Paragraph, Quote, Span, Table, bold, code
from syncd.core.text import clean
from syncd.sinks.slack.render import (
    MOST_BLOCKS,
    MOST_CHARACTERS,
    MOST_HEADER,
    MOST_ROWS,
    MOST_TEXT,
    cut,
    is_ours,
    is_safe,
    length,
    payload,
)
from tests import samples
from tests.fake_slack import MOST_BLOCK_ID, Json, check

AT = datetime(2026, 11, 23, 6, 29, 34, tzinfo=UTC)
ID = "dlv_01K9Z3"


def message(*blocks, title="A title", summary="A sentence", names=(), keys=("prod",), **others) -> Message:
    facts = {"kind": "other_changed", "severity": "risky", "emoji": "🟠", "detected": AT, "reference": ID, **others}
    return Message(title=title, summary=summary, blocks=blocks, names=names, keys=keys, **facts)


# --- the designs ---------------------------------------------------------------------------------------------------


def text(words: str, *styles: str) -> Json:
    return {"type": "text", "text": words, **({"style": dict.fromkeys(styles, True)} if styles else {})}


def section(*elements: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(elements)}


def bullets(*sections: Json) -> Json:
    return {"type": "rich_text_list", "style": "bullet", "elements": list(sections)}


SHORTENED = section(text("Shortened. All of it: "), text("syncd changes --since 1d", "code"))


def cell(words: str, *styles: str) -> Json:
    return {"type": "rich_text", "elements": [section(text(words, *styles))]}


def raw(words: str) -> Json:
    return {"type": "raw_text", "text": words}


def header(words: str) -> Json:
    return {
        "type": "header",
        "block_id": f"sd:{ID}:0",
        "text": {"type": "plain_text", "text": words, "emoji": True},
    }


def context(n: int, severity: str) -> Json:
    date = "<!date^1795415374^{date_short_pretty} {time}|2026-11-23 06:29:34 UTC>"
    words = f"{severity} · key `prod` · detected {date} · `{ID}`"
    return {
        "type": "context",
        "block_id": f"sd:{ID}:{n}",
        "elements": [{"type": "mrkdwn", "text": words, "verbatim": True}],
    }


def test_a_rejected_key():
    rejected = message(
        Paragraph((Span("Since 06:02 UTC. "), bold("The last catalogue is kept; no removals are reported."))),
        Bullets(
            (
                (Span("Code "), code("KEY_REVOKED"), Span(" · request "), code("req_abc123")),
                (Span("Fingerprint "), code("3fa94c1e")),
            )
        ),
        Quote("Generate a new key in Settings."),
        Paragraph((Span("Put the new key where the configuration reads it, then "), code("syncd reload"))),
        kind="key_rejected",
        severity="breaking",
        emoji="⛔",
        title="Key prod is rejected (401)",
        summary="Key prod is rejected by the vendor (401 KEY_REVOKED) since 06:02 UTC",
    )
    assert payload(rejected, ID) == {
        "text": "Key prod is rejected by the vendor (401 KEY_REVOKED) since 06:02 UTC",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "metadata": {
            "event_type": "syncd_alert",
            "event_payload": {"v": 1, "delivery_id": ID, "kind": "key_rejected"},
        },
        "blocks": [
            header("⛔ Key prod is rejected (401)"),
            {
                "type": "rich_text",
                "block_id": f"sd:{ID}:1",
                "elements": [
                    section(
                        text("Since 06:02 UTC. "),
                        text("The last catalogue is kept; no removals are reported.", "bold"),
                    ),
                    bullets(
                        section(
                            text("Code "),
                            text("KEY_REVOKED", "code"),
                            text(" · request "),
                            text("req_abc123", "code"),
                        ),
                        section(text("Fingerprint "), text("3fa94c1e", "code")),
                    ),
                    {"type": "rich_text_quote", "elements": [text("Generate a new key in Settings.")]},
                    section(
                        text("Put the new key where the configuration reads it, then "), text("syncd reload", "code")
                    ),
                ],
            },
            context(2, "🔴 breaking"),
        ],
    }


def test_models_unlocked():
    slug = "wan-2.7-text-to-video"
    unlocked = message(
        Table(
            ("Model", "Type", "Credits", "Creator"),
            (
                ("grok-imagine-image-quality", "image", "80 \u2013 211", "xAI Labs"),
                (slug, "video", "400 to 1440", "Alibaba"),
            ),
        ),
        Paragraph((code(slug), Span(" needs "), code("prompt"), Span(". An example request:"))),
        Code(('{"model": "wan-2.7-text-to-video",', ' "duration": 5}')),
        kind="models_unlocked",
        severity="additive",
        emoji="🔓",
        title="2 models unlocked for prod",
    )
    assert payload(unlocked, ID)["blocks"] == [
        header("🔓 2 models unlocked for prod"),
        {
            "type": "table",
            "block_id": f"sd:{ID}:1",
            "column_settings": [
                {"align": "left", "is_wrapped": True},
                {"align": "left"},
                {"align": "right"},
                {"align": "left"},
            ],
            "rows": [
                [raw("Model"), raw("Type"), raw("Credits"), raw("Creator")],
                [cell("grok-imagine-image-quality", "code"), raw("image"), raw("80 \u2013 211"), cell("xAI Labs")],
                [cell(slug, "code"), raw("video"), raw("400 to 1440"), raw("Alibaba")],
            ],
        },
        {
            "type": "rich_text",
            "block_id": f"sd:{ID}:2",
            "elements": [
                section(text(slug, "code"), text(" needs "), text("prompt", "code"), text(". An example request:")),
                {
                    "type": "rich_text_preformatted",
                    "elements": [text('{"model": "wan-2.7-text-to-video",\n "duration": 5}')],
                },
            ],
        },
        context(3, "🟢 additive"),
    ]


def test_a_section_of_a_digest_stands_apart():
    digest = message(
        Paragraph((bold("📈 Price up: m-1"),)),
        Bullets(((Span("one"),),)),
        Paragraph((bold("🗑️ 1 model removed"),)),
        Bullets(((code("m-2"),),)),
    )
    _, first, second, _ = payload(digest, ID)["blocks"]
    assert [element["type"] for element in first["elements"]] == ["rich_text_section", "rich_text_list"]
    assert second["elements"][0] == section(text("🗑️ 1 model removed", "bold"))


def test_slack_shows_one_table_so_the_second_is_a_list():
    table = Table(("Model", "Type"), (("m-1", "image"),))
    _, first, second, _ = payload(message(table, table), ID)["blocks"]
    assert first["type"] == "table"
    assert second["elements"] == [bullets(section(text("m-1"), text(" · "), text("image")))]


def test_a_long_table_ends_and_says_so():
    rows = tuple((f"m-{n}", "image") for n in range(40))
    _, table, rest, _ = payload(message(Table(("Model", "Type"), rows)), ID)["blocks"]
    assert len(table["rows"]) == 1 + MOST_ROWS
    assert rest["elements"] == [SHORTENED]


def test_an_empty_cell_is_a_dash():
    _, table, _ = payload(message(Table(("Model", ""), (("", " "),))), ID)["blocks"]
    assert table["rows"] == [[raw("Model"), cell("-", "bold")], [cell("-", "code"), raw("-")]]


def test_the_rungs_of_the_ladder():
    rich, bare, plain = (payload(message(Paragraph((Span("Words"),))), ID, rung) for rung in RUNGS)
    assert {**bare, "metadata": rich["metadata"]} == rich
    assert "metadata" not in plain
    (block,) = plain["blocks"]
    assert block["block_id"] == f"sd:{ID}:0"
    (words,) = block["elements"][0]["elements"]
    assert words["text"].splitlines()[:2] == ["🟠 A title", "   Words"]


@pytest.mark.parametrize("rung", RUNGS)
def test_a_note_for_the_reader_stands_in_every_form(rung: Rung):
    assert MAY_REPEAT in json.dumps(payload(message(), ID, rung, MAY_REPEAT)["blocks"])


# --- what may stand where Slack reads markup -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "names", "shown"),
    [
        ("Price up 33 %: wan-2.7", ("wan-2.7",), "Price up 33 %: wan-2.7"),
        ("Price up: <!channel>", ("<!channel>",), "Price up: a model"),
        ("Price up: a b; a b c", ("a b", "a b c"), "Price up: a model; a model"),
        ("Price up: `x` and m-1", ("`x`", "m-1"), "Price up: a model and m-1"),
        ("Price up: <!chan…", ("<!channel>",), "Price up: a model…"),
        ("Account of prod <@U1> changed", (), "Account of prod \u2039@U1\u203a changed"),
        ("Price up:  ", (" ", ""), "Price up:  "),
        # "prod é" is a key of the message.
        ("é is gone for prod é", ("é", "prod"), "a model is gone for a key"),
        ("é is gone for pr…", ("é",), "a model is gone for a key…"),
    ],
)
def test_a_name_of_no_safe_form_is_not_in_the_title(title: str, names: tuple[str, ...], shown: str):
    made = payload(message(title=title, summary=title, names=names, keys=("prod é",)), ID)
    assert made["blocks"][0]["text"]["text"] == f"🟠 {shown}"
    assert made["text"] == shown


def test_a_key_of_no_safe_form_is_named_nowhere_but_in_the_body():
    made = payload(message(title="Key <!here> works", summary="Key <!here> works", keys=("<!here>", "prod")), ID)
    assert made["text"] == "Key a key works"
    assert "keys a key, `prod` ·" in made["blocks"][-1]["elements"][0]["text"]


def test_more_keys_than_fit_are_counted():
    words = payload(message(keys=tuple(f"key-{n}" for n in range(9))), ID)["blocks"][-1]["elements"][0]["text"]
    assert "keys `key-0`, `key-1`, `key-2`, `key-3` and 5 more ·" in words


def test_a_message_without_keys_says_nothing_of_keys():
    words = payload(message(keys=()), ID)["blocks"][-1]["elements"][0]["text"]
    assert words == (
        f"🟠 risky · detected <!date^1795415374^{{date_short_pretty}} {{time}}|2026-11-23 06:29:34 UTC> · `{ID}`"
    )


def test_ampersands_are_escaped_whole():
    assert payload(message(summary="a & b"), ID)["text"] == "a &amp; b"
    many = payload(message(summary="&" * 500), ID)["text"]
    assert many == "&amp;" * (len(many) // 5) + "…"


@pytest.mark.parametrize("name", ["m-1", "wan-2.7/text:video@2", "A" * 80])
def test_safe_names(name: str):
    assert is_safe(name)


@pytest.mark.parametrize("name", ["", "a b", "m-1\n", "A" * 81, "`m`", "é", "<!channel>", "a&b", "a*b"])
def test_unsafe_names(name: str):
    assert not is_safe(name)


# --- who is called ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", ["rich", "bare"])
@pytest.mark.parametrize(
    ("mention", "element"),
    [
        ("@here", {"type": "broadcast", "range": "here"}),
        ("@channel", {"type": "broadcast", "range": "channel"}),
        ("S0123ABCD", {"type": "usergroup", "usergroup_id": "S0123ABCD"}),
        ("U0123ABCD", {"type": "user", "user_id": "U0123ABCD"}),
        ("W0123ABCD", {"type": "user", "user_id": "W0123ABCD"}),
    ],
)
def test_who_is_called_stands_first(rung: Rung, mention: str, element: Json):
    _, body, _ = payload(message(Paragraph((Span("Words"),)), mentions=(mention,)), ID, rung, MAY_REPEAT)["blocks"]
    assert body["elements"] == [section(element), section(text(f"({MAY_REPEAT})", "bold")), section(text("Words"))]


def test_several_are_called_in_one_line():
    _, body, _ = payload(message(mentions=("@here", "<!channel>", "S0123ABCD")), ID)["blocks"]
    here, team = {"type": "broadcast", "range": "here"}, {"type": "usergroup", "usergroup_id": "S0123ABCD"}
    assert body["elements"] == [section(here, text(" "), team)]


def test_more_than_can_be_called_is_said():
    many = message(Paragraph((Span("Words"),)), mentions=tuple(f"U{n:08}" for n in range(500)))
    _, body, _ = payload(many, ID)["blocks"]
    assert len(calls(body)) == 20
    assert body["elements"][1:] == [section(text("Words")), SHORTENED]


@pytest.mark.parametrize(
    "mention",
    [
        *("", "@everyone", "here", "@Here", " @here", "@here\n", "<!here>", "<@U0123ABCD>", "@U0123ABCD"),
        *("U012", "u0123abcd", "U0123ABCD\n", "C0123ABCD", "U0123ABC\u0415", "\uff350123ABCD", "U" + "0" * 21),
    ],
)
def test_what_calls_nobody_is_left_out(mention: str):
    assert payload(message(mentions=(mention,)), ID) == payload(message(), ID)


def test_the_last_form_is_words_and_calls_nobody():
    """It is for when Slack refuses the others; an id there would be no word of it."""
    assert payload(message(mentions=("@here", "S0123ABCD")), ID, "plain") == payload(message(), ID, "plain")


@pytest.mark.parametrize("rung", RUNGS)
def test_what_follows_in_the_thread_is_no_part_of_the_message(rung: Rung):
    reply = message(Paragraph((Span("An answer"),)), mentions=("@channel",), title="More")
    assert payload(message(replies=(reply, reply)), ID, rung) == payload(message(), ID, rung)


def calls(value: object) -> list[Json]:
    """Every element that calls somebody, wherever it stands."""
    if isinstance(value, dict):
        found = [value] if value.get("type") in ("broadcast", "usergroup", "user") else []
        return found + [call for part in value.values() for call in calls(part)]
    return [call for part in value for call in calls(part)] if isinstance(value, list) else []


# --- found again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", RUNGS)
def test_a_message_is_told_by_its_delivery(rung: Rung):
    made = payload(message(), ID, rung)
    assert is_ours(made, ID)
    assert not is_ours(made, ID[:-1])
    assert not is_ours(made, ID + "X")


@pytest.mark.parametrize(
    "seen",
    [
        None,
        [],
        {},
        {"metadata": None, "blocks": None},
        {"metadata": {"event_type": "other", "event_payload": {"delivery_id": ID}}},
        {"metadata": {"event_type": "syncd_alert", "event_payload": [ID]}},
        {"blocks": [None, 7, {}, {"block_id": 7}, {"block_id": f"sd:{ID}"}]},
    ],
)
def test_other_messages_are_not_ours(seen: object):
    assert not is_ours(seen, ID)


# --- whatever a message holds --------------------------------------------------------------------------------------

# Marks of hostile text: none of them may stand outside of rich text. Each has a character that no safe name has.
HOSTILE = (
    "<!channel>",
    "<!here|x>",
    "<@U012345>",
    "<https://evil.invalid|x>",
    "`code` *bold*",
    "&lt;!channel&gt;",
    "\u202egnihton\u202c <!everyone>",
    "\ud800<!channel>\udfff",
    "\u200b<!channel>\0\x1b[31m",
    "<!channel>" * 1_000,
    "👩\u200d👩\u200d👧 <!channel>" * 600,
    '"\\' * 5_000 + "<!channel>",
)
hostile = st.sampled_from(HOSTILE)
some = st.one_of(hostile, st.text(max_size=300), st.text(st.sampled_from('🔴\u4e00"\\\t a'), max_size=400))
# Two of a mark that none of our own texts has; a title that was cut in the middle of a name may show one of them.
MARK = "\u2620\u2620"
words = some | st.builds(lambda before, after: before[:200] + MARK + after, some, some)
spans = st.lists(st.builds(Span, words, st.sampled_from(["plain", "bold", "code", "strike"])), max_size=6).map(tuple)
blocks = st.one_of(
    st.builds(Paragraph, spans),
    st.builds(Bullets, st.lists(spans, max_size=40).map(tuple)),
    st.builds(Code, st.lists(words, max_size=60).map(tuple)),
    st.builds(Quote, words),
    st.integers(1, 25).flatmap(
        lambda n: st.builds(
            Table,
            st.tuples(*[words] * n),
            st.lists(words, max_size=3).map(lambda few: tuple((few + ["x"] * n)[:n] for _ in range(4)))
            | st.integers(0, 60).map(lambda rows: (("x" * 90,) * n,) * rows),
        )
    ),
)
PEOPLE = ("@here", "@channel", "S0123ABCD", "U0123ABCD", "W0123ABCD")
TITLES = (
    "Price up: {0}",
    "{0} and {1} are gone for {2}",
    "Key {2} is rejected (401)",
    "{1}",
    "2 changes for {2}, {2}",
    "{0}; {1}; {0}; {2}",
)


def composed(title: str, *, slugs: list[str], keys: list[str], **others) -> Message:
    """As `compose` does it: names are made clean and cut, stand in the titles, and are said to stand there."""
    slugs = [clean(slug, 80) for slug in slugs]
    keys = [clean(key, 64) for key in keys]
    words = title.format(*slugs, keys[0] if keys else "nobody")
    names = sorted({slug for slug in slugs if slug in words}, key=len, reverse=True)
    summary = clean(f"Risky: {words}", 300)
    return message(*others.pop("blocks"), title=words, summary=summary, names=tuple(names), keys=tuple(keys), **others)


messages = st.builds(
    composed,
    st.sampled_from(TITLES),
    slugs=st.lists(words | st.just("m-1"), min_size=2, max_size=2),
    keys=st.lists(words | st.just("prod") | st.just("k" * 80), max_size=7),
    blocks=st.lists(blocks, max_size=30).map(tuple),
    severity=st.sampled_from(["breaking", "risky", "additive", "informational"]),
    kind=st.just("other_changed") | words,
    mentions=st.lists(st.sampled_from(PEOPLE) | words, max_size=30).map(tuple),
    replies=st.just(()) | st.just((message(Paragraph((Span(MARK),)), mentions=PEOPLE),)),
)


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(messages, st.sampled_from(RUNGS))
def test_every_message_keeps_to_the_budget_and_to_slack_s_rules(made: Message, rung: Rung):
    sent = payload(made, ID, rung, MAY_REPEAT)
    assert 1 <= len(sent["blocks"]) <= MOST_BLOCKS
    assert length(json.dumps(sent["blocks"], ensure_ascii=False)) <= MOST_CHARACTERS
    assert 1 <= length(sent["text"]) <= MOST_TEXT
    assert all(length(block["text"]["text"]) <= MOST_HEADER for block in sent["blocks"] if block["type"] == "header")
    assert all(len(block["rows"]) <= 1 + MOST_ROWS for block in sent["blocks"] if block["type"] == "table")
    assert len(json.dumps(sent.get("metadata", {}))) < 800
    ids = [block["block_id"] for block in sent["blocks"]]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= MOST_BLOCK_ID
    json.dumps(sent, ensure_ascii=False).encode()  # raises for a lone surrogate
    check(sent)  # raises for what Slack refuses


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(messages, st.sampled_from(RUNGS))
def test_vendor_text_stands_only_in_text_elements_of_rich_text(made: Message, rung: Rung):
    sent = payload(made, ID, rung)
    outside = json.dumps(without_rich_text(sent), ensure_ascii=False)
    date = outside.replace("<!date^1795415374^{date_short_pretty} {time}|2026-11-23 06:29:34 UTC>", "")
    assert not set("<>") & set(date)
    assert "*bold*" not in outside
    assert "!channel" not in outside
    assert "evil" not in outside
    assert MARK not in outside


COMPOSED = samples.samples() | samples.hostile()


@settings(derandomize=True, deadline=None, database=None, max_examples=100)
@given(messages, st.sampled_from(RUNGS))
def test_only_the_mentions_of_a_message_call_anybody(made: Message, rung: Rung):
    """No vendor's text becomes a call, and no call is lost because of what else the message says."""
    called = [mention for mention in made.mentions[:20] if mention in PEOPLE] if rung != "plain" else []
    assert [whom(call) for call in calls(payload(made, ID, rung))] == called


def whom(call: Json) -> str:
    return f"@{call['range']}" if call["type"] == "broadcast" else call[f"{call['type']}_id"]


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("made", [pytest.param(made, id=name) for name, made in COMPOSED.items()])
def test_what_is_composed_keeps_to_slack_s_rules_too(made: Message, rung: Rung):
    """With replies among them: each is a message of its own."""
    sent = payload(made, ID, rung, MAY_REPEAT)
    check(sent)
    assert length(json.dumps(sent["blocks"], ensure_ascii=False)) <= MOST_CHARACTERS
    assert [whom(call) for call in calls(sent)] == list(made.mentions if rung != "plain" else ())
    outside = json.dumps(without_rich_text(sent), ensure_ascii=False)
    assert not set("<>") & set(re.sub(r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|[-0-9: ]+ UTC>", "", outside))
    assert not any(part in outside for part in ("!channel", "!here", "@U012345", "evil", "*bold*", "```"))


def without_rich_text(value: object) -> object:
    """Everything but the texts of rich text's text elements, which are named alone "text"."""
    if isinstance(value, dict):
        if value.get("type") == "text":
            assert set(value) <= {"type", "text", "style"}
            return {name: part for name, part in value.items() if name != "text"}
        return {name: without_rich_text(part) for name, part in value.items()}
    return [without_rich_text(part) for part in value] if isinstance(value, list) else value


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(st.sampled_from("a🔴\u4e00\u0301"), max_size=80), st.integers(1, 60))
def test_a_text_is_cut_by_the_longer_of_both_counts(given_text: str, most: int):
    shown = cut(given_text, most)
    assert length(shown) <= most
    assert shown == given_text or (shown.endswith("…") and given_text.startswith(shown[:-1]))

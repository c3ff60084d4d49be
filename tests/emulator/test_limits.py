"""What is sent to Slack, through the limits that other people keep (PyPI `slackblocks`, made from their own registry).

It builds blocks by class and refuses what is too long, too many, empty or of the wrong kind. It cannot read rich text
and tables, so these are built here from what we send, part by part; what it would send in turn must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import pytest
from slackblocks import blocks, messages, objects
from slackblocks.errors import InvalidUsageError
from slackblocks.rich_text import elements as words
from slackblocks.rich_text import objects as parts

from syncd.core.delivery import RUNGS
from syncd.sinks.slack.render import payload
from tests.samples import hostile, samples

Json: TypeAlias = dict[str, Any]

MESSAGES = {**samples(), **hostile()}


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_keeps_to_the_limits(name, rung):
    made = without_broadcasts(payload(MESSAGES[name], "dlv_1", rung))
    theirs = message(made["blocks"], made["text"]).to_dict()
    assert theirs["text"] == made["text"]
    assert without_defaults(theirs["blocks"]) == made["blocks"]


WORDS: Final = {"type": "text", "text": "x"}
SECTION: Final = {"type": "rich_text_section", "elements": [WORDS]}


@pytest.mark.parametrize(
    "wrong",
    [
        [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
        [{"type": "header", "text": {"type": "plain_text", "text": ""}}],
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}],
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x" * 3001}]}],
        [{"type": "rich_text", "elements": []}],
        [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]}],
        [{"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "bullet", "elements": []}]}],
        [{"type": "rich_text", "block_id": "x" * 256, "elements": [SECTION]}],
        [{"type": "table", "rows": []}],
        [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]] * 101}],
        [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 21]}],
        [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]], "column_settings": [{"align": "middle"}]}],
        [{"type": "rich_text", "elements": [SECTION]}] * 51,
    ],
    ids=str,
)
def test_the_limits_would_tell(wrong):
    with pytest.raises(InvalidUsageError):
        message(wrong, "x")


# --- from what we send to their classes ------------------------------------------------------------------------------


def message(made: Sequence[Json], text: str) -> messages.Message:
    return messages.Message("C0ALERTS", text, [block(one) for one in made], mrkdwn=False)


def block(made: Json) -> blocks.Block:
    ident = made.get("block_id")
    match made["type"]:
        case "rich_text":
            return blocks.RichTextBlock([element(one) for one in made["elements"]], ident)
        case "table":
            settings = [objects.ColumnSettings(**one) for one in made.get("column_settings", [])]
            return blocks.TableBlock([[cell(one) for one in row] for row in made["rows"]], settings, ident)
    return blocks.Block.from_dict(made)


def element(made: Json) -> parts.RichTextObject:
    match made["type"]:
        case "rich_text_section":
            return parts.RichTextSection(texts(made))
        case "rich_text_list":
            return parts.RichTextList(made["style"], [parts.RichTextSection(texts(one)) for one in made["elements"]])
        case "rich_text_preformatted":
            return parts.RichTextCodeBlock(texts(made))
    assert made["type"] == "rich_text_quote"
    return parts.RichTextQuote(texts(made))


def texts(made: Json) -> list[words.RichTextElement]:
    return [word(one) for one in made["elements"]]


def word(made: Json) -> words.RichTextElement:
    match made["type"]:
        case "user":
            return words.RichTextUser(made["user_id"])
        case "usergroup":
            return words.RichTextUserGroup(made["usergroup_id"])
    assert made["type"] == "text"
    return words.RichText(made["text"], **made.get("style", {}))


def cell(made: Json) -> objects.RawText | parts.RichTextObject:
    """Theirs holds one section, as ours does; that nothing else stood there, the comparison tells."""
    return objects.RawText(made["text"]) if made["type"] == "raw_text" else element(made["elements"][0])


def without_defaults(made: Any) -> Any:
    """What they send, without what they add to lists: the first number of one that has none, and no border."""
    if isinstance(made, dict):
        added = {"offset": 0, "border": 0} if made.get("type") == "rich_text_list" else {}
        return {name: without_defaults(part) for name, part in made.items() if (name, part) not in added.items()}
    return [without_defaults(part) for part in made] if isinstance(made, list) else made


def without_broadcasts(made: Any) -> Any:
    """What we send, without ``@here`` and ``@channel``: they have no class for these."""
    if isinstance(made, dict):
        return {name: without_broadcasts(part) for name, part in made.items()}
    if isinstance(made, list):
        return [without_broadcasts(part) for part in made if not is_broadcast(part)]
    return made


def is_broadcast(made: object) -> bool:
    return isinstance(made, dict) and made.get("type") == "broadcast"

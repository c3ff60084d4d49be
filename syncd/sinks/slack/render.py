"""A message as Slack shows it. Only processes data.

    Message --rich--> header · rich text (paragraphs, bullets, code, quotes) · a table · context
            --bare--> the same without metadata
            --plain-> all of it as preformatted lines
            --------> `text`, one sentence for notifications and screen readers, on every rung

Vendor text goes only into `text` elements of rich text: Slack reads no markup there, so ``<!channel>`` stays a word.
What is read as markup holds our constants, numbers and names of one safe form (`is_safe`), and so does the header.

Every block's id begins with the delivery's: with it, or with the metadata, a message is found again.

The limits are ours and lower than Slack's: its limit for a whole message is documented nowhere, and messages from about
11,000 characters upwards have been refused. What does not fit is left out from the end, and said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from syncd.core.delivery import Rung
from syncd.core.message import EMOJI, Block, Bullets, Code, Message, Paragraph, Quote, Span, Table, as_text, is_heading
from syncd.core.text import clean, moment, number

SlackBlock: TypeAlias = dict[str, Any]
Element: TypeAlias = dict[str, Any]

MOST_BLOCKS: Final = 20
MOST_CHARACTERS: Final = 9_000
MOST_HEADER: Final = 140
MOST_TEXT: Final = 300
MOST_ROWS: Final = 25  # under the header
_MOST_COLUMNS: Final = 8
_MOST_SPAN: Final = 1_000
_MOST_CELL: Final = 120
_MOST_PLAIN: Final = 3_500
# Of what nobody can fit, only so much is looked at.
_MOST_PARTS: Final = 200
# Room for the remark that something was left out, with the block that it may need.
_RESERVED: Final = 400
# What stands around the first element of a block or of a list.
_AROUND: Final = 100
_BETWEEN: Final = len(", ")

EVENT: Final = "syncd_alert"

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/@-]{1,80}")
_ID: Final = re.compile(r"[SUW][A-Z0-9]{6,20}")
_CONSTANT: Final = re.compile(r"[A-Za-z][A-Za-z ]{0,39}")
_NUMERIC: Final = re.compile("(?:[-\u2013\u2212+~≈%0-9.,\u202f ]|\\b(?:to|at least|at most|not stated)\\b)+")
# Our own titles hold neither.
_HARMLESS: Final = {ord("<"): "\u2039", ord(">"): "\u203a"}
_MOST_KEYS: Final = 4
# Each takes room from what it calls to.
_MOST_CALLS: Final = 20
# So much of a name at the end of a cut text gives it away.
_GIVES_AWAY: Final = 2


def payload(message: Message, delivery_id: str, rung: Rung = "rich", note: str = "") -> dict[str, Any]:
    """What chat.postMessage and chat.update take, channel and thread apart."""
    content: dict[str, Any] = {
        "text": _sentence(message),
        "blocks": _plain(message, delivery_id, note) if rung == "plain" else _rich(message, delivery_id, note),
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if rung == "rich":
        named = {"v": 1, "delivery_id": delivery_id, "kind": _name(message.kind, "alert")}
        content["metadata"] = {"event_type": EVENT, "event_payload": named}
    return content


# What a webhook has no use for: it decides by itself, and there is nothing that metadata could be found by.
_OF_BOTS_ONLY: Final = ("metadata", "parse", "link_names")


def for_webhook(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same for an incoming webhook."""
    return {name: value for name, value in content.items() if name not in _OF_BOTS_ONLY}


def is_ours(message: object, delivery_id: str) -> bool:
    """Whether a message, as Slack lists it, is that delivery's."""
    if not isinstance(message, dict):
        return False
    match message.get("metadata"):
        case {"event_type": "syncd_alert", "event_payload": {"delivery_id": named}} if named == delivery_id:
            return True
    # Another id there is no proof: an edit in the bare form leaves the metadata of the post.
    blocks = message.get("blocks")
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return any(isinstance(one, str) and one.startswith(f"sd:{delivery_id}:") for one in ids)


def length(text: str) -> int:
    """Slack does not say what it counts: code points or UTF-16 units, whichever is more."""
    return max(len(text), len(text.encode("utf-16-le", "surrogatepass")) // 2)


def cut(text: str, most: int) -> str:
    """The text, ended by an ellipsis where it is too long."""
    if length(text) <= most:
        return text
    text = text[: most - 1]
    while length(text) > most - 1:
        text = text[: -max(1, (length(text) - most) // 2)]
    return text + "…"


def is_safe(name: str) -> bool:
    """Whether a name may stand where Slack could read markup."""
    return _SAFE.fullmatch(name) is not None


def written(blocks: Sequence[SlackBlock]) -> int:
    """How long the blocks are on their way."""
    return length(json.dumps(blocks, ensure_ascii=False))


# --- what is no rich text ------------------------------------------------------------------------------------------


def _sentence(message: Message) -> str:
    """The fallback. Slack reads entities and `<…>` in it, whatever it is told about markup."""
    text = cut(_without_unsafe(message.summary, message), MOST_TEXT).replace("&", "&amp;")
    return re.sub("&[a-z]*…$", "…", cut(text, MOST_TEXT)) or "An alert of syncd"


def _header(message: Message) -> SlackBlock:
    title = cut(_without_unsafe(f"{message.emoji} {message.title}", message), MOST_HEADER)
    return {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": True}}


def _without_unsafe(text: str, message: Message) -> str:
    """A title in which names of no safe form are said to be "a model" or "a key".

    The longest first, whichever it is: a model may be named like the beginning of a key.
    """
    text = clean(text, 4 * MOST_TEXT)
    said = {clean(key, 4 * MOST_TEXT): "a key" for key in message.keys}
    said |= {clean(name, 4 * MOST_TEXT): "a model" for name in message.names}
    for name in sorted(said, key=len, reverse=True):
        if name.strip() and not is_safe(name):
            text = _cut_short(text.replace(name, said[name]), name, said[name])
    return text.translate(_HARMLESS)


def _cut_short(text: str, name: str, instead: str) -> str:
    """A title that was cut in the middle of the name."""
    if not text.endswith("…"):
        return text
    words = text[:-1]
    for size in range(min(len(name), len(words)), _GIVES_AWAY - 1, -1):
        if words.endswith(name[:size]):
            return f"{words[:-size]}{instead}…"
    return text


def _context(message: Message, delivery_id: str) -> SlackBlock:
    """🟠 risky · key `prod` · detected <date> · `dlv_…`, in mrkdwn: our constants and safe names alone."""
    severity = f"{EMOJI[message.severity]} {message.severity}"
    at = message.detected
    detected = f"detected <!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{moment(at)}>"
    parts = [severity, *_keys(message.keys), detected, _code(delivery_id, "a delivery")]
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(parts), "verbatim": True}]}


def _keys(keys: Sequence[str]) -> Iterable[str]:
    if not keys:
        return
    named = ", ".join(_code(key, "a key") for key in keys[:_MOST_KEYS])
    rest = len(keys) - _MOST_KEYS
    yield f"{'key' if len(keys) == 1 else 'keys'} {named}{f' and {number(rest)} more' if rest > 0 else ''}"


def _code(name: str, otherwise: str) -> str:
    return f"`{name}`" if is_safe(name) else otherwise


def _name(name: str, otherwise: str) -> str:
    return name if is_safe(name) else otherwise


# --- the rungs -----------------------------------------------------------------------------------------------------


def _rich(message: Message, delivery_id: str, note: str) -> list[SlackBlock]:
    frame = _identified([_header(message), _context(message, delivery_id)], delivery_id)
    an_id = written(_identified([{}], delivery_id)) + _BETWEEN
    body = _Body(MOST_CHARACTERS - written(frame) - MOST_BLOCKS * an_id - _RESERVED)
    if calls := _calls(message.mentions):
        body.add({"type": "rich_text_section", "elements": calls})
    body.shortened |= len(message.mentions) > _MOST_CALLS
    if note:
        body.add(_section((Span(f"({note})", "bold"),)))
    for block in message.blocks[:_MOST_PARTS]:
        _write(block, body)
    if len(message.blocks) > _MOST_PARTS:
        body.shortened = True
    return _identified([_header(message), *body.finished(), _context(message, delivery_id)], delivery_id)


def _calls(mentions: Sequence[str]) -> list[Element]:
    """One after the other, a space between them as where a person writes them."""
    calls = [element for mention in mentions[:_MOST_CALLS] if (element := _call(mention))]
    return [part for call in calls for part in ({"type": "text", "text": " "}, call)][1:]


def _call(mention: str) -> Element | None:
    """Whom the configuration names, and nobody else."""
    if mention in ("@here", "@channel"):
        return {"type": "broadcast", "range": mention.removeprefix("@")}
    if not _ID.fullmatch(mention):
        return None
    if mention.startswith("S"):
        return {"type": "usergroup", "usergroup_id": mention}
    return {"type": "user", "user_id": mention}


def _plain(message: Message, delivery_id: str, note: str) -> list[SlackBlock]:
    lines = [clean(line, _MOST_SPAN) for line in as_text(message, note=note).split("\n")[:_MOST_PARTS]]
    words = cut("\n".join(lines), _MOST_PLAIN)
    return _identified([_text_block([_preformatted(words)])], delivery_id)


def _identified(blocks: Iterable[SlackBlock], delivery_id: str) -> list[SlackBlock]:
    return [{**block, "block_id": f"sd:{delivery_id}:{n}"} for n, block in enumerate(blocks)]


def _write(block: Block, body: _Body) -> None:
    """Hand a block over in the smallest parts that can stand alone."""
    match block:
        case Paragraph(spans):
            body.add(_section(spans), apart=is_heading(block))
        case Bullets(items):
            for item in items[:_MOST_PARTS]:
                body.add_item(_section(item))
            body.shortened |= len(items) > _MOST_PARTS
        case Code(lines):
            shown = [clean(line, _MOST_SPAN) for line in lines[:_MOST_PARTS]]
            body.add(_preformatted(cut("\n".join(shown), 3 * _MOST_SPAN)))
        case Quote(text):
            body.add({"type": "rich_text_quote", "elements": _texts((Span(text),))})
        case Table():
            _write_table(block, body)


def _write_table(table: Table, body: _Body) -> None:
    """Slack shows one table in a message; further ones become lists."""
    if body.has_table or not table.header:
        for row in table.rows[:_MOST_PARTS]:
            body.add_item(_section(tuple(Span(text) for cell in row for text in (" · ", cell))[1:]))
        return
    columns = min(len(table.header), _MOST_COLUMNS)
    rows = [(*row, *[""] * columns)[:columns] for row in table.rows]
    settings: list[dict[str, Any]] = [
        {"align": "right" if rows and all(map(_NUMERIC.fullmatch, column)) else "left"}
        for column in zip(*rows[:MOST_ROWS], strict=True)
    ] or [{"align": "left"}] * columns
    settings[0] = {"align": "left", "is_wrapped": True}
    body.add_table([_heading_cell(text) for text in table.header[:columns]], settings)
    for row in rows[:MOST_ROWS]:
        body.add_row([_cell(text, "code" if n == table.named else "plain") for n, text in enumerate(row)])
    body.shortened |= len(rows) > MOST_ROWS or len(table.header) > columns


def _heading_cell(text: str) -> Element:
    return {"type": "raw_text", "text": text} if _CONSTANT.fullmatch(text) else _cell(text, "bold")


def _cell(text: str, style: str) -> Element:
    shown = clean(text, _MOST_CELL).strip() or "-"
    if style == "plain" and (_NUMERIC.fullmatch(shown) or is_safe(shown)):
        # A third as long.
        return {"type": "raw_text", "text": shown}
    element: Element = {"type": "text", "text": shown}
    if style != "plain":
        element["style"] = {style: True}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [element]}]}


def _section(spans: Sequence[Span]) -> Element:
    return {"type": "rich_text_section", "elements": _texts(spans)}


def _texts(spans: Sequence[Span]) -> list[Element]:
    """Slack refuses an element without text."""
    elements: list[Element] = []
    for span in spans[:_MOST_PARTS]:
        if text := clean(span.text, _MOST_SPAN):
            style = {} if span.style == "plain" else {"style": {span.style: True}}
            elements.append({"type": "text", "text": text, **style})
    return elements


def _preformatted(text: str) -> Element:
    return {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}] if text else []}


def _text_block(elements: list[Element]) -> SlackBlock:
    return {"type": "rich_text", "elements": elements}


_LEFT_OUT: Final = (Span("Shortened. All of it: "), Span("syncd changes --since 1d", "code"))


class _Body:
    """Takes parts as long as there is room for them; the first that finds none ends the body."""

    def __init__(self, room: int) -> None:
        self.shortened = False
        self.has_table = False
        self._blocks: list[SlackBlock] = []
        self._left = room
        self._full = False

    def add(self, element: Element, *, apart: bool = False) -> None:
        """An element of rich text, in a block of its own if it stands `apart` and there is one left."""
        if element["elements"] and self._takes(element):
            self._open(apart=apart)["elements"].append(element)

    def add_item(self, section: Element) -> None:
        """An item of a list, which continues the list before it."""
        last = self._blocks[-1].get("elements", []) if self._blocks else []
        continues = bool(last) and last[-1]["type"] == "rich_text_list"
        if not section["elements"] or not self._takes(section, around=_BETWEEN if continues else 2 * _AROUND):
            return
        elements = self._open(apart=False)["elements"]
        if not continues:
            elements.append({"type": "rich_text_list", "style": "bullet", "elements": []})
        elements[-1]["elements"].append(section)

    def add_table(self, heading: list[Element], settings: list[dict[str, Any]]) -> None:
        """A table, its rows to follow."""
        if self._takes(heading, settings):
            self.has_table = True
            self._blocks.append({"type": "table", "column_settings": settings, "rows": [heading]})

    def add_row(self, row: list[Element]) -> None:
        """A row of the table that was begun."""
        if self._takes(row, around=_BETWEEN):
            self._blocks[-1]["rows"].append(row)

    def finished(self) -> list[SlackBlock]:
        """The blocks, with a remark if something was left out."""
        if self.shortened:
            self._open(apart=False)["elements"].append(_section(_LEFT_OUT))
        return self._blocks

    def _takes(self, *parts: object, around: int = _AROUND) -> bool:
        self._left -= sum(length(json.dumps(part, ensure_ascii=False)) for part in parts) + around
        self._full |= self._left < 0
        self.shortened |= self._full
        return not self._full

    def _open(self, *, apart: bool) -> SlackBlock:
        last = self._blocks[-1] if self._blocks else None
        # The header, the context, a table, and the block that may follow it.
        room = len(self._blocks) < MOST_BLOCKS - 4
        if last is None or last["type"] != "rich_text" or (apart and room):
            self._blocks.append(_text_block([]))
        return self._blocks[-1]

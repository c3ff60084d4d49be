"""The command that shows how alerts look, before one comes: preview."""

# Why imports stand inside the functions: syncd/cli/__init__.py.

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from syncd.cli.output import write
from syncd.errors import UsageError

if TYPE_CHECKING:
    from syncd.core.message import Message

_BUILDER: Final = "https://app.slack.com/block-kit-builder/#"


class To(StrEnum):
    """What of a message is shown."""

    slack = "slack"
    webhook = "webhook"
    console = "console"
    text = "text"


def preview(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Which alert; without one, all are named.")] = None,
    *,
    to: Annotated[
        To | None,
        typer.Option(
            help="Only this, for another program: the JSON that the bot or the webhook posts, the words on the console,"
            " or the sentence in Slack's notifications."
        ),
    ] = None,
    mention: Annotated[
        str | None, typer.Option(help="As if the route called these: @here, @channel, or the id of a user or group.")
    ] = None,
) -> None:
    """Show how an alert looks, of any kind.

    It is made as real ones are, of made-up news. Prints the words, the JSON that Slack is sent, and a link that opens
    it in Slack's Block Kit Builder. What is shown under another message follows it in its thread.
    Needs no configuration, no database and no network.
    """
    from syncd.demo.samples import samples

    known = samples(_mention(mention))
    if kind is None:
        rows = [{"kind": name, "title": f"{one.emoji} {one.title}"} for name, one in known.items()]
        write(("kind", "title"), rows, None)
        return
    for message in _with_replies(known[_kind(kind, known)]):
        _show(message, to)


def _mention(given: str | None) -> str | None:
    from syncd.config import fields
    from syncd.config.problems import Refused

    try:
        return None if given is None else fields.mention(given)
    except Refused as refused:
        raise UsageError(f"--mention: {given!r} {refused.message}", refused.hint) from None


def _kind(given: str, known: dict[str, Message]) -> str:
    """The name of a sample; the kinds of conditions and notices have dots."""
    name = given.strip().lower().replace(".", "_").replace("-", "_")
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(f"there is no alert of the kind {given!r}", f"{hint}`syncd alerts preview` names all")


def _with_replies(message: Message) -> Iterator[Message]:
    """The message, and what follows it in its thread."""
    import msgspec

    yield message
    for reply in message.replies:
        yield msgspec.structs.replace(reply, reference=message.reference)


def _show(message: Message, to: To | None) -> None:
    from syncd.core.message import as_text
    from syncd.sinks.slack import render

    content = render.payload(message, message.reference)
    match to:
        case None:
            typer.echo(f"{as_text(message)}\n\n{_json(content)}\n\n{_link(content)}\n")
        case To.console:
            typer.echo(as_text(message) + "\n")
        case To.text:
            typer.echo(content["text"])
        case To.slack:
            typer.echo(_json(content))
        case To.webhook:
            typer.echo(_json(render.for_webhook(content)))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)


def _link(content: dict[str, Any]) -> str:
    """Where Slack draws the blocks."""
    return _BUILDER + quote(
        json.dumps({"blocks": content["blocks"]}, ensure_ascii=False, separators=(",", ":")), safe=""
    )

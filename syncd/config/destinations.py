"""Where a route leads: its form, and the ``{labels.NAME}`` in it that each key fills with its own label."""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncd.config.problems import Refused
from syncd.config.secrets import unresolved

_HINT = 'write "slack:#channel", "slack:C0123456789", "webhook:env:NAME" or "console"'
_SLACK_CHANNEL = re.compile(r"#[^\sA-Z#@,:.;/\\<>&|{}]{1,80}|[CG][A-Z0-9]{4,20}")
_PLACEHOLDER = re.compile(r"\{labels\.([^{}]+)\}")


def destination(value: str) -> str:
    """One place. Raises `Refused` for what is none, and for a webhook whose secret is not given as a reference."""
    scheme, _, target = value.partition(":")
    if value == "console" or (scheme == "slack" and target.isprintable() and _SLACK_CHANNEL.fullmatch(target)):
        return value
    if scheme == "webhook" and target:
        unresolved(target)
        return value
    raise Refused("is no destination", _HINT)


def template(value: str) -> str:
    """One place, or a text that labels make one; what they make of it is looked at when it is filled."""
    rest = _PLACEHOLDER.sub("", value)
    if "{" in rest or "}" in rest:
        hint = 'only {labels.NAME} is filled, with a label of each key, such as "slack:#{labels.channel}"'
        raise Refused("holds braces that nothing fills", hint)
    return destination(value) if rest == value else value


def placeholders(value: str) -> tuple[str, ...]:
    """The labels that fill it."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(value)))


def filled(value: str, labels: Mapping[str, str]) -> str:
    """The text with these labels in it; braces in a label stay what they are."""
    return _PLACEHOLDER.sub(lambda placeholder: labels[placeholder[1]], value)

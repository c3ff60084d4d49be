"""How each kind of condition is told: its title and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncd.core.canon import Json
from syncd.core.message import Span, code, names
from syncd.core.text import clean, count, shown


@dataclass(frozen=True, slots=True)
class Notice:
    """How a kind of condition is told: titles for one key and for several, and what to do."""

    design: str
    emoji: str
    opened: tuple[str, str]
    closed: tuple[str, str]
    remedy: tuple[Span, ...]


_WORKS: Final = ("Key {keys} works again", "{count} work again: {keys}")

NOTICES: Final[Mapping[str, Notice]] = {
    "access.rejected": Notice(
        "key_rejected",
        "⛔",
        ("Key {keys} is rejected{status}", "{count} are rejected{status}: {keys}"),
        _WORKS,
        (Span("Put a valid key where the configuration reads it, restart syncd, then look at "), code("syncd status")),
    ),
    "access.tier-locked": Notice(
        "tier_locked",
        "🔒",
        ("Key {keys} has no API access{status}", "{count} have no API access{status}: {keys}"),
        ("Key {keys} has API access again", "{count} have API access again: {keys}"),
        (Span("Move the account to a plan with API access; syncd notices by itself."),),
    ),
    "access.forbidden": Notice(
        "key_forbidden",
        "⛔",
        ("Key {keys} is refused{status}", "{count} are refused{status}: {keys}"),
        _WORKS,
        (Span("Ask the vendor about the code above; syncd keeps asking by itself."),),
    ),
    "vendor.unreachable": Notice(
        "vendor_unreachable",
        "🔌",
        ("The vendor cannot be reached", "The vendor cannot be reached"),
        ("The vendor answers again", "The vendor answers again"),
        (Span("Nothing to do unless it lasts: syncd keeps asking. How each key fares: "), code("syncd status")),
    ),
}


def opened_title(kind: str, detail: Mapping[str, Json], keys: Sequence[str]) -> str:
    """What is the matter, with the status that the vendor answered."""
    status = f" ({shown(detail['status'], 10)})" if detail.get("status") is not None else ""
    if kind == "vendor.unreachable" and status:
        return f"The vendor gives no usable answer{status}"
    return _title(NOTICES[kind].opened, keys, status)


def closed_title(kind: str, keys: Sequence[str]) -> str:
    """What is well again."""
    return _title(NOTICES[kind].closed, keys)


def _title(forms: tuple[str, str], keys: Sequence[str], status: str = "") -> str:
    form = forms[len(keys) > 1]
    return clean(form.format(keys=names(keys), count=count(len(keys), "key"), status=status), 300)


def condition_summary(kind: str, detail: Mapping[str, Json]) -> str:
    """A condition in one sentence, for logs and tables."""
    return opened_title(kind, detail, tuple(detail.get("keys", {})) or tuple(detail.get("recovered", ())))

"""How each kind of condition is told: its title and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncd.core.canon import Json
from syncd.core.message import Span, code, names
from syncd.core.text import clean, count, shown


@dataclass(frozen=True, slots=True)
class State:
    """How a kind of condition is told: titles for one key and for several, what to do, and what holds meanwhile."""

    design: str
    emoji: str
    opened: tuple[str, str]
    closed: tuple[str, str]
    remedy: tuple[Span, ...]
    meanwhile: str = "The last catalogue is kept; no removals are reported."
    afterwards: str = "What changed meanwhile is reported as usual."


_WORKS: Final = ("Key {keys} works again", "{count} work again: {keys}")

STATES: Final[Mapping[str, State]] = {
    "access.rejected": State(
        "key_rejected",
        "⛔",
        ("Key {keys} is rejected{status}", "{count} are rejected{status}: {keys}"),
        _WORKS,
        (Span("Put a valid key where the configuration reads it, restart syncd, then look at "), code("syncd status")),
    ),
    "access.tier-locked": State(
        "tier_locked",
        "🔒",
        ("Key {keys} has no API access{status}", "{count} have no API access{status}: {keys}"),
        ("Key {keys} has API access again", "{count} have API access again: {keys}"),
        (Span("Move the account to a plan with API access; syncd notices by itself."),),
    ),
    "access.forbidden": State(
        "key_forbidden",
        "⛔",
        ("Key {keys} is refused{status}", "{count} are refused{status}: {keys}"),
        _WORKS,
        (Span("Ask the vendor why; syncd keeps asking by itself."),),
    ),
    "vendor.unreachable": State(
        "vendor_unreachable",
        "🔌",
        ("The vendor cannot be reached", "The vendor cannot be reached"),
        ("The vendor answers again", "The vendor answers again"),
        (Span("Nothing to do unless it lasts: syncd keeps asking. How each key fares: "), code("syncd status")),
    ),
    "destination.broken": State(
        "destination_broken",
        "📵",
        ("{destination} takes no alerts", "{destination} takes no alerts"),
        ("{destination} takes alerts again", "{destination} takes alerts again"),
        (Span("What waits: "), code("syncd alerts list"), Span(". syncd notices by itself when it works again.")),
        meanwhile="What is to be told there waits; nothing is lost.",
        afterwards="What waited is being sent.",
    ),
    "listing.suspicious": State(
        "listing_suspicious",
        "🕳️",
        ("Suspicious listing for {keys}", "Suspicious listings for {count}: {keys}"),
        ("The listing for {keys} looks right again", "The listings for {count} look right again: {keys}"),
        (Span("Nothing to do unless it lasts. What waits to be confirmed: "), code("syncd held list")),
        meanwhile="Nothing is told as removed until it has been missing for longer.",
    ),
    "balance.low": State(
        "balance_low",
        "🪫",
        ("Balance low: {account}", "Balance low: {account}"),
        ("Balance of {account} is well again", "Balance of {account} is well again"),
        (Span("Top up the account, or slow down what spends it."),),
        meanwhile="At zero the vendor refuses every request.",
        afterwards="It is watched as before.",
    ),
}


def opened_title(kind: str, detail: Mapping[str, Json], keys: Sequence[str]) -> str:
    """What is the matter, with the status that the vendor answered."""
    status = f" ({shown(detail['status'], 10)})" if detail.get("status") is not None else ""
    if kind == "vendor.unreachable" and status:
        return f"The vendor gives no usable answer{status}"
    return _title(STATES[kind].opened, detail, keys, status)


def closed_title(kind: str, detail: Mapping[str, Json], keys: Sequence[str]) -> str:
    """What is well again; of a listing that was right after all, what is certain."""
    if confirmed := _confirmed(kind, detail):
        are = "is" if confirmed == 1 else "are"
        return clean(f"{count(confirmed, 'removal')} for {names(keys)} {are} confirmed", 300)
    return _title(STATES[kind].closed, detail, keys)


def afterwards(kind: str, detail: Mapping[str, Json]) -> str:
    """What follows its end."""
    if _confirmed(kind, detail):
        return "What has stayed missing is told as removed."
    return STATES[kind].afterwards


def _confirmed(kind: str, detail: Mapping[str, Json]) -> int:
    """How many of the models that a suspicious listing lacked are gone for certain."""
    confirmed = detail.get("confirmed")
    return confirmed if kind == "listing.suspicious" and isinstance(confirmed, int) else 0


def _title(forms: tuple[str, str], detail: Mapping[str, Json], keys: Sequence[str], status: str = "") -> str:
    form = forms[len(keys) > 1]
    named = {name: str(detail.get(name, "")) for name in ("destination", "account")}
    return clean(form.format(keys=names(keys), count=count(len(keys), "key"), status=status, **named), 300)


def condition_summary(kind: str, detail: Mapping[str, Json]) -> str:
    """A condition in one sentence, for logs and tables."""
    return opened_title(kind, detail, tuple(detail.get("keys", {})) or tuple(detail.get("recovered", ())))

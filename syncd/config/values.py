"""What the rest of the program sees of the configuration: plain, frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from syncd.core.balance import Thresholds
from syncd.core.changes import Policy
from syncd.core.requests import SavedRequest
from syncd.core.routing import Route
from syncd.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Database:
    """Where history is kept. The URL may hold a password, so it is left out of the `repr`."""

    url: str = field(repr=False)
    auto_migrate: bool


@dataclass(frozen=True, slots=True)
class Vendor:
    """How the vendor is asked. `timeout` is seconds for the whole request, `max_response` is bytes."""

    base_url: str
    timeout: float
    max_response: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often, and how many at once."""

    interval: timedelta
    max_concurrent: int


@dataclass(frozen=True, slots=True)
class Key:
    """One key to watch. `name` is its identity in history; `interval` and `base_url` are its own or inherited.

    `formerly` are names it has had, under which its history may still be.
    """

    name: str
    secret: Secret
    account: str
    interval: timedelta
    base_url: str
    labels: Mapping[str, str]
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slack:
    """How Slack is reached: `token` is None where none is given, `webhooks` maps a route's reference to its URL."""

    token: Secret | None
    api_url: str
    webhooks: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class Detection:
    """When a change counts as certain, and how often those who heard of a condition are reminded; None for never.

    The fields but the last are those of `Judgement`.
    """

    confirm_polls: int = 2
    confirm_after: timedelta = timedelta(minutes=30)
    drop_share: Decimal = Decimal("0.2")
    drop_count: int = 5
    remind: timedelta | None = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Rules:
    """How changes are judged."""

    record_only: tuple[str, ...]
    unknown_params: Literal["reject", "ignore"]
    required_with_default: Literal["breaking", "risky"]

    @property
    def policy(self) -> Policy:
        """As far as the comparison needs them."""
        return Policy(unknown_params=self.unknown_params, required_with_default=self.required_with_default)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured. `source` is the path of the file, or ``environment``.

    `requests` is empty for who did not ask for them.
    """

    source: str
    database: Database
    vendor: Vendor
    schedule: Schedule
    keys: tuple[Key, ...]
    routes: tuple[Route, ...]
    slack: Slack
    rules: Rules
    requests: tuple[SavedRequest, ...] = ()
    detection: Detection = Detection()
    credits: Thresholds = field(default_factory=Thresholds)

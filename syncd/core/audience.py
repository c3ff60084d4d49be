"""Who may read what, and who is called: what the configuration says of it. Only processes data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from syncd.core.routing import Announcement, KeyFacts, Route, bystanders, sees


class Audience(Protocol):
    """For whom a message is written."""

    @property
    def company(self) -> frozenset[str]:
        """The routes that hold news back only so that it comes together."""
        ...

    def sees(self, destination: str, key: str) -> bool:
        """Whether the destination may read of the key."""
        ...

    def mention(self, route: str, destination: str) -> str | None:
        """What the route calls people there with."""
        ...


@dataclass(frozen=True, slots=True)
class Configured:
    """The audience of the routes."""

    routes: tuple[Route, ...] = ()
    keys: Mapping[str, KeyFacts] = field(default_factory=dict)
    record_only: tuple[str, ...] = ()

    @property
    def company(self) -> frozenset[str]:
        """All but those that wait for their digest."""
        return frozenset(route.name for route in self.routes if route.digest is None)

    def sees(self, destination: str, key: str) -> bool:
        """Whether some route to the destination would match the key, by its name and labels alone."""
        facts = self.keys.get(key)
        return facts is not None and any(route.to == destination and sees(route, facts) for route in self.routes)

    def mention(self, route: str, destination: str) -> str | None:
        """That of the first route of the name that leads there: one in the file may lead to several places."""
        return next((one.mention for one in self.routes if one.name == route and one.to == destination), None)

    def leads_to(self, destination: str) -> bool:
        """Whether some route still does."""
        return any(route.to == destination for route in self.routes)

    def bystanders(self, broken: str, now: datetime) -> tuple[Announcement, ...]:
        """Who is told that a destination is out of order."""
        return bystanders(broken, self.routes, self.record_only, now)


class Operator:
    """Who runs syncd may read everything and is called by nobody."""

    company: frozenset[str] = frozenset()

    def sees(self, destination: str, key: str) -> bool:  # noqa: ARG002
        """Everything."""
        return True

    def mention(self, route: str, destination: str) -> str | None:  # noqa: ARG002
        """Nobody."""
        return None

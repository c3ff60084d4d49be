"""What is due at a destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from syncd.core.canon import Json
from syncd.core.changes import Change

Edge: TypeAlias = Literal["opened", "closed"]


@dataclass(frozen=True, slots=True)
class ChangeDue:
    """A change that a destination is to be told of. `mention` is what its route calls people with.

    Of a model that is gone, `elsewhere` tells of the other keys that the destination may read of whether they list it;
    None of those that were not asked since.
    """

    announcement: int
    key: str
    at: datetime
    change: Change
    mention: str | None = None
    elsewhere: Mapping[str, bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConditionDue:
    """An edge of a condition that a destination is to be told of.

    `keys` are those that the condition names and the destination may see; a key's own condition always names it.
    `closed_at` is None while it lasts.
    """

    announcement: int
    condition: int
    keys: tuple[str, ...]
    at: datetime
    kind: str
    edge: Edge
    subject: str
    opened_at: datetime
    detail: Mapping[str, Json]
    closed_at: datetime | None = None
    mention: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeDue:
    """Something syncd says of itself to a destination: `detail` holds what it was told it may say there."""

    announcement: int
    at: datetime
    kind: str
    detail: Mapping[str, Json]


Due: TypeAlias = ChangeDue | ConditionDue | NoticeDue

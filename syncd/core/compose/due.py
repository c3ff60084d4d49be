"""What is due at a destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from syncd.core.canon import Json
from syncd.core.changes import Change

Edge: TypeAlias = Literal["opened", "closed"]


@dataclass(frozen=True, slots=True)
class ChangeDue:
    """A change that a destination is to be told of."""

    announcement: int
    key: str
    at: datetime
    change: Change


@dataclass(frozen=True, slots=True)
class ConditionDue:
    """An edge of a condition that a destination is to be told of.

    `keys` are those that the condition names and the destination may see; a key's own condition always names it.
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


Due: TypeAlias = ChangeDue | ConditionDue

"""What is due at a destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from syncd.core.balance import Wallet
from syncd.core.canon import Json
from syncd.core.changes import Change

Edge: TypeAlias = Literal["opened", "reminder", "closed"]
# A removal that is told before it is certain, and the end of that if the model is there again.
ChangeEdge: TypeAlias = Literal["unconfirmed", "back"]
# Whether another key lists a model that is gone for one. It had it until lately, or had nothing of it; it has not been
# asked since, or cannot be asked now.
Elsewhere: TypeAlias = Literal["lists", "gone", "without", "later", "silent"]


@dataclass(frozen=True, slots=True)
class ChangeDue:
    """A change that a destination is to be told of. `mention` is what its route calls people with.

    `id` is the change's own. `edge` is None where the change itself is told. `since` is when that began which it ends:
    a model that is back went missing, or the change was found that it takes back. Of a model that is gone, `elsewhere`
    tells of the other keys that the destination may read of. Of a price, `wallet` is what the key's account holds.
    """

    announcement: int
    key: str
    at: datetime
    change: Change
    mention: str | None = None
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    edge: ChangeEdge | None = None
    id: int = 0
    since: datetime | None = None
    wallet: Wallet | None = None


@dataclass(frozen=True, slots=True)
class ConditionDue:
    """An edge of a condition that a destination is to be told of, and when that came up.

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


def is_over_there(one: Due) -> bool:
    """Whether a destination is to be reminded of a condition that lasts for none of the keys it may read of."""
    if not isinstance(one, ConditionDue) or one.edge != "reminder":
        return False
    return one.subject.startswith("url:") and not one.keys

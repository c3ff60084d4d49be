"""What syncd says of itself, as rows: each notice is said once. Statements only; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from syncd.core.canon import Json, dumps
from syncd.core.routing import Announcement
from syncd.store import announcements
from syncd.store.announcements import Told
from syncd.store.statements import insert_if_new
from syncd.store.tables import notices


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice for a destination. Of one kind, a subject is said once."""

    kind: str
    subject: str
    destination: str
    detail: Mapping[str, Json]


def said(connection: Connection, kind: str, subject: str) -> bool:
    """Whether this was said already."""
    query = select(notices.c.id).where(notices.c.kind == kind, notices.c.subject == subject)
    return connection.scalar(query) is not None


def say(connection: Connection, notice: Notice, now: datetime) -> None:
    """Have it said, unless it was: of two processes that want to, one does."""
    row = {"kind": notice.kind, "subject": notice.subject, "created_at": now, "detail": dumps(notice.detail)}
    new = insert_if_new(connection, notices).values(**row).returning(notices.c.id)
    if (written := connection.scalar(new)) is not None:
        # No route asked for it, so none gives it settings.
        announced = Announcement(notice.destination, route="", not_before=now)
        announcements.write(connection, [Told(announced, now, notice=written)])

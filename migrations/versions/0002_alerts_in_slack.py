"""Alerts in Slack: notices, silences that count, looks for doubtful messages, destinations out of order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from syncd.store.types import RowId, Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column(
            "looks", sa.Integer, nullable=False, server_default=sa.text("0"), comment="times it was looked for in vain"
        ),
    )
    op.add_column("destinations", sa.Column("last_error", sa.Text, comment="what is out of order"))
    op.add_column("silences", sa.Column("told_at", Utc, comment="when those who missed something heard of its end"))
    op.create_table(
        "notices",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False, comment="what it is about: said once of each"),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "subject"),
    )
    # SQLite cannot change a constraint: there the table is made anew, from what 0001 made of it.
    with op.batch_alter_table("announcements", copy_from=_announcements()) as table:
        table.add_column(sa.Column("notice_id", RowId))
        table.add_column(sa.Column("silence_id", RowId, comment="what muted it"))
        table.create_foreign_key(op.f("fk_announcements_notice_id_notices"), "notices", ["notice_id"], ["id"])
        table.create_foreign_key(op.f("fk_announcements_silence_id_silences"), "silences", ["silence_id"], ["id"])
        table.drop_constraint(op.f("ck_announcements_subject"), type_="check")
        table.create_check_constraint(
            op.f("ck_announcements_subject"),
            "CASE WHEN change_id IS NULL THEN 0 ELSE 1 END + CASE WHEN condition_id IS NULL THEN 0 ELSE 1 END"
            " + CASE WHEN notice_id IS NULL THEN 0 ELSE 1 END = 1",
        )
    # What waits is asked for every few seconds, among all that was ever told.
    op.drop_index("ix_announcements_queued", "announcements")
    op.drop_index("ix_announcements_delivery_id", "announcements")
    _index("ix_announcements_waiting", ["destination_id", "not_before"], "state = 'queued' AND delivery_id IS NULL")
    _index("ix_announcements_told", ["delivery_id"], "delivery_id IS NOT NULL")
    _index("ix_announcements_silenced", ["silence_id"], "silence_id IS NOT NULL")
    _index("uq_announcements_notice", ["notice_id", "destination_id"], "notice_id IS NOT NULL", unique=True)


def _index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index over the announcements that `where` picks, on both databases."""
    given = sa.text(where)
    op.create_index(name, "announcements", columns, unique=unique, sqlite_where=given, postgresql_where=given)


def _announcements() -> sa.Table:
    """The table as 0001 made it."""
    table = sa.Table(
        "announcements",
        sa.MetaData(naming_convention=op.get_context().opts["target_metadata"].naming_convention),
        sa.Column("id", RowId, primary_key=True),
        sa.Column("change_id", RowId, sa.ForeignKey("changes.id")),
        sa.Column("condition_id", RowId, sa.ForeignKey("conditions.id")),
        sa.Column("edge", sa.String),
        sa.Column("destination_id", RowId, sa.ForeignKey("destinations.id"), nullable=False),
        sa.Column("delivery_id", sa.String, sa.ForeignKey("deliveries.id")),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("not_before", Utc, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.CheckConstraint("(condition_id IS NULL) = (edge IS NULL)", name="edge"),
        sa.CheckConstraint("state IN ('queued','sent','silenced','below_threshold','dropped')", name="state"),
        sa.CheckConstraint("(change_id IS NULL) <> (condition_id IS NULL)", name="subject"),
    )
    _partial(table, "ix_announcements_queued", "destination_id", "not_before", where="state = 'queued'")
    _partial(
        table, "uq_announcements_change", "change_id", "destination_id", where="change_id IS NOT NULL", unique=True
    )
    _partial(
        table,
        "uq_announcements_condition",
        "condition_id",
        "edge",
        "destination_id",
        where="condition_id IS NOT NULL",
        unique=True,
    )
    sa.Index("ix_announcements_delivery_id", table.c.delivery_id)
    return table


def _partial(table: sa.Table, name: str, *columns: str, where: str, unique: bool = False) -> None:
    chosen = [table.c[column] for column in columns]
    sa.Index(name, *chosen, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))

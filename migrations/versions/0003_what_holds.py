"""What holds: removals told before they are certain, reminders of conditions, what an account spends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from syncd.store.types import Credits, RowId, Utc

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "conditions",
        sa.Column("reminded_at", Utc, comment="when those who heard of it were last reminded that it lasts"),
    )
    op.add_column(
        "api_keys",
        sa.Column("credits_balance", Credits, comment="the balance last seen: only one that moved is worth judging"),
    )
    op.add_column(
        "balance_days",
        sa.Column("spent", Credits, nullable=False, server_default=sa.text("0"), comment="the sum of what it fell by"),
    )
    op.add_column(
        "balance_days",
        sa.Column("first_at", Utc, comment="of the first balance: how long a new account has been seen"),
    )
    op.add_column(
        "balance_days",
        sa.Column("last_at", Utc, comment="of the last balance: an older answer of another key changes nothing"),
    )
    # SQLite cannot change a constraint: there the table is made anew, from what 0002 made of it.
    with op.batch_alter_table("announcements", copy_from=_announcements()) as table:
        table.alter_column("edge", existing_type=sa.String, comment=_EDGE)
        table.drop_constraint(op.f("ck_announcements_edge"), type_="check")
        table.create_check_constraint(
            op.f("ck_announcements_edge"),
            "CASE WHEN condition_id IS NOT NULL"
            " THEN edge IS NOT NULL AND edge IN ('opened','reminder','closed','changed')"
            " WHEN notice_id IS NOT NULL THEN edge IS NULL"
            " ELSE edge IS NULL OR edge IN ('unconfirmed','back') END",
        )
    op.drop_index("uq_announcements_change", "announcements")
    _index(
        "uq_announcements_change",
        "announcements",
        ["change_id", "destination_id"],
        "change_id IS NOT NULL AND edge IS NULL",
        unique=True,
    )
    _index(
        "uq_announcements_held",
        "announcements",
        ["change_id", "edge", "destination_id"],
        "change_id IS NOT NULL AND edge IS NOT NULL",
        unique=True,
    )
    # Neither of the two serves those who ask for everything that was told of a change.
    _index("ix_announcements_change", "announcements", ["change_id"], "change_id IS NOT NULL")
    # What is erased is looked for where it may be referred to.
    _index("ix_deliveries_parent_id", "deliveries", ["parent_id"], "parent_id IS NOT NULL")
    op.create_index("ix_polls_snapshot_id", "polls", ["snapshot_id"])


_EDGE = (
    "of a condition: opened, reminder, closed, changed (brings a message up to date); of a held removal:"
    " unconfirmed, back; null for the change itself"
)


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index over the rows that `where` picks, on both databases."""
    given = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=given, postgresql_where=given)


def _announcements() -> sa.Table:
    """The table as 0002 made it."""
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
        sa.Column("notice_id", RowId, sa.ForeignKey("notices.id")),
        sa.Column("silence_id", RowId, sa.ForeignKey("silences.id")),
        sa.CheckConstraint("(condition_id IS NULL) = (edge IS NULL)", name="edge"),
        sa.CheckConstraint("state IN ('queued','sent','silenced','below_threshold','dropped')", name="state"),
        sa.CheckConstraint(
            "CASE WHEN change_id IS NULL THEN 0 ELSE 1 END + CASE WHEN condition_id IS NULL THEN 0 ELSE 1 END"
            " + CASE WHEN notice_id IS NULL THEN 0 ELSE 1 END = 1",
            name="subject",
        ),
    )
    _partial(table, "uq_announcements_change", ["change_id", "destination_id"], "change_id IS NOT NULL", unique=True)
    _partial(
        table,
        "uq_announcements_condition",
        ["condition_id", "edge", "destination_id"],
        "condition_id IS NOT NULL",
        unique=True,
    )
    _partial(table, "uq_announcements_notice", ["notice_id", "destination_id"], "notice_id IS NOT NULL", unique=True)
    _partial(table, "ix_announcements_silenced", ["silence_id"], "silence_id IS NOT NULL")
    _partial(
        table,
        "ix_announcements_waiting",
        ["destination_id", "not_before"],
        "state = 'queued' AND delivery_id IS NULL",
    )
    _partial(table, "ix_announcements_told", ["delivery_id"], "delivery_id IS NOT NULL")
    return table


def _partial(table: sa.Table, name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    chosen = [table.c[column] for column in columns]
    sa.Index(name, *chosen, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))

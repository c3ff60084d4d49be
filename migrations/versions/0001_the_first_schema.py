"""The first schema.

Names that are not given follow the convention of `syncd.store.tables`, where also stands what each table holds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from syncd.store.types import Credits, RowId, Utc

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", RowId, primary_key=True),
        sa.Column(
            "name", sa.String, nullable=False, comment="its identity in history; survives rotation of the secret"
        ),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("base_url", sa.String, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column(
            "fingerprint",
            sa.String(8),
            nullable=False,
            comment="first 8 hex of the secret's SHA-256; nothing else of it is kept",
        ),
        sa.Column("added_at", Utc, nullable=False),
        sa.Column("rotated_at", Utc),
        sa.Column("retired_at", Utc, comment="since when the configuration no longer names it"),
        sa.Column(
            "state", sa.String, nullable=False, comment="new · ok · rejected · tier_locked · forbidden · unreachable"
        ),
        sa.Column("state_since", Utc, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False, comment="failed polls in a row"),
        sa.Column(
            "applied_started_at",
            Utc,
            comment="when the request of the last applied answer began: an older one is stale",
        ),
        sa.Column("observed_at", Utc, comment="strictly increasing, so that intervals never overlap"),
        sa.Column("last_poll_id", RowId, comment="the run of polls that the next like poll extends"),
        sa.Column("snapshot_id", RowId, comment="the state last observed"),
        sa.Column("rejected_body", sa.Text, comment="the last body that was no catalogue, for diagnosis"),
        sa.CheckConstraint("failures >= 0", name="failures"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("key_id", RowId, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("taken_at", Utc, nullable=False),
        sa.Column("form", sa.Integer, nullable=False, comment="version of the canonical form that the digests follow"),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("tier", sa.String),
        sa.Column("calls_per_minute", Credits),
        sa.Column("concurrent_jobs", Credits),
        sa.Column("model_count", sa.Integer, nullable=False),
        sa.Column("account", sa.Text, nullable=False, comment="every top-level field but models and balance, as JSON"),
    )
    op.create_index("ix_snapshots_key_id_taken_at", "snapshots", ["key_id", "taken_at"])
    op.create_table(
        "polls",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("key_id", RowId, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("snapshot_id", RowId, sa.ForeignKey("snapshots.id")),
        sa.Column("started_at", Utc, nullable=False),
        sa.Column("last_at", Utc, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("http_status", sa.Integer),
        sa.Column("error_code", sa.String),
        sa.Column("credits_balance", Credits),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String),
        sa.Column("rate_limit_remaining", sa.Integer),
        sa.Column("retry_at", Utc, comment="the vendor asked not to be called before"),
        sa.Column("retry_scope", sa.String, comment="account or base_url: who has to wait"),
        sa.CheckConstraint(
            "outcome IN ('changed','unchanged','refused','rate_limited','malformed','unreachable','stale')",
            name="outcome",
        ),
    )
    op.create_index("ix_polls_key_id_started_at", "polls", ["key_id", "started_at"])
    op.create_table(
        "model_versions",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("form", sa.Integer, nullable=False),
        sa.Column("slug", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="the model's own JSON text"),
        sa.Column("name", sa.String),
        sa.Column("category", sa.String),
        sa.Column("creator", sa.String),
        sa.Column("description", sa.Text),
        sa.Column("credits_min", Credits),
        sa.Column("credits_max", Credits),
        sa.Column("params", sa.Text),
        sa.Column("example_request", sa.Text),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_model_versions_slug", "model_versions", ["slug"])
    op.create_table(
        "listings",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("key_id", RowId, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("version_id", RowId, sa.ForeignKey("model_versions.id"), nullable=False),
        sa.Column("slug", sa.String, nullable=False),
        sa.Column("valid_from", Utc, nullable=False),
        sa.Column("valid_to", Utc),
        sa.CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="interval"),
    )
    op.create_index("ix_listings_key_id_slug_valid_from", "listings", ["key_id", "slug", "valid_from"], unique=True)
    _partial("ix_listings_open", "listings", ["key_id", "slug"], "valid_to IS NULL", unique=True)
    op.create_index("ix_listings_slug_valid_from", "listings", ["slug", "valid_from"])
    op.create_index("ix_listings_version_id", "listings", ["version_id"])
    op.create_table(
        "changes",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("key_id", RowId, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("snapshot_id", RowId, sa.ForeignKey("snapshots.id"), nullable=False),
        sa.Column("detected_at", Utc, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("severity", sa.String, nullable=False),
        sa.Column("slug", sa.String),
        sa.Column("category", sa.String),
        sa.Column("path", sa.String, nullable=False, comment="JSON Pointer"),
        sa.Column("old", sa.Text, comment="JSON; SQL null where the key was absent"),
        sa.Column("new", sa.Text),
        sa.Column("decided", sa.Boolean, nullable=False),
        sa.Column("witness", sa.Text),
        sa.Column("affects", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column(
            "fingerprint", sa.String(12), nullable=False, comment="content identity: groups over keys, finds toggles"
        ),
        sa.Column("state", sa.String, nullable=False),
        sa.Column(
            "held_polls",
            sa.Integer,
            nullable=False,
            comment="good polls that missed a held removal, the first included",
        ),
        sa.Column("settled_at", Utc, comment="when a held change was announced or retracted"),
        sa.CheckConstraint("severity IN ('breaking','risky','additive','informational')", name="severity"),
        sa.CheckConstraint("state IN ('baseline','held','announced','retracted','recorded')", name="state"),
        sa.UniqueConstraint("snapshot_id", "fingerprint"),
    )
    op.create_index("ix_changes_detected_at", "changes", ["detected_at"])
    _partial("ix_changes_held", "changes", ["key_id"], "state = 'held'")
    op.create_index("ix_changes_key_id_detected_at", "changes", ["key_id", "detected_at"])
    op.create_index("ix_changes_slug_detected_at", "changes", ["slug", "detected_at"])
    op.create_table(
        "conditions",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False, comment="key:NAME, url:BASE or account:NAME"),
        sa.Column("key_id", RowId, sa.ForeignKey("api_keys.id")),
        sa.Column("severity", sa.String, nullable=False),
        sa.Column("opened_at", Utc, nullable=False),
        sa.Column("closed_at", Utc),
        sa.Column("detail", sa.Text, nullable=False),
        sa.CheckConstraint("closed_at IS NULL OR closed_at >= opened_at", name="interval"),
    )
    _partial("ix_conditions_open", "conditions", ["kind", "subject"], "closed_at IS NULL", unique=True)
    op.create_table(
        "destinations",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("spec", sa.String, nullable=False),
        sa.Column(
            "channel_id",
            sa.String,
            comment="resolved once, so that a doubtful message is looked for in a known channel",
        ),
        sa.Column("frozen_until", Utc),
        sa.Column("broken_since", Utc),
        sa.Column("last_sent_at", Utc),
        sa.Column(
            "fence", sa.Integer, nullable=False, server_default=sa.text("0"), comment="rises with each sender's lease"
        ),
        sa.UniqueConstraint("spec"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("destination_id", RowId, sa.ForeignKey("destinations.id"), nullable=False),
        sa.Column("op", sa.String, nullable=False),
        sa.Column("parent_id", sa.String, sa.ForeignKey("deliveries.id")),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("severity", sa.String, nullable=False),
        sa.Column("change_count", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("started_at", Utc, comment="of the attempt in flight or the last one"),
        sa.Column("retry_at", Utc),
        sa.Column("sent_at", Utc),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("rung", sa.String, nullable=False, server_default=sa.text("'rich'")),
        sa.Column("fence", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("slack_ts", sa.String),
        sa.Column("last_error", sa.Text),
        sa.CheckConstraint("op IN ('post','update')", name="op"),
        sa.CheckConstraint("state IN ('sending','retry','unknown','sent','dead')", name="state"),
    )
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])
    _partial(
        "ix_deliveries_unsettled",
        "deliveries",
        ["destination_id"],
        "state IN ('sending','retry','unknown')",
        unique=True,
    )
    op.create_table(
        "attempts",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("delivery_id", sa.String, sa.ForeignKey("deliveries.id"), nullable=False),
        sa.Column("started_at", Utc, nullable=False),
        sa.Column("ended_at", Utc, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id"])
    op.create_table(
        "announcements",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("change_id", RowId, sa.ForeignKey("changes.id")),
        sa.Column("condition_id", RowId, sa.ForeignKey("conditions.id")),
        sa.Column("edge", sa.String, comment="opened or closed, for conditions"),
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
    op.create_index("ix_announcements_delivery_id", "announcements", ["delivery_id"])
    _partial("ix_announcements_queued", "announcements", ["destination_id", "not_before"], "state = 'queued'")
    _partial(
        "uq_announcements_change",
        "announcements",
        ["change_id", "destination_id"],
        "change_id IS NOT NULL",
        unique=True,
    )
    _partial(
        "uq_announcements_condition",
        "announcements",
        ["condition_id", "edge", "destination_id"],
        "condition_id IS NOT NULL",
        unique=True,
    )
    op.create_table(
        "silences",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("matchers", sa.Text, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("until", Utc, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_table(
        "balance_days",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True, comment="YYYY-MM-DD in UTC"),
        sa.Column("first", Credits, nullable=False),
        sa.Column("last", Credits, nullable=False),
        sa.Column("min", Credits, nullable=False),
        sa.Column("max", Credits, nullable=False),
    )


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index over the rows that `where` picks, on both databases."""
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))

"""The first schema."""

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
        sa.Column("id", RowId, nullable=False),
        sa.Column(
            "name", sa.String(), nullable=False, comment="its identity in history; survives rotation of the secret"
        ),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint",
            sa.String(length=8),
            nullable=False,
            comment="first 8 hex of the secret's SHA-256; nothing else of it is kept",
        ),
        sa.Column("added_at", Utc(), nullable=False),
        sa.Column("rotated_at", Utc(), nullable=True),
        sa.Column("retired_at", Utc(), nullable=True, comment="since when the configuration no longer names it"),
        sa.Column(
            "state", sa.String(), nullable=False, comment="new · ok · rejected · tier_locked · forbidden · unreachable"
        ),
        sa.Column("state_since", Utc(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="failed polls in a row"),
        sa.Column(
            "applied_started_at",
            Utc(),
            nullable=True,
            comment="when the request of the last applied answer began: an older one is stale",
        ),
        sa.Column("observed_at", Utc(), nullable=True, comment="strictly increasing, so that intervals never overlap"),
        sa.Column("last_poll_id", RowId, nullable=True, comment="the run of polls that the next like poll extends"),
        sa.Column("snapshot_id", RowId, nullable=True, comment="the state last observed"),
        sa.Column(
            "rejected_body", sa.Text(), nullable=True, comment="the last body that was no catalogue, for diagnosis"
        ),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_api_keys_failures")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
    )
    op.create_table(
        "balance_days",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False, comment="YYYY-MM-DD in UTC"),
        sa.Column("first", Credits(), nullable=False),
        sa.Column("last", Credits(), nullable=False),
        sa.Column("min", Credits(), nullable=False),
        sa.Column("max", Credits(), nullable=False),
        sa.PrimaryKeyConstraint("account", "day", name=op.f("pk_balance_days")),
    )
    op.create_table(
        "destinations",
        sa.Column("id", RowId, nullable=False),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column(
            "channel_id",
            sa.String(),
            nullable=True,
            comment="resolved once, so that a doubtful message is looked for in a known channel",
        ),
        sa.Column("frozen_until", Utc(), nullable=True),
        sa.Column("broken_since", Utc(), nullable=True),
        sa.Column("last_sent_at", Utc(), nullable=True),
        sa.Column(
            "fence", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="rises with each sender's lease"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destinations")),
        sa.UniqueConstraint("spec", name=op.f("uq_destinations_spec")),
    )
    op.create_table(
        "model_versions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("form", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the model's own JSON text"),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("creator", sa.String(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("credits_min", Credits(), nullable=True),
        sa.Column("credits_max", Credits(), nullable=True),
        sa.Column("params", sa.Text(), nullable=True),
        sa.Column("example_request", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("digest", name=op.f("uq_model_versions_digest")),
    )
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.create_index("ix_model_versions_slug", ["slug"], unique=False)

    op.create_table(
        "silences",
        sa.Column("id", RowId, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("until", Utc(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_table(
        "conditions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, comment="key:NAME, url:BASE or account:NAME"),
        sa.Column("key_id", RowId, nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("closed_at", Utc(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint("closed_at IS NULL OR closed_at >= opened_at", name=op.f("ck_conditions_interval")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_conditions_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conditions")),
    )
    with op.batch_alter_table("conditions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_conditions_open",
            ["kind", "subject"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )

    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("destination_id", RowId, nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("change_count", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("started_at", Utc(), nullable=True, comment="of the attempt in flight or the last one"),
        sa.Column("retry_at", Utc(), nullable=True),
        sa.Column("sent_at", Utc(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("rung", sa.String(), server_default=sa.text("'rich'"), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("slack_ts", sa.String(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("op IN ('post','update')", name=op.f("ck_deliveries_op")),
        sa.CheckConstraint("state IN ('sending','retry','unknown','sent','dead')", name=op.f("ck_deliveries_state")),
        sa.ForeignKeyConstraint(["destination_id"], ["destinations.id"], name=op.f("fk_deliveries_destination_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["deliveries.id"], name=op.f("fk_deliveries_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_created_at", ["created_at"], unique=False)
        batch_op.create_index(
            "ix_deliveries_unsettled",
            ["destination_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('sending','retry','unknown')"),
            postgresql_where=sa.text("state IN ('sending','retry','unknown')"),
        )

    op.create_table(
        "listings",
        sa.Column("id", RowId, nullable=False),
        sa.Column("key_id", RowId, nullable=False),
        sa.Column("version_id", RowId, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("valid_from", Utc(), nullable=False),
        sa.Column("valid_to", Utc(), nullable=True),
        sa.CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name=op.f("ck_listings_interval")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_listings_key_id")),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name=op.f("fk_listings_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listings")),
    )
    with op.batch_alter_table("listings", schema=None) as batch_op:
        batch_op.create_index("ix_listings_key_id_slug_valid_from", ["key_id", "slug", "valid_from"], unique=True)
        batch_op.create_index(
            "ix_listings_open",
            ["key_id", "slug"],
            unique=True,
            sqlite_where=sa.text("valid_to IS NULL"),
            postgresql_where=sa.text("valid_to IS NULL"),
        )
        batch_op.create_index("ix_listings_slug_valid_from", ["slug", "valid_from"], unique=False)
        batch_op.create_index("ix_listings_version_id", ["version_id"], unique=False)

    op.create_table(
        "snapshots",
        sa.Column("id", RowId, nullable=False),
        sa.Column("key_id", RowId, nullable=False),
        sa.Column("taken_at", Utc(), nullable=False),
        sa.Column(
            "form", sa.Integer(), nullable=False, comment="version of the canonical form that the digests follow"
        ),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("tier", sa.String(), nullable=True),
        sa.Column("calls_per_minute", Credits(), nullable=True),
        sa.Column("concurrent_jobs", Credits(), nullable=True),
        sa.Column("model_count", sa.Integer(), nullable=False),
        sa.Column(
            "account", sa.Text(), nullable=False, comment="every top-level field but models and balance, as JSON"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_snapshots_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
    )
    with op.batch_alter_table("snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_snapshots_key_id_taken_at", ["key_id", "taken_at"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", RowId, nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_attempts_delivery_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index("ix_attempts_delivery_id", ["delivery_id"], unique=False)

    op.create_table(
        "changes",
        sa.Column("id", RowId, nullable=False),
        sa.Column("key_id", RowId, nullable=False),
        sa.Column("snapshot_id", RowId, nullable=False),
        sa.Column("detected_at", Utc(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=False, comment="JSON Pointer"),
        sa.Column("old", sa.Text(), nullable=True, comment="JSON; SQL null where the key was absent"),
        sa.Column("new", sa.Text(), nullable=True),
        sa.Column("decided", sa.Boolean(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=True),
        sa.Column("affects", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint",
            sa.String(length=12),
            nullable=False,
            comment="content identity: groups over keys, finds toggles",
        ),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column(
            "held_polls",
            sa.Integer(),
            nullable=False,
            comment="good polls that missed a held removal, the first included",
        ),
        sa.Column("settled_at", Utc(), nullable=True, comment="when a held change was announced or retracted"),
        sa.CheckConstraint(
            "severity IN ('breaking','risky','additive','informational')", name=op.f("ck_changes_severity")
        ),
        sa.CheckConstraint(
            "state IN ('baseline','held','announced','retracted','recorded')", name=op.f("ck_changes_state")
        ),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_changes_key_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_changes_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sa.UniqueConstraint("snapshot_id", "fingerprint", name=op.f("uq_changes_snapshot_id_fingerprint")),
    )
    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.create_index("ix_changes_detected_at", ["detected_at"], unique=False)
        batch_op.create_index(
            "ix_changes_held",
            ["key_id"],
            unique=False,
            sqlite_where=sa.text("state = 'held'"),
            postgresql_where=sa.text("state = 'held'"),
        )
        batch_op.create_index("ix_changes_key_id_detected_at", ["key_id", "detected_at"], unique=False)
        batch_op.create_index("ix_changes_slug_detected_at", ["slug", "detected_at"], unique=False)

    op.create_table(
        "polls",
        sa.Column("id", RowId, nullable=False),
        sa.Column("key_id", RowId, nullable=False),
        sa.Column("snapshot_id", RowId, nullable=True),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("last_at", Utc(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("credits_balance", Credits(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("rate_limit_remaining", sa.Integer(), nullable=True),
        sa.Column("retry_at", Utc(), nullable=True, comment="the vendor asked not to be called before"),
        sa.Column("retry_scope", sa.String(), nullable=True, comment="account or base_url: who has to wait"),
        sa.CheckConstraint(
            "outcome IN ('changed','unchanged','refused','rate_limited','malformed','unreachable','stale')",
            name=op.f("ck_polls_outcome"),
        ),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_polls_key_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_polls_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_polls")),
    )
    with op.batch_alter_table("polls", schema=None) as batch_op:
        batch_op.create_index("ix_polls_key_id_started_at", ["key_id", "started_at"], unique=False)

    op.create_table(
        "announcements",
        sa.Column("id", RowId, nullable=False),
        sa.Column("change_id", RowId, nullable=True),
        sa.Column("condition_id", RowId, nullable=True),
        sa.Column("edge", sa.String(), nullable=True, comment="opened or closed, for conditions"),
        sa.Column("destination_id", RowId, nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=True),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("not_before", Utc(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued','sent','silenced','below_threshold','dropped')", name=op.f("ck_announcements_state")
        ),
        sa.CheckConstraint("(change_id IS NULL) <> (condition_id IS NULL)", name=op.f("ck_announcements_subject")),
        sa.CheckConstraint("(condition_id IS NULL) = (edge IS NULL)", name=op.f("ck_announcements_edge")),
        sa.ForeignKeyConstraint(["change_id"], ["changes.id"], name=op.f("fk_announcements_change_id")),
        sa.ForeignKeyConstraint(["condition_id"], ["conditions.id"], name=op.f("fk_announcements_condition_id")),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_announcements_delivery_id")),
        sa.ForeignKeyConstraint(["destination_id"], ["destinations.id"], name=op.f("fk_announcements_destination_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
    )
    with op.batch_alter_table("announcements", schema=None) as batch_op:
        batch_op.create_index("ix_announcements_delivery_id", ["delivery_id"], unique=False)
        batch_op.create_index(
            "ix_announcements_queued",
            ["destination_id", "not_before"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "uq_announcements_change",
            ["change_id", "destination_id"],
            unique=True,
            sqlite_where=sa.text("change_id IS NOT NULL"),
            postgresql_where=sa.text("change_id IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_announcements_condition",
            ["condition_id", "edge", "destination_id"],
            unique=True,
            sqlite_where=sa.text("condition_id IS NOT NULL"),
            postgresql_where=sa.text("condition_id IS NOT NULL"),
        )

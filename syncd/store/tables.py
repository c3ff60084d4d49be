"""The tables, as Alembic creates them. What people query are the views in `migrations/views`, never these.

Every constraint has a name, so that a later migration can drop it on both databases. JSON is text here, exactly as it
was; the views of PostgreSQL show it as `jsonb`. Partial indexes cover what is still to do and nothing else.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from syncd.store.types import Credits, RowId, Utc

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", RowId, primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, RowId, ForeignKey(target), nullable=nullable)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("name", String, nullable=False, comment="its identity in history; survives rotation of the secret"),
    Column("account", String, nullable=False),
    Column("base_url", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column(
        "fingerprint",
        String(8),
        nullable=False,
        comment="first 8 hex of the secret's SHA-256; nothing else of it is kept",
    ),
    Column("added_at", Utc, nullable=False),
    Column("rotated_at", Utc),
    Column("retired_at", Utc, comment="since when the configuration no longer names it"),
    Column("state", String, nullable=False, comment="new · ok · rejected · tier_locked · forbidden · unreachable"),
    Column("state_since", Utc, nullable=False),
    Column("failures", Integer, nullable=False, comment="failed polls in a row"),
    Column(
        "applied_started_at", Utc, comment="when the request of the last applied answer began: an older one is stale"
    ),
    Column("observed_at", Utc, comment="strictly increasing, so that intervals never overlap"),
    Column("last_poll_id", RowId, comment="the run of polls that the next like poll extends"),
    Column("snapshot_id", RowId, comment="the state last observed"),
    Column("rejected_body", Text, comment="the last body that was no catalogue, for diagnosis"),
    Column("credits_balance", Credits, comment="the balance last seen: only one that moved is worth judging"),
    UniqueConstraint("name"),
    CheckConstraint("failures >= 0", name="failures"),
)

snapshots = Table(
    "snapshots",
    metadata,
    _id(),
    _ref("key_id", "api_keys.id"),
    Column("taken_at", Utc, nullable=False),
    Column("form", Integer, nullable=False, comment="version of the canonical form that the digests follow"),
    Column("digest", String(32), nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("tier", String),
    Column("calls_per_minute", Credits),
    Column("concurrent_jobs", Credits),
    Column("model_count", Integer, nullable=False),
    Column("account", Text, nullable=False, comment="every top-level field but models and balance, as JSON"),
    Index("ix_snapshots_key_id_taken_at", "key_id", "taken_at"),
)

polls = Table(
    "polls",
    metadata,
    _id(),
    _ref("key_id", "api_keys.id"),
    _ref("snapshot_id", "snapshots.id", nullable=True),
    Column("started_at", Utc, nullable=False),
    Column("last_at", Utc, nullable=False),
    Column("count", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("http_status", Integer),
    Column("error_code", String),
    Column("credits_balance", Credits),
    Column("duration_ms", Integer, nullable=False),
    Column("request_id", String),
    Column("rate_limit_remaining", Integer),
    Column("retry_at", Utc, comment="the vendor asked not to be called before"),
    Column("retry_scope", String, comment="account or base_url: who has to wait"),
    CheckConstraint(
        "outcome IN ('changed','unchanged','refused','rate_limited','malformed','unreachable','stale')", name="outcome"
    ),
    Index("ix_polls_key_id_started_at", "key_id", "started_at"),
    Index("ix_polls_snapshot_id", "snapshot_id"),
)

model_versions = Table(
    "model_versions",
    metadata,
    _id(),
    Column("digest", String(32), nullable=False),
    Column("form", Integer, nullable=False),
    Column("slug", String, nullable=False),
    Column("body", Text, nullable=False, comment="the model's own JSON text"),
    Column("name", String),
    Column("category", String),
    Column("creator", String),
    Column("description", Text),
    Column("credits_min", Credits),
    Column("credits_max", Credits),
    Column("params", Text),
    Column("example_request", Text),
    UniqueConstraint("digest"),
    Index("ix_model_versions_slug", "slug"),
)

listings = Table(
    "listings",
    metadata,
    _id(),
    _ref("key_id", "api_keys.id"),
    _ref("version_id", "model_versions.id"),
    Column("slug", String, nullable=False),
    Column("valid_from", Utc, nullable=False),
    Column("valid_to", Utc),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="interval"),
    _partial("ix_listings_open", "key_id", "slug", where="valid_to IS NULL", unique=True),
    Index("ix_listings_key_id_slug_valid_from", "key_id", "slug", "valid_from", unique=True),
    Index("ix_listings_slug_valid_from", "slug", "valid_from"),
    Index("ix_listings_version_id", "version_id"),
)

changes = Table(
    "changes",
    metadata,
    _id(),
    _ref("key_id", "api_keys.id"),
    _ref("snapshot_id", "snapshots.id"),
    Column("detected_at", Utc, nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("slug", String),
    Column("category", String),
    Column("path", String, nullable=False, comment="JSON Pointer"),
    Column("old", Text, comment="JSON; SQL null where the key was absent"),
    Column("new", Text),
    Column("decided", Boolean, nullable=False),
    Column("witness", Text),
    Column("affects", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("fingerprint", String(12), nullable=False, comment="content identity: groups over keys, finds toggles"),
    Column("state", String, nullable=False),
    Column("held_polls", Integer, nullable=False, comment="good polls that missed a held removal, the first included"),
    Column("settled_at", Utc, comment="when a held change was announced or retracted"),
    UniqueConstraint("snapshot_id", "fingerprint"),
    CheckConstraint("state IN ('baseline','held','announced','retracted','recorded')", name="state"),
    CheckConstraint("severity IN ('breaking','risky','additive','informational')", name="severity"),
    _partial("ix_changes_held", "key_id", where="state = 'held'"),
    Index("ix_changes_key_id_detected_at", "key_id", "detected_at"),
    Index("ix_changes_slug_detected_at", "slug", "detected_at"),
    Index("ix_changes_detected_at", "detected_at"),
)

conditions = Table(
    "conditions",
    metadata,
    _id(),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, comment="key:NAME, url:BASE or account:NAME"),
    _ref("key_id", "api_keys.id", nullable=True),
    Column("severity", String, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("closed_at", Utc),
    Column("detail", Text, nullable=False),
    Column("reminded_at", Utc, comment="when those who heard of it were last reminded that it lasts"),
    CheckConstraint("closed_at IS NULL OR closed_at >= opened_at", name="interval"),
    _partial("ix_conditions_open", "kind", "subject", where="closed_at IS NULL", unique=True),
)

destinations = Table(
    "destinations",
    metadata,
    _id(),
    Column("spec", String, nullable=False),
    Column("channel_id", String, comment="resolved once, so that a doubtful message is looked for in a known channel"),
    # It asked for silence, or it is out of order and is asked again then.
    Column("frozen_until", Utc),
    Column("broken_since", Utc),
    Column("last_sent_at", Utc),
    Column("fence", Integer, nullable=False, server_default=text("0"), comment="rises with each sender's lease"),
    Column("last_error", Text, comment="what is out of order"),
    UniqueConstraint("spec"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String, primary_key=True),
    _ref("destination_id", "destinations.id"),
    Column("op", String, nullable=False),
    Column("parent_id", String, ForeignKey("deliveries.id")),
    Column("kind", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("change_count", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc, comment="of the attempt in flight or the last one"),
    Column("retry_at", Utc),
    Column("sent_at", Utc),
    Column("attempts", Integer, nullable=False),
    Column("rung", String, nullable=False, server_default=text("'rich'")),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("slack_ts", String),
    Column("last_error", Text),
    Column("looks", Integer, nullable=False, server_default=text("0"), comment="times it was looked for in vain"),
    CheckConstraint("state IN ('sending','retry','unknown','sent','dead')", name="state"),
    CheckConstraint("op IN ('post','update')", name="op"),
    # At most one unsettled delivery per destination: the database holds the rule, whoever sends.
    _partial("ix_deliveries_unsettled", "destination_id", where="state IN ('sending','retry','unknown')", unique=True),
    Index("ix_deliveries_created_at", "created_at"),
    _partial("ix_deliveries_parent_id", "parent_id", where="parent_id IS NOT NULL"),
)

attempts = Table(
    "attempts",
    metadata,
    _id(),
    Column("delivery_id", String, ForeignKey("deliveries.id"), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("ended_at", Utc, nullable=False),
    Column("outcome", String, nullable=False),
    Column("error", Text),
    Index("ix_attempts_delivery_id", "delivery_id"),
)

silences = Table(
    "silences",
    metadata,
    _id(),
    Column("matchers", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("until", Utc, nullable=False),
    Column("author", String, nullable=False),
    Column("comment", Text, nullable=False),
    Column("told_at", Utc, comment="when those who missed something heard of its end"),
)

notices = Table(
    "notices",
    metadata,
    _id(),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, comment="what it is about: said once of each"),
    Column("created_at", Utc, nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("kind", "subject"),
)

announcements = Table(
    "announcements",
    metadata,
    _id(),
    _ref("change_id", "changes.id", nullable=True),
    _ref("condition_id", "conditions.id", nullable=True),
    Column(
        "edge",
        String,
        comment="of a condition: opened, reminder, closed, changed (brings a message up to date); of a held removal:"
        " unconfirmed, back; null for the change itself",
    ),
    _ref("destination_id", "destinations.id"),
    Column("delivery_id", String, ForeignKey("deliveries.id")),
    Column("route", String, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("not_before", Utc, nullable=False),
    Column("state", String, nullable=False),
    _ref("notice_id", "notices.id", nullable=True),
    Column("silence_id", RowId, ForeignKey("silences.id"), comment="what muted it"),
    CheckConstraint(
        "CASE WHEN change_id IS NULL THEN 0 ELSE 1 END + CASE WHEN condition_id IS NULL THEN 0 ELSE 1 END"
        " + CASE WHEN notice_id IS NULL THEN 0 ELSE 1 END = 1",
        name="subject",
    ),
    CheckConstraint(
        "CASE WHEN condition_id IS NOT NULL"
        " THEN edge IS NOT NULL AND edge IN ('opened','reminder','closed','changed')"
        " WHEN notice_id IS NOT NULL THEN edge IS NULL"
        " ELSE edge IS NULL OR edge IN ('unconfirmed','back') END",
        name="edge",
    ),
    CheckConstraint("state IN ('queued','sent','silenced','below_threshold','dropped')", name="state"),
    _partial(
        "uq_announcements_change",
        "change_id",
        "destination_id",
        where="change_id IS NOT NULL AND edge IS NULL",
        unique=True,
    ),
    _partial(
        "uq_announcements_held",
        "change_id",
        "edge",
        "destination_id",
        where="change_id IS NOT NULL AND edge IS NOT NULL",
        unique=True,
    ),
    _partial(
        "uq_announcements_condition",
        "condition_id",
        "edge",
        "destination_id",
        where="condition_id IS NOT NULL",
        unique=True,
    ),
    _partial("ix_announcements_change", "change_id", where="change_id IS NOT NULL"),
    _partial("uq_announcements_notice", "notice_id", "destination_id", where="notice_id IS NOT NULL", unique=True),
    _partial("ix_announcements_silenced", "silence_id", where="silence_id IS NOT NULL"),
    _partial(
        "ix_announcements_waiting", "destination_id", "not_before", where="state = 'queued' AND delivery_id IS NULL"
    ),
    _partial("ix_announcements_told", "delivery_id", where="delivery_id IS NOT NULL"),
)

balance_days = Table(
    "balance_days",
    metadata,
    Column("account", String, primary_key=True),
    Column("day", String(10), primary_key=True, comment="YYYY-MM-DD in UTC"),
    Column("first", Credits, nullable=False),
    Column("last", Credits, nullable=False),
    Column("min", Credits, nullable=False),
    Column("max", Credits, nullable=False),
    Column("spent", Credits, nullable=False, server_default=text("0"), comment="the sum of what it fell by"),
    Column("first_at", Utc, comment="of the first balance: how long a new account has been seen"),
    Column("last_at", Utc, comment="of the last balance: an older answer of another key changes nothing"),
)

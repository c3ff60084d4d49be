"""How Alembic reaches the database: through the connection, and inside the transaction, of `syncd.store.schema`."""

from __future__ import annotations

from alembic import context

from syncd.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite can roll back DDL, but only if it is asked to: else a failed migration stays half applied.
    transactional_ddl=True,
    # SQLite alters a table by rebuilding it.
    render_as_batch=connection.dialect.name == "sqlite",
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: runs the steps on the connection, and in the transaction, that the caller hands in."""

from alembic import context

from orchestrator.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # True of SQLite once the driver no longer commits behind our back: a step happens whole or not at all.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

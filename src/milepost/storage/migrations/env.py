"""Run by alembic: applies the versions over the connection that ``upgrade`` hands in."""

from alembic import context

from milepost.storage.migrations.upgrade import VERSION_TABLE
from milepost.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most things in place; batch mode copies the table instead.
    render_as_batch=True,
)
context.run_migrations()

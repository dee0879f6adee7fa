"""Alembic's entry point: runs on the connection that Database hands over."""

from alembic import context

from core.storage.batches import schema as batch_schema  # noqa: F401 - it adds its tables
from core.storage.evaluation import schema as evaluation_schema  # noqa: F401 - it adds its tables
from core.storage.experiments import schema as experiment_schema  # noqa: F401 - it adds its tables
from core.storage.library import schema as library_schema  # noqa: F401 - it adds its tables
from core.storage.retention import schema as retention_schema  # noqa: F401 - it adds its tables
from core.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

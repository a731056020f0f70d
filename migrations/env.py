"""What Alembic runs: the scripts, in the transaction that ww_core.store.migrate has opened.

There is no alembic.ini. A new script is written by hand after script.py.mako; tests/store/test_schema.py says
what it lacks. Then raise SCHEMA_HEAD in ww_core/store/migrate.py, add the digest of what it makes to FILE_DIGESTS in
ww_core/store/schema.py (tests/store/test_strange_parts.py tells it), and run tests/store/revisions/make_revision.py,
which makes the file of the new revision that tests upgrade ever after. A script that has landed is never changed. A
script that changes a table under a view drops the view first and makes it again: neither database lets a view's table
go. Tables are changed with op.batch_alter_table, because SQLite has to copy them.
"""

from __future__ import annotations

from alembic import context

from ww_core.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

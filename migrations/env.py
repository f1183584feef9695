"""Run the shop's migrations with Alembic, on the application's own engine, each in one transaction."""

from alembic import context
from flask import current_app

SEARCH_INDEX = {"search_vector", "ix_books_search_vector"}


def include_object(_object, name, _type, reflected, model):
    """Leave alone what the models make by DDL of their own: the search index."""
    own = name in SEARCH_INDEX or (name or "").startswith("books_fts")
    return not (reflected and model is None and own)


db = current_app.extensions["migrate"].db

with db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        transaction_per_migration=True,
        include_object=include_object,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()

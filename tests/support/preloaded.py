"""Modules for servers and workers, imported once by the process that they are forked from.

tests.conftest is not among them: it makes password hashes cheap, and served shops must be real.
"""

from importlib import import_module

for name in (
    "aiosmtpd.controller",
    "bookshop",
    "flask_migrate",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "bookshop.web.server",
    "httpcore",
    "psycopg",
    "pytest",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "standardwebhooks",
    "trustme",
):
    import_module(name)

"""What servers and workers need, imported once by the process that they are forked from.

Not tests.conftest, which makes passwords cheap: the shop that is served is to be the real one.
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

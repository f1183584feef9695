"""A web shop for an independent bookshop: browse, order, and reserve books that are out of stock."""

import logging

from flask import Flask, abort

from bookshop import cli, config, extensions, features
from bookshop.config import ROOT, Settings
from bookshop.kit import database, logs, transactions
from bookshop.web import (
    assets,
    errors,
    jinja,
    metrics,
    openapi,
    probes,
    rate_limits,
    request_log,
    security,
    sent_forms,
)

__version__ = "0.6.0"


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application. Without `settings`, read them from the environment or exit if one is invalid.

    Then it also decides where the logs go: this process is a server or a command of its own.
    """
    logs.hide_exception_messages()
    if settings is None:
        settings = config.settings_or_exit()
        logs.configure(settings.log_format, logging.WARNING if settings.demo else logging.INFO)
    app = Flask(
        __name__,
        instance_path=str(config.INSTANCE),
        template_folder=str(ROOT / "templates"),
        static_folder=None,
    )
    app.config.update(config.flask_config(settings))
    request_log.init_app(app)
    security.init_app(app)
    init_extensions(app)
    assets.init_app(app)
    features.init_app(app)
    jinja.init_app(app)
    sent_forms.init_app(app)
    openapi.init_app(app)
    errors.init_app(app)
    cli.init_app(app)
    return app


def init_extensions(app: Flask) -> None:
    extensions.db.init_app(app)
    extensions.migrate.init_app(app, extensions.db, directory=str(ROOT / "migrations"))
    extensions.login_manager.init_app(app)
    extensions.csrf.init_app(app)
    rate_limits.init_app(app)
    extensions.bootstrap.init_app(app)
    app.view_functions["bootstrap.static"] = lambda filename: abort(404)  # the files we need are among our assets
    extensions.compress.init_app(app)
    with app.app_context():
        database.configure_engine(extensions.db.engine)
        transactions.enforce_deadlines(extensions.db.engine)
        extensions.limit_requests(app)
    probes.init_app(app)
    metrics.init_app(app)

"""The Flask extensions, made once and bound to the application in `create_app`."""

from flask import current_app, request
from flask_bootstrap import Bootstrap5
from flask_compress import Compress
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

from bookshop.config import Settings
from bookshop.database import Base


class LoginManagerWithoutRemember(LoginManager):  # type: ignore[misc]
    """Flask-Login without remember cookies: the shop never sets one, and a forged one would stop the program."""

    def _load_user_from_remember_cookie(self, cookie: str) -> object:
        return self._load_user_from_request(request)


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
migrate = Migrate()
login_manager = LoginManagerWithoutRemember()
csrf = CSRFProtect()
limiter = Limiter(get_remote_address)
bootstrap = Bootstrap5()
compress = Compress()


def settings() -> Settings:
    """The settings of the running application."""
    found: Settings = current_app.config["SETTINGS"]
    return found

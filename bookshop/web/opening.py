"""Whether the shop is open, or new and still without accounts; and the service that sets up a new one."""

import logging

from flask import current_app

from bookshop.extensions import db, settings
from bookshop.opening.service import OpeningService
from bookshop.operations.service import OperationsService
from bookshop.web import services
from bookshop.web.navigation import absolute_url

log = logging.getLogger(__name__)

IS_OPEN, CODE_IS_LOGGED = "bookshop_is_open", "bookshop_code_is_logged"  # keys in `app.extensions`


@services.once_per_session
def service() -> OpeningService:
    return OpeningService(db.session(), str(current_app.secret_key), services.accounts(), services.shop())


def missing_loops() -> str:
    """Return a sentence for each loop that no worker runs; '' if all is well."""
    return OperationsService(db.session()).missing_loops()


def is_open() -> bool:
    """Whether the shop has accounts, or is a demo; asked until it is, then never again in this process.

    The log of a new shop gets the code that sets it up, once for each process.
    """
    if current_app.extensions.get(IS_OPEN):
        return True
    opened = settings().demo or not service().is_new()
    current_app.extensions[IS_OPEN] = opened
    if not opened and not current_app.extensions.get(CODE_IS_LOGGED):
        current_app.extensions[CODE_IS_LOGGED] = True
        page, code = absolute_url("admin.set_up"), service().code()
        log.warning("this shop has no owner yet: open %s and enter the code %s", page, code)
    return opened

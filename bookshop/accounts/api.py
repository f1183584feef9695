"""Login links in JSON."""

from flask import Response

from bookshop.accounts import bp
from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.schemas import NewLoginLink
from bookshop.accounts.views import limited
from bookshop.kit.exceptions import NotAuthenticated
from bookshop.web import opening, services
from bookshop.web.contract import contract

IS_NEW = "This shop is new and has no accounts. Its owner sets it up at /setup."


@bp.post("/api/v1/login-links")
@limited
@contract(tag="Login links", HTTP_202=None)
def api_request_link(json: NewLoginLink) -> Response:
    """E-mail a login link to an address: always 202, whether or not it has an account or may get an e-mail now."""
    if not opening.is_open():
        raise NotAuthenticated(IS_NEW)
    links = services.login_links()
    services.commit(lambda: links.request(LinkRequest(json.email)))
    return Response(status=202)

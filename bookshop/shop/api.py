"""The shop's details in JSON."""

from flask import Response

from bookshop.shop import bp
from bookshop.shop.schemas import ShopOut, shop_out
from bookshop.web import services
from bookshop.web.contract import contract, json_response


@bp.get("/api/v1/shop")
@contract(tag="Shop", HTTP_200=ShopOut)
def api_shop() -> Response:
    """Return the shop's name, address and opening hours, and whether it is open now."""
    return json_response(shop_out(services.shop_details()))

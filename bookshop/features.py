"""The modules with the shop's views. Importing one adds its pages or JSON views to the blueprint of its feature."""

from flask import Flask

from bookshop.accounts import (
    address_pages,
    alert_pages,
    confirm_login_pages,
    login_link_pages,
    own_account,
    second_factor_pages,
)
from bookshop.accounts import api as accounts_json
from bookshop.accounts import views as accounts_pages
from bookshop.admin import audit as admin_audit
from bookshop.admin import delivery as admin_delivery
from bookshop.admin import exports as admin_exports
from bookshop.admin import imports as admin_imports
from bookshop.admin import look as admin_look
from bookshop.admin import mail as admin_mail
from bookshop.admin import menu as admin_menu
from bookshop.admin import orders as admin_orders
from bookshop.admin import pages as admin_content
from bookshop.admin import picks as admin_picks
from bookshop.admin import ready as admin_ready
from bookshop.admin import returns as admin_returns
from bookshop.admin import search as admin_search
from bookshop.admin import set_up as admin_set_up
from bookshop.admin import staff as admin_staff
from bookshop.admin import users as admin_users
from bookshop.admin import views as admin_pages
from bookshop.admin import webhooks as admin_webhooks
from bookshop.cart import api as cart_json
from bookshop.cart import views as cart_pages
from bookshop.catalog import api as catalog_json
from bookshop.catalog import crawlers
from bookshop.catalog import views as catalog_pages
from bookshop.content import views as content_pages
from bookshop.feed import api as feed_json
from bookshop.inventory import api as inventory_json
from bookshop.operations import views as operations_pages
from bookshop.orders import api as orders_json
from bookshop.orders import staff_api as staff_orders_json
from bookshop.orders import views as orders_pages
from bookshop.picks import views as picks_pages
from bookshop.prebookings import api as prebookings_json
from bookshop.prebookings import views as prebookings_pages
from bookshop.prebookings import waiting_pages
from bookshop.reports import api as reports_json
from bookshop.returns import views as returns_pages
from bookshop.shop import api as shop_json
from bookshop.shop import views as shop_pages
from bookshop.web.navigation import IdConverter
from bookshop.webhooks import api as webhooks_json

BLUEPRINTS = dict.fromkeys(  # a feature may register views on one blueprint from several modules
    views.bp
    for views in (
        accounts_pages,
        accounts_json,
        login_link_pages,
        own_account,
        address_pages,
        confirm_login_pages,
        alert_pages,
        second_factor_pages,
        catalog_pages,
        catalog_json,
        crawlers,
        prebookings_pages,
        waiting_pages,
        prebookings_json,
        cart_pages,
        cart_json,
        orders_pages,
        orders_json,
        admin_pages,
        admin_delivery,
        admin_users,
        admin_staff,
        admin_look,
        admin_audit,
        admin_exports,
        admin_imports,
        admin_orders,
        admin_mail,
        admin_menu,
        admin_content,
        admin_picks,
        admin_ready,
        admin_returns,
        admin_search,
        admin_set_up,
        admin_webhooks,
        inventory_json,
        staff_orders_json,
        reports_json,
        feed_json,
        webhooks_json,
        operations_pages,
        returns_pages,
        shop_pages,
        content_pages,
        picks_pages,
        shop_json,
    )
)


def init_app(app: Flask) -> None:
    app.url_map.converters["int"] = IdConverter
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)

"""The menu of the staff pages: its groups, and the entry that each page belongs to."""

from collections.abc import Sequence
from typing import NamedTuple

from flask import request
from flask_login import current_user

from bookshop.admin import bp


class Entry(NamedTuple):
    """A link of the menu; it stays marked on the pages `below`, which have no link of their own."""

    label: str
    page: str
    below: Sequence[str] = ()
    for_owners: bool = False

    @property
    def current(self) -> str:
        """The value of aria-current: "page" on the page itself, "true" below it, empty elsewhere."""
        shown = (request.endpoint or "").removeprefix("admin.")
        return "page" if shown == self.page else "true" if shown in self.below else ""


BOOK_PAGES = ("create", "edit", "cover", "stock", "withdraw", "waiting", "movements", "book_picks")
PICK_PAGES = ("new_pick_shelf", "pick_shelf", "edit_pick_shelf", "delete_pick_shelf", "pick")
MENU = {
    "Today": (Entry("Desk", "dashboard"), Entry("Delivery", "delivery")),
    "Orders": (
        Entry("Orders", "orders", ["order"]),
        Entry("Pick list", "pick_list"),
        Entry("Returns", "returns"),
    ),
    "Stock": (
        Entry("Stock", "books", BOOK_PAGES),
        Entry("Staff picks", "picks", PICK_PAGES),
        Entry("Import", "imports", ["import_job", "choose_columns"]),
        Entry("Export", "exports"),
    ),
    "Customers": (Entry("Customers", "users", ["deactivate_user"]),),
    "Messages": (Entry("Mail", "mail", ["message"]), Entry("Webhooks", "webhooks", ["webhook"])),
    "Settings": (
        Entry("Ready to open", "ready"),
        Entry("Settings", "shop_details", for_owners=True),
        Entry("Look", "look", for_owners=True),
        Entry("Pages", "pages", ["new_page", "edit_page", "delete_page"], for_owners=True),
        Entry("Staff", "staff", ["member"], for_owners=True),
        Entry("Audit log", "audit", for_owners=True),
        Entry("Server", "show_settings", for_owners=True),
    ),
}


@bp.app_template_global()
def staff_menu() -> dict[str, list[Entry]]:
    """Return the groups of the menu with the entries that this member of staff may open."""
    return {
        group: [one for one in entries if current_user.is_owner or not one.for_owners]
        for group, entries in MENU.items()
    }

"""A message of every kind."""

from collections.abc import Iterable
from email.message import EmailMessage
from functools import partial

from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import BOOKSELLER, UNDO
from bookshop.mail.models import FORMER_ADDRESS, NOTICE_KINDS
from bookshop.web import services
from tests.support.factories import PASSWORD, Shop

ADA = "ada@example.com"
KINDS = {
    *("restock", "order_placed", "order_ready", "order_cancelled", "login_link", "address_link", "invitation"),
    *(
        "password_changed",
        "address_changed",
        "second_factor",
        "token_created",
        "new_login",
        "mail_check",
        "order_return",
    ),
}
TO = {"address_link": "new@example.com", "invitation": "nina@example.com", "address_changed": "former@example.com"}


def one_of_each(shop: Shop, emma: int) -> None:
    """Queue a message of every kind; all but those in TO are to Ada."""
    shop.set_stock(emma, 9)
    ready, cancelled = shop.order(1, {emma: 2}), shop.order(1, {emma: 1})
    shop.change_order(ready, "ready", shop.staff())
    shop.cancel_order(1, cancelled)
    shop.commit(lambda: services.login_links().request(LinkRequest(ADA)))
    shop.commit(lambda: services.address_changes().request(1, LinkRequest(TO["address_link"]), PASSWORD))
    shop.commit(lambda: services.staff().add(TO["invitation"], BOOKSELLER))
    shop.commit(lambda: services.mail().queue_check(1, ADA))
    shop.commit(lambda: services.mail().queue_acknowledgement(1, ready, 1, ADA))
    shop.commit(lambda: notify_of_change(undo=True))
    for kind in (kind for kind in NOTICE_KINDS if kind != FORMER_ADDRESS):
        shop.commit(partial(_notice, kind))


def _notice(kind: str) -> None:
    services.mail().queue_notice(kind, 1, ADA)


def notify_of_change(*, undo: bool) -> None:
    """Queue the notice that Ada's address was changed, with or without a link that undoes it."""
    former = TO[FORMER_ADDRESS]
    link_id = services.login_links().add(UNDO, former, user_id=1).id if undo else None
    services.mail().queue_notice(FORMER_ADDRESS, 1, former, link_id)


def kind_of(message: EmailMessage) -> str:
    return str(message["Message-ID"]).strip("<").partition(".")[0]


def by_kind(messages: Iterable[EmailMessage]) -> dict[str, EmailMessage]:
    return {kind_of(message): message for message in messages}

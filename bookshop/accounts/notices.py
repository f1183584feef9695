"""Security notices: which address hears of a change."""

from bookshop.accounts.models import User
from bookshop.mail.service import MailService


def notify(mail: MailService, user: User, kind: str, link_id: int | None = None) -> None:
    """Queue a security notice to a user's address as it is in `user`; needs the lock of their row.

    `link_id` is the link in it, if there is one. An address that was never confirmed gets no notice, because it may be
    a stranger's.
    """
    if not user.never_confirmed:
        mail.queue_notice(kind, user.id, user.email, link_id)

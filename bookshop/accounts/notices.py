"""Security notices: which address hears of a change."""

from bookshop.accounts.models import User
from bookshop.mail.service import MailService


def notify(mail: MailService, user: User, kind: str) -> None:
    """Queue a security notice to a user's address as it is in `user`; needs the lock of their row.

    An address that is not confirmed gets none, because it may be a stranger's.
    """
    if user.email_confirmed_at is not None:
        mail.queue_notice(kind, user.id, user.email)

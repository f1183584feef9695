"""What users do through a link in an e-mail without logging in: turn alerts on and off."""

from sqlalchemy.orm import Session

from bookshop.accounts.repository import UserRepository
from bookshop.audit.service import AuditService
from bookshop.kit.database import now
from bookshop.mail.models import UNSUBSCRIBED
from bookshop.mail.service import MailService


class EmailLinkService:
    """Turns alerts on and off; never commits."""

    def __init__(self, session: Session, mail: MailService) -> None:
        self.users = UserRepository(session)
        self.mail = mail
        self.audit = AuditService(session)

    def set_alerts(self, user_id: int, wanted: bool) -> None:
        """Turn restock alerts on or off; e-mails about orders are always sent."""
        user = self.users.get(user_id)
        if user is not None and user.wants_alerts != wanted:
            self.users.update(user_id, unsubscribed_at=None if wanted else now())
            values = {"alerts": not wanted}, {"alerts": wanted}
            self.audit.record("user.alerts_changed", user_id, *values, by=user.audited_id)
        if not wanted:
            self.mail.end_alerts(user_id, UNSUBSCRIBED)

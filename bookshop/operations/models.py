"""Heartbeats of the workers."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime

MAIL, WEBHOOKS = "mail", "webhooks"
LOOPS = {MAIL: "sends e-mail", WEBHOOKS: "calls webhooks"}


class WorkerBeat(Base):
    """When a loop of a worker process was last alive, by the clock of the database."""

    __tablename__ = "worker_beats"
    __table_args__ = (CheckConstraint("loop IN ('mail', 'webhooks')", name="loop"),)

    worker: Mapped[str] = mapped_column(String(32), primary_key=True)  # random, for each start of a worker
    loop: Mapped[str] = mapped_column(String(10), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)

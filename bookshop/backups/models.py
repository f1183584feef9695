"""Which backups were made."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime

NAME_MAX = 255


class Backup(Base):
    """A backup that is complete and was checked. The file itself may have been moved or deleted since."""

    __tablename__ = "backups"

    id: Mapped[int] = mapped_column(primary_key=True)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime)
    file: Mapped[str] = mapped_column(String(NAME_MAX))  # its name, without the folder
    size: Mapped[int] = mapped_column(BigInteger)  # bytes

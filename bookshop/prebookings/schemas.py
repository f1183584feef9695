"""JSON schemas for pre-bookings."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bookshop.prebookings.models import PreBook
from bookshop.web.schemas import Body, Id, PageQuery

Status = Literal["waiting", "notified", "cancelled"]


class NewPreBook(Body):
    """A pre-booking of a book that is out of stock."""

    book_id: Id


class PreBookQuery(PageQuery):
    """Which pre-bookings to list."""

    status: Status | None = None


class PreBookOut(BaseModel):
    """A pre-booking as its customer sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    book_id: int
    book_title: str
    book_authors: str
    status: Status
    created_at: datetime
    notified_at: datetime | None
    cancelled_at: datetime | None


class StaffPreBookOut(PreBookOut):
    """A pre-booking as staff see it, with the customer's e-mail address: null if the account is deleted."""

    email: str | None


def staff_prebook_out(prebook: PreBook, email: str | None) -> StaffPreBookOut:
    """Convert a pre-booking to JSON for staff."""
    return StaffPreBookOut(**PreBookOut.model_validate(prebook).model_dump(), email=email)

"""JSON schemas for login links."""

from pydantic import Field

from bookshop.kit.text import EMAIL_MAX
from bookshop.web.schemas import Body


class NewLoginLink(Body):
    """The address that gets a login link, at most one in 5 minutes and 5 in 24 hours."""

    email: str = Field(min_length=1, max_length=4 * EMAIL_MAX)

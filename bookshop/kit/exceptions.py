"""What can go wrong in the shop's own words: a code for scripts and a sentence for people, no HTTP."""

from typing import Any


class SettingsError(Exception):
    """A setting is wrong or missing; the message names it."""


class BookshopError(Exception):
    """The base of all refusals. `code` is fixed for scripts, the sentence is for people."""

    code = ""

    def __init__(self, sentence: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code


class NotAuthenticated(BookshopError):
    """Nobody is logged in."""

    code = "NOT_AUTHENTICATED"


class Forbidden(BookshopError):
    """Somebody is logged in, but this is not for them."""

    code = "FORBIDDEN"


class InsufficientScope(Forbidden):
    """The token may not do this, though its user may: it lacks a `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This token may not do that: it needs the scope '{scope}'.")
        self.scope = scope


class NotFound(BookshopError):
    """It does not exist, or not for the one who asks."""


class Conflict(BookshopError):
    """The state of things does not allow it."""


class Invalid(BookshopError):
    """The input cannot be right. `field` names the member or form field, if it is one."""

    code = "VALIDATION_ERROR"

    def __init__(self, sentence: str, field: str = "", code: str | None = None) -> None:
        super().__init__(sentence, code)
        self.field = field


class WrongPassword(Invalid):
    """It is not the password of the account."""


class MalformedRequest(Invalid):
    """The JSON does not have the shape that it needs: `errors` holds a `detail` and a `pointer` (RFC 6901) each."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("The request does not have the right shape; `errors` says where.")
        self.errors = errors


class InsufficientStock(Conflict):
    """There are too few copies for an order: `lines` say of which books, how many were wanted and how many are left."""

    code = "ORDER_INSUFFICIENT_STOCK"

    def __init__(self, sentence: str, lines: list[dict[str, Any]]) -> None:
        super().__init__(sentence)
        self.lines = lines


class PreconditionFailed(BookshopError):
    """A change was meant for another state than there is by now."""

    code = "HTTP_412"


class Busy(BookshopError):
    """Others hold what is needed; the same request may succeed in a moment."""

    code = "HTTP_503"


class TooManyAttempts(BookshopError):
    """It was tried too often: the next attempt may come in so many `seconds`."""

    code = "HTTP_429"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"That was too often. Please try again in {in_seconds_or_minutes(seconds)}.")
        self.seconds = seconds


class OutcomeUnknown(BookshopError):
    """Nobody can tell whether it was done: the connection to the database was lost in the commit, or after it."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "The shop lost its database at the last moment, so it cannot tell whether this was done. Please look "
            "before you do it again."
        )


def in_seconds_or_minutes(seconds: int) -> str:
    """So many seconds in words."""
    return "a second" if seconds == 1 else f"{seconds} seconds" if seconds < 120 else f"{-(-seconds // 60)} minutes"


def book_not_found() -> NotFound:
    return NotFound("There is no such book.", "BOOK_NOT_FOUND")

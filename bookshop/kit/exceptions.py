"""The shop's own exceptions; web/errors.py turns each BookshopError into an error page or a problem in JSON."""

from typing import Any, Literal


class SettingsError(Exception):
    """A setting is wrong or missing; the message names it."""


class BookshopError(Exception):
    """Base class. `code` never changes, so scripts can rely on it; `sentence` is shown to people."""

    code = ""

    def __init__(self, sentence: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code


class NotAuthenticated(BookshopError):
    """The request has no valid login or API token."""

    code = "NOT_AUTHENTICATED"


class Forbidden(BookshopError):
    """The user is logged in, but is not allowed to do this."""

    code = "FORBIDDEN"


class InsufficientScope(Forbidden):
    """The token's user may do this, but the token lacks the required `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This token is not allowed to do that: it needs the scope '{scope}'.")
        self.scope = scope


class FreshLoginRequired(Forbidden):
    """This login was confirmed too long ago for a sensitive action.

    `refusal` is why a password or code that was sent with the request did not confirm it, if there was one.
    """

    code = "FRESH_LOGIN_REQUIRED"

    def __init__(self, refusal: BookshopError | None = None) -> None:
        super().__init__(
            "You last entered your password or code, or used a link, more than 15 minutes ago. Open "
            "/account/confirm-login, confirm that it is you, then send this again."
        )
        self.refusal = refusal


class SecondFactorRequired(Forbidden):
    """The shop requires a second factor of its staff, and this login did not pass one."""

    code = "SECOND_FACTOR_REQUIRED"

    def __init__(self) -> None:
        super().__init__("Staff of this shop log in with a second factor. Set it up in your account first.")


class NotFound(BookshopError):
    """It does not exist, or this user may not see it."""


class Conflict(BookshopError):
    """The current state does not allow the request."""


class Invalid(BookshopError):
    """The input is invalid. `field` names the JSON member or form field, if a single one is at fault."""

    code = "VALIDATION_ERROR"

    def __init__(self, sentence: str, field: str = "", code: str | None = None) -> None:
        super().__init__(sentence, code)
        self.field = field


class WrongPassword(Invalid):
    """The password is wrong or, at login, no active account has the address; counts as a failed attempt."""


class MalformedRequest(Invalid):
    """The request does not match its schema: each of `errors` has a `detail` and a `pointer` (RFC 6901)."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("The request is not valid. `errors` lists what to correct.")
        self.errors = errors


class InsufficientStock(Conflict):
    """Too few copies for an order: `lines` names each book, the copies ordered and the copies left."""

    code = "ORDER_INSUFFICIENT_STOCK"

    def __init__(self, sentence: str, lines: list[dict[str, Any]]) -> None:
        super().__init__(sentence)
        self.lines = lines


class Purged(BookshopError):
    """The events asked for are no longer kept; `oldest` is the position of the first that is."""

    code = "EVENTS_PURGED"

    def __init__(self, oldest: int) -> None:
        super().__init__(
            f"The events after this position are no longer kept. The oldest that can be read has the position {oldest}:"
            f" to continue from there, send after={oldest - 1}."
        )
        self.oldest = oldest


class PreconditionFailed(BookshopError):
    """The resource has changed since the version that the request names (RFC 9110, If-Match)."""

    code = "HTTP_412"


class Busy(BookshopError):
    """A lock or the database is not available; the same request may succeed in a moment."""

    code = "HTTP_503"


class TooManyAttempts(BookshopError):
    """Too many attempts or requests: the next one is allowed in `seconds`."""

    code = "HTTP_429"

    def __init__(self, seconds: int, counted: Literal["attempts", "requests"] = "attempts") -> None:
        super().__init__(f"Too many {counted}. Please try again in {in_seconds_or_minutes(seconds)}.")
        self.seconds = seconds


class OutcomeUnknown(BookshopError):
    """The connection to the database was lost during or after the commit, so the change may or may not be saved."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "The connection to the database was lost, so the shop cannot tell whether your change was saved. Check "
            "before you try again."
        )


def reason_of(error: Exception) -> str:
    """Return what the system or the database said about an error, in one line without a full stop."""
    said = (isinstance(error, OSError) and error.strerror) or str(getattr(error, "orig", error))
    return said.strip().partition("\n")[0].rstrip(".") or type(error).__name__


def in_seconds_or_minutes(seconds: int) -> str:
    """Return the duration in words, in minutes from two minutes on, rounded up."""
    return "a second" if seconds == 1 else f"{seconds} seconds" if seconds < 120 else f"{-(-seconds // 60)} minutes"


def book_not_found() -> NotFound:
    return NotFound("There is no such book.", "BOOK_NOT_FOUND")

"""The form in which e-mail addresses are kept."""

from email_validator import EmailNotValidError, validate_email

from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import EMAIL_MAX, problem_in, tidy


def normal_email(email: str) -> str:
    """The address in the form in which it is kept, its domain in small letters; raises Invalid if it is none."""
    if len(email) > 4 * EMAIL_MAX:  # whatever it is when it is composed
        raise Invalid("This e-mail address is too long.", "email")
    if problem := problem_in(email):
        raise Invalid(f"The address {problem}.", "email")
    try:
        address = validate_email(tidy(email), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Invalid(f"This is not a complete e-mail address. {error}", "email") from None
    if len(address.casefold()) > EMAIL_MAX:
        raise Invalid("This e-mail address is too long.", "email")
    return address

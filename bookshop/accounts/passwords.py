"""Passwords: which are good enough, and how they are kept (argon2id, RFC 9106)."""

import re
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

PASSWORD_MIN, PASSWORD_MAX = 8, 128
LONGEST_TYPED = 4 * PASSWORD_MAX  # composed, no longer text has at most PASSWORD_MAX characters
SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character, which cannot be written as UTF-8

hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def problem_in_password(password: str) -> str | None:
    """Say why a new password is refused, or None. Any character is allowed."""
    if SURROGATE.search(password):
        return "The password was damaged on the way; please send it as UTF-8."
    length = len(_normal(password)) if len(password) <= LONGEST_TYPED else len(password)
    if not PASSWORD_MIN <= length <= PASSWORD_MAX:
        return f"The password needs {PASSWORD_MIN} to {PASSWORD_MAX} characters; this one has {length}."
    if _normal(password).lower() in _common():
        return "This is one of the passwords that are tried first. Please choose another, such as three random words."
    return None


def hash_password(password: str) -> str:
    return hasher.hash(_normal(password))


def password_matches(password_hash: str | None, password: str) -> bool:
    """Check a password; without a hash (nobody has that address) it takes as long and is False."""
    nobody = _dummy_hash()
    typed = _normal(password) if len(password) <= LONGEST_TYPED else ""  # which is nobody's password, either
    try:
        hasher.verify(password_hash or nobody, typed)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    return hasher.check_needs_rehash(password_hash)


def _normal(password: str) -> str:
    """One form for what looks the same, whatever keyboard it came from (NFC, as RFC 8265 wants)."""
    return unicodedata.normalize("NFC", password)


@cache
def _dummy_hash() -> str:
    return hasher.hash("nobody's password")


@cache
def _common() -> frozenset[str]:
    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= PASSWORD_MIN)

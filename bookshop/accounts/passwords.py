"""Passwords: which are good enough, and how they are hashed (argon2id, RFC 9106)."""

import re
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

PASSWORD_MIN, PASSWORD_MAX = 8, 128
LONGEST_TYPED = 4 * PASSWORD_MAX  # a longer text still has more than PASSWORD_MAX characters after composing (NFC)
SURROGATE = re.compile(r"[\ud800-\udfff]")  # lone surrogates cannot be encoded as UTF-8

hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def problem_in_password(password: str) -> str | None:
    """Return why a new password is refused, or None. Any character is allowed."""
    if SURROGATE.search(password):
        return "The password contains a damaged character. Send it as UTF-8."
    length = len(_normal(password)) if len(password) <= LONGEST_TYPED else len(password)
    if not PASSWORD_MIN <= length <= PASSWORD_MAX:
        return f"A password needs {PASSWORD_MIN} to {PASSWORD_MAX} characters; this one has {length}."
    if _normal(password).lower() in _common():
        return "This password is too easy to guess. Choose another one, such as three random words."
    return None


def hash_password(password: str) -> str:
    return hasher.hash(_normal(password))


def password_matches(password_hash: str | None, password: str) -> bool:
    """Check a password. Without a hash (unknown address) return False after the same time."""
    dummy_hash = _dummy_hash()
    typed = _normal(password) if len(password) <= LONGEST_TYPED else ""  # never a valid password
    try:
        hasher.verify(password_hash or dummy_hash, typed)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    return hasher.check_needs_rehash(password_hash)


def _normal(password: str) -> str:
    """Return one form for passwords that look the same, whichever keyboard typed them (NFC, RFC 8265)."""
    return unicodedata.normalize("NFC", password)


@cache
def _dummy_hash() -> str:
    return hasher.hash("nobody's password")


@cache
def _common() -> frozenset[str]:
    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= PASSWORD_MIN)

"""What API tokens, and other long random secrets, look like, and how they are kept."""

import base64
import hashlib

TOKEN_PREFIX = "bookshop_"  # noqa: S105 - lets scanners for leaked secrets recognise ours


def new_token(random: bytes) -> str:
    """An API token made of 32 bytes that nobody can guess."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")


def token_hash(token: str) -> str:
    """SHA-256 is enough here: the token has 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()

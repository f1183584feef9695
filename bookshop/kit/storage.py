"""Where files that all web servers share are stored: in a folder, or in a bucket of an S3-compatible server."""

import importlib.util
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

log = logging.getLogger(__name__)

SCHEME = "s3://"
OPTIONS = {"endpoint", "region"}
EXAMPLE = "s3://bucket/covers?endpoint=https://s3.example.com&region=eu-central-1"
REST = 10.0  # seconds without reading after the server has failed, so that it cannot occupy every thread of the shop


class Storage(Protocol):
    """Files by name. Each method raises OSError if the storage cannot be used."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Store a file, completely or not at all, even if the system crashes; its age is then 0."""

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""

    def names(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each file, and its age in seconds."""


@cache
def storage_at(location: Path | str) -> Storage:
    """Return the storage at the path of a folder, or at a URL that `checked_url` has accepted."""
    return Bucket(location) if isinstance(location, str) else Folder(location)


# ---------------------------------------------------------------- a folder


@dataclass(frozen=True)
class Folder:
    """A folder, which is created when the first file is written."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self.path / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / f"{name}.{secrets.token_hex(4)}.part"
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)
        self._sync()

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def names(self) -> Iterator[tuple[str, float]]:
        if not self.path.is_dir():
            return
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # renamed or deleted meanwhile
                    if entry.is_file():
                        yield entry.name, time.time() - entry.stat().st_mtime

    def _sync(self) -> None:
        """Flush the folder's entries to disk, so that renamed files survive a crash."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---------------------------------------------------------------- a bucket


def checked_url(text: str) -> str:
    """Return the URL of a bucket; raises ValueError with what is wrong, or if the package for it is missing."""
    try:
        url = urlsplit(text)
        options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        endpoint = urlsplit(options.get("endpoint", "https://none"))
        valid = endpoint.scheme in {"http", "https"} and endpoint.hostname and endpoint.port != 0
    except ValueError:
        valid = False
    if not valid or not url.hostname or url.fragment or not options.keys() <= OPTIONS:
        raise ValueError(f"is not the URL of a bucket, such as {EXAMPLE}")
    if "@" in url.netloc + endpoint.netloc:
        raise ValueError(
            "cannot hold a key or a password; set the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    if importlib.util.find_spec("obstore") is None:
        raise ValueError("needs the package obstore for a bucket; install the shop with: pip install -e '.[s3]'")
    return text


class Bucket:
    """A bucket, or what is below a prefix in it. The client reads the credentials from variables `AWS_...`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._rests_until = 0.0

    def __str__(self) -> str:
        return self.url.partition("?")[0]

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none. Fails at once for a while after the server has failed.

        After that while, one thread tries again.
        """
        from obstore import get  # noqa: PLC0415  # optional, as in the methods below

        if time.monotonic() < self._rests_until:
            raise OSError(f"{self} has just failed; it is tried again within {REST:.0f} seconds")
        if self._rests_until:
            self._rests_until = time.monotonic() + REST
        try:
            with _os_errors():
                content = get(_client(self.url), name).bytes().to_bytes()
        except FileNotFoundError:
            content = None
        except OSError:
            self._rests_until = time.monotonic() + REST
            raise
        self._rests_until = 0.0
        return content

    def write(self, name: str, content: bytes) -> None:
        from obstore import put  # noqa: PLC0415

        with _os_errors():
            put(_client(self.url), name, content)

    def delete(self, name: str) -> None:
        from obstore import delete  # noqa: PLC0415

        with _os_errors(), suppress(FileNotFoundError):
            delete(_client(self.url), name)

    def names(self) -> Iterator[tuple[str, float]]:
        from obstore import list as pages  # noqa: PLC0415

        with _os_errors():
            for page in pages(_client(self.url)):
                for file in page:
                    yield file["path"], (datetime.now(UTC) - file["last_modified"]).total_seconds()


@cache
def _client(url: str) -> "S3Store":
    """Return the client for a bucket: one for each process, made on first use, because its threads survive no fork."""
    from obstore.store import S3Store  # noqa: PLC0415

    parts, options = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
    config: S3Config = {}
    if "region" in options:
        config["region"] = options["region"]
    if "endpoint" in options:
        config |= {"endpoint": options["endpoint"], "virtual_hosted_style_request": False}
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"connect_timeout": "2s", "timeout": "5s", "allow_http": "endpoint" in options},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
    )


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn the client's own errors into OSError, without the many lines that they add for debugging."""
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        yield
    except BaseError as error:
        raise OSError(str(error).partition("\n")[0]) from None

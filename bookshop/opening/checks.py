"""The checks of the list Ready to open. Each gets what is known and returns a line of the list."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from bookshop.shop.service import Details

DETAILS, POSTAGE, MAIL_WORKS, ADDRESS, HTTPS, PROXIES, WORKER, BACKUP, BOOKS, PAGES = (
    *("details", "postage", "mail", "address", "https", "proxies", "worker", "backup", "books", "pages"),
)
HOUR = 3600  # seconds
IF_IT_FAILED = (
    "If one has failed, the worker's log says why after \u201cthe nightly backup has failed\u201d, and the worker "
    "tries again every hour. Run `flask backup FILE` for one now."
)
FRESH_BACKUP = 100_000  # seconds, about 28 hours: the backup of the next night has time to be made, and made again


class Check(NamedTuple):
    """A line of the list: its `key`, what it is about, whether it is done, and a sentence with what is or is to do."""

    key: str
    title: str
    done: bool
    sentence: str


def check_details(details: Details) -> Check:
    """Whether customers read where the shop is, and when it is open."""
    known = {
        "the address": details.address,
        "the opening hours": details.hours.are_known,
        "a phone number or e-mail address": details.phone or details.email,
    }
    missing = [name for name, is_known in known.items() if not is_known]
    sentence = f"Enter {_listed(missing)}." if missing else "Every page and e-mail shows where and when to find you."
    return Check(DETAILS, "The shop's details", not missing, sentence)


def check_postage(details: Details) -> Check:
    """Whether customers can have their orders posted, if the shop posts orders."""
    is_missing = details.post_orders and details.postage is None
    if is_missing:
        sentence = "Enter the postage, or 0 if it is free. Until then the checkout does not offer to post orders."
    elif details.post_orders:
        sentence = "The checkout shows the postage."
    else:
        sentence = "Customers collect their orders."
    return Check(POSTAGE, "Postage", not is_missing, sentence)


def check_pages(unreviewed: Sequence[str], with_blanks: Sequence[str], missing: Sequence[str]) -> Check:
    """Whether an owner has reviewed the texts that the shop started with, and none of all texts has a blank.

    The titles of those that are unreviewed, and of those that show a detail of the shop that is `missing`.
    """
    sentences = [f"Read and save {_listed(unreviewed)}."] if unreviewed else []
    if with_blanks:
        sentences.append(
            f"Visitors read \u201c(not entered yet)\u201d on {_listed(with_blanks)}. Enter {_listed(missing)}, or take "
            "what you do not need out of the text."
        )
    sentence = " ".join(sentences) or "You have reviewed all texts."
    return Check(PAGES, "Terms, privacy and other pages", not sentences, sentence)


def check_books(has_books: bool) -> Check:
    """Whether there is a book in the catalogue."""
    sentence = "There are books in the catalogue." if has_books else "Import a file of your books, or add one by hand."
    return Check(BOOKS, "Books", has_books, sentence)


def check_worker(problem: str) -> Check:
    """Whether a worker was alive within the last minute; `problem` says which of its loops was not."""
    return Check(WORKER, "The worker", not problem, problem or "A worker was seen within the last minute.")


def check_backup(age: float | None, has_folder: bool) -> Check:
    """Whether the backup of last night was made; `age` is that of the last one in seconds, None without any."""
    if age is not None and age < FRESH_BACKUP:
        return Check(BACKUP, "A backup", True, "The last backup is less than 28 hours old.")
    if not has_folder:
        sentence = "Set BOOKSHOP_BACKUPS to a folder: the worker makes one every night. Run `flask backup FILE` now."
    elif age is None:
        sentence = f"There is none yet. The worker makes one every night. {IF_IT_FAILED}"
    else:
        hours = int(age / HOUR)
        how_old = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
        sentence = f"The last one is {how_old} old: last night's has failed, or no worker ran. {IF_IT_FAILED}"
    return Check(BACKUP, "A backup", False, sentence)


def check_mail(has_server: bool, has_arrived: bool, problem: str) -> Check:
    """Whether an e-mail has arrived that was sent with the current settings, and none has got stuck since.

    `problem` says what has; see `MailService.problem`.
    """
    if not has_server:
        sentence = "Set BOOKSHOP_SMTP_URL for the server and the worker: until then nothing is sent."
    elif problem:
        sentence = f"{problem} Look under Mail for the reason, put it right, then send a message to yourself."
    elif has_arrived:
        sentence = "A message has arrived, and the link in it works."
    else:
        sentence = "Send a message to yourself, and follow the link in it."
    return Check(MAIL_WORKS, "E-mail", has_server and has_arrived and not problem, sentence)


def check_address(base_url: str, opened_at: str) -> Check:
    """Whether links in e-mails lead here: this page was opened at the public address."""
    if _is_private(urlsplit(base_url).hostname or ""):
        sentence = f"BOOKSHOP_BASE_URL is {base_url}, which customers cannot reach. Set it to your public address."
    elif _origin(base_url) != _origin(opened_at):
        sentence = (
            f"You have opened this page at {opened_at}, but links in e-mails lead to {base_url}. Open it there. If "
            "that fails, correct BOOKSHOP_BASE_URL, or let the proxy pass on the host name and the protocol."
        )
    else:
        return Check(ADDRESS, "Public address", True, f"{base_url} leads to this shop.")
    return Check(ADDRESS, "Public address", False, sentence)


def check_https(base_url: str, is_secure: bool) -> Check:
    """Whether passwords and addresses travel encrypted."""
    if not base_url.startswith("https://"):
        sentence = "Begin BOOKSHOP_BASE_URL with https://, so that the links in e-mails do."
    elif not is_secure:
        sentence = "This page came without HTTPS. Let the proxy use it and send the header X-Forwarded-Proto."
    else:
        return Check(HTTPS, "HTTPS", True, "This page came by HTTPS, and the links in e-mails use it.")
    return Check(HTTPS, "HTTPS", False, sentence)


def check_proxies(passed: int, trusted: int) -> Check:
    """Whether as many proxies are trusted as this request has passed, according to X-Forwarded-For."""
    number = "no proxy" if not passed else "1 proxy" if passed == 1 else f"{passed} proxies"
    sentence = f"This request has passed {number}, and BOOKSHOP_TRUSTED_PROXIES is {trusted}"
    if passed > trusted:
        sentence += f": set it to {passed}, or all visitors count as one."
    elif passed < trusted:
        sentence += f": set it to {passed}, or visitors can pretend to be others."
    else:
        sentence += "."
    return Check(PROXIES, "Proxies", passed == trusted, sentence)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _origin(address: str) -> tuple[str, str | None, int | None]:
    url = urlsplit(address)
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))

"""Suggestions for typing mistakes in well-known mail domains, such as gmial.com."""

# The most used first: where several are possible, the first is suggested.
WELL_KNOWN = (
    *("gmail.com", "googlemail.com", "hotmail.com", "hotmail.co.uk", "outlook.com", "live.com", "msn.com", "aol.com"),
    *("yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "ymail.com", "icloud.com", "me.com", "mac.com", "mail.com"),
    *("gmx.de", "gmx.net", "gmx.at", "gmx.ch", "web.de", "t-online.de", "freenet.de", "posteo.de", "mailbox.org"),
    *("proton.me", "protonmail.com", "orange.fr", "wanadoo.fr", "free.fr", "sfr.fr", "laposte.net", "hotmail.fr"),
    *("libero.it", "virgilio.it", "btinternet.com", "virginmedia.com", "sky.com", "bluewin.ch", "telenet.be"),
)
OTHERS = {"email.com", "dmail.com", "cloud.com", "libera.it"}  # these exist, one letter away from a well-known domain
SHORT = 4  # letters: a name this short with one letter changed is probably somebody else's


def suggested_address(email: str) -> str | None:
    """Return the address that was probably meant, with a well-known domain; None if there is nothing to suggest."""
    local, _at, domain = email.strip().rpartition("@")
    typed = domain.lower()
    if not local or typed in WELL_KNOWN or typed in OTHERS:
        return None
    return next((f"{local}@{right}" for right in WELL_KNOWN if _is_mistyped(typed, right)), None)


def _is_mistyped(typed: str, right: str) -> bool:
    """Whether `typed` is the domain `right` with one mistake, or without its ending."""
    name, _dot, ending = right.partition(".")
    typed_name, dot, typed_ending = typed.partition(".")
    if typed_name == name and not typed_ending:
        return True
    other_name = dot and len(name) <= SHORT and typed_name != name
    other_country = len(ending) == len(typed_ending) == 2 and typed_ending != ending
    return not other_name and not other_country and _is_one_edit(typed, right)


def _is_one_edit(typed: str, right: str) -> bool:
    """Whether one character was added, left out or replaced, or two neighbours were swapped."""
    same = next((place for place, letter in enumerate(right) if typed[place : place + 1] != letter), len(right))
    typed, right = typed[same:], right[same:]
    swapped = typed[:2] == right[:2][::-1] and typed[2:] == right[2:]
    return swapped or typed[1:] == right or typed == right[1:] or typed[1:] == right[1:]

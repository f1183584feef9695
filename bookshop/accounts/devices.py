"""Turn a User-Agent header into a device name for the list of logins."""

import unicodedata

# The first match counts: Edge, for example, also claims to be Chrome and Safari.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "Chrome": "Chrome",
    "CriOS": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS X": "Mac",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def device_name(user_agent: str | None) -> str:
    """Return the browser and system in a User-Agent, such as 'Firefox on Windows'; a client can send any value."""
    browser, system = (_first(names, user_agent or "") for names in (BROWSERS, SYSTEMS))
    return f"{browser} on {system}" if browser and system else browser or system or "Unknown device"


def storable_user_agent(user_agent: str | None, longest: int) -> str | None:
    """Return the part of a User-Agent that can be stored; None if nothing is left."""
    characters = (character for character in user_agent or "" if unicodedata.category(character) not in {"Cc", "Cs"})
    return "".join(characters).strip()[:longest] or None


def _first(names: dict[str, str], user_agent: str) -> str | None:
    return next((name for marker, name in names.items() if marker in user_agent), None)

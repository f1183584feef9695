"""What a browser says of itself, for people who look at where they are logged in."""

import unicodedata

# The first that is found counts: Edge, for one, says that it is Chrome and Safari too.
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


def device_in_words(user_agent: str | None) -> str:
    """The browser and the system that a User-Agent names: 'Firefox on Windows'. Anyone can send any other."""
    browser, system = (_first(names, user_agent or "") for names in (BROWSERS, SYSTEMS))
    return f"{browser} on {system}" if browser and system else browser or system or "Unknown device"


def storable(user_agent: str | None, longest: int) -> str | None:
    """As much of a User-Agent as can be stored; None if nothing is left."""
    characters = (character for character in user_agent or "" if unicodedata.category(character) not in {"Cc", "Cs"})
    return "".join(characters).strip()[:longest] or None


def _first(names: dict[str, str], user_agent: str) -> str | None:
    return next((name for sign, name in names.items() if sign in user_agent), None)

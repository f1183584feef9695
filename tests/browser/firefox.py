"""The system's Firefox for tests, driven over WebDriver BiDi, which it speaks without a driver.

Playwright only drives a Firefox of its own. BiDi finds elements by what screen readers announce: the role and the name
that Firefox itself computed. It does so with scripts switched off, too.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from websockets.sync.client import ClientConnection, connect

NAMES = ("firefox-esr", "firefox")
LISTENING = re.compile(r"^WebDriver BiDi listening on (ws://\S+)\n", re.MULTILINE)
EVENTS = ["log.entryAdded", "network.beforeRequestSent", "network.responseCompleted"]
DEADLINE = 30.0  # seconds; a loaded machine is slow, not broken

Found = TypeVar("Found")


class NoFirefox(Exception):
    """No Firefox was found; the message says what was searched for."""


class Refused(Exception):
    """Firefox answered with an error, such as that an element is no longer part of the page."""


def executable() -> str:
    """Return the path of Firefox. Raise NoFirefox if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NoFirefox(f"none of {', '.join(NAMES)} is on the PATH; on Debian: apt-get install firefox-esr")
    return found


class Firefox:
    """A running Firefox, and what its pages at `home` did wrong."""

    def __init__(self, connection: ClientConnection, home: str) -> None:
        self.connection, self.home, self.faults = connection, home, list[str]()
        self._numbers = count()
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=EVENTS)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Raise Refused if Firefox answers with an error."""
        number = next(self._numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.connection.recv(timeout=DEADLINE))
            if answer["type"] == "event":
                self._note(answer["method"], answer["params"])
            elif answer["id"] == number:
                if answer["type"] == "error":
                    raise Refused(f"{method}: {answer['message']}")
                return dict(answer["result"])

    def _note(self, event: str, told: dict[str, Any]) -> None:
        """Note what no page may do, as Watch does for Chromium."""
        if event == "log.entryAdded":
            if told["level"] == "error":
                self.faults.append(f"console: {told['text']}")
            return
        url = told["request"]["url"]
        if not url.startswith((f"{self.home}/", "data:", "blob:", "about:")):
            self.faults.append(f"left the host: {url}")
        elif event == "network.responseCompleted":
            status = told["response"]["status"]
            if status >= (500 if told["navigation"] else 400):
                self.faults.append(f"{status}: {url}")


@contextmanager
def running(folder: Path, home: str, *, scripts: bool = True) -> Iterator[Firefox]:
    """Start a Firefox with an empty profile in `folder`, and stop it at the end."""
    (folder / "user.js").write_text(f'user_pref("javascript.enabled", {json.dumps(scripts)});\n')
    log = folder / "firefox.log"
    command = [executable(), "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port=0"]
    with log.open("w") as output, subprocess.Popen([*command, "about:blank"], stdout=output, stderr=output) as process:
        try:
            address = waited(lambda: LISTENING.search(log.read_text()), lambda: f"Firefox to start: {log.read_text()}")
            with connect(f"{address[1]}/session", max_size=None) as connection:
                firefox = Firefox(connection, home)
                yield firefox
                firefox.send("browser.close")
            process.wait(DEADLINE)
        finally:
            process.kill()


def waited(ask: Callable[[], Found | None], wanted: Callable[[], str]) -> Found:
    """Ask again until there is an answer; a page that is being replaced has none."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if found := ask():
                return found
        except Refused:
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {wanted()}")


class Window:
    """A window of Firefox. An element is given by its role and its whole name, as screen readers announce them.

    Firefox never answers when it is asked for elements of a page that is just being replaced. So after each step that
    leads to another page, wait for that page with `arrives` or `shows`.
    """

    def __init__(self, firefox: Firefox) -> None:
        self.firefox = firefox
        self.context = str(firefox.send("browsingContext.create", type="window")["context"])

    def open(self, path: str) -> None:
        """Open a page of the shop."""
        self.firefox.send(
            "browsingContext.navigate", context=self.context, url=f"{self.firefox.home}{path}", wait="complete"
        )

    def set_cookie(self, name: str, value: str) -> None:
        cookie = {"name": name, "value": {"type": "string", "value": value}, "domain": "127.0.0.1", "path": "/"}
        self.firefox.send("storage.setCookie", cookie=cookie)

    def arrives(self, title: str) -> None:
        """Wait for a complete page whose title begins so."""
        self._wait_for("title => document.readyState === 'complete' && document.title.startsWith(title)", title)

    def shows(self, text: str) -> None:
        """Wait until the complete page contains this text; it must not be on the page before."""
        self._wait_for("text => document.readyState === 'complete' && document.body.innerText.includes(text)", text)

    def find(self, role: str, name: str = "") -> dict[str, str]:
        """Wait for the one element with this role and name; two of one name are a fault, as are none."""
        return waited(lambda: self._only(role, name), lambda: f"one {role} “{name}” on {self._seen()}")

    def text(self, role: str, name: str = "") -> str:
        return str(self.evaluate("one => one.innerText", self.find(role, name)))

    def value(self, role: str, name: str) -> str:
        """Return what a field contains."""
        return str(self.evaluate("field => field.value", self.find(role, name)))

    def has_focus(self, element: dict[str, str]) -> bool:
        return bool(self.evaluate("one => one === document.activeElement", element))

    def evaluate(self, function: str, *values: dict[str, str]) -> Any:
        """Return what a JavaScript function returns for elements or strings; it runs even if scripts are off."""
        answer = self.firefox.send(
            "script.callFunction",
            functionDeclaration=function,
            arguments=list(values),
            target={"context": self.context, "sandbox": "test"},
            awaitPromise=False,
        )
        if answer["type"] == "exception":
            raise Refused(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def click(self, role: str, name: str) -> None:
        """Click on the middle of an element."""
        element = self.find(role, name)
        self.evaluate("one => one.scrollIntoView({block: 'center', behavior: 'instant'})", element)
        there = {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": element}}
        press = [there, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._act({"type": "pointer", "id": "mouse", "actions": press})

    def keys(self, text: str) -> None:
        """Press these keys, one after the other."""
        presses = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keyboard", "actions": presses})

    def _only(self, role: str, name: str) -> dict[str, str] | None:
        value = {"role": role, "name": name} if name else {"role": role}
        locator = {"type": "accessibility", "value": value}
        found = self.firefox.send("browsingContext.locateNodes", context=self.context, locator=locator)["nodes"]
        return {"sharedId": found[0]["sharedId"]} if len(found) == 1 else None

    def _wait_for(self, question: str, text: str) -> None:
        waited(
            lambda: self.evaluate(question, {"type": "string", "value": text}), lambda: f"“{text}” on {self._seen()}"
        )

    def _seen(self) -> str:
        return str(self.evaluate("() => `${document.title} ${location}\\n${document.body.innerText}`"))

    def _act(self, source: dict[str, Any]) -> None:
        self.firefox.send("input.performActions", context=self.context, actions=[source])

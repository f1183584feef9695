"""The files for production agree with the shop and with each other; `make deploy-proof` proves that they work."""

import re
import shlex

from bookshop.config import ROOT, settings_from

DEPLOY = ROOT / "deploy"
UNITS = [DEPLOY / "systemd" / name for name in ("bookshop.service", "bookshop-worker.service")]


def settings_in(text):
    return dict(re.findall(r"^(BOOKSHOP_\w+)='([^']*)'$", text, re.MULTILINE))


def test_the_example_of_the_settings_lacks_nothing_but_the_secret_key():
    written = settings_in((DEPLOY / "bookshop.env").read_text(encoding="utf-8"))
    assert written.pop("BOOKSHOP_SECRET_KEY") == ""
    settings = settings_from({**written, "BOOKSHOP_SECRET_KEY": "k" * 32})
    assert (settings.base_url, settings.trusted_proxies) == ("https://books.example.com", 1)


def test_the_container_starts_the_server_as_the_unit_does():
    [command] = re.findall(r"^ExecStart=\S+/(gunicorn .*)$", UNITS[0].read_text(encoding="utf-8"), re.MULTILINE)
    [container] = re.findall(r"^CMD \[(.*?)\]$", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), re.S | re.M)
    expected = [word.replace("127.0.0.1", "0.0.0.0") for word in shlex.split(command)]
    assert re.findall(r'"([^"]+)"', container) == expected


def test_server_and_worker_may_do_the_same():
    def limits(unit):
        text = unit.read_text(encoding="utf-8").split("StateDirectory=")[1]
        return text.split("[Install]")[0]

    assert limits(UNITS[0]) == limits(UNITS[1])

"""The files for production agree with the shop and with each other; `make deploy-proof` proves that they work."""

import re
import shlex
import subprocess

import pytest

from bookshop.config import ROOT, settings_from
from deploy.prove.document import commands

DEPLOY = ROOT / "deploy"
UNITS = [DEPLOY / "systemd" / name for name in ("bookshop.service", "bookshop-worker.service")]


def settings_in(text):
    return dict(re.findall(r"^(BOOKSHOP_\w+)='([^']*)'$", text, re.MULTILINE))


def test_the_example_of_the_settings_lacks_nothing_but_the_secret_key():
    written = settings_in((DEPLOY / "bookshop.env").read_text(encoding="utf-8"))
    assert written.pop("BOOKSHOP_SECRET_KEY") == ""
    settings = settings_from({**written, "BOOKSHOP_SECRET_KEY": "k" * 32})
    assert (settings.base_url, settings.trusted_proxies) == ("https://books.example.com", 1)


@pytest.mark.parametrize("block", ["settings", "containers"])
def test_repeating_the_step_that_writes_the_settings_keeps_them(tmp_path, block):
    copy, example = tmp_path / "settings", f" {DEPLOY}/bookshop.env"
    places = {
        " deploy/bookshop.env": example,
        " bookshop.env": example,
        "/etc/bookshop.env": str(copy),
        " .env": f" {copy}",
    }
    script = re.sub(r"^(git|cd) .*$", "", commands("deploy.md", block, places), flags=re.MULTILINE)
    written = []
    for _time in range(2):
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True, cwd=tmp_path)
        written.append(copy.read_text(encoding="utf-8"))
        copy.write_text(written[0].replace("user:password", "me:secret"), encoding="utf-8")
    assert re.search("^BOOKSHOP_SECRET_KEY='[0-9a-f]{64}'$", written[0], re.MULTILINE)
    assert written[1] == written[0].replace("user:password", "me:secret")
    assert copy.stat().st_mode & 0o777 == 0o600


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

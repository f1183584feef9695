"""Prove docs/deploy.md: from empty machines to shops that customers can reach. `make deploy-proof` runs it.

It needs root, because it makes machines. Without root it is skipped, except where CI is set.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

from deploy.prove.step import StepFailed, seconds
from deploy.prove.story import tell
from deploy.prove.visit import MAIL_PORT

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "podman", "runc", "iptables", "git", "tar")
LIMIT_SECONDS = 900  # in case something hangs; it takes a few minutes
PORTS = (80, 443, 2019, 8000, MAIL_PORT)


def main() -> int:
    if reason := missing():
        print(f"DEPLOYMENT NOT PROVED: {reason}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    for stop in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(stop, lambda *_: sys.exit(f"stopped after {seconds():.0f} s"))  # cleans up
    signal.alarm(LIMIT_SECONDS)
    work = Path(tempfile.mkdtemp(prefix="bookshop-proof-"))
    try:
        tell(work)
    except StepFailed as failure:
        print(f"\nDEPLOYMENT PROOF FAILED at the step {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    print(f"Both deployments of docs/deploy.md work: proved in {seconds():.0f} s.")
    return 0


def missing() -> str:
    """Return what this machine lacks for the proof, as a sentence; '' if nothing."""
    if os.geteuid() != 0:
        return "it starts machines and containers, for which it has to run as root."
    if tools := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(tools)} missing. .ci/run installs what it needs from Debian."
    if ports := [str(port) for port in PORTS if is_taken(port)]:
        return f"another program listens at port {', '.join(ports)} of this machine. Stop it first."
    return ""


def is_taken(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main())

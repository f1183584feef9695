"""Debian 12 machines in folders, each with systemd as its first process, on the network of this machine."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ARCHIVE = "http://deb.debian.org"
SOURCES = [f"deb {ARCHIVE}/debian bookworm main", f"deb {ARCHIVE}/debian-security bookworm-security main"]
SYSTEM = "systemd-sysv,dbus,ca-certificates"  # what every rented server has
FAST = ["--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"']
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
WHEELS = "/var/cache/pip"  # what one machine has downloaded, the others share
PIP = f"[global]\ncert = /etc/ssl/certs/this-machine.crt\ncache-dir = {WHEELS}\n"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
START_SECONDS, STOP_SECONDS, RUN_SECONDS = 30, 30, 240


class CommandFailed(Exception):
    """A command did not exit with 0, or took too long; the message has the end of its output."""


def run(*command: str | Path, env: Mapping[str, str] = os.environ, cwd: Path | None = None) -> str:
    """Run a command and return its output; raises CommandFailed after RUN_SECONDS, too."""
    done = None
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            cwd=cwd,
            timeout=RUN_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"took longer than {RUN_SECONDS} s: {_last_lines(str(error.stdout))}") from None
    if done.returncode:
        raise CommandFailed(f"exit code {done.returncode}: {_last_lines(done.stdout)}")
    return done.stdout


def _last_lines(output: str) -> str:
    return "\n".join(["", *output.strip().splitlines()[-40:]])


def make_base(root: Path) -> None:
    """Make an empty Debian in the folder `root`. It reaches package archives as this machine does."""
    run("mmdebstrap", "--quiet", "--variant=apt", f"--include={SYSTEM}", *FAST, "bookworm", root, *SOURCES)
    (root / "etc/hosts").write_text("127.0.0.1 localhost books.example.com\n", encoding="ascii")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(CERTIFICATES, root / "etc/ssl/certs/this-machine.crt")
    (root / "etc/pip.conf").write_text(PIP, encoding="ascii")


class Machine:
    """A machine that runs."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self._leader = root, leader

    def run(self, script: str) -> str:
        """Run commands as root, in a shell of their own in /root; return their output or raise CommandFailed."""
        inside = ("nsenter", "--all", "--target", str(self._leader), "bash", "-euo", "pipefail", "-c")
        return run(*inside, f"cd /root\n{script}", env=ENVIRONMENT)


@contextmanager
def machine(base: Path, root: Path, shared: dict[Path, str]) -> Iterator[Machine]:
    """Copy `base` to `root` and start it; stop it at the end. `shared` names folders of this machine in it."""
    run("cp", "--archive", base, root)
    binds = [f"--bind={folder}:{path}" for folder, path in shared.items()]
    options = ["--boot", "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off"]
    process = subprocess.Popen(
        ["systemd-nspawn", "--quiet", "--directory", str(root), *options, *binds],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield _started(process, root)
    finally:
        process.terminate()  # shuts the machine down
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(process: "subprocess.Popen[bytes]", root: Path) -> Machine:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CommandFailed(f"the machine did not start: {process.communicate()[1].decode()}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        if children:
            started = Machine(root, int(children[0]))
            try:
                started.run("systemctl is-system-running --wait")
            except CommandFailed:
                time.sleep(0.2)
            else:
                return started
    raise CommandFailed(f"the machine did not start within {START_SECONDS} s")

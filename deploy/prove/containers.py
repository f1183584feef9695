"""Setup B of docs/deploy.md with Podman: the image and the Compose file."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.prove.machine import run

COMPOSE = "podman-compose==1.6.0"
BASE, POSTGRESQL = "localhost/debian:proof", "localhost/postgresql:proof"
CONFIGURATION = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/running"
"""


class Podman:
    """Podman with images, containers and networks of its own, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.env = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_FORMAT": "docker",  # the format of images that keeps health checks
            "PATH": f"{folder}/compose/bin:{os.environ['PATH']}",
        }

    def run(self, script: str) -> str:
        """Run commands in a shell; return their output or raise CommandFailed."""
        return run("bash", "-euo", "pipefail", "-c", script, env=self.env)


@contextmanager
def podman(folder: Path) -> Iterator[Podman]:
    """Set up Podman and podman-compose; remove all containers, networks and mounts at the end."""
    (folder / "networks").mkdir(parents=True)
    # Not even root may raise these limits in every place where the proof runs, as Podman does by default.
    files, processes = (
        min(resource.getrlimit(limit)[1] % (1 << 63), most)
        for limit, most in ((resource.RLIMIT_NOFILE, 20_000), (resource.RLIMIT_NPROC, 4_096))
    )
    settings = CONFIGURATION.format(folder=folder, files=files, processes=processes)
    (folder / "containers.conf").write_text(settings, encoding="utf-8")
    (folder / "storage.conf").write_text(STORAGE.format(folder=folder), encoding="utf-8")
    run(sys.executable, "-m", "venv", folder / "compose")
    run(folder / "compose/bin/pip", "install", "--quiet", COMPOSE)
    here = Podman(folder)
    try:
        yield here
    finally:
        here.run(
            "for again in 1 2 3; do podman rm --all --force --time 10 --volumes && break; done"
        )  # dependents first
        here.run("podman network prune --force")
        subprocess.run(["umount", "--quiet", folder / "images/overlay"], check=False)


def make_images(here: Podman, base: Path) -> None:
    """Make the two images that setup B takes from a registry, from the empty Debian in the folder `base`."""
    here.run(f"tar --directory {base} --create . | podman import --quiet - {BASE}")
    source = Path(__file__).parent / "postgresql"
    here.run(f"podman build --quiet --network host --build-arg BASE={BASE} --tag {POSTGRESQL} {source}")

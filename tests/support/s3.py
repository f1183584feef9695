"""A real S3-compatible server for tests: rclone in front of a temporary folder. It checks every signature."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "shop", "the secret of the bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
BUCKET = "pictures"
PATIENCE = 20.0  # seconds in which the server must accept connections


class S3Server:
    """The server with one empty bucket; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / BUCKET).mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.start()

    def url(self, prefix: str = "covers") -> str:
        """Return the value of BOOKSHOP_COVERS for this bucket."""
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{self.port}&region=eu-central-1"

    def start(self) -> None:
        rclone, config = Path(sys.executable).parent / "rclone", self.folder / "none"
        command = [rclone, "serve", "s3", self.folder, "--config", config, "--auth-key", f"{KEY},{SECRET}"]
        command += ["--addr", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, "rclone has ended"
            assert time.monotonic() < end, "rclone does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def s3_server() -> Iterator[S3Server]:
    with tempfile.TemporaryDirectory(prefix="bookshop-s3-") as folder:
        server = S3Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()

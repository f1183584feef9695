"""Reading an ONIX message: products per second at its beginning and at its end, and the memory that it takes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bookshop.bookfiles.onix import products
from tests.support.onix import message, product, text_content, write

PRODUCTS, LIMIT_MB = 100_000, 150
BLURB = "<p>Ein Haus am Fluss, ein Sommer, <em>und</em> was danach kam.</p>" * 8


def run(_url: str) -> None:
    """Print the rates and the peak memory of a process that reads PRODUCTS products and does nothing else."""
    with TemporaryDirectory() as folder:
        path = write(Path(folder) / "message.xml", message(_made(PRODUCTS)))
        print(f"onix: {PRODUCTS:,} products, {path.stat().st_size / 1e6:,.0f} MB (at most {LIMIT_MB} MB of memory)")
        subprocess.run([sys.executable, "-m", "bench.onix", path, str(PRODUCTS)], check=True)


def _made(count: int) -> Iterator[str]:
    texts = text_content("03", BLURB, textformat="05")
    return (product(number, texts=texts) for number in range(1, count + 1))


def _read(path: Path, count: int) -> None:
    before, tenth, times = peak_mb(), count // 10, [time.perf_counter()]
    for each in products(path, "EUR"):
        if each.number % tenth == 0:
            times.append(time.perf_counter())
    first, last = tenth / (times[1] - times[0]), tenth / (times[-1] - times[-2])
    missed = "  MISSED" if peak_mb() > LIMIT_MB else ""
    print(f"  {first:,.0f} products a second in the first tenth, {last:,.0f} in the last")
    print(f"  peak memory {peak_mb()} MB, {before} MB of it before reading{missed}")


def peak_mb() -> int:
    """Return the largest memory that this process has taken, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    _read(Path(sys.argv[1]), int(sys.argv[2]))

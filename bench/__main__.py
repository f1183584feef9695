"""Run all benchmarks, or only those named: `make bench ARGS="weight pages"`."""

import os
import sys

from bench import (
    batch,
    book,
    checkout,
    deep,
    imports,
    lighthouse,
    mail,
    onix,
    pages,
    purge,
    reserve,
    restock,
    slow,
    statements,
    timing,
    weight,
)
from bench.shop import shop_url

BENCHMARKS = {
    "restock": restock.run,
    "reserve": reserve.run,
    "checkout": checkout.run,
    "book": book.run,
    "batch": batch.run,
    "deep": deep.run,
    "imports": imports.run,
    "mail": mail.run,
    "onix": onix.run,
    "pages": pages.run,
    "purge": purge.run,
    "slow": slow.run,
    "statements": statements.run,
    "timing": timing.run,
    "weight": weight.run,
    "lighthouse": lighthouse.run,  # the last one, as it ends the run with an error if a score is too low
}

with shop_url() as url:
    print(f"{os.cpu_count()} cores, PostgreSQL with fsync")
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name](url)

"""Run all measurements, or those that are named: `make bench ARGS=restock`."""

import os
import sys

from bench import reserve, restock
from bench.shop import shop_url

MEASUREMENTS = {"restock": restock.run, "reserve": reserve.run}

with shop_url() as url:
    print(f"{os.cpu_count()} cores, PostgreSQL with fsync")
    for name in sys.argv[1:] or MEASUREMENTS:
        MEASUREMENTS[name](url)

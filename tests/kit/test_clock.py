"""A clock set back by an hour, then corrected: data stay consistent, and no one is locked out."""

import os
import shutil
import subprocess
import sys

import pytest

# The monotonic clock is never set back.
ENVIRONMENT = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
DAY = [sys.executable, "-m", "tests.support.clock_day"]


@pytest.fixture
def clock_command():
    """The command that runs a program an hour in the past."""
    if not (found := shutil.which("faketime")):
        if os.environ.get("CI"):
            pytest.fail("CI needs faketime")
        pytest.skip(
            "NOT TESTED WITH A CLOCK THAT IS SET BACK: there is no faketime; on Debian: apt-get install faketime"
        )
    return [found, "-f", "-1h"]


@pytest.mark.prove
def test_a_clock_set_back_an_hour_and_corrected_breaks_nothing(own_database_url, tmp_path, clock_command):
    for command in (DAY, [*clock_command, *DAY], DAY):
        arguments = [*command, own_database_url, str(tmp_path)]
        done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
        assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr

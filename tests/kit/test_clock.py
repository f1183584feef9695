"""A clock that is set back by an hour, as by somebody who mends it: nothing is torn, and nobody is kept out."""

import os
import shutil
import subprocess
import sys

import pytest

# The clock that measures how long something takes is never set back.
ENVIRONMENT = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
DAY = [sys.executable, "-m", "tests.support.clock_day"]


@pytest.fixture
def set_back():
    """The command that lets a program live an hour earlier."""
    if not (found := shutil.which("faketime")):
        if os.environ.get("CI"):
            pytest.fail("CI needs faketime")
        pytest.skip(
            "NOT TESTED WITH A CLOCK THAT IS SET BACK: there is no faketime; on Debian: apt-get install faketime"
        )
    return [found, "-f", "-1h"]


@pytest.mark.prove
def test_where_the_clock_is_set_back_an_hour_and_right_again_nothing_is_torn(own_url, tmp_path, set_back):
    for command in (DAY, [*set_back, *DAY], DAY):
        arguments = [*command, own_url, str(tmp_path)]
        done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
        assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr

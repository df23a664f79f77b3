"""SIGTERM is noted inside the block, and what was before is put back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from distilbert.runtime.termination import Terminated, Termination


@pytest.fixture
def usual():
    """SIGTERM is as the system has it, whoever runs the tests."""
    former = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, former)


def test_a_signal_is_noted(usual):
    def work():
        with Termination() as termination:
            assert not termination.asked
            for _ in range(2):  # Slurm and torchrun both send one
                signal.raise_signal(signal.SIGTERM)
                assert termination.asked
            raise Terminated("after step 3")

    with pytest.raises(Terminated, match="after step 3") as caught:
        work()
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_nothing_changes_outside_the_main_thread(usual):
    seen = []

    def work():
        with Termination() as termination:
            seen.extend([signal.getsignal(signal.SIGTERM), termination.asked])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL, False]


def test_who_has_a_way_with_it_keeps_it(usual):
    heard = []
    for way in (signal.SIG_IGN, lambda number, frame: heard.append(number)):
        signal.signal(signal.SIGTERM, way)
        with Termination() as termination:
            signal.raise_signal(signal.SIGTERM)
        assert not termination.asked
        assert signal.getsignal(signal.SIGTERM) is way
    assert heard == [signal.SIGTERM]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exit status for signals")
@pytest.mark.parametrize(
    "steps",
    [
        "raise_signal(SIGTERM)",  # which nobody looked at
        "raise_signal(SIGTERM); now = 6; raise_signal(SIGTERM); print('alive', flush=True)",
    ],
)
def test_a_signal_that_ends_the_process(steps):
    code = (
        "from signal import SIGTERM, raise_signal\n"
        "from distilbert.runtime import termination\n"
        "now = 0.0\n"
        "termination.time.monotonic = lambda: now\n"
        f"with termination.Termination():\n    {steps}\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
def test_uncaught_it_is_the_exit_status():
    code = "from distilbert.runtime.termination import Terminated\nraise Terminated('said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "")

"""Speed and time left by the test's own clock; a bar, or lines where there is no terminal."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from distilbert.runtime.progress import Meter, Progress, _duration, memory_bytes


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def console(**options):
    return Console(file=io.StringIO(), width=160, **options)


def test_meter(clock):
    meter = Meter(total=100, done=40, clock=clock)
    assert meter.remaining_s is None
    for step in range(41, 51):
        clock.now += 2
        meter.advance(step, 3000)
    assert meter.units_per_s == pytest.approx(1500)
    assert meter.remaining_s == pytest.approx(100)
    for step in range(51, 91):  # eight times as fast: the old speed is forgotten
        for _ in range(4):
            clock.now += 0.25
            meter.advance(step, 3000)
    assert meter.units_per_s > 11_000
    assert meter.remaining_s == pytest.approx(10, rel=0.2)


def test_what_comes_before_the_first_step_is_no_speed(clock):
    meter = Meter(total=100, clock=clock)
    clock.now += 600  # a validation
    for step in (1, 2, 3):
        clock.now += 2
        meter.advance(step, 3000)
    assert meter.units_per_s == pytest.approx(1500)
    assert meter.remaining_s == pytest.approx(97 * 2)


def test_lines_without_a_terminal(clock):
    out = console()
    with Progress(
        total=100, description="distil", interval_s=10, console=out, clock=clock
    ) as progress:
        for step in range(1, 101):
            clock.now += 1
            progress.advance(step, 2000, loss=5 / step, gradient_norm=0.25)
        progress.say("done [1] :smile:")
    lines = out.file.getvalue().splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [
        f"{step}/100" for step in (*range(1, 101, 10), 100)
    ]
    assert lines[0].startswith("distil 1/100  loss 5  gradient norm 0.25  2,000 tokens/s  ")
    assert lines[0].endswith("  1:39 left")
    assert lines[-1] == "done [1] :smile:"


def test_bar_on_a_terminal(clock):
    out = console(force_terminal=True)
    with Progress(
        total=4, done=2, description="[x] distil", console=out, clock=clock, unit="bytes"
    ) as progress:
        for step in (3, 4):
            clock.now += 1
            progress.advance(step, 1000, loss=0.5)
        progress.say("half way")
    text = out.file.getvalue()
    for word in ("[x] distil", "4/4", "loss 0.5", "1,000 bytes/s", "half way"):
        assert word in text


def test_a_bar_leaves_standard_output_alone(monkeypatch):
    """Answers that a shell puts into a file, while the bar is on the terminal."""
    out, answers = console(force_terminal=True), io.StringIO()
    monkeypatch.setattr("sys.stdout", answers)
    with Progress(total=1, console=out) as progress:
        print("an answer")
        progress.advance(1, 1)
    assert answers.getvalue() == "an answer\n"


def test_values_are_read_only_when_shown(clock):
    class Loss:
        reads = 0

        def __float__(self):
            Loss.reads += 1
            return 1.0

    progress = Progress(total=1000, console=console(), clock=clock, interval_s=10)
    for step in range(1, 101):
        clock.now += 0.1
        progress.advance(step, 1, loss=Loss())
    assert Loss.reads == 1


def test_other_ranks_say_nothing():
    out = console(force_terminal=True)
    with Progress(total=1, console=out, is_main=False) as progress:
        progress.advance(1, 1, loss=1.0)
        progress.say("hello")
    assert out.file.getvalue() == ""


def test_memory(monkeypatch):
    assert memory_bytes() > 1e6
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert memory_bytes() is None


def test_duration():
    assert [_duration(s) for s in (0, 59.6, 61, 3599, 7325)] == [
        "0:00",
        "1:00",
        "1:01",
        "59:59",
        "2:02:05",
    ]


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_reader_that_has_gone(stream):
    """Progress is no reason to end a run; of tables the caller is told."""
    code = (
        "import os, sys; from distilbert.runtime.console import Console\n"
        "from distilbert.runtime.progress import Progress\n"
        "sys.stdin.read()\n"
        "try:\n"
        "    if sys.argv[1] == 'stdout': Console().print('a table')\n"
        "    else: Progress(total=2).say('a line')\n"
        "    os._exit(7)\n"
        "except BrokenPipeError: os._exit(8)\n"
    )
    pipes = {"stdin": subprocess.PIPE, stream: subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, stream], **pipes) as child:
        getattr(child, stream).close()
        child.stdin.close()
    assert child.returncode == {"stderr": 7, "stdout": 8}[stream]

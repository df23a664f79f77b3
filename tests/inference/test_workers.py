"""Jobs on threads of their own."""

import multiprocessing
import os
import threading

import pytest
import torch

import distilbert as d
from distilbert.inference import workers


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_jobs_run_side_by_side_with_one_thread_each(two_threads):
    together = threading.Barrier(2, timeout=20)  # breaks if one job waits for the other's end
    seen = []

    def job():
        together.wait()
        seen.append((torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident()))

    workers.run_all([job] * 4)
    assert [(count, grad) for count, grad, _ in seen] == [(1, False)] * 4
    assert len({ident for *_, ident in seen}) == 2
    assert torch.get_num_threads() == 2
    fresh = []  # a thread that comes later has as many as before
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [2]


def test_an_error_reaches_the_caller(two_threads):
    def job():
        raise ZeroDivisionError("in a job")

    with pytest.raises(ZeroDivisionError, match="in a job"):
        workers.run_all([job, lambda: None])


@pytest.mark.parametrize("mode", [False, True])
def test_inference_mode_is_the_caller_s(two_threads, mode):
    with torch.inference_mode(mode):
        x = torch.zeros(3)
        workers.run_all([lambda i=i: x[i : i + 1].fill_(i) for i in range(3)])
    assert x.tolist() == [0, 1, 2]
    assert x.is_inference() is mode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")
def test_a_fork_makes_threads_of_its_own(two_threads):
    workers.run_all([lambda: None])
    child = os.fork()
    if child == 0:
        done = []
        workers.run_all([lambda: done.append(1)] * 3)
        os._exit(len(done))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")
def test_a_fork_answers_where_pytorch_computes(two_threads, make, feed, right):
    """PyTorch's threads, which the parent has used, are not there."""
    ours = d.prepare(make(), engine="torch")
    inputs = feed("Model", right(30, 40))
    expected = ours(**inputs)[0]
    torch.ones(1_000_000).exp_()

    def child():
        os._exit(0 if torch.equal(ours(**inputs)[0], expected) else 3)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    process.kill()
    process.join()
    assert process.exitcode == 0

"""Threads that compute slices of the tokens side by side, each alone on a core.

One operation that is shared out among cores ends with a wait, and what a core reads next was often
written by another. A core that takes a slice through all layers has it in its own cache and waits
for nobody. PyTorch's operators are run so; the native engine has threads of its own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock

import torch

from distilbert.native.memory import keep_for_next_layer

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = Lock()
_is_fork = False


def _start_afresh() -> None:
    """In a fork, which has no threads but the one that forked."""
    global _lock, _is_fork
    _lock, _is_fork = Lock(), True
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)


@contextmanager
def present() -> Iterator[None]:
    """In a fork leave PyTorch one thread: it would wait for the others, which are not there."""
    global _is_fork
    if _is_fork:
        torch.set_num_threads(1)
        _is_fork = False
    yield


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs, none of which waits for another, on as many threads as PyTorch has here.

    In a job PyTorch has one thread, and gradients are off as they are in the caller.

    Raises:
        Exception: what the first job that failed raised.
    """
    count = torch.get_num_threads()
    is_inference = torch.is_inference_mode_enabled()

    def alone(job: Callable[[], None]) -> None:
        with torch.inference_mode(is_inference), torch.no_grad():
            job()

    for _ in _pool(count).map(alone, jobs):
        pass


def _pool(count: int) -> ThreadPoolExecutor:
    with _lock:
        if count not in _pools:
            keep_for_next_layer()
            pool = ThreadPoolExecutor(count, thread_name_prefix="distilbert")
            started = Barrier(count)

            def start(_: int) -> None:
                started.wait()  # so that each thread gets one of these
                torch.get_num_threads()  # the first call in a thread sets it as in all others
                torch.set_num_threads(1)

            for _ in pool.map(start, range(count)):
                pass
            # Each thread has a number of its own; what threads to come start with is the last set.
            torch.set_num_threads(count)
            _pools[count] = pool
        return _pools[count]

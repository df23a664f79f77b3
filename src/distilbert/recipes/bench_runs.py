"""Timing side by side: workloads, contenders in turns, the machine's own limit, cold starts.

Timings of different runs do not compare, so everything that is to be compared runs interleaved.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilbert.config import PretrainedConfig
from distilbert.inference.preparing import Maker
from distilbert.native import library

Contender = Callable[[Tensor, Tensor], Tensor]
"""(ids, mask), each (B, T) -> the first output, (B, …)."""

_FEWEST = 3  # rounds that count
_QUICK, _MORE = 0.1, 5  # seconds of a short turn; turns that count in its place
_WARM_UP = 20  # texts before a pass over all of them
_STARTS = 3  # of each process
_ROWS = 1024
_COLD = """
import sys
import torch
def memory():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))
torch_memory = memory() if sys.platform == "linux" else float("nan")
engine = ""
if len(sys.argv) > 1:
    from distilbert import DistilBertTokenizerFast, load
    model = load(sys.argv[1], sys.argv[2], head="Model", threads=int(sys.argv[3]))
    tokenizer = DistilBertTokenizerFast.from_pretrained(sys.argv[1])
    model(**tokenizer(["A first text."], truncation=True, max_length=16, return_tensors="pt"))
    engine = model.engine
print((memory() if sys.platform == "linux" else float("nan")) - torch_memory, engine, sep="\\n")
"""


@dataclass(frozen=True)
class Workload:
    """Sequences that are computed in one call.

    Args:
        lengths: tokens of each.
    """

    name: str
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(self.lengths)

    def inputs(self, vocabulary: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return random ids and the mask, (B, T), padded on the right."""
        draw = np.random.default_rng(seed)
        mask = np.arange(max(self.lengths)) < np.array(self.lengths)[:, None]
        ids = draw.integers(min(1000, vocabulary // 2), vocabulary, mask.shape) * mask
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def first_output(model: Any) -> Contender:
    """Return a model, prepared or not, as a contender."""

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            return model(ids, attention_mask=mask)[0]

    return run


def _log_normal(count: int, mean: float, spread: float, least: int, most: int) -> tuple[int, ...]:
    draw = np.random.default_rng(0).lognormal(np.log(mean) - spread**2 / 2, spread, count)
    return tuple(int(n) for n in draw.round().clip(least, most))


def workloads(most: int) -> dict[str, Workload]:
    """Return the known workloads, by name, for models of so many positions.

    latN is one sequence of N tokens, where there are as many positions; short is 64 sequences of
    about 25 tokens, as sentences; long is 16 of about 300, as paragraphs; 512 is four full ones.
    """
    sizes = [n for n in (8, 16, 32, 64, 128, 256, 512) if n <= most]
    shapes: dict[str, tuple[int, ...]] = {f"lat{n}": (n,) for n in sizes}
    shapes["short"] = _log_normal(64, 25, 0.4, 5, 59)
    shapes["long"] = _log_normal(16, 420, 0.7, 40, 512)
    shapes["512"] = (512,) * 4
    return {n: Workload(n, tuple(min(t, most) for t in shape)) for n, shape in shapes.items()}


def interleaved(
    contenders: Mapping[str, Contender],
    inputs: Sequence[tuple[Tensor, Tensor]],
    *,
    repeats: int,
    max_seconds: float,
    rest: float = 0.0,
) -> dict[str, float]:
    """Return each contender's median time in seconds for all inputs, one after the other.

    The contenders take turns. The first round warms up; at least three count. Where a turn is
    shorter than `_QUICK`, it is followed by a few more of the same contender, and these count: a
    service that answers in milliseconds has its weights in the processor's caches.

    Args:
        repeats: rounds that count, fewer if they take longer than `max_seconds`.
        rest: seconds to wait before each turn. Idle threads of the runtime before may go on
            spinning for a fifth of a second, which takes a core from the next.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    started = 0.0

    for turn in range(1 + max(repeats, _FEWEST)):
        if turn == 1:
            started = time.perf_counter()
        if turn > _FEWEST and time.perf_counter() - started > max_seconds:
            break
        for name, contender in contenders.items():
            time.sleep(rest)
            took = _seconds(contender, inputs)
            if took < _QUICK:
                took = statistics.median(_seconds(contender, inputs) for _ in range(_MORE))
            times[name].append(took)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def one_pass(contender: Contender, inputs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the seconds for all inputs, one after the other, once; some of them warm up before."""
    _seconds(contender, inputs[:_WARM_UP])
    return _seconds(contender, inputs)


def _seconds(contender: Contender, inputs: Sequence[tuple[Tensor, Tensor]]) -> float:
    start = time.perf_counter()
    for ids, mask in inputs:
        contender(ids, mask)
    return time.perf_counter() - start


def errors(
    contenders: Mapping[str, Contender], reference: Contender, inputs: tuple[Tensor, Tensor]
) -> dict[str, float]:
    """Return how far each is from the reference: root mean square, relative, at real tokens."""
    ids, mask = inputs

    def real(contender: Contender) -> Tensor:
        found = torch.as_tensor(contender(ids, mask)).detach().float()
        per_token = found.dim() == 3 and found.shape[1] == mask.shape[1]
        return found[mask.bool()] if per_token else found

    expected = real(reference)
    return {
        name: float((real(contender) - expected).norm() / expected.norm())
        for name, contender in contenders.items()
    }


def linear_flop(config: PretrainedConfig) -> float:
    """Return the operations of the encoder's linear layers for one token."""
    return 2.0 * config.n_layers * (4 * config.dim**2 + 2 * config.dim * config.hidden_dim)


@torch.no_grad()
def machine_gflops(precision: str, config: PretrainedConfig) -> float:
    """Return the rate of matrix products alone, 10^9 operations per second: the limit.

    Best of many products of 1,024 rows with the first layer of the feed-forward, by whichever
    engine's linear layer is faster.
    """
    linear = torch.nn.Linear(config.dim, config.hidden_dim)
    x, cpu = torch.randn(_ROWS, config.dim), torch.device("cpu")
    best = float("inf")
    for engine in library.engines(precision):
        fast = Maker(precision, cpu, native=engine == "native")("limit", [linear])
        for _ in range(12):
            start = time.perf_counter()
            fast(x)
            best = min(best, time.perf_counter() - start)
    return 2.0 * _ROWS * config.dim * config.hidden_dim / best / 1e9


@dataclass(frozen=True)
class Start:
    """A process that opens a model and answers one text.

    Args:
        seconds: from its start to its end, after the answer.
        megabytes: memory above that of torch alone (Linux only, else nan).
        engine: of the model; None without one.
    """

    seconds: float
    megabytes: float
    engine: str | None


def cold_start(folder: str | None, precision: str, threads: int) -> Start:
    """Measure such a process; without a folder, one that only imports torch.

    Raises:
        RuntimeError: it failed.
    """
    arguments = [] if folder is None else [folder, precision, str(threads)]
    seconds, megabytes, engine = [], [], ""
    for _ in range(_STARTS):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _COLD, *arguments], capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            raise RuntimeError(f"the cold start failed: {done.stderr}")
        used, engine = done.stdout.splitlines()
        megabytes.append(float(used))
    return Start(min(seconds), statistics.median(megabytes), engine or None)

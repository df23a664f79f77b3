"""The stack of blocks on a GPU, recorded: one command starts all of its kernels.

A block is about a dozen kernels, which a GPU finishes sooner than the host can start them, up to
some thousand tokens. A CUDA graph starts all blocks at once; but it computes fixed sizes, at fixed
addresses. So sizes are rounded up, each is recorded when it comes for the second time, and what is
above a call's own size belongs to sequences that are empty, or to none.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor

from distilbert.inference.encoder import FastTransformer
from distilbert.modeling import attention, inputs
from distilbert.modeling.model import AttentionPlan

MOST_TOKENS = 8192  # from there on the GPU takes longer than the host
MOST_RECORDINGS = 64
_logger = logging.getLogger("distilbert")
_one_at_a_time = threading.Lock()  # a process can make one recording at a time


def _up(number: int, lowest: int, steps: int) -> int:
    """Round up: from the lowest on there are so many sizes for each doubling."""
    size = lowest
    while 2 * size < number:
        size *= 2
    return max(lowest, size + -(-(number - size) * steps // size) * size // steps)


@dataclass(frozen=True)
class Size:
    """What a recording can take.

    Attributes:
        tokens: of all sequences.
        sequences: how many; the empty ones start after the last token.
        longest: tokens of the longest.
        first_only: the last block computes first tokens alone.
    """

    tokens: int
    sequences: int
    longest: int
    first_only: bool

    @classmethod
    def of(cls, lengths: Sequence[int], first_only: bool) -> Self:
        """Return the smallest that takes sequences of these lengths."""
        sequences = _up(len(lengths), 1, 1)
        # The first token of an empty sequence is read and written as well.
        spare = first_only and sequences > len(lengths)
        tokens = _up(sum(lengths) + spare, lowest=16, steps=4)
        return cls(tokens, sequences, _up(max(lengths), 64, 1), first_only)


class Room:
    """The sequences of a recording, whatever their lengths are: read from memory when it runs.

    Args:
        boundaries: (sequences + 1,) int32, where each starts in the row of tokens, and the end.
        longest: none has more tokens.
    """

    def __init__(self, boundaries: Tensor, longest: int) -> None:
        self._boundaries, self._longest = boundaries, longest
        self.starts = boundaries[:-1].long()

    def attend(self, q: Tensor, k: Tensor, v: Tensor, first_only: bool) -> Tensor:
        """As `Part.attend`."""
        return attention.flash(q, k, v, self._boundaries, self._longest, first_only=first_only)


class Recorder:
    """Records computations on one GPU, which then run one at a time: they share their memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._turn = threading.Lock()
        self._graphs: list[torch.cuda.CUDAGraph] = []
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            # One, or they could not share memory. PyTorch has few streams and deals them out again:
            # of those with priority, others have hardly any.
            self._side = torch.cuda.Stream(priority=-1)
            self._last = torch.cuda.Event()

    def can(self, x: Tensor) -> bool:
        """Whether this call computes, instead of being recorded or compiled by somebody else."""
        return inputs.has_values(x) and not torch.cuda.is_current_stream_capturing()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until the last computation has ended, in whatever thread and stream that was."""
        with self._turn, torch.cuda.device(self._device):
            stream = torch.cuda.current_stream()
            stream.wait_event(self._last)
            try:
                yield
            finally:
                self._last.record(stream)

    def record(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Return what runs the computation again, and where its result then is."""
        # What a library sets up when it is first called cannot be recorded. Not on the other
        # stream: there cuBLAS shall take its memory from the recordings', which nobody else frees.
        compute()
        graph = torch.cuda.CUDAGraph()
        self._graphs.append(graph)  # when one goes, cuBLAS gives back the memory that all use
        # Other threads may compute meanwhile, but not wait for the whole device.
        with (
            _one_at_a_time,
            torch.cuda.stream(self._side),  # and back, even if the recording fails
            torch.cuda.graph(graph, self._pool, self._side, "thread_local"),
        ):
            result = compute()
        return graph.replay, result


class Recording:
    """All blocks for one size.

    Args:
        encode: (N, C) and where the sequences are -> (N, C).
        like: a tensor of its device, its type and C columns.
    """

    def __init__(
        self, recorder: Recorder, size: Size, encode: Callable[[Tensor, Room], Tensor], like: Tensor
    ) -> None:
        self._rows = like.new_zeros(size.tokens, like.shape[-1])
        self._boundaries = like.new_zeros(size.sequences + 1, dtype=torch.int32)

        def compute() -> Tensor:
            return encode(self._rows, Room(self._boundaries, size.longest))

        self._run, self._result = recorder.record(compute)

    def __call__(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        """(N, C) -> (N, C), of the type of `rows`."""
        empty = len(self._boundaries) - 1 - len(lengths)
        ends = [*accumulate(lengths, initial=0), *[sum(lengths)] * empty]
        starts = torch.tensor(ends, dtype=torch.int32, device="cpu")
        self._boundaries.copy_(starts, non_blocking=True)
        self._rows[: len(rows)] = rows
        self._run()
        return self._result[: len(rows)].to(rows.dtype, copy=True)


class GraphedTransformer(FastTransformer):
    """The stack of blocks on a GPU in half precision, by graphs where that can be."""

    def __init__(self, *args: Any, device: torch.device, **options: Any) -> None:
        super().__init__(*args, **options)
        self._recorder = Recorder(device)
        self._recordings: dict[Size, Recording] = {}
        self._seen: set[Size] = set()
        self._most = MOST_RECORDINGS

    def _encode(
        self, x: Tensor, plan: AttentionPlan, keep_hidden_states: bool
    ) -> tuple[Tensor, list[Tensor]]:
        lengths = plan.lengths(x)
        has_padding = plan.layout is None and plan.mask is not None
        fits = 0 < sum(lengths) < MOST_TOKENS and not has_padding and not keep_hidden_states
        if not fits or not self._recorder.can(x):
            return super()._encode(x, plan, keep_hidden_states)
        size = Size.of(lengths, plan.first_only)
        with self._recorder.turn(), torch.autocast(x.device.type, enabled=False):
            recording = self._recordings.get(size)
            if recording is None and size in self._seen:
                recording = self._record(size, x)
            self._seen.add(size)
            if recording is not None:
                return recording(x.flatten(0, -2), lengths).view_as(x), []
        return super()._encode(x, plan, keep_hidden_states)

    def _record(self, size: Size, x: Tensor) -> Recording | None:
        if len(self._recordings) >= self._most:
            return None
        try:
            # A tensor of inference mode could not be written to by a call outside of it.
            with torch.inference_mode(False), torch.no_grad():
                like = torch.empty(0, x.shape[-1], dtype=self.dtype, device=x.device)
                blocks = self._all_blocks(size.first_only)
                self._recordings[size] = Recording(self._recorder, size, blocks, like)
        except RuntimeError as error:  # such as a lack of memory
            self._most = 0
            _logger.warning("no more CUDA graphs, calls will take longer: %s", str(error))
        return self._recordings.get(size)

    def _all_blocks(self, first_only: bool) -> Callable[[Tensor, Room], Tensor]:
        def encode(rows: Tensor, room: Room) -> Tensor:
            y = rows
            for i, block in enumerate(self.layer):
                y = block(y, room, first_only and i == len(self.layer) - 1)
            return torch.zeros_like(rows).index_copy_(0, room.starts, y) if first_only else y

        return encode

"""Where a run computes: its device, its ranks, its precision.

One process, or one of many started by `torchrun` or `accelerate launch`, on CPU (gloo) or GPU
(nccl). accelerate does the launching, autocast and collectives; its own saving is not used, as it
writes pickles, nor its gradient accumulation, as it divides losses by the number of micro-batches.
"""

import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import GradientAccumulationPlugin  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distilbert.native.memory import keep_freed_memory
from distilbert.native.processor import DTYPES, bf16_is_fast

Precision = Literal["fp32", "bf16", "fp16"]
_T = TypeVar("_T")

_logger = logging.getLogger("distilbert")


@dataclass(frozen=True)
class Launch:
    """One process of a run. Made by `start`."""

    accelerator: Accelerator
    precision: Precision

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.accelerator.device

    @property
    def dtype(self) -> torch.dtype:
        """What the run's precision computes in."""
        return DTYPES[self.precision]

    @property
    def rank(self) -> int:
        """The number of this process, 0 … `ranks` - 1."""
        return self.accelerator.process_index

    @property
    def ranks(self) -> int:
        """How many processes work on this run."""
        return self.accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.accelerator.is_main_process

    @property
    def scaler(self) -> "torch.amp.GradScaler | None":
        """The loss scaling of fp16; None with another precision."""
        return self.accelerator.scaler

    def describe(self) -> dict[str, Any]:
        """Return what of the machine can change the last bits of a result, for the run record."""
        device = self.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return {
            "device": name,
            "ranks": self.ranks,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
        }

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module on the device, averaging its gradients over ranks if there are many.

        Call the result; the parameters stay those of `module`, which is what to optimise and save.
        """
        module = module.to(self.device)
        if self.ranks == 1:
            return module
        with self._all_here():
            return DistributedDataParallel(
                module,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                gradient_as_bucket_view=True,
            )

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the run's precision inside the block."""
        return self.accelerator.autocast()

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """Only add up gradients inside the block; forward and backward must both be in it.

        For every micro-batch of a step but the last.
        """
        return self.accelerator.no_sync(module)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of the loss.

        After the last micro-batch the gradients are those of the sum of all losses of all
        micro-batches and ranks: no mean is taken anywhere, so divide by counts of the whole step.
        """
        with self._all_here():
            self.accelerator.backward(loss * self.ranks if self.ranks > 1 else loss)  # DDP averages

    def reduce_sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over ranks, on every rank."""
        with self._all_here():
            return self.accelerator.reduce(tensor, reduction="sum")

    def gather(self, value: _T) -> list[_T]:
        """Return what each rank has, in their order, on every rank."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        with self._all_here():
            torch.distributed.all_gather_object(values, value)
        return values

    def agree(self, values: Mapping[str, Any]) -> None:
        """Check that all ranks were given the same, such as settings and hashes of files.

        Raises:
            ValueError: they were not (on every rank).
        """
        everyone = self.gather((platform.node(), dict(values)))
        changed = []
        for name in dict.fromkeys(name for _, theirs in everyone for name in theirs):
            said: dict[str, str] = {}  # each value by who was the first to be given it
            for rank, (host, theirs) in enumerate(everyone):
                value = repr(theirs[name]) if name in theirs else "nothing"
                said.setdefault(value, f"{value} in process {rank} on {host}")
            if len(said) > 1:
                changed.append(f"{name} is {', '.join(said.values())}")
        if changed:
            raise ValueError(
                f"the processes were given different things: {'; '.join(changed)}. Give all of "
                "them the same command and the same files"
            )

    def on_main(self, work: Callable[[], _T]) -> _T:
        """Do something in the main process, and return the result on every rank.

        The folder of a run is read and written so: other machines may have disks of their own.

        Raises:
            Exception: what is raised there. OSError: the same in words, on the other ranks.
        """
        if self.ranks == 1:
            return work()
        result: Any = None
        failure: Exception | None = None
        if self.is_main:
            try:
                result = work()
            except Exception as error:
                failure = error
        told = [result, None if failure is None else f"process 0 has failed: {failure}"]
        with self._all_here():
            torch.distributed.broadcast_object_list(told, src=0)
        if failure is not None:
            raise failure
        if told[1] is not None:
            raise OSError(told[1])
        return told[0]

    def tensors_of_main(self, read: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Read named tensors in the main process, and return them on every rank, on the CPU.

        Raises:
            Exception: as `on_main`.
        """
        if self.ranks == 1:
            return read()
        tensors: dict[str, Tensor] = {}

        def shapes() -> dict[str, tuple[torch.Size, torch.dtype]]:
            tensors.update(read())
            return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}

        for name, (shape, dtype) in self.on_main(shapes).items():
            tensor = tensors[name] if self.is_main else torch.empty(shape, dtype=dtype)
            tensor = tensor.to(self.device)
            with self._all_here():
                torch.distributed.broadcast(tensor, src=0)
            tensors[name] = tensor.cpu()
        return tensors

    @contextmanager
    def _all_here(self) -> Iterator[None]:
        """Say in words that another process is gone, for which gloo and NCCL have their own."""
        try:
            yield
        except RuntimeError as error:
            if self.ranks == 1 or not (
                isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
            ):
                raise
            seen = str(error).partition("\n")[0]
            raise ConnectionError(
                "another process of the run has ended (its own output says why): start the same "
                f"command again. What was seen here: {seen}"
            ) from error

    def scaler_state(self) -> dict[str, float]:
        """Return the numbers of the fp16 loss scaling, for a checkpoint; empty without."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())

    def restore_scaler(self, state: dict[str, float]) -> None:
        """Go on with the loss scaling of a checkpoint.

        Raises:
            ValueError: the checkpoint was written with another precision.
        """
        if (self.scaler is None) != (not state):
            raise ValueError(
                "the checkpoint was written "
                + ("with another precision" if self.scaler is None else "without fp16")
                + f"; this run has precision {self.precision!r}"
            )
        if self.scaler is not None:
            self.scaler.load_state_dict(state)


def start(
    precision: Precision = "fp32",
    *,
    cpu: bool = False,
    seed: int = 0,
    deterministic: bool = False,
) -> Launch:
    """Join the run that this process was started for: its own, or that of a launcher.

    Args:
        precision: what autocast computes in, fp32 without it; fp16 needs a GPU.
        cpu: stay on the CPU, whatever `default_device` is.
        seed: of PyTorch's global generators, for whatever draws no numbers of its own.
        deterministic: only operations that give the same bits each time (on CUDA some are slower,
            and those that cannot raise RuntimeError). Call it before CUDA is first used.

    Raises:
        ValueError: an unknown precision, one that the device does not have, or another than this
            process was started with before.
        ConnectionError: the other processes are not to be found.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    now = torch.are_deterministic_algorithms_enabled()
    if now != deterministic or torch.is_deterministic_algorithms_warn_only_enabled():
        torch.use_deterministic_algorithms(deterministic)  # imports the compiler: 1.5 s
    try:
        accelerator = Accelerator(
            mixed_precision="no" if precision == "fp32" else precision,
            # Unless told, accelerate joins no group of CPU processes.
            cpu=cpu or default_device().type == "cpu",
            # One whatever the environment says: this would divide the loss.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
    except RuntimeError as error:
        if not isinstance(error, getattr(torch.distributed, "DistError", ())):
            raise
        raise ConnectionError(
            f"the processes of the run did not find each other: {error}"
        ) from error
    launch = Launch(accelerator, precision)
    if launch.device.type == "cpu":
        keep_freed_memory()
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if launch.ranks != wanted:
        raise ValueError(f"the launcher started {wanted} processes, {launch.ranks} found together")
    if precision == "fp16" and launch.scaler is None:
        raise ValueError(f"fp16 needs a GPU (this is {launch.device}); use bf16 or fp32")
    if precision == "bf16" and not bf16_is_fast(launch.device):
        _logger.warning("bf16 is slow on this processor: fp32 is faster")
    torch.manual_seed(seed)
    return launch


def default_device() -> torch.device:
    """Return the kind of device that a run computes on: the accelerator there is, else the CPU.

    Not Apple's (mps): it has no float64, which losses and scores are added up in.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None or found.type == "mps" else found


def best_precision() -> Precision:
    """Return bf16 where this machine computes faster in it than in fp32, else fp32."""
    return "bf16" if bf16_is_fast(default_device()) else "fp32"

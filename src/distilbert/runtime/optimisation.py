"""One optimiser step: rate, clipping, AdamW; and its state as named tensors."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from distilbert.runtime.launch import Launch

LOWEST_SCALE = 2.0**-10
"""An fp16 loss scale below this says that it is not a matter of scale."""


def make_optimizer(
    module: nn.Module,
    *,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    scale_of: Callable[[str], float] = lambda name: 1.0,
) -> torch.optim.AdamW:
    """Return AdamW over the parameters that take gradients, by name.

    Matrices decay; biases and layer normalisations (one dimension) do not. The learning rate is 0
    until `update` sets it.

    Args:
        module: the model itself, not as `Launch.wrap` returns it.
        scale_of: from a parameter's name to a factor on its learning rate.

    Raises:
        ValueError: no parameter takes a gradient.
    """
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not trained:
        raise ValueError("all weights are frozen: there is nothing to train")
    groups: dict[tuple[bool, float], list[tuple[str, nn.Parameter]]] = {}
    for is_matrix in (True, False):
        for name, parameter in trained:
            if (parameter.ndim > 1) == is_matrix:
                groups.setdefault((is_matrix, scale_of(name)), []).append((name, parameter))
    fused = all(p.device.type in ("cpu", "cuda") for _, p in trained)
    return torch.optim.AdamW(
        [
            {"params": named, "weight_decay": weight_decay if is_matrix else 0.0, "scale": scale}
            for (is_matrix, scale), named in groups.items()
        ],
        lr=0.0,
        betas=betas,
        eps=eps,
        fused=fused,
    )


def learning_rate(
    step: int,
    *,
    total: int,
    peak: float,
    warmup: int = 0,
) -> float:
    """Return the learning rate of a step, 0 … `total` - 1: linear warm-up, then linear decay.

    The first step has peak / warmup, step `warmup` has the peak; the decay would reach 0 at
    `total`.

    Raises:
        ValueError: `warmup` is not within 0 … `total`, or `step` not within 0 … `total` - 1.

    >>> [learning_rate(step, total=6, peak=1.0, warmup=2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if not 0 <= warmup <= total:
        raise ValueError(f"warmup must be within 0 and the {total} steps of the run, got {warmup}")
    if not 0 <= step < total:
        raise ValueError(f"step must be within 0 and {total - 1}, got {step}")
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (total - step) / (total - warmup)


def update(
    launch: Launch, optimizer: torch.optim.Optimizer, *, step: int, rate: float, max_norm: float = 0
) -> float:
    """Take one optimiser step with the gradients of all micro-batches, and clear them.

    With fp16 a step whose gradients overflow is left out and the loss scale halved, as usual.

    Args:
        step: its number, for messages.
        rate: learning rate.
        max_norm: gradients are scaled down to this norm; 0 leaves them alone.

    Returns:
        The norm of all gradients before clipping; it waits for the device. Not finite where fp16
        left the step out.

    Raises:
        ValueError: a gradient is NaN or infinite; the weights are still those of the last step.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    scaler = launch.scaler
    if scaler is not None:
        scaler.unscale_(optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, max_norm or math.inf).item()
    if scaler is None:
        check_finite(norm, "the norm of the gradients", step)
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < LOWEST_SCALE:
            check_finite(math.nan, "every gradient, however small the fp16 loss scale,", step)
    optimizer.zero_grad(set_to_none=True)
    return norm


def check_finite(value: float, what: str, step: int) -> None:
    """Raise if a number of a step is NaN or infinite.

    Raises:
        ValueError: it is.
    """
    if not math.isfinite(value):
        raise ValueError(
            f"{what} is {value} in step {step}: training has diverged and stops here. The last "
            "checkpoint is intact; start from it with a lower learning rate, a longer warm-up or "
            "stronger clipping (in a new run folder), or with precision fp32"
        )


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state, named `<parameter>.exp_avg` and so on, for a checkpoint.

    The tensors are the optimiser's own, not copies.
    """
    return {
        f"{name}.{key}": value.detach()
        for name, parameter in _named(optimizer).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimiser the state of a checkpoint, bit for bit.

    Raises:
        ValueError: state of a parameter that it does not have, or of another shape.
    """
    parameters = _named(optimizer)
    index = {name: i for i, name in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(".")
        if name not in parameters:
            raise ValueError(f"the checkpoint has {full_name}; the model has no parameter {name!r}")
        if tensor.ndim and tensor.shape != parameters[name].shape:
            raise ValueError(
                f"{full_name} of the checkpoint is {tuple(tensor.shape)}, "
                f"the parameter is {tuple(parameters[name].shape)}"
            )
        state.setdefault(index[name], {})[key] = tensor.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _named(optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """Return the parameters by name, in the order in which the optimiser numbers them."""
    return {
        name: parameter
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
    }

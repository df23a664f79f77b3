"""What this processor and this PyTorch can do, and which precision is the fastest on them."""

import platform
import warnings
from functools import cache
from pathlib import Path

import torch

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.float32,  # of what is around the products
}
"""For each precision, the type that is computed in."""
PRECISIONS = tuple(DTYPES)


def _has(name: str) -> bool:
    """Ask PyTorch about an instruction set; a question that it does not know means no."""
    ask = getattr(torch.cpu, name, None)
    return ask is not None and bool(ask())


@cache
def _description() -> frozenset[str]:
    """Return the words of the system's description of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = platform.processor()
    return frozenset(text.split())


def _is_apple() -> bool:
    """Whether the processor is Apple's: all have 8-bit products, and macOS names none."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself, fast or not."""
    on_x86 = _has("_is_avx512_bf16_supported") or _has("_is_amx_tile_supported")
    return on_x86 or "bf16" in _description()  # Arm's name of it


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 is multiplied faster than float32, known without a stopwatch.

    A GPU or processor that has it does, but for Intel's without AMX: twice as fast on AMD's Zen 4
    and 5, half as fast on Intel's with AVX-512 (docs/results.md).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if "GenuineIntel" in _description():
        return _has("_is_amx_tile_supported")
    return has_bf16()


def fp16_is_fast(device: torch.device) -> bool:
    """Whether float16 is multiplied faster than float32: on Nvidia's GPUs with tensor cores."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def has_vnni() -> bool:
    """Whether 8-bit products add up in 32 bits at once, so that nothing can saturate on the way."""
    return _has("_is_vnni_supported") or _has("_is_amx_tile_supported")


def has_avx512() -> bool:
    """Whether vectors are 512 bits wide."""
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def has_instructions(name: str) -> bool:
    """Whether the processor has an instruction set, by the names of `native.building`."""
    words = _description()
    return {
        "avx512vnni": has_avx512() and "avx512_vnni" in words,
        "avx512": has_avx512(),
        "avxvnni": "avx2" in words and "fma" in words and "avx_vnni" in words,
        "avx2": "avx2" in words and "fma" in words,
        "i8mm": "i8mm" in words and "asimddp" in words,
        "dotprod": "asimddp" in words or _is_apple(),
        "neon": True,  # every 64-bit Arm
    }[name]


def packs(dtype: torch.dtype) -> bool:
    """Whether oneDNN's prepacked linear layer is there for a type."""
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and has_bf16())


def has_vnni_linear() -> bool:
    """Whether oneDNN's 8-bit linear layer is there, and VNNI, without which FBGEMM is faster."""
    return (
        has_vnni()
        and has_avx512()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.onednn, "qlinear_prepack")
        and hasattr(torch.ops.onednn, "qlinear_pointwise")
        and hasattr(torch.ops.quantized, "embedding_bag_byte_prepack")
    )


def has_fbgemm() -> bool:
    """Whether FBGEMM's 8-bit linear layer is there."""
    return (
        "fbgemm" in torch.backends.quantized.supported_engines
        and hasattr(torch.ops.quantized, "linear_prepack")
        and hasattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32")
    )


def int8_is_fast() -> bool:
    """Whether bytes are multiplied faster than float32: on x86, and on Arm with dot products."""
    return has_fbgemm() or has_vnni() or has_instructions("dotprod")


def choose_precision(precision: str, device: torch.device, int8: bool) -> str:
    """Return the precision that is meant, or for "auto" the fastest.

    That is 8 bits where they are multiplied fast, else bf16 where that is, else fp16, else fp32.

    Args:
        precision: auto, fp32, bf16, fp16 or int8.
        device: where it is computed.
        int8: whether there is anything that computes in 8 bits on a CPU.

    Raises:
        ValueError: an unknown precision, or int8 or fp16 where there is none.
    """
    if precision not in (*PRECISIONS, "auto"):
        raise ValueError(
            f"precision must be 'auto' or one of {', '.join(PRECISIONS)}; got {precision!r}"
        )
    int8 = int8 and device.type == "cpu"
    if precision == "auto":
        if int8 and int8_is_fast():
            return "int8"
        if bf16_is_fast(device):
            return "bf16"
        return "fp16" if fp16_is_fast(device) else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is for GPUs, and this is cpu: use 'fp32', 'bf16', 'int8' or 'auto'")
    if precision == "int8" and not int8:
        raise ValueError(
            "int8 needs the native engine, or PyTorch with FBGEMM on an x86 processor, and this is "
            f"{device.type} without; use precision='auto', 'bf16' or 'fp32'"
        )
    if precision == "bf16" and not bf16_is_fast(device):
        warnings.warn(
            "bf16 is slow on this processor: fp32 is faster"
            + (", int8 much faster" if int8 else ""),
            stacklevel=3,  # through `prepare`
        )
    return precision

import platform

import pytest
import torch

from distilbert.native import library, processor
from distilbert.native.building import instruction_sets

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "int8", "fast", "bf16", "capability", "chosen"),
    [
        (CPU, True, True, True, None, "int8"),
        (CPU, True, True, False, None, "int8"),
        (CPU, True, False, True, None, "bf16"),
        (CPU, True, False, False, None, "fp32"),
        (CPU, False, True, True, None, "bf16"),
        (CPU, False, True, False, None, "fp32"),
        (GPU, True, True, True, (9, 0), "bf16"),
        (GPU, True, True, False, (7, 5), "fp16"),
        (GPU, True, True, False, (6, 1), "fp32"),
    ],
)
def test_auto_is_the_fastest(monkeypatch, device, int8, fast, bf16, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(processor, "int8_is_fast", lambda: fast)
    monkeypatch.setattr(processor, "bf16_is_fast", lambda device: bf16)
    assert processor.choose_precision("auto", device, int8) == chosen


@pytest.mark.parametrize(
    ("engine", "compiled", "fbgemm", "there"),
    [
        ("auto", True, False, True),
        ("native", True, False, True),
        ("torch", True, False, False),
        ("torch", True, True, True),
        ("auto", False, True, True),
        ("auto", False, False, False),
    ],
)
def test_int8_takes_one_of_two_engines(monkeypatch, engine, compiled, fbgemm, there):
    monkeypatch.setattr(library, "engine", lambda: object() if compiled else None)
    monkeypatch.setattr(processor, "has_fbgemm", lambda: fbgemm)
    assert library.multiplies_int8(engine) == there


@pytest.mark.parametrize(
    ("words", "fbgemm", "vnni", "fast"),
    [
        ("flags : avx2", True, False, True),
        ("flags : avx2", False, False, False),
        ("flags : avx512_vnni", False, True, True),
        ("Features : fp asimd asimddp", False, False, True),
        ("Features : fp asimd", False, False, False),
    ],
)
def test_int8_is_fast_by_what_the_processor_is(monkeypatch, words, fbgemm, vnni, fast):
    monkeypatch.setattr(processor, "_description", lambda: frozenset(words.split()))
    monkeypatch.setattr(processor, "has_fbgemm", lambda: fbgemm)
    monkeypatch.setattr(processor, "has_vnni", lambda: vnni)
    assert processor.int8_is_fast() == fast


def test_what_is_not_there(monkeypatch):
    monkeypatch.setattr(processor, "bf16_is_fast", lambda device: False)
    with pytest.raises(ValueError, match=r"int8 needs the native engine.*this is cpu.*'fp32'"):
        processor.choose_precision("int8", CPU, int8=False)
    with pytest.raises(ValueError, match=r"int8 needs the native engine.*this is cuda.*'fp32'"):
        processor.choose_precision("int8", GPU, int8=True)
    with pytest.raises(ValueError, match=r"fp16 is for GPUs, and this is cpu: use 'fp32'"):
        processor.choose_precision("fp16", CPU, int8=True)
    assert processor.choose_precision("fp16", GPU, int8=False) == "fp16"
    with pytest.warns(UserWarning, match="bf16 is slow on this processor: fp32 is faster"):
        assert processor.choose_precision("bf16", CPU, int8=False) == "bf16"
    assert processor.choose_precision("fp32", CPU, int8=False) == "fp32"


def test_a_question_that_pytorch_does_not_know_means_no(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_vnni_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    monkeypatch.setattr(processor, "_description", frozenset)
    assert not processor.has_bf16()
    assert not processor.has_vnni()


@pytest.mark.parametrize(
    ("words", "avx512", "amx", "fast"),
    [
        ("vendor_id : GenuineIntel flags : avx512_bf16", True, False, False),
        ("vendor_id : GenuineIntel flags : avx512_bf16 amx_bf16", True, True, True),
        ("AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", True, False, True),
        ("vendor_id : AuthenticAMD flags : avx2", False, False, False),
        ("Features : fp asimd bf16", False, False, True),
        ("Features : fp asimd", False, False, False),
    ],
)
def test_bf16_is_fast_by_what_the_processor_is(monkeypatch, words, avx512, amx, fast):
    monkeypatch.setattr(processor, "_description", lambda: frozenset(words.split()))
    for name, there in (("_is_avx512_bf16_supported", avx512), ("_is_amx_tile_supported", amx)):
        monkeypatch.setattr(torch.cpu, name, lambda there=there: there, raising=False)
    assert processor.bf16_is_fast(CPU) == fast


def test_packing_needs_the_operator(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not processor.packs(torch.float32)
    assert not processor.has_avx512()


@pytest.mark.parametrize(
    ("words", "system", "there"),
    [
        ("Features : fp asimd asimddp i8mm bf16", "Linux", {"i8mm", "dotprod", "neon"}),
        ("Features : fp asimd asimddp", "Linux", {"dotprod", "neon"}),
        ("Features : fp asimd", "Linux", {"neon"}),
        ("arm", "Darwin", {"dotprod", "neon"}),  # Apple's
        ("ARMv8 (64-bit) Family 8 Model 1", "Windows", {"neon"}),
    ],
)
def test_arm_by_its_features(monkeypatch, words, system, there):
    monkeypatch.setattr(processor, "_description", lambda: frozenset(words.split()))
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert {name for name in instruction_sets() if processor.has_instructions(name)} == there

"""What the C library is told about freed memory."""

import pytest
import torch

from distilbert.native import memory


@pytest.mark.parametrize(("device", "expected"), [("cpu", [0, 0, 1, 1, 2, 2]), ("meta", [0] * 6)])
def test_training_gives_memory_back_now_and_then(monkeypatch, device, expected):
    given, counts = [], []
    monkeypatch.setattr(memory, "_TRIM_EVERY", 100)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(True))
    trimming = memory.Trimming(torch.device(device))
    for tokens in (40, 40, 40, 99, 1, 70):
        trimming.after(tokens)
        counts.append(len(given))
    assert counts == expected

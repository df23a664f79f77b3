"""A checkpoint is whole or it is not there, whatever happens while it is written."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from distilbert.config import DistilBertConfig
from distilbert.runtime import checkpoint
from distilbert.runtime.checkpoint import fingerprint, latest, load_weights, save, weights_of

FILES = ("weights.safetensors", "optimizer.safetensors", "state.json")


def write(folder, step):
    tensors = {
        "weights": {"a": torch.full((5, 3), float(step)), "b": torch.arange(step % 10)},
        "optimizer": {"a.exp_avg": torch.full((5, 3), step / 7)},
    }
    return save(folder, step, tensors, {"loss": step / 3, "list": [1]})


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_round_trip(tmp_path):
    folder = tmp_path / "made" / "run"
    assert latest(folder) is None
    path = write(folder, 7)
    assert path == folder / "step-00000007"
    assert names(path) == sorted(FILES)
    found = latest(folder)
    assert (found.path, found.step, found.damaged) == (path, 7, ())
    assert found.state == {"loss": 7 / 3, "list": [1]}
    assert torch.equal(found.tensors("weights")["a"], torch.full((5, 3), 7.0))
    assert torch.equal(found.tensors("weights")["b"], torch.arange(7))
    with pytest.raises(ValueError, match=r"nothing\.safetensors cannot be read"):
        found.tensors("nothing")


def test_every_bit_of_every_type_comes_back(tmp_path):
    tensors = {
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "bf16": torch.randn(9).bfloat16(),
        "step": torch.tensor(3.0),
        "empty": torch.empty(0, 4),
        "transposed": torch.randn(3, 5).t(),
    }
    save(tmp_path, 1, {"weights": tensors}, {})
    found = latest(tmp_path).tensors("weights")
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        width = {4: torch.int32, 2: torch.int16}[tensor.element_size()]
        assert torch.equal(found[name].contiguous().view(width), tensor.contiguous().view(width))


def test_keeps_the_last_ones(tmp_path):
    for step in (1, 2, 3, 100_000_000):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000003", "step-100000000"]
    write(tmp_path, 100_000_001)
    assert names(tmp_path) == ["step-100000000", "step-100000001"]


def test_later_checkpoints_are_not_touched(tmp_path):
    write(tmp_path, 9)
    for step in (1, 2, 3):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000002", "step-00000003", "step-00000009"]


def test_files_are_readable_by_whom_the_folder_says(tmp_path):
    (tmp_path / "probe").touch()
    expected = stat.S_IMODE((tmp_path / "probe").stat().st_mode)
    path = write(tmp_path / "run", 1)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {expected}


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def flip(file):
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)


def lengthen(file):
    with file.open("ab") as handle:
        handle.write(b"x")


DAMAGE = (truncate, flip, lengthen, Path.unlink, lambda file: file.write_bytes(b""))


@pytest.mark.parametrize("damage", DAMAGE, ids=("half", "bit", "longer", "gone", "empty"))
@pytest.mark.parametrize("name", FILES)
def test_damaged_checkpoints_are_passed_over(tmp_path, name, damage):
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    damage(path / name)
    found = latest(tmp_path)
    assert found.step == 1
    assert len(found.damaged) == 1
    assert "step-00000002: " in found.damaged[0]
    assert name in found.damaged[0]
    write(tmp_path, 2)  # made again
    assert latest(tmp_path).step == 2
    damage(path / name)
    damage(tmp_path / "step-00000001" / name)
    with pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"):
        latest(tmp_path)


def test_any_change_of_state_json_is_seen(tmp_path):
    path = write(tmp_path, 4)
    text = (path / "state.json").read_text()
    for old, new in (
        ('"step": 4', '"step": 5'),
        ("1.3333", "1.3334"),
        ('"format": 1', '"format": 2'),
    ):
        assert old in text
        (path / "state.json").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match="is damaged"):
            latest(tmp_path)
    (path / "state.json").write_text(text)
    path.rename(tmp_path / "step-00000005")
    with pytest.raises(ValueError, match="is damaged"):
        latest(tmp_path)


def test_a_checkpoint_of_another_version_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    write(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"state\.json has format 2, this version reads 1"):
        latest(tmp_path)


def test_half_written_ones_are_not_seen_and_removed(tmp_path):
    write(tmp_path, 1)
    for name in (".saving-00000002", ".removing-step-00000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(b"half")
    (tmp_path / "step-00000003").mkdir()  # none of ours: renamed only when whole
    assert latest(tmp_path).step == 1
    write(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002", "step-00000003"]


@pytest.mark.parametrize(
    ("stage", "call"),
    [("save_file", 1), ("save_file", 2), ("_measure", 2), ("json_text", 1)]
    + [("_flush", call) for call in range(1, 5)],
)
def test_disk_full(tmp_path, monkeypatch, stage, call):
    write(tmp_path, 1)
    calls = 0
    true = getattr(checkpoint, stage)

    def full(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(*arguments, **options)

    monkeypatch.setattr(checkpoint, stage, full)
    with pytest.raises(OSError, match=r"step 2 could not be written .*No space.*intact"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-00000001"]
    assert latest(tmp_path).step == 1
    write(tmp_path, 2)
    assert latest(tmp_path).step == 2


def test_a_real_refusal_of_the_system(tmp_path):
    """safetensors writes from Rust, past whatever Python could patch."""
    write(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match="step 2 could not be written"):
            save(tmp_path, 2, {"weights": {"a": torch.zeros(1 << 19)}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["step-00000001"]
    assert latest(tmp_path).step == 1


@pytest.mark.parametrize("state", [{"a": float("nan")}, {"a": (1, 2)}, {1: 2}, {"a": Path("x")}])
def test_state_must_survive_json(tmp_path, state):
    with pytest.raises((ValueError, TypeError)):
        save(tmp_path, 1, {}, state)
    assert names(tmp_path) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(OSError, match="could not be written"):
        write(tmp_path / "run", 1)


def test_everything_is_flushed_before_it_has_its_name(tmp_path, monkeypatch):
    write(tmp_path, 1)
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.fstat(file).st_ino))
    path = write(tmp_path, 2)
    files = [path / name for name in FILES]
    assert set(flushed[:3]) == {file.stat().st_ino for file in files}
    assert flushed[3:] == [path.stat().st_ino, tmp_path.stat().st_ino]


def test_only_what_may_be_written_is_flushed(tmp_path, monkeypatch):
    """As Windows requires; and some file systems flush no folders."""
    refusal = errno.EINVAL

    def fsync(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(refusal, os.strerror(refusal))
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path, 1)
    assert latest(tmp_path).step == 1
    refusal = errno.EIO
    with pytest.raises(OSError, match=r"could not be written .*error"):
        write(tmp_path, 2)


def test_a_fingerprint_is_of_weights_and_of_what_computes():
    def of(weight=0.0, name="a", **config):
        module = nn.ModuleDict({name: nn.Linear(2, 2)})
        nn.init.constant_(module[name].weight, weight)
        nn.init.zeros_(module[name].bias)
        module.config = DistilBertConfig(**config)
        return fingerprint(module)

    plain = of()
    assert plain == of() == of(attn_implementation="varlen") == of(output_attentions=True)
    others = {of(weight=1.0), of(name="b"), of(n_heads=6), of(layer_norm_eps=1e-6)}
    assert len({plain, *others}) == 5
    assert len({fingerprint(nn.Linear(2, 2)), fingerprint(nn.Linear(2, 2))}) == 2


def test_a_fingerprint_is_not_of_what_does_not_compute():
    """Else the same teacher would be another one as soon as another version has saved it."""
    module = nn.Linear(2, 2)
    found = set()
    for fields in (
        {},
        {"architectures": ["DistilBertForMaskedLM"]},
        {"transformers_version": "4.57.0"},
        {"dtype": "float16"},
        {"output_hidden_states": True},
        {"return_dict": False},
    ):
        module.config = DistilBertConfig(**fields)
        found.add(fingerprint(module))
    assert len(found) == 1


def test_weights_of_a_module(tmp_path, model):
    tied = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "n": nn.BatchNorm1d(3)})
    tied["b"].weight = tied["a"].weight
    weights = weights_of(tied)
    assert "a.weight" in weights
    assert "b.weight" not in weights
    assert "n.running_mean" in weights
    save(tmp_path, 1, {"weights": weights}, {})
    other = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "n": nn.BatchNorm1d(3)})
    other["b"].weight = other["a"].weight
    load_weights(other, latest(tmp_path).tensors("weights"))
    for name, tensor in tied.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    for change, message in (
        ({"a.weight": None}, "the checkpoint lacks a.weight, which the model has"),
        ({"c": torch.zeros(1)}, "the checkpoint has c, which the model lacks"),
        ({"a.bias": torch.zeros(4)}, r"a.bias of the checkpoint is \(4,\)"),
        ({"a.bias": torch.zeros(3).double()}, "float64"),
    ):
        changed = {name: t for name, t in (weights | change).items() if t is not None}
        with pytest.raises(ValueError, match=message):
            load_weights(other, changed)


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path):
    """The script trains without a break, then again under SIGKILL; see there."""
    script = Path(__file__).with_name("killed.py")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path  # waits for no disk
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        done = subprocess.run(
            [sys.executable, "-W", "error", script, folder], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, resumes, unfinished = map(int, done.stdout.split())
    assert kills >= 10
    assert resumes >= 5
    assert unfinished >= 1, "no kill fell into a save: the test tests nothing"

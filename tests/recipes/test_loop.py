"""What pre-training and distillation share: resuming, ranks, and runs that go wrong."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from distilbert import cli
from distilbert.distillation.corpus import Corpus
from distilbert.modeling import files
from distilbert.modeling.opening import open_masked_lm
from distilbert.recipes import job, loop
from distilbert.recipes.loop import Standing
from distilbert.recipes.masked_lm import check_vocabulary
from distilbert.recipes.plan import Plan, steps_of
from distilbert.recipes.pretrain import Settings, main
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching
from distilbert.runtime.metrics import read_metrics
from distilbert.runtime.optimisation import make_optimizer

from .conftest import write_corpus
from .reviews import save_model

HERE = Path(__file__).parent
MAPS = Path("/proc/self/maps")
SHAPE = "--layers 2 --dim 16 --heads 2"
TINY = f"{SHAPE} --steps 12 --sequences_per_step 24 --micro_tokens 96"


@pytest.fixture
def pretrain(fresh, corpus, tmp_path):
    """Return a function that runs `distilbert pretrain` in `tmp_path / "run"`."""

    def run(*flags):
        fresh()
        out = ["--corpus", corpus, "--out", str(tmp_path / "run")]
        return cli.main(["pretrain", *TINY.split(), *out, *flags])

    return run


def numbers(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(folder)]


def python(script, *arguments, launcher=()):
    done = subprocess.run(
        [sys.executable, *launcher, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("metric", "worse", "good", "best"), [("loss", 0.7, 0.6, 0.5), ("accuracy", 0.5, 0.6, 0.7)]
)
def test_the_first_of_the_best_weights_are_kept(metric, worse, good, best):
    module, standing = torch.nn.Linear(2, 2), Standing()
    plan = SimpleNamespace(metric=metric, patience=2, steps=9)
    for done, score in enumerate((good, worse, best, good, best), 1):
        assert not standing.is_over(plan)
        torch.nn.init.constant_(module.weight, done)
        standing.advance(done)
        standing.judge({metric: score}, plan, module)
    assert (standing.step, standing.best_step, standing.best_scores) == (5, 3, {metric: best})
    assert standing.best_weights["weight"].unique().tolist() == [3]
    assert standing.stale == 2
    assert standing.is_over(plan)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL and fork")
def test_killed_runs_end_with_the_same_bits(tmp_path, corpus, teacher, reviews, masked_lm):
    """At random moments; the script holds the assertions."""
    given = (corpus, teacher, reviews["train"], masked_lm)
    for line in python("killed.py", str(tmp_path), *given).splitlines():
        [steps] = json.loads(line).values()
        assert steps == sorted(steps)
        assert len({step for step in steps if 0 < step < 40}) >= 2, steps


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_runs_that_are_asked_to_end_go_on_with_the_same_bits(tmp_path, corpus, reviews, masked_lm):
    """The script holds the assertions."""
    python("terminated.py", str(tmp_path), corpus, reviews["train"], masked_lm)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tmp_path, corpus, teacher, reviews, fresh):
    """Within 1e-5 of the losses and 1e-4 of the weights, which are sums in another order.

    Sequences are of unequal length: neither tokens nor labels are halved between the ranks.
    """
    flags = f"--corpus {corpus} --steps 6 --sequences_per_step 25 --micro_tokens 64 --dropout 0"
    shared = [*flags.split(), "--save_every", "3"]
    terms = "--ce 5 --mlm 2 --cos 1 --hidden 1 --attention 1 --relation 1"
    inner = "--ce 0 --mlm 0 --cos 0 --attention 1 --relation 1"
    commands = {
        "pretrain": ["pretrain", *shared, *SHAPE.split()],
        "distill": ["distill", "--teacher", teacher, *shared, *terms.split()],
        "inner": ["distill", "--teacher", teacher, *shared, *inner.split()],
    }
    off = dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), 0.0)
    base = save_model(tmp_path / "base", **off)
    data = [word for name, path in reviews.items() for word in (f"--{name}", path)]
    flags = "--steps 6 --batch_size 25 --micro_tokens 64 --save_every 3"
    commands["finetune"] = ["finetune", "--model", base, *data, *flags.split()]
    many = [[*command, "--out", str(tmp_path / f"two-{n}")] for n, command in commands.items()]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    python("ranks.py", json.dumps(many), launcher=launcher)
    for name, command in commands.items():
        fresh()
        one, two = tmp_path / f"one-{name}", tmp_path / f"two-{name}"
        assert cli.main([*command, "--out", str(one)]) == 0
        assert json.loads((two / "run.json").read_text())["machine"]["ranks"] == 2
        alone, together = numbers(one), numbers(two)
        assert len(alone) == len(together) == (3 if name == "finetune" else 4)
        for left, right in zip(alone, together, strict=True):
            assert left == pytest.approx(right, rel=1e-5)
        weights = load_file(two / "model" / "model.safetensors")
        for key, weight in load_file(one / "model" / "model.safetensors").items():
            torch.testing.assert_close(weights[key], weight, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_machines_without_a_shared_disk(tmp_path, corpus, teacher, reviews, masked_lm):
    """Two processes with folders of their own; the script holds the assertions."""
    mine = tmp_path / "process-0"
    for name, folder in (("corpus", corpus), ("teacher", teacher), ("model", masked_lm)):
        shutil.copytree(folder, mine / name)
    shutil.copytree(write_corpus(tmp_path / "text", seed=1), mine / "other-corpus")
    for name, path in (("train.csv", reviews["train"]), ("dev.csv", reviews["validation"])):
        shutil.copyfile(path, mine / name)
    labels = {"id2label": {0: "neg", 1: "pos"}}
    for name, layers in (("trained", 2), ("other-trained", 1)):
        save_model(mine / name, head="SequenceClassification", n_layers=layers, **labels)
    shutil.copytree(mine, tmp_path / "process-1")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    python("apart.py", str(tmp_path), launcher=launcher)


def test_other_settings_or_another_corpus(pretrain, tmp_path, capfd):
    assert pretrain("--save_every", "5") == 0
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    capfd.readouterr()
    assert pretrain("--learning_rate", "1e-3", "--seed", "1", "--dim", "32") == 1
    message = capfd.readouterr().err
    for change in ("learning_rate was 0.0001, now is 0.001", "seed was 0, now is 1", "dim was 16"):
        assert change in message
    other = write_corpus(tmp_path / "other", seed=1)
    assert pretrain("--corpus", str(other)) == 1
    assert "corpus was" in capfd.readouterr().err
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert pretrain("--save_every", "7") == 0  # which may change; nothing is left to do
    assert "the checkpoint of step 12, the last: nothing is left to do" in capfd.readouterr().err


def test_a_finished_run_without_checkpoints_is_left_alone(pretrain, tmp_path, capfd):
    assert pretrain() == 0
    run = tmp_path / "run"
    shutil.rmtree(run / "checkpoints")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "run.json"}
    scores = json.loads((run / "run.json").read_text())["scores"]
    assert scores == {"loss": scores["loss"], "accuracy": scores["accuracy"]}
    capfd.readouterr()
    assert pretrain() == 0
    assert "is finished, and its checkpoints were removed" in capfd.readouterr().err
    after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "run.json"}
    assert after == before
    assert json.loads((run / "run.json").read_text())["scores"] == scores


def test_divergence_stops_the_run_and_keeps_its_checkpoint(pretrain, tmp_path, capfd):
    wrong = ("--learning_rate", "1e6", "--warmup", "1", "--save_every", "1")
    assert pretrain(*wrong) == 1
    assert "training has diverged and stops here" in capfd.readouterr().err
    found = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert all(weight.isfinite().all() for weight in found.tensors("weights").values())
    assert pretrain(*wrong) == 1
    error = capfd.readouterr().err
    assert f"going on from the checkpoint of step {found.step}" in error
    assert "training has diverged and stops here" in error
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "diverged" in record["starts"][0]["outcome"]


def test_a_full_disk(pretrain, tmp_path, capfd, monkeypatch):
    saves = []

    def save_file(tensors, path):
        saves.append(path)
        if len(saves) == 3:  # the weights of the second checkpoint
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(tensors, path)

    original = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    assert pretrain("--save_every", "5") == 1
    error = capfd.readouterr().err
    assert "the checkpoint of step 10 could not be written" in error
    assert os.strerror(errno.ENOSPC) in error
    assert "make room" in error
    assert checkpoint.latest(tmp_path / "run" / "checkpoints").step == 5
    assert pretrain("--save_every", "5") == 0
    broken = numbers(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "broken")
    assert pretrain("--save_every", "5") == 0
    assert numbers(tmp_path / "run") == broken


@pytest.mark.skipif(not MAPS.exists(), reason="nothing says what is mapped")
@pytest.mark.parametrize("best_step", [1, 2])
def test_a_resumed_run_keeps_no_checkpoint_mapped(fresh, tmp_path, best_step):
    """Windows would not remove it."""
    launch, module = launching.start(cpu=True), torch.nn.Linear(64, 64)
    optimizer = make_optimizer(module)
    best = {name: weight.clone() for name, weight in checkpoint.weights_of(module).items()}
    standing = loop.Standing(2, best_step=best_step, best_scores={"loss": 1.0}, best_weights=best)
    loop._save(launch, tmp_path, standing, module, optimizer)
    found = loop._resume(launch, tmp_path, module, optimizer)
    assert torch.equal(found.best_weights["weight"], best["weight"])
    assert str(tmp_path) not in MAPS.read_text()


@pytest.mark.parametrize("what", ["model", "tokenizer"])
def test_a_disk_that_is_full_at_the_end(pretrain, tmp_path, capfd, monkeypatch, what):
    def full(*given, **options):
        if what == "model":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        Path(given[1]).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert pretrain() == 0
    model = tmp_path / "run" / "model"
    before = {file: file.read_bytes() for file in model.iterdir()}
    (model / "added_tokens.json").write_text("{}")  # of another tokenizer
    for file in ("vocab.txt", "model.safetensors"):
        (model / file).write_text("old")
    old = {file: file.read_bytes() for file in model.iterdir()}
    with monkeypatch.context() as patch:
        if what == "model":
            patch.setattr(files, "save_file", full)
        else:
            patch.setattr(job.shutil, "copyfile", full)
        assert pretrain() == 1
    error = capfd.readouterr().err
    assert f"the model could not be written to {model}: " in error
    assert "No space left on device" in error
    assert "make room, then start the same command again" in error
    assert {file: file.read_bytes() for file in model.iterdir()} == old
    assert pretrain() == 0
    assert {file: file.read_bytes() for file in model.iterdir()} == before


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_shard_that_cannot_be_read(fresh, tmp_path, split):
    folder = write_corpus(tmp_path)
    settings = Settings(
        corpus=str(folder), out=str(tmp_path / "run"), layers=1, dim=16, heads=2, steps=4
    )
    shard = folder / f"{split}-00000.tokens.npy"
    content = shard.read_bytes()
    shard.write_bytes(b"junk" + content[4:])  # of the right size
    with pytest.raises(OSError, match=rf"{shard.name} cannot be read"):
        main(settings)
    shard.write_bytes(content[:-2])
    with pytest.raises(OSError, match=rf"{shard.name} and .* bytes, not"):
        main(settings)
    shard.unlink()
    with pytest.raises(OSError, match=rf"{shard.name} is missing"):
        main(settings)
    shard.write_bytes(content)
    assert main(settings)["loss"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--micro_tokens 10", "a sequence has 16 tokens, and a micro-batch may have 10"),
        ("--learning_rate 0", "learning_rate must be above 0, got 0.0"),
        ("--warmup 1.5", "warmup must be a share"),
        ("--weight_decay -1", "weight_decay must be 0 or more"),
        ("--max_norm -1", "max_norm must be 0 (off) or more"),
        ("--save_every 0", "save_every must be 1 or more"),
        ("--steps -1", "give steps or epochs"),
        ("--steps 0 --epochs 0", "give steps or epochs"),
        ("--steps 0 --epochs 1 --sequences_per_step 4000", "less than one step of 4000"),
        ("--mask_rate 0", "mask rate must be between 0 and 1"),
        ("--precision fp16", "fp16 needs a GPU"),
        ("--corpus nowhere", "not a finished corpus"),
    ],
)
def test_wrong_settings_leave_nothing_behind(pretrain, tmp_path, capfd, flags, message):
    if "fp16" in flags and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert pretrain(*flags.split()) == 1
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_corpus_without_validation(fresh, tmp_path):
    folder = write_corpus(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["validation"] = []
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"validation split .* is empty; .*validation_fraction"):
        main(Settings(corpus=str(folder), out=str(tmp_path / "run"), layers=1, dim=16, heads=2))


def test_steps():
    assert steps_of(7, 3.0, 100, 10) == 7
    assert steps_of(0, 2.5, 100, 10) == 25
    for wrong in ((-1, 1.0), (0, -1.0), (0, math.nan), (0, math.inf)):
        with pytest.raises(ValueError, match="give steps or epochs"):
            steps_of(*wrong, 100, 10)


def test_plan():
    right = {"warmup": 0.1, "weight_decay": 0.0, "max_norm": 0.0, "seed": 0, "save_every": 1}
    Plan(steps=1, peak=1.0, **right)
    with pytest.raises(ValueError, match="learning_rate must be above 0, got nan"):
        Plan(steps=1, peak=math.nan, **right)


def test_the_vocabulary_of_a_model(corpus, teacher, tmp_path, caplog):
    small, large = Corpus.open(corpus), Corpus.open(write_corpus(tmp_path, spare=2))
    model = open_masked_lm(teacher)
    check_vocabulary(teacher, model, small)
    with pytest.raises(ValueError, match=r"vocabulary of 53 entries, the corpus .* one of 55"):
        check_vocabulary(teacher, model, large)
    model.resize_token_embeddings(55)
    check_vocabulary(teacher, model, small)  # rows that no token has do not matter

    words = (tmp_path / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("\n".join([*words[:5], *reversed(words[5:])]))
    with pytest.raises(ValueError, match=r"another vocabulary .*50 of 53 entries differ|48 of 53"):
        check_vocabulary(str(tmp_path), model, small)
    model.config.max_position_embeddings = 15
    with pytest.raises(ValueError, match=r"15 positions, .* sequences of 16 tokens"):
        check_vocabulary(teacher, model, small)
    model.config.max_position_embeddings = 16
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"55 entries, .* one of 53, and there is no tokenizer"):
        check_vocabulary(str(tmp_path / "none"), model, small)
    model.resize_token_embeddings(53)
    check_vocabulary(str(tmp_path / "none"), model, small)
    assert "has no tokenizer: only the size" in caplog.text

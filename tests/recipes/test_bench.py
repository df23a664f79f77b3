"""`distilbert bench` on a tiny model, through the command line."""

import json
import types

import numpy as np
import pytest
import torch

import distilbert as d
from distilbert import cli
from distilbert.native import library, processor
from distilbert.recipes import bench, bench_page, bench_runs, bench_task
from distilbert.runtime.run import commit
from distilbert.tasks.catalog import make_task

from .reviews import VOCAB, save_model, write_reviews
from .test_finetune import examples_of, write_lines


@pytest.fixture
def folder(tiny_vocab, tmp_path):
    config = d.DistilBertConfig(vocab_size=len(tiny_vocab), max_position_embeddings=24,
                                n_layers=1, n_heads=2, dim=16, hidden_dim=24)  # fmt: skip
    d.DistilBertForMaskedLM(config).save_pretrained(tmp_path / "model")
    d.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def tiny_bert(monkeypatch):
    sizes = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2,
             "intermediate_size": 24, "vocab_size": 60}  # fmt: skip
    monkeypatch.setattr(bench, "BertConfig", lambda: d.BertConfig(**sizes))


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_the_command(folder, tmp_path, tiny_bert, capsys, monkeypatch, engine):
    """With the native engine our rows are there twice."""
    real = "torch" if library.engine() is None else "native"
    rows = {"prepared fp32": engine}
    if engine == "torch":
        monkeypatch.setattr(library, "engine", lambda: None)
    elif real == "native":
        rows["prepared fp32, PyTorch alone"] = "torch"
    else:
        pytest.skip("not compiled")
    monkeypatch.setattr(bench_runs, "_STARTS", 1)
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("the small model\n\nun\nmodels\n", encoding="utf-8")
    code = cli.main([
        "bench", "--model", str(folder), "--out", str(out), "--precisions", "fp32",
        "--workloads", "lat8", "short", "512", "--pass_texts", str(texts), "--repeats", "3",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    result = json.loads(printed.splitlines()[-1])
    assert result == json.loads((out / "bench.json").read_text())
    assert result["tokens"] == {"lat8": 8, "short": result["tokens"]["short"], "512": 96}
    assert list(result["error"]) == ["model", *rows]
    assert result["engine"] == rows
    assert result["commit"] == commit()
    kinds = {name: "native" in result["linear_layers"][name].values() for name in rows}
    assert kinds == {name: each == "native" for name, each in rows.items()}
    for workload, seconds in result["seconds"].items():
        assert seconds.keys() == result["error"].keys()
        assert min(seconds.values()) > 0
        flop = 2 * (4 * 16 * 16 + 2 * 16 * 24) * result["tokens"][workload]
        assert result["share_of_limit"][workload].keys() == rows.keys()
        for name in rows:
            rate = flop / seconds[name] / 1e9 / result["gflops_limit"]["fp32"]
            assert result["share_of_limit"][workload][name] == pytest.approx(rate)
            assert result["error"][name] < 1e-5
    assert result["pass"]["texts"] == 3
    passes = ["BERT-base", "model", "BERT-base prepared fp32", "prepared fp32"]
    assert list(result["pass"]["seconds"]) == passes
    starts = result["cold_start"]
    expected = {"import torch": None, "prepared fp32": real}  # in a process of its own
    assert {name: start["engine"] for name, start in starts.items()} == expected
    assert all(start["seconds"] > 0 for start in starts.values())
    html = (out / "bench.html").read_text()
    assert all(name in html for name in rows)
    assert f"prepared fp32 (engine {real}):" in " ".join(printed.split())
    assert "share of this machine's matrix products" in " ".join(printed.split())


def test_peers_run_beside_ours(folder, monkeypatch):
    """A peer that is off shows it; what ran is what was asked for."""
    monkeypatch.setattr(bench_runs, "_QUICK", 0.0)
    monkeypatch.setattr(bench, "_REST", 0.0)
    model = bench.open_encoder(str(folder))
    exact = bench.plain(model)
    calls = []

    def peer(ids, mask):
        calls.append(tuple(ids.shape))
        return 1.5 * exact(ids, mask)

    settings = bench.Settings(str(folder), precisions=("fp32",), workloads=("lat8",),
                              cold_start=False, repeats=1)  # fmt: skip
    result = bench.main(settings, {"peer": peer})
    assert result["error"]["peer"] == pytest.approx(0.5, rel=1e-5)
    assert calls[1:] == [(1, 8)] * 4  # one to warm up, three that count
    assert "pass" not in result
    assert "cold_start" not in result


def test_pytorch_alone_is_left_out_where_it_has_no_int8(folder, monkeypatch):
    if library.engine() is None:
        pytest.skip("not compiled")
    monkeypatch.setattr(processor, "has_fbgemm", lambda: False)
    made = bench.by_each_engine(bench.open_encoder(folder), ("fp32", "int8"))
    assert list(made) == ["prepared fp32", "prepared fp32, PyTorch alone", "prepared int8"]


def test_scores_on_a_task_are_those_of_evaluate(fresh, evaluate, tmp_path, capsys):
    labels = {0: "neg", 1: "pos"}
    model = save_model(tmp_path / "model", head="SequenceClassification", id2label=labels)
    data = write_reviews(tmp_path / "reviews.csv", 80, seed=1)
    scores = evaluate(model=model, data=data)["scores"]
    precisions = ("fp32", "int8") if library.multiplies_int8() else ("fp32",)
    fresh()
    settings = bench.Settings(model, precisions, ("lat8",), task="classification", data=data,
                              cold_start=False, repeats=1, out=str(tmp_path / "out"))  # fmt: skip
    bench.main(settings)
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])["task"]
    assert (found["task"], found["metric"], found["texts"]) == ("classification", "accuracy", 80)
    plain = found["results"]["model"]
    assert plain["scores"] == pytest.approx(scores, abs=1e-6)
    assert (plain["kept"], plain["error"], plain["changed"]) == (1, 0, 0)
    exact = found["results"]["prepared fp32"]
    assert exact["scores"] == pytest.approx(scores, abs=1e-5)
    assert exact["error"] < 1e-5
    for name in precisions[1:]:
        assert 1e-4 < found["results"][f"prepared {name}"]["error"] < 0.2
    assert "decisions changed" in printed
    assert "decisions changed" in (tmp_path / "out" / "bench.html").read_text()


@pytest.mark.parametrize(
    ("task", "head", "labels", "has_decisions"),
    [
        ("regression", "SequenceClassification", ["score"], False),
        ("multi-label", "SequenceClassification", ["any", "bad", "good"], True),
        ("token-classification", "TokenClassification", ["B-BAD", "B-GOOD", "O"], True),
        ("question-answering", "QuestionAnswering", ["start", "end"], False),
        ("multiple-choice", "MultipleChoice", ["choice"], True),
    ],
)
def test_every_kind_of_task(evaluate, fresh, tmp_path, task, head, labels, has_decisions):
    """Prepared in fp32, the model has the scores that `distilbert evaluate` gives it."""
    config = d.DistilBertConfig(
        vocab_size=len(VOCAB), max_position_embeddings=160, n_layers=2, n_heads=2, dim=32,
        hidden_dim=64, initializer_range=0.3, id2label=dict(enumerate(labels)),
    )  # fmt: skip
    torch.manual_seed(0)
    model = str(tmp_path / "model")
    getattr(d, f"DistilBertFor{head}")(config).save_pretrained(model)
    d.DistilBertTokenizerFast({word: i for i, word in enumerate(VOCAB)}).save_pretrained(model)
    data = write_lines(tmp_path / "data.jsonl", examples_of(task, 40, seed=1))
    scores = evaluate(model=model, data=data, task=task)["scores"]
    fresh()
    precisions = ("fp32", "int8") if library.multiplies_int8() else ("fp32",)
    found = bench_task.task_results(bench_task.open_trial(model, data, task, 0), precisions)
    assert found["metric"] in scores
    for name, result in found["results"].items():
        assert result["scores"].keys() == scores.keys()
        assert (result["changed"] is not None) == has_decisions
        assert result["error"] < (0.2 if name == "prepared int8" else 1e-5)
    for name in ("model", "prepared fp32"):
        assert found["results"][name]["scores"] == pytest.approx(scores, abs=1e-5)


def test_nothing_can_be_kept_of_a_score_of_0(fresh, tmp_path):
    model = str(tmp_path / "model")
    tags = {0: "O", 1: "B-BAD", 2: "B-GOOD"}
    save_model(model, head="TokenClassification", id2label=tags)
    tagger = d.DistilBertForTokenClassification.from_pretrained(model)
    torch.nn.init.zeros_(tagger.classifier.weight)
    tagger.save_pretrained(model)
    data = write_lines(tmp_path / "data.jsonl", examples_of("token-classification", 9, seed=1))
    trial = bench_task.open_trial(model, data, "token-classification", 0)
    task = bench_task.task_results(trial, ("fp32",))
    assert task["results"]["prepared fp32"]["kept"] is None
    assert [row["kept"] for row in bench_page.task_rows(task)] == ["100.00%", ""]


def test_what_counts_as_a_changed_decision():
    expected = np.array([[1.0, -1.0], [0.5, 2.0], [3.0, -4.0], [1.0, 2.0]])
    found = expected * [1.0, -1.0]
    labels = np.array([0, -100, 1, 0])

    def changed(task):
        return bench_task._changed(make_task(task), labels, found, expected)

    assert changed("classification") == 0.75
    assert changed("multi-label") == 0.5
    assert changed("stsb") is None
    assert changed("squad") is None
    assert changed("conll2003") == 2 / 3  # pieces without a label decide nothing


def test_short_turns_count_several_times_and_long_ones_once(monkeypatch):
    calls = []
    inputs = [(torch.zeros(1, 1), torch.ones(1, 1))]
    for quick, expected in ((1e9, 4 * 6), (0.0, 4)):
        monkeypatch.setattr(bench_runs, "_QUICK", quick)
        calls.clear()
        bench_runs.interleaved({"a": lambda *_: calls.append(1)}, inputs, repeats=1, max_seconds=0)
        assert len(calls) == expected


def test_contenders_take_turns_within_the_time(monkeypatch):
    monkeypatch.setattr(bench_runs, "_QUICK", 0.0)
    order = []
    clock = {name: lambda ids, mask, name=name: order.append(name) for name in "ab"}
    inputs = [(torch.zeros(1, 1), torch.ones(1, 1))]
    found = bench_runs.interleaved(clock, inputs, repeats=9, max_seconds=0.0)
    assert "".join(order) == "ab" * 4
    assert found.keys() == {"a", "b"}
    order.clear()
    bench_runs.interleaved(clock, inputs, repeats=5, max_seconds=60.0)
    assert "".join(order) == "ab" * 6


def test_workloads():
    known = bench_runs.workloads(512)
    assert known["lat16"].lengths == (16,)
    assert (len(known["short"].lengths), known["short"].tokens) == (64, 1621)
    assert (len(known["long"].lengths), max(known["long"].lengths)) == (16, 512)
    ids, mask = known["short"].inputs(2000)
    assert mask.sum(1).tolist() == list(known["short"].lengths)
    assert ids[mask == 0].eq(0).all()
    assert ids[mask == 1].min() >= 1000
    small = bench_runs.workloads(64)
    assert max(small["long"].lengths) == 64
    assert [name for name in small if name.startswith("lat")] == ["lat8", "lat16", "lat32", "lat64"]


def test_sequences_longer_than_the_positions_are_left_out(folder, caplog):
    given = {"precisions": ("fp32",), "cold_start": False, "repeats": 1}
    result = bench.main(bench.Settings(str(folder), workloads=("lat8", "lat32", "lat64"), **given))
    assert result["tokens"] == {"lat8": 8}
    assert "left out lat32, lat64: the model has 24 positions" in caplog.text
    with pytest.raises(ValueError, match="workloads lat32: the model has 24 positions only"):
        bench.main(bench.Settings(str(folder), workloads=("lat32",), **given))


def test_files_are_checked_before_anything_is_measured(folder, tmp_path, monkeypatch):
    def measured(*args, **options):
        raise AssertionError

    for name in ("by_each_engine", "interleaved", "machine_gflops"):
        monkeypatch.setattr(bench, name, measured)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "bare").mkdir()
    for file in ("config.json", "model.safetensors"):
        (tmp_path / "bare" / file).write_bytes((folder / file).read_bytes())
    classifier = save_model(tmp_path / "classifier", head="SequenceClassification")
    of_task = {"model": classifier, "task": "classification"}
    data = write_lines(tmp_path / "data.jsonl", [{"text": "a film", "label": "pos"}])
    for wrong, error, message in (
        ({"pass_texts": str(tmp_path / "none.txt")}, OSError, "none.txt"),
        ({"pass_texts": str(tmp_path / "empty.txt")}, ValueError, "has no text"),
        ({"model": str(tmp_path / "bare")}, OSError, "vocab.txt"),
        ({"out": str(tmp_path / "file")}, OSError, "file"),
        ({**of_task, "data": str(tmp_path / "none.csv")}, OSError, "there is no file"),
        ({**of_task, "data": data}, ValueError, "the label 'pos' is none of the model's"),
        ({**of_task, "data": data, "max_length": 99}, ValueError, "must be at most 24"),
    ):
        with pytest.raises(error, match=message):
            bench.main(bench.Settings(**{"model": str(folder), **wrong}))


def test_without_a_model_it_is_a_distilbert_base():
    config = d.DistilBertConfig()
    assert bench_runs.linear_flop(config) == pytest.approx(85e6, rel=0.01)


@pytest.mark.parametrize("faster", [False, True])
def test_the_limit_is_that_of_the_faster_engine(monkeypatch, faster):
    now = 0.0

    def make(precision, device, native):
        def product(x):
            nonlocal now
            now += 0.001 if native == faster else 0.01

        return lambda name, layers: product

    clock = types.SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr(bench_runs, "time", clock)
    monkeypatch.setattr(bench_runs, "Maker", make)
    monkeypatch.setattr(library, "is_chosen", lambda *_: True)
    config = d.DistilBertConfig(dim=16, n_heads=2, hidden_dim=24)
    found = bench_runs.machine_gflops("fp32", config)
    assert found == pytest.approx(2 * 1024 * 16 * 24 / 1e9 / 0.001)


def test_lengths_without_a_vocabulary(tmp_path, tiny_bert, monkeypatch):
    small = d.DistilBertConfig(vocab_size=60, n_layers=1, n_heads=2, dim=16, hidden_dim=24)
    monkeypatch.setattr(bench, "DistilBertConfig", lambda: small)
    (tmp_path / "texts.txt").write_text("A film, again.\n", encoding="utf-8")
    settings = bench.Settings(precisions=("fp32",), workloads=("lat8",), cold_start=False,
                              pass_texts=str(tmp_path / "texts.txt"))  # fmt: skip
    result = bench.main(settings)
    assert result["pass"]["tokens"] == 7  # [CLS] a film , again . [SEP]
    assert np.isfinite(list(result["pass"]["seconds"].values())).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workloads": ("lat9",)}, "workloads has 'lat9'; there are lat8, lat16"),
        ({"precisions": ("fp64",)}, "precisions has 'fp64'; there are fp32, bf16, int8"),
        ({"task": "sst2"}, "task='sst2' needs a model with its head, and data"),
        ({"task": "cooking"}, "task must be one of classification, .*; got 'cooking'"),
        ({"data": "dev.csv"}, "data='dev.csv' needs a task"),
        ({"max_length": 8}, "max_length=8 needs a task"),
        ({"repeats": 0}, "repeats=0 must be at least 1"),
        ({"threads": 0}, "threads=0 must be at least 1"),
    ],
)
def test_bad_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        bench.Settings(**wrong)


def test_a_start_that_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="the cold start failed"):
        bench_runs.cold_start(str(tmp_path), "fp32", 1)

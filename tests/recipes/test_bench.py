"""`distilbert bench` on a tiny model, through the command line."""

import json

import numpy as np
import pytest
import torch

import distilbert as d
from distilbert import cli
from distilbert.recipes import bench, bench_runs


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


def test_the_command(folder, tmp_path, tiny_bert, capsys, monkeypatch):
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
    assert list(result["error"]) == ["model", "prepared fp32"]
    assert result["error"]["prepared fp32"] < 1e-5
    for workload, seconds in result["seconds"].items():
        assert seconds.keys() == result["error"].keys()
        assert min(seconds.values()) > 0
        flop = 2 * (4 * 16 * 16 + 2 * 16 * 24) * result["tokens"][workload]
        rate = flop / seconds["prepared fp32"] / 1e9 / result["gflops_limit"]["fp32"]
        assert result["share_of_limit"][workload]["prepared fp32"] == pytest.approx(rate)
    assert result["pass"]["texts"] == 3
    assert list(result["pass"]["seconds"])[:2] == ["BERT-base", "model"]
    starts = result["cold_start"]
    assert list(starts) == ["import torch", "prepared fp32"]
    assert all(start["seconds"] > 0 for start in starts.values())
    assert "prepared fp32" in (out / "bench.html").read_text()
    assert "share of this machine's matrix products" in " ".join(printed.split())


def test_peers_run_beside_ours(folder):
    """A peer that is off shows it; what ran is what was asked for."""
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


def test_contenders_take_turns_within_the_time():
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
    assert max(bench_runs.workloads(64)["long"].lengths) == 64


def test_without_a_model_it_is_a_distilbert_base():
    config = d.DistilBertConfig()
    assert bench_runs.linear_flop(config) == pytest.approx(85e6, rel=0.01)


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

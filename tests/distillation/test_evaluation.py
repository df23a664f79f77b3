"""Loss and accuracy at masked tokens against a plain padded computation over everything."""

import pytest
import torch
import torch.nn.functional as F

import distilbert as d
from distilbert.distillation.batches import StepSource
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.evaluation import masked_lm_hits, masked_lm_sums, to_tensors


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(tiny_vocab):
    torch.manual_seed(0)
    config = d.DistilBertConfig(
        vocab_size=len(tiny_vocab), n_layers=2, n_heads=2, dim=16, hidden_dim=32,
        max_position_embeddings=48, initializer_range=0.3, attn_implementation="varlen",
    )  # fmt: skip
    return d.DistilBertForMaskedLM(config)


@pytest.fixture
def make_source(make_corpus):
    corpus = Corpus.open(make_corpus(documents=100, validation_fraction=0.3))

    def make(**options):
        return StepSource(corpus, seed=0, sequences_per_step=8, **{"micro_tokens": 64, **options})

    return make


@torch.no_grad()
def plain(model, batches):
    """Padded and with all logits, one batch after the other."""
    loss, right, count = 0.0, 0, 0
    model.set_attn_implementation("sdpa")
    for micro in batches:
        ids, labels = (torch.from_numpy(x) for x in (micro.input_ids, micro.labels))
        mask = (torch.arange(ids.shape[1]) < torch.tensor(micro.lengths)[:, None]).long()
        logits = model.eval()(ids, attention_mask=mask).logits
        loss += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").item()
        right += ((logits.argmax(-1) == labels) & (labels != -100)).sum().item()
        count += (labels != -100).sum().item()
    model.set_attn_implementation("varlen")
    return [loss, right, count]


def test_against_a_plain_computation(model, make_source):
    source = make_source()
    sums = masked_lm_sums(model, source.validation(200))
    assert sums.dtype == torch.float64
    assert sums.tolist() == pytest.approx(plain(model, source.validation(200)), rel=1e-5)
    assert sums[2] > 100


def test_what_the_configuration_wants_shown_is_not_computed(model, make_source, monkeypatch):
    expected = masked_lm_sums(model, make_source().validation(200))
    model.config.output_attentions = model.config.output_hidden_states = True
    encode, seen = d.DistilBertModel.encode, []
    monkeypatch.setattr(
        d.DistilBertModel, "encode", lambda *a, **k: seen.append(encode(*a, **k)) or seen[-1]
    )
    assert torch.equal(masked_lm_sums(model, make_source().validation(200)), expected)
    assert all(encoded.attentions is None and encoded.layers is None for encoded in seen)


def test_batches_and_ranks_do_not_matter(model, make_source):
    whole = masked_lm_sums(model, make_source().validation(100_000)).tolist()
    small = masked_lm_sums(model, make_source().validation(48)).tolist()
    assert small == pytest.approx(whole, rel=1e-5)
    assert small[1:] == whole[1:]
    source = make_source(ranks=3)
    parts = [masked_lm_sums(model, source.validation(60, rank=rank)) for rank in range(3)]
    assert sum(parts).tolist() == pytest.approx(whole, rel=1e-5)
    assert len({part[2].item() for part in parts}) > 1


def test_few_rows_of_logits_at_a_time(model, make_source, monkeypatch):
    whole = masked_lm_sums(model, make_source().validation(500)).tolist()
    monkeypatch.setattr("distilbert.distillation.evaluation._ROWS", 7)
    parts = masked_lm_sums(model, make_source().validation(500)).tolist()
    assert parts == pytest.approx(whole, rel=1e-6)


def test_the_mode_is_put_back(model, make_source):
    for mode in (True, False):
        model.train(mode)
        masked_lm_sums(model, make_source().validation(100, max_sequences=2))
        masked_lm_hits(model, make_source().validation(100, max_sequences=2))
        assert model.training == mode
        assert model.distilbert.transformer.layer[0].ffn.dropout.training == mode


def test_hits(model, make_source):
    hits = masked_lm_hits(model, make_source().validation(100))
    _, right, count = masked_lm_sums(model, make_source().validation(100)).tolist()
    assert (hits.sum(), len(hits)) == (right, count)
    assert hits.dtype == bool
    assert len(masked_lm_hits(model, [])) == 0
    assert masked_lm_sums(model, []).tolist() == [0, 0, 0]


def test_to_tensors(make_source):
    micro = next(iter(make_source().validation(100)))
    ids, labels = to_tensors(micro, torch.device("cpu"))
    assert ids.shape == labels.shape == (len(micro), max(micro.lengths))
    assert (labels != -100).sum() == micro.masked

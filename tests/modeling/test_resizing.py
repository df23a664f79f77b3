"""Vocabulary, positions and heads of another size."""

import pytest
import torch

import distilbert as d
from distilbert.modeling.model import sinusoids
from distilbert.modeling.resizing import keep_tokens

EVERY_CLASS = [
    d.DistilBertModel,
    d.DistilBertForMaskedLM,
    d.DistilBertForSequenceClassification,
    d.DistilBertForMultipleChoice,
    d.DistilBertForTokenClassification,
    d.DistilBertForQuestionAnswering,
]
by_name = pytest.mark.parametrize("cls", EVERY_CLASS, ids=lambda cls: cls.__name__)


def ids_for(model, columns=5):
    ids = torch.randint(0, 60, (2, columns), generator=torch.Generator().manual_seed(0))
    return ids[:, None].repeat(1, 2, 1) if isinstance(model, d.DistilBertForMultipleChoice) else ids


# Positions


@by_name
def test_more_positions(cls, tiny):
    torch.manual_seed(0)
    tiny.initializer_range = 0.02
    model = cls(tiny).eval()
    old = model.get_position_embeddings().weight.detach().clone()
    before = model(ids_for(model))[0]
    model.resize_position_embeddings(400)
    weight = model.get_position_embeddings().weight
    assert model.config.max_position_embeddings == model.base_model.config.max_position_embeddings
    assert model.config.max_position_embeddings == len(weight) == 400
    assert torch.equal(weight[:16], old)
    assert abs(weight[16:].std().item() - 0.02) < 0.002
    assert torch.equal(model(ids_for(model))[0], before)
    assert torch.isfinite(model(ids_for(model, 300))[0]).all()
    model.train()
    model(ids_for(model, 300))[0].sum().backward()
    assert weight.grad[200].any()


@by_name
def test_fewer_positions(cls, tiny):
    model = cls(tiny).eval()
    before = model(ids_for(model))[0]
    model.resize_position_embeddings(5)
    assert torch.equal(model(ids_for(model))[0], before)
    with pytest.raises(ValueError, match=r"6 tokens.*5"):
        model(ids_for(model, 6))


def test_sinusoidal_positions(tiny):
    tiny.sinusoidal_pos_embds = True
    model = d.DistilBertModel(tiny)
    for count in (40, 7):
        model.resize_position_embeddings(count)
        weight = model.get_position_embeddings().weight
        assert torch.equal(weight, sinusoids(count, 32))
        assert not weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_resizing_keeps_the_dtype_and_the_files_fit(dtype, tiny, tmp_path):
    model = d.DistilBertForMaskedLM(tiny).to(dtype).eval()
    model.resize_position_embeddings(33)
    model.resize_token_embeddings(71)
    assert {p.dtype for p in model.parameters()} == {dtype}
    model.save_pretrained(tmp_path)
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path, dtype="auto")
    ids = torch.arange(33)[None] + 38
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_impossible_sizes(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.resize_position_embeddings(0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.resize_token_embeddings(0)
    with pytest.raises(ValueError, match="pad_to_multiple_of"):
        model.resize_token_embeddings(70, pad_to_multiple_of=0)
    tiny.pad_token_id = 9
    with pytest.raises(ValueError, match="at least 10, got 9"):
        d.DistilBertModel(tiny).resize_token_embeddings(9)


# Vocabulary


@by_name
@pytest.mark.parametrize("count", [40, 90])
def test_vocabulary(cls, count, tiny):
    torch.manual_seed(0)
    model = cls(tiny).eval()
    old = model.get_input_embeddings().weight.detach().clone()
    kept = min(count, 60)
    fresh = model.resize_token_embeddings(count)
    assert fresh is model.get_input_embeddings()
    assert fresh.weight.shape == (count, 32)
    assert fresh.num_embeddings == count
    assert model.config.vocab_size == model.base_model.config.vocab_size == count
    assert torch.equal(fresh.weight[:kept], old[:kept])
    assert fresh.padding_idx == 0
    if count > 60:
        assert abs(fresh.weight[60:].std().item() - tiny.initializer_range) < 0.02
    ids = torch.full_like(ids_for(model), count - 1)
    assert torch.isfinite(model(ids)[0]).all()
    with pytest.raises(IndexError, match=f"0 to {count - 1}"):
        model(ids + 1)


@pytest.mark.parametrize("tied", [True, False])
def test_the_decoder_follows_the_vocabulary(tied, tiny, tmp_path):
    tiny.tie_word_embeddings = tied
    model = d.DistilBertForMaskedLM(tiny).eval()
    ids = ids_for(model)
    before = model(ids).logits
    model.resize_token_embeddings(90)
    decoder = model.get_output_embeddings()
    assert (decoder.weight is model.get_input_embeddings().weight) == tied
    assert decoder.weight.shape == (90, 32)
    assert decoder.bias.shape == (90,)
    assert decoder.out_features == 90
    assert not decoder.bias[60:].any()
    torch.testing.assert_close(model(ids).logits[..., :60], before)
    model.save_pretrained(tmp_path)
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(ids).logits, model(ids).logits)


def test_a_decoder_without_a_bias_follows_too(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    model.set_output_embeddings(torch.nn.Linear(32, 60, bias=False))
    model.resize_token_embeddings(70)
    assert model(torch.tensor([[2, 69, 3]])).logits.shape == (1, 3, 70)


def test_vocabulary_rounded_up_or_left_alone(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    words = model.get_input_embeddings()
    assert model.resize_token_embeddings() is words
    assert model.resize_token_embeddings(60) is words
    assert model.resize_token_embeddings(pad_to_multiple_of=64).num_embeddings == 64
    assert model.resize_token_embeddings(65, pad_to_multiple_of=8).num_embeddings == 72


def test_replaced_embeddings_and_decoder(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    model.set_input_embeddings(torch.nn.Embedding(60, 32))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    decoder = torch.nn.Linear(32, 60)
    model.set_output_embeddings(decoder)
    assert model.get_output_embeddings() is decoder
    with pytest.raises(TypeError, match="has no output embeddings"):
        d.DistilBertModel(tiny).set_output_embeddings(decoder)
    assert d.DistilBertModel(tiny).get_output_embeddings() is None


def test_embeddings_of_another_class(tiny):
    model = d.DistilBertModel(tiny).eval()
    words = torch.nn.Sequential(
        torch.nn.Embedding(tiny.vocab_size, 8), torch.nn.Linear(8, 32, bias=False)
    )
    model.set_input_embeddings(words)
    assert model.config.vocab_size == tiny.vocab_size
    assert model(torch.tensor([[2, 7, 3]])).last_hidden_state.shape == (1, 3, 32)


@pytest.mark.parametrize("words", [70, 50])
def test_embeddings_of_another_size(words, tiny, tmp_path):
    model = d.DistilBertForMaskedLM(tiny).eval()
    torch.nn.init.normal_(bias := model.get_output_embeddings().bias)
    model.set_input_embeddings(torch.nn.Embedding(words, 32))
    assert model.config.vocab_size == model.base_model.config.vocab_size == words
    ids = torch.tensor([[2, 7, words - 1]])
    logits = model(ids).logits
    assert logits.shape == (1, 3, words)
    found = model.get_output_embeddings()
    assert found.out_features == words
    assert torch.equal(found.bias[:50], bias[:50])
    assert not found.bias[60:].any()
    model.save_pretrained(tmp_path)
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(ids).logits, logits)


# Heads


@by_name
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_a_pruned_head_is_a_masked_head(cls, implementation, tiny, tmp_path):
    torch.manual_seed(0)
    model = cls(tiny).eval()
    ids = ids_for(model)
    keep = torch.ones(2, 4)
    keep[0, 1] = keep[1, 0] = keep[1, 3] = 0
    expected = model(ids, head_mask=keep)[0]
    model.set_attn_implementation(implementation)
    before = model.num_parameters()
    model.prune_heads({0: [1], 1: [3]})
    model.prune_heads({1: [0, 3]})  # numbers are those of the full model
    assert model.config.pruned_heads == {0: [1], 1: [0, 3]}
    assert model.num_parameters() == before - 3 * (4 * 8 * 32 + 3 * 8)
    padding = torch.ones_like(ids)
    padding[-1, ..., 3:] = 0
    torch.testing.assert_close(model(ids)[0], expected)
    reference = model(ids, attention_mask=padding)[0]
    model.save_pretrained(tmp_path)
    again = cls.from_pretrained(tmp_path, attn_implementation=implementation)
    assert again.config.pruned_heads == {0: [1], 1: [0, 3]}
    torch.testing.assert_close(again(ids, attention_mask=padding)[0], reference)


def test_heads_that_cannot_be_pruned(tiny):
    model = d.DistilBertModel(tiny)
    weights = {name: w.clone() for name, w in model.state_dict().items()}
    for heads, match in (
        ({2: [0]}, "2 layers of 4 heads"),
        ({-3: [0]}, "layer -3, .* 2 layers of 4 heads"),
        ({-1: [0, 1], 1: [2, 3]}, "no head in layer 1"),
        ({0: [4]}, "2 layers of 4 heads"),
        ({1: [0, 1, 2, 3]}, "no head in layer 1"),
    ):
        with pytest.raises(ValueError, match=match):
            model.prune_heads(heads)
    with pytest.raises(TypeError, match="heads_to_prune must map layer numbers to lists of heads"):
        model.prune_heads({0: 1})
    model.prune_heads({2: []})
    assert model.config.pruned_heads == {}
    assert all(torch.equal(w, weights[name]) for name, w in model.state_dict().items())


def test_layers_counted_from_the_last(tiny):
    model = d.DistilBertModel(tiny)
    model.prune_heads({-1: [0], 1: [2]})
    assert model.config.pruned_heads == {1: [0, 2]}
    assert model.transformer.layer[1].attention.n_heads == 2


def test_layers_as_json_has_them(tiny):
    model = d.DistilBertModel(tiny)
    model.prune_heads({1: [0]})
    model.prune_heads({"1": [2]})
    assert model.config.pruned_heads == {1: [0, 2]}
    assert model.transformer.layer[1].attention.n_heads == 2


def test_the_callers_configuration_is_left_alone(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    model.resize_token_embeddings(90)
    model.resize_position_embeddings(90)
    model.prune_heads({0: [0]})
    model.set_attn_implementation("eager")
    assert tiny.vocab_size == 60
    assert tiny.max_position_embeddings == 16
    assert tiny.pruned_heads == {}
    assert tiny.attn_implementation == "sdpa"


# Some of the words


@by_name
def test_keeping_some_tokens(cls, tiny):
    model = cls(tiny).eval()
    ids = ids_for(model)
    kept = [0, *sorted(set(ids.flatten().tolist()) - {0})]
    renumbered = torch.zeros(60, dtype=torch.long)
    renumbered[kept] = torch.arange(len(kept))
    before = model(ids)[0]
    keep_tokens(model, kept)
    after = model(renumbered[ids])[0]
    if cls is d.DistilBertForMaskedLM:
        before = before[..., kept]
        assert model.vocab_projector.weight is model.get_input_embeddings().weight
    torch.testing.assert_close(after, before)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == len(kept)


def test_keeping_some_tokens_of_an_untied_decoder(tiny):
    tiny.tie_word_embeddings, tiny.pad_token_id = False, 7
    tiny.sep_token_id, tiny.bos_token_id = 9, 4
    model = d.DistilBertForMaskedLM(tiny).eval()
    model.vocab_projector.bias.data.normal_()
    model.get_input_embeddings().requires_grad_(False)
    before = model(torch.tensor([[3, 9]])).logits
    keep_tokens(model, [3, 7, 9])
    torch.testing.assert_close(model(torch.tensor([[0, 2]])).logits, before[..., [3, 7, 9]])
    assert model.config.pad_token_id == model.get_input_embeddings().padding_idx == 1
    assert (model.config.sep_token_id, model.config.bos_token_id) == (2, None)
    assert not model.get_input_embeddings().weight.requires_grad
    assert model.vocab_projector.weight.requires_grad
    with pytest.raises(ValueError, match="pad_token_id=1 must be among the tokens that stay"):
        keep_tokens(model, [0, 2])


# The modules themselves


@pytest.mark.parametrize("change", ["words", "kept words", "positions"])
def test_resizing_keeps_hooks_and_settings_of_the_embeddings(change, tiny):
    model = d.DistilBertForMaskedLM(tiny)
    table = model.get_input_embeddings()
    if change == "positions":
        table = model.get_position_embeddings()
    else:
        table.requires_grad_(False)
        model.enable_input_require_grads()
    table.scale_grad_by_freq, table.max_norm = True, 5.0
    calls = []
    table.register_forward_hook(lambda *call: calls.append(call))
    if change == "words":
        model.resize_token_embeddings(70)
    elif change == "kept words":
        keep_tokens(model, range(30))
    else:
        model.resize_position_embeddings(20)
    assert table in (model.get_input_embeddings(), model.get_position_embeddings())
    assert table.num_embeddings == len(table.weight)
    assert (table.scale_grad_by_freq, table.max_norm) == (True, 5.0)
    ids = torch.tensor([[2, 7, 9]])
    model(ids)
    assert len(calls) == 1
    assert table(ids).requires_grad

"""Parts that somebody else put into a model, watches, or untied: nothing passes them by."""

import copy

import pytest
import torch
from torch import nn

import distilbert as d
from distilbert.modeling.model import Transformer

IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
HEADS = [
    d.DistilBertForMaskedLM,
    d.DistilBertForSequenceClassification,
    d.DistilBertForTokenClassification,
    d.DistilBertForQuestionAnswering,
    d.BertForSequenceClassification,
]


def make(cls, tiny):
    if cls.config_class is d.BertConfig:
        tiny = d.BertConfig(
            vocab_size=60, num_hidden_layers=2, hidden_size=32, num_attention_heads=4,
            intermediate_size=48, num_labels=3, max_position_embeddings=16,
        )  # fmt: skip
    return cls(tiny).eval()


def first(model, **options):
    return next(iter(model(IDS, **options).values()))


@pytest.mark.parametrize("cls", HEADS, ids=lambda cls: cls.__name__)
def test_hooks_on_the_encoder_are_called(cls, tiny):
    model = make(cls, tiny)
    expected, seen = first(model), []
    encoder = model.base_model
    watching = encoder.register_forward_hook(lambda *given: seen.append(given[-1]))
    torch.testing.assert_close(first(model), expected)
    assert seen[0].last_hidden_state.shape == (2, 4, 32)
    assert len(model(IDS, output_hidden_states=True).hidden_states) == 3
    watching.remove()

    def replace(module, given, output):
        output.last_hidden_state = torch.zeros_like(output.last_hidden_state)
        return output

    encoder.register_forward_hook(replace)
    assert not torch.allclose(first(model), expected)


@pytest.mark.parametrize("way", ["wrapped", "in place"])
def test_a_compiled_encoder_runs(way, tiny):
    model = make(d.DistilBertForSequenceClassification, tiny)
    expected, graphs = first(model), []

    def note(graph, inputs):
        graphs.append(graph)
        return graph.forward

    if way == "wrapped":
        model.distilbert = torch.compile(model.distilbert, backend=note)
    else:
        model.distilbert.compile(backend=note)
    torch.testing.assert_close(first(model), expected)
    assert graphs


def test_an_encoder_with_its_own_forward_is_called(tiny):
    class Twice(d.DistilBertModel):
        def forward(self, *given, **named):
            output = super().forward(*given, **named)
            output.last_hidden_state = 2 * output.last_hidden_state
            return output

    model = make(d.DistilBertForTokenClassification, tiny)
    expected = first(model)
    other = copy.deepcopy(model)
    other.distilbert = Twice(tiny).eval()
    other.distilbert.load_state_dict(model.distilbert.state_dict())
    bias = model.classifier.bias
    torch.testing.assert_close(first(other) - bias, 2 * (expected - bias))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_hook_on_a_block_sees_its_tensor(implementation, tiny):
    model = make(d.DistilBertModel, tiny)
    model.set_attn_implementation(implementation)
    seen = []
    block = model.transformer.layer[0]
    hook = block.register_forward_hook(lambda module, given, output: seen.append(output))
    layers = model(IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(seen.pop(), layers[1])
    shown = model(IDS, output_attentions=True)
    x, weights = seen.pop()
    torch.testing.assert_close(x, layers[1])
    assert weights is shown.attentions[0]
    hook.remove()
    for change in (lambda *call: call[2] + 1, lambda *call: (call[2] + 1,)):
        hook = block.register_forward_hook(change)
        changed = model(IDS, output_hidden_states=True).hidden_states
        hook.remove()
        torch.testing.assert_close(changed[1], layers[1] + 1)
        assert not torch.allclose(changed[2], layers[2])


class Mixing(nn.Module):
    """A feed-forward that looks at all tokens."""

    def __init__(self, ffn):
        super().__init__()
        self.ffn = ffn

    def forward(self, x):
        return self.ffn(x) + x.mean(1, keepdim=True)


def test_first_tokens_of_a_last_block_with_another_feed_forward(tiny):
    model = make(d.DistilBertForSequenceClassification, tiny)
    last = model.distilbert.transformer.layer[-1]
    last.ffn = Mixing(last.ffn)
    torch.testing.assert_close(first(model), first(model, output_hidden_states=True))


class Reversed(nn.Module):
    """A stack that runs the blocks in the other direction, and knows nothing of first tokens."""

    def __init__(self, stack):
        super().__init__()
        self.blocks = nn.ModuleList(reversed(stack.layer))

    def forward(self, x, plan, head_masks, keep_hidden_states):
        states = [x]
        for block, head_mask in zip(self.blocks, head_masks, strict=True):
            states.append(block(states[-1], plan, head_mask))
        return states[-1], states, []


class ReversedToo(Transformer):
    def forward(self, x, plan, head_masks, keep_hidden_states):
        return Reversed(self)(x, plan, head_masks, keep_hidden_states)


@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
@pytest.mark.parametrize("cls", HEADS, ids=lambda cls: cls.__name__)
def test_a_stack_of_another_class_runs(cls, implementation, tiny):
    model = make(cls, tiny)
    model.set_attn_implementation(implementation)
    expected = copy.deepcopy(model)
    layers = expected.base_model.transformer.layer
    expected.base_model.transformer.layer = layers[::-1]
    mask = (IDS > 0).long()
    mask[0, 1:] = 0
    expected = first(expected, attention_mask=mask)
    other = ReversedToo(model.base_model.config)
    other.load_state_dict(model.base_model.transformer.state_dict())
    for stack in (Reversed(model.base_model.transformer), other.eval()):
        model.base_model.transformer = stack
        torch.testing.assert_close(first(model, attention_mask=mask), expected)


def test_heads_that_share_an_encoder(tiny, tmp_path):
    masked = d.DistilBertForMaskedLM(tiny).eval()
    labelling = d.DistilBertForSequenceClassification(tiny).eval()
    labelling.distilbert = masked.distilbert
    for head in (masked, labelling):
        for implementation in ("eager", "varlen"):
            head.set_attn_implementation(implementation)
            assert masked.distilbert.config.attn_implementation == implementation
    labelling.resize_position_embeddings(80)
    labelling.prune_heads({0: [1]})
    masked.prune_heads({0: [2]})
    labelling.resize_token_embeddings(70)
    masked.resize_token_embeddings(70)
    assert masked.vocab_projector.weight is masked.get_input_embeddings().weight
    ids = torch.full((1, 60), 69)
    for head in (masked, labelling):
        expected = head(ids).logits
        head.save_pretrained(tmp_path)
        assert head.config.max_position_embeddings == 80
        assert head.config.pruned_heads == {0: [1, 2]}
        again = type(head).from_pretrained(tmp_path)
        torch.testing.assert_close(again(ids).logits, expected)


def test_a_decoder_that_is_not_tied_is_saved(tiny, tmp_path):
    model = make(d.DistilBertForMaskedLM, tiny)
    model.set_output_embeddings(nn.Linear(32, 60))
    model.save_pretrained(tmp_path)
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(first(again), first(model))


def test_a_model_that_was_filled_on_the_meta_device_is_saved(tiny, tmp_path):
    whole = make(d.DistilBertForMaskedLM, tiny)
    with torch.device("meta"):
        model = d.DistilBertForMaskedLM(tiny).eval()
    model.load_state_dict(copy.deepcopy(whole.state_dict()), assign=True)
    with torch.no_grad():
        model.vocab_projector.weight += 1  # trained apart
    model.save_pretrained(tmp_path)
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(first(again), first(model))


def test_buffers_of_a_class_come_back(tiny, tmp_path):
    class Normalised(d.DistilBertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.distilbert = d.DistilBertModel(config)
            self.norm = nn.BatchNorm1d(32)
            self.post_init()

        def forward(self, ids):
            return self.norm(self.distilbert(ids).last_hidden_state[:, 0])

    model = Normalised(tiny).train()
    model(IDS)
    model.eval().save_pretrained(tmp_path)
    again, info = Normalised.from_pretrained(tmp_path, output_loading_info=True)
    assert info["unexpected_keys"] == []
    assert again.norm.num_batches_tracked == 1
    torch.testing.assert_close(again(IDS), model(IDS))

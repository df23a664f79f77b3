"""The network by itself: shapes, masks, what it refuses, and PyTorch's ways of recording it."""

import inspect
import re
import warnings

import pytest
import torch

import distilbert as d
from distilbert.modeling import attention
from distilbert.modeling.model import sinusoids

HEADS = {
    d.DistilBertForMaskedLM: (3, 5, 60),
    d.DistilBertForTokenClassification: (3, 5, 3),
    d.DistilBertForSequenceClassification: (3, 3),
}
EVERY_CLASS = [
    d.DistilBertModel,
    *HEADS,
    d.DistilBertForMultipleChoice,
    d.DistilBertForQuestionAnswering,
]


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return d.DistilBertModel(tiny).eval()


@pytest.fixture
def ids():
    return torch.randint(0, 60, (3, 5), generator=torch.Generator().manual_seed(0))


def test_parameter_counts_of_the_published_models():
    """Facts of the paper and of the published checkpoints, counted without memory."""
    with torch.device("meta"):
        uncased = d.DistilBertModel(d.DistilBertConfig())
        cased = d.DistilBertModel(d.DistilBertConfig(vocab_size=28996))
        multilingual = d.DistilBertModel(d.DistilBertConfig(vocab_size=119547))
        masked = d.DistilBertForMaskedLM(d.DistilBertConfig())
        bert = d.BertModel(d.BertConfig())
    assert uncased.num_parameters() == 66_362_880
    assert cased.num_parameters() == 65_190_912
    assert multilingual.num_parameters() == 134_734_080
    assert masked.num_parameters() == 66_985_530
    assert bert.num_parameters() == 109_482_240
    assert uncased.get_memory_footprint() == 4 * 66_362_880


def test_num_parameters(tiny):
    model = d.DistilBertForMaskedLM(tiny)
    tables = (60 + 16) * 32
    total = sum(p.numel() for p in model.parameters())
    assert model.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - tables
    model.distilbert.transformer.layer[0].requires_grad_(False)
    frozen = sum(p.numel() for p in model.distilbert.transformer.layer[0].parameters())
    assert model.num_parameters(only_trainable=True) == total - frozen
    assert model.half().get_memory_footprint() == 2 * total


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_shapes(head, ids, tiny):
    output = head(tiny)(ids, output_hidden_states=True, output_attentions=True)
    assert output.logits.shape == HEADS[head]
    assert output.loss is None
    assert [h.shape for h in output.hidden_states] == [(3, 5, 32)] * 3
    assert [a.shape for a in output.attentions] == [(3, 4, 5, 5)] * 2


BERT_CLASSES = [getattr(d, cls.__name__.removeprefix("Distil")) for cls in EVERY_CLASS[1:]]


@pytest.mark.parametrize("cls", EVERY_CLASS + BERT_CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_reaches_the_encoder(cls, tiny):
    if cls in BERT_CLASSES:
        tiny = d.BertConfig(60, 32, 1, 4, 48, max_position_embeddings=16)
    model = cls(tiny)
    with_choices = cls.__name__.endswith("Choice")
    shape = (3, 2, 5) if with_choices else (3, 5)
    tensors = {
        "input_ids": torch.randint(0, 60, shape),
        "attention_mask": torch.ones(shape),
        "inputs_embeds": torch.zeros(*shape, 32),
        "position_ids": torch.zeros(shape, dtype=torch.long),
        "token_type_ids": torch.ones(shape, dtype=torch.long),
    }
    rest = {"head_mask": torch.ones(4), "output_attentions": True, "output_hidden_states": True}
    names = list(inspect.signature(d.DistilBertModel.encode).parameters)[1:]

    def encode(*given, **named):
        seen = dict(zip(names, given, strict=False)) | named
        for name, x in tensors.items():
            assert torch.equal(seen[name], x.flatten(0, 1) if with_choices else x), name
        assert {name: seen[name] for name in rest} == rest
        assert seen["lengths"] == [5] * (6 if with_choices else 3)
        raise InterruptedError

    model.base_model.encode = encode
    lengths = [[5, 5]] * 3 if with_choices else [5] * 3
    with pytest.raises(InterruptedError):
        model(**tensors, **rest, lengths=lengths)


def test_outputs_as_tuples_and_by_configuration(ids, tiny, model):
    output = model(ids, output_hidden_states=True, output_attentions=True)
    as_tuple = model(ids, output_hidden_states=True, output_attentions=True, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == 3
    assert torch.equal(as_tuple[0], output.last_hidden_state)
    assert torch.equal(as_tuple[1][1], output.hidden_states[1])
    tiny.return_dict = False
    tiny.output_hidden_states = True
    assert len(d.DistilBertModel(tiny)(ids)) == 2


def test_the_seeds_order_of_arguments():
    first = ["self", "input_ids", "attention_mask", "head_mask", "inputs_embeds"]
    last = ["output_attentions", "output_hidden_states", "return_dict"]
    for cls in EVERY_CLASS:
        labels = []
        if cls is d.DistilBertForQuestionAnswering:
            labels = ["start_positions", "end_positions"]
        elif cls is not d.DistilBertModel:
            labels = ["labels"]
        names = list(inspect.signature(cls.forward).parameters)
        expected = first + labels + last
        assert names[: len(expected)] == expected
        assert names[len(expected)] == "position_ids"


# Masks


def test_eager_and_fused_attention_agree():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 5, 8)
    bias = torch.zeros(2, 1, 1, 5)
    bias[1, ..., 3:] = torch.finfo(torch.float32).min
    plain, weights = attention.eager(q, k, v, bias, 0.0, None)
    torch.testing.assert_close(attention.sdpa(q, k, v, bias, 0.0), plain)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 5))
    assert not weights[1, ..., 3:].any()


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8, torch.float32], ids=str)
def test_a_mask_means_the_same_in_every_type(dtype, implementation, ids, model):
    model.set_attn_implementation(implementation)
    keep = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]])
    expected = model(ids, attention_mask=keep)[0]
    assert torch.equal(model(ids, attention_mask=keep.to(dtype))[0], expected)
    pairs = keep[:, None, :].expand(3, 5, 5)
    if dtype.is_floating_point:  # added to the scores
        pairs = (1.0 - pairs.float()) * torch.finfo(dtype).min
    else:
        pairs = pairs.to(dtype)
    for mask in (pairs, pairs[:, None], pairs[:, None].expand(3, 4, 5, 5), pairs[:, None, :1]):
        torch.testing.assert_close(model(ids, attention_mask=mask)[0], expected)


def test_a_mask_per_query(ids, model):
    """Under a causal mask the first tokens do not change when later ones do."""
    causal = torch.ones(5, 5, dtype=torch.bool).tril().expand(3, 5, 5)
    other = ids.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 60
    one, two = model(ids, attention_mask=causal)[0], model(other, attention_mask=causal)[0]
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


def test_infinite_biases_stay_finite(ids, model):
    mask = torch.full((3, 5, 5), -torch.inf)
    assert torch.isfinite(model(ids, attention_mask=mask)[0]).all()


def test_head_mask(ids, tiny, model):
    ones, per_layer = torch.ones(4), torch.ones(2, 4)
    per_layer[1, 2] = 0
    expected = model(ids)[0]
    torch.testing.assert_close(model(ids, head_mask=ones)[0], expected)
    masked = model(ids, head_mask=per_layer, output_attentions=True)
    assert not torch.allclose(masked[0], expected)
    assert not masked.attentions[1][:, 2].any()
    model.prune_heads({1: [2]})
    torch.testing.assert_close(model(ids)[0], masked[0])
    torch.testing.assert_close(model(ids, head_mask=per_layer)[0], masked[0])
    with pytest.raises(ValueError, match=r"head_mask must be \(4,\) or \(2, 4\), got \(3,\)"):
        model(ids, head_mask=torch.ones(3))


@pytest.mark.parametrize("of_mask", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
def test_a_head_mask_of_another_type(of_mask, ids, model):
    keep = torch.tensor([1, 0, 1, 1])
    expected = model(ids, head_mask=keep.float())[0]
    assert torch.equal(model(ids, head_mask=keep.to(of_mask))[0], expected)
    assert model.get_head_mask(keep.to(of_mask), 2)[0].dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(ids, head_mask=keep.float())[0]
        assert torch.equal(model(ids, head_mask=keep.to(of_mask))[0], expected)
    model.bfloat16()
    expected = model(ids, head_mask=keep.bfloat16())[0]
    assert torch.equal(model(ids, head_mask=keep.to(of_mask))[0], expected)


def test_gradients_reach_a_head_mask_of_another_type(ids, model):
    mask = torch.ones(4, requires_grad=True)
    model.bfloat16()(ids, head_mask=mask)[0][:, 0].sum().backward()
    assert mask.grad.dtype == torch.float32
    assert mask.grad.all()


# Positions


def test_position_ids(ids, model):
    expected = model(ids)[0]
    for positions in (torch.arange(5), torch.arange(5)[None], torch.arange(5).expand(3, 5)):
        assert torch.equal(model(ids, position_ids=positions)[0], expected)
    shifted = model(ids, position_ids=torch.arange(5) + 2)[0]
    assert not torch.allclose(shifted, expected)
    left = torch.tensor([[0, 0, 1, 1, 1]])
    right = torch.tensor([[0, 0, 0, 1, 2]])
    padded = model(ids[:1], attention_mask=left, position_ids=right)[0][:, 2:]
    torch.testing.assert_close(padded, model(ids[:1, 2:])[0])


def test_position_ids_of_multiple_choice(tiny):
    model = d.DistilBertForMultipleChoice(tiny).eval()
    ids = torch.randint(0, 60, (3, 2, 5))
    positions = torch.arange(5).expand(3, 2, 5)
    expected = model(ids).logits
    assert torch.equal(model(ids, position_ids=positions).logits, expected)
    embedded = model.get_input_embeddings()(ids)
    assert torch.equal(model(inputs_embeds=embedded, position_ids=positions).logits, expected)
    assert not torch.allclose(model(ids, position_ids=positions + 1).logits, expected)
    for shared in (torch.arange(5), torch.arange(5)[None]):
        assert torch.equal(model(ids, position_ids=shared).logits, expected)


def test_wrong_shapes_for_multiple_choice(tiny):
    model = d.DistilBertForMultipleChoice(tiny)
    ids = torch.randint(0, 60, (3, 2, 5))
    for name in ("attention_mask", "token_type_ids", "position_ids"):
        for shape in ((3, 2), (3, 5), (2, 3, 5), (1, 2, 5)):
            with pytest.raises(
                ValueError, match=rf"{name} must be \(3, 2, 5\).*got {re.escape(str(shape))}"
            ):
                model(ids, **{name: torch.ones(shape, dtype=torch.long)})


def test_sinusoids():
    table = sinusoids(6, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    torch.testing.assert_close(table[3, 2], torch.tensor(3 / 100).sin())
    torch.testing.assert_close(table[3, 1], torch.tensor(3.0).cos())


def test_sinusoidal_positions_are_fixed(tiny):
    tiny.sinusoidal_pos_embds = True
    weight = d.DistilBertForMaskedLM(tiny).get_position_embeddings().weight
    assert not weight.requires_grad
    assert torch.equal(weight, sinusoids(16, 32))


def test_new_weights_follow_the_configuration(tiny):
    tiny.initializer_range = 0.3
    tiny.dim, tiny.vocab_size = 64, 500
    model = d.DistilBertForSequenceClassification(tiny)
    words = model.get_input_embeddings().weight
    assert not words[0].any()  # padding
    for weight in (words[1:], model.pre_classifier.weight, model.get_position_embeddings().weight):
        assert abs(weight.std().item() - 0.3) < 0.02
    assert not model.pre_classifier.bias.any()
    norm = model.distilbert.embeddings.LayerNorm
    assert torch.equal(norm.weight, torch.ones(64))
    tied = d.DistilBertForMaskedLM(tiny)
    assert tied.vocab_projector.weight is tied.get_input_embeddings().weight
    assert not tied.vocab_projector.weight[0].any()


@pytest.mark.parametrize("cls", [d.DistilBertModel, d.DistilBertForMaskedLM])
def test_weights_of_a_model_on_the_meta_device_are_drawn(cls, tiny):
    with torch.device("meta"):
        model = cls(tiny)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    model.init_weights()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    lin1 = model.base_model.transformer.layer[0].ffn.lin1
    assert abs(lin1.weight.std().item() - tiny.initializer_range) < 0.02
    if cls is d.DistilBertForMaskedLM:
        assert model.vocab_projector.weight is model.get_input_embeddings().weight


def test_chunks_of_the_feed_forward_layer_change_nothing(ids, tiny, model):
    tiny.chunk_size_feed_forward = 2
    chunked = d.DistilBertModel(tiny).eval()
    chunked.load_state_dict(model.state_dict())
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    for implementation in ("sdpa", "varlen"):
        model.set_attn_implementation(implementation)
        chunked.set_attn_implementation(implementation)
        torch.testing.assert_close(chunked(ids, mask)[0], model(ids, mask)[0])


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_dropout_can_be_turned_off_module_by_module(implementation, ids, tiny):
    tiny.attention_dropout = 0.9
    model = d.DistilBertModel(tiny)
    model.set_attn_implementation(implementation)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    real = mask.bool()
    expected = model.eval()(ids, mask)[0][real]
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    torch.testing.assert_close(model(ids, mask)[0][real], expected)
    model.transformer.layer[0].attention.dropout.p = 0.9
    assert not torch.allclose(model(ids, mask)[0][real], expected)
    model.transformer.layer[0].attention.dropout = torch.nn.Identity()
    torch.testing.assert_close(model(ids, mask)[0][real], expected)


# What is refused


@pytest.mark.parametrize("cls", EVERY_CLASS, ids=lambda cls: cls.__name__)
def test_both_or_neither_of_ids_and_embeddings(cls, tiny):
    model = cls(tiny)
    ids = torch.zeros(1, 2, dtype=torch.long)
    if cls is d.DistilBertForMultipleChoice:
        ids = ids[None]
    with pytest.raises(ValueError, match=r"either input_ids or inputs_embeds; neither was given"):
        model()
    with pytest.raises(ValueError, match=r"either input_ids or inputs_embeds; both were given"):
        model(ids, inputs_embeds=torch.zeros(*ids.shape, 32))


def test_wrong_inputs(ids, tiny, model):
    def refused(error, match, *args, **kwargs):
        with pytest.raises(error, match=match):
            model(*args, **kwargs)

    refused(IndexError, "input_ids holds 60; the model knows 0 to 59", ids * 0 + 60)
    refused(IndexError, "input_ids holds -1", ids * 0 - 1)
    refused(IndexError, "position_ids holds 16", ids, position_ids=torch.arange(12, 17))
    refused(TypeError, "input_ids must be int64 or int32, got torch.float32", ids.float())
    refused(TypeError, r"input_ids must be a torch\.Tensor, got list", [[1, 2]])
    refused(ValueError, r"input_ids must be \(batch, tokens\), got \(5,\)", ids[0])
    refused(ValueError, "no token", ids[:, :0])
    refused(ValueError, r"inputs_embeds must be .* 32\), got \(3, 5, 31\)",
            inputs_embeds=torch.zeros(3, 5, 31))  # fmt: skip
    refused(ValueError, r"position_ids must be \(3, 5\)", ids, position_ids=torch.arange(4))
    refused(ValueError, "attention_mask must be", ids, attention_mask=torch.ones(3, 4))
    refused(ValueError, "attention_mask must be", ids, attention_mask=torch.ones(3, 5, 4))
    refused(ValueError, "attention_mask must be", ids, attention_mask=torch.ones(5))
    refused(ValueError, r"\(3, 1 or 4, 5, 5\), got \(3, 2, 5, 5\)", ids,
            attention_mask=torch.ones(3, 2, 5, 5))  # fmt: skip
    refused(TypeError, "attention_mask must be a torch.Tensor", ids, attention_mask=[[1]])
    refused(TypeError, "attention_mask must be a torch.Tensor", ids, attention_mask=[[1]],
            lengths=[5, 5, 4])  # fmt: skip
    refused(TypeError, "inputs_embeds must be a torch.Tensor, got ndarray",
            inputs_embeds=torch.zeros(3, 5, 32).numpy())  # fmt: skip
    refused(TypeError, "head_mask must be a torch.Tensor, got list", ids, head_mask=[1, 0, 1, 0])
    refused(TypeError, "unexpected keyword argument 'atention_mask'", ids, atention_mask=ids)
    with pytest.raises(
        ValueError, match=r"inputs must be \(batch, choices, tokens\), got \(3, 5\)"
    ):
        d.DistilBertForMultipleChoice(tiny)(ids)


def test_lists_for_multiple_choice(tiny):
    model, ids = d.DistilBertForMultipleChoice(tiny), torch.tensor([[[2, 3], [2, 3]]])
    mask = torch.ones_like(ids)
    for name in ("attention_mask", "position_ids", "token_type_ids", "labels"):
        with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got list"):
            model(ids, **{name: mask.tolist()})
    for name in ("input_ids", "inputs_embeds"):
        with pytest.raises(TypeError, match=f"{name} must be a torch.Tensor, got list"):
            model(**{name: ids.tolist()})


@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
def test_a_head_mask_of_nothing(ids, model, implementation):
    model.set_attn_implementation(implementation)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    assert torch.equal(model(ids, mask, [None, None])[0], model(ids, mask)[0])


def test_a_mask_per_head_is_for_all_heads_and_not_for_pruned_ones(ids, model):
    mask = torch.ones(3, 4, 5, 5)
    torch.testing.assert_close(model(ids, mask)[0], model(ids)[0])
    model.prune_heads({0: [1]})
    with pytest.raises(ValueError, match=r"\(3, 1, 5, 5\), got \(3, 4, 5, 5\)"):
        model(ids, mask)


def test_a_sequence_that_is_too_long(model):
    with pytest.raises(ValueError, match=r"17 tokens.*16") as error:
        model(torch.zeros(1, 17, dtype=torch.long))
    assert "truncation=True" in str(error.value)
    assert "resize_position_embeddings(17)" in str(error.value)
    assert model(inputs_embeds=torch.zeros(1, 16, 32))[0].shape == (1, 16, 32)


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
@pytest.mark.parametrize("cls", [d.DistilBertModel, *HEADS], ids=lambda cls: cls.__name__)
def test_an_empty_batch_gives_empty_outputs(cls, implementation, tiny):
    model = cls(tiny)
    model.set_attn_implementation(implementation)
    none = torch.zeros(0, 5, dtype=torch.long)
    output = model(none, attention_mask=none)
    assert len(output[0]) == 0
    if cls is not d.DistilBertModel:
        labels = none[:, 0] if cls is d.DistilBertForSequenceClassification else none
        assert model(none, labels=labels).loss == 0


def test_token_type_ids_are_ignored_with_a_word(ids, tiny, model):
    expected = model(ids)[0]
    with pytest.warns(UserWarning, match="token_type_ids are ignored"):
        output = model(ids, token_type_ids=torch.zeros_like(ids))
    assert torch.equal(output[0], expected)
    with pytest.warns(UserWarning, match="token_type_ids are ignored"):
        d.DistilBertForMaskedLM(tiny)(ids, token_type_ids=ids)


def test_an_attention_implementation_that_does_not_exist(tiny, model):
    with pytest.raises(ValueError, match="eager, sdpa, varlen"):
        model.set_attn_implementation("flash_attention_2")
    with pytest.raises(TypeError, match=r"takes a distilbert\.DistilBertConfig, got a"):
        d.DistilBertModel(d.BertConfig())


# Compile, trace, export


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_compile(implementation, ids, tiny):
    model = d.DistilBertForTokenClassification(tiny).eval()
    model.set_attn_implementation(implementation)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    expected = model(ids, attention_mask=mask, labels=ids % 3)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    output = compiled(ids, attention_mask=mask, labels=ids % 3)
    assert type(output) is type(expected)
    real = mask.bool()
    torch.testing.assert_close(output.logits[real], expected.logits[real])


@pytest.mark.parametrize("cls", [d.DistilBertModel, *HEADS], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
def test_export_with_dynamic_shapes(cls, implementation, ids, tiny):
    model = cls(tiny).eval()
    model.set_attn_implementation(implementation)
    batch, columns = torch.export.Dim("batch", max=64), torch.export.Dim("columns", min=2, max=16)
    shape = {0: batch, 1: columns}
    mask = torch.ones_like(ids)
    program = torch.export.export(
        model, (ids, mask), dynamic_shapes={"input_ids": shape, "attention_mask": shape}
    )
    other, other_mask = torch.randint(0, 60, (4, 9)), torch.ones(4, 9, dtype=torch.long)
    other_mask[1, 4:] = 0
    model.set_attn_implementation("sdpa")
    expected = model(other, other_mask)
    torch.testing.assert_close(program.module()(other, other_mask)[0], expected[0])


@pytest.mark.filterwarnings("ignore:`torch.jit")  # PyTorch's own, on tracing being old
@pytest.mark.parametrize("dims", [2, 3, 4])
def test_tracing_warns_of_nothing(dims, ids, model):
    model.requires_grad_(False)
    mask = torch.ones((3, 5) if dims == 2 else (3, 5, 5) if dims == 3 else (3, 1, 5, 5))
    traced = torch.jit.trace(lambda *given: model(*given, return_dict=False)[0], (ids, mask))
    torch.testing.assert_close(traced(ids, mask), model(ids, mask)[0])
    places, embeddings = torch.arange(5)[None], torch.zeros(3, 5, 32)
    torch.jit.trace(
        lambda x, p: model(inputs_embeds=x, position_ids=p, return_dict=False)[0],
        (embeddings, places),
    )


@pytest.mark.parametrize("return_dict", [False, True])
def test_trace(return_dict, ids, tiny):
    tiny.return_dict = return_dict
    model = d.DistilBertForSequenceClassification(tiny).eval()
    mask = torch.ones_like(ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, on tracing being old
        traced = torch.jit.trace(model, (ids, mask), strict=not return_dict)
    mask[1, 3:] = 0
    key = "logits" if return_dict else 0
    torch.testing.assert_close(traced(ids, mask)[key], model(ids, mask)[key])


@pytest.mark.filterwarnings("ignore:`torch.jit")  # PyTorch's own, on tracing being old
@pytest.mark.parametrize(
    "read", [lambda o: o.logits, lambda o: o[0], lambda o: o[:1][0], lambda o: o["logits"]]
)
def test_trace_of_a_model_inside_another(read, ids, tiny):
    """While it is traced too, an output is read as at any other time."""
    model = d.DistilBertForSequenceClassification(tiny).eval()

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, ids, mask):
            return read(self.inner(input_ids=ids, attention_mask=mask))

    mask = torch.ones_like(ids)
    traced = torch.jit.trace(Outer(), (ids, mask))
    mask[1, 3:] = 0
    torch.testing.assert_close(traced(ids, mask), model(ids, mask).logits)

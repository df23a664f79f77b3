"""Heads that read first tokens: the last block computes nothing else, unless somebody looks."""

import pytest
import torch

import distilbert as d
from distilbert.modeling import model as network

IMPLEMENTATIONS = ["sdpa", "varlen", "eager"]


def make(tiny, implementation, **fields):
    torch.manual_seed(0)
    tiny.attn_implementation = implementation
    for name, value in fields.items():
        setattr(tiny, name, value)
    return d.DistilBertForSequenceClassification(tiny).eval()


def feed(*lengths):
    draw = torch.Generator().manual_seed(1)
    shape = len(lengths), max(lengths)
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    return {
        "input_ids": torch.randint(0, 60, shape, generator=draw),
        "attention_mask": mask.long(),
    }


def rows_of(monkeypatch, model, **options):
    """Call the model; return its logits and how many rows each block's FFN was given."""
    counts = []
    inner = network.FFN._all
    monkeypatch.setattr(
        network.FFN, "_all", lambda self, x: counts.append(x[..., 0].numel()) or inner(self, x)
    )
    logits = model(**options).logits
    monkeypatch.undo()
    return logits, counts


@pytest.mark.parametrize("lengths", [(3, 7, 7, 1), (5, 5), (6,)])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_last_block_computes_first_tokens_only(monkeypatch, tiny, implementation, lengths):
    model, batch = make(tiny, implementation), feed(*lengths)
    logits, counts = rows_of(monkeypatch, model, **batch)
    all_tokens = sum(lengths) if implementation == "varlen" else len(lengths) * max(lengths)
    shown, whole = rows_of(monkeypatch, model, **batch, output_hidden_states=True)
    assert counts == [all_tokens, all_tokens if implementation == "eager" else len(lengths)]
    assert whole == [all_tokens, all_tokens]
    torch.testing.assert_close(logits, shown, atol=1e-6, rtol=1e-5)


def hook(model):
    return model.distilbert.transformer.layer[-1].ffn.lin2.register_forward_hook(lambda *_: None)


def before(model):
    last = model.distilbert.transformer.layer[-1]
    return last.register_forward_pre_hook(lambda *_: None)


def backward(model):
    last = model.distilbert.transformer.layer[-1]
    return last.attention.register_full_backward_hook(lambda *_: None)


def whole(model):
    return model.distilbert.transformer.register_forward_hook(lambda *_: None)


def everywhere(_):
    return torch.nn.modules.module.register_module_forward_hook(lambda *_: None)


@pytest.mark.parametrize("watch", [hook, before, backward, whole, everywhere])
@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
def test_who_watches_the_last_block_sees_all_tokens(monkeypatch, tiny, implementation, watch):
    model, batch = make(tiny, implementation), feed(4, 2, 6)
    expected, counts = rows_of(monkeypatch, model, **batch)
    handle = watch(model)
    logits, watched = rows_of(monkeypatch, model, **batch)
    assert counts[1] == 3
    assert watched[1] == watched[0] > 3
    handle.remove()
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("part", ["block", "attention"])
@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
def test_parts_of_somebody_else_see_all_tokens(monkeypatch, tiny, implementation, part):
    """Also those that were written before blocks knew of first tokens."""
    model, batch = make(tiny, implementation), feed(4, 2, 6)
    expected, _ = rows_of(monkeypatch, model, **batch)
    last = model.distilbert.transformer.layer[-1]
    changed = last if part == "block" else last.attention

    class Other(type(changed)):
        def forward(self, x, plan, head_mask):
            return super().forward(x, plan, head_mask)

    changed.__class__ = Other
    logits, counts = rows_of(monkeypatch, model, **batch)
    assert counts[1] == counts[0]
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_masks_per_query(tiny, dims):
    """Of a mask (B, T, T) or (B, 1, T, T) the first token's row counts."""
    model, batch = make(tiny, "sdpa"), feed(5, 5)
    mask = torch.randint(0, 2, (2, 5, 5), generator=torch.Generator().manual_seed(3))
    mask[:, :, 0] = 1
    mask = {2: mask[:, 0], 3: mask, 4: mask[:, None]}[dims]
    logits = model(batch["input_ids"], mask).logits
    expected = model(batch["input_ids"], mask, output_hidden_states=True).logits
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients(tiny, implementation, checkpointing):
    fields = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
    model, batch = make(tiny, implementation, **fields).train(), feed(4, 2, 6, 6)
    labels = torch.tensor([0, 1, 2, 0])

    def gradients():
        model.zero_grad()
        model(**batch, labels=labels).loss.backward()
        return [p.grad.clone() for p in model.parameters()]

    handle = hook(model)
    expected = gradients()
    handle.remove()
    if checkpointing:
        model.gradient_checkpointing_enable()
    for found, right in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(found, right, atol=1e-6, rtol=1e-4)


def test_a_chunked_feed_forward(tiny):
    whole, batch = make(tiny, "varlen"), feed(4, 2, 6)
    chunked = make(tiny, "varlen", chunk_size_feed_forward=2)
    torch.testing.assert_close(chunked(**batch).logits, whole(**batch).logits, atol=1e-6, rtol=1e-5)

"""The unpadded path against its plain twin, the padded one: outputs, losses, gradients."""

import pytest
import torch

import distilbert as d
from distilbert.modeling import attention, inputs
from distilbert.modeling.unpadding import Unpadding

MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 1, 1], [1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0]],
    "empty row": [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]],
    "all real": [[1] * 6] * 4,
    "none real": [[0] * 6] * 4,
    "one row": [[1, 1, 0, 0]],
    "one token": [[1], [0], [1]],
}
HEADS = [
    d.DistilBertModel,
    d.DistilBertForMaskedLM,
    d.DistilBertForTokenClassification,
    d.DistilBertForQuestionAnswering,
    d.DistilBertForSequenceClassification,
    d.DistilBertForMultipleChoice,
]
READS_FIRST = (d.DistilBertForSequenceClassification, d.DistilBertForMultipleChoice)


def make(head, tiny, dtype=torch.float32):
    torch.manual_seed(0)
    return head(tiny).to(dtype).eval()


def feed(head, mask, seed=1):
    """Random ids, and labels of which some lie at masked positions and some nowhere."""
    draw = torch.Generator().manual_seed(seed)
    batch, columns = mask.shape

    def integers(high, *shape):
        return torch.randint(0, high, shape, generator=draw)

    given = {"input_ids": integers(60, batch, columns), "attention_mask": mask}
    if head is d.DistilBertForMultipleChoice:
        given = {k: v.repeat(2, 1, 1).transpose(0, 1).contiguous() for k, v in given.items()}
        given["input_ids"] = integers(60, batch, 2, columns)
        given["labels"] = integers(2, batch)
    elif head is d.DistilBertForSequenceClassification:
        given["labels"] = integers(3, batch)
    elif head is d.DistilBertForQuestionAnswering:
        given["start_positions"] = integers(columns + 2, batch)
        given["end_positions"] = integers(columns, batch)
    elif head is not d.DistilBertModel:
        high = 60 if head is d.DistilBertForMaskedLM else 3
        labels = integers(high, batch, columns)
        given["labels"] = labels.masked_fill(integers(4, batch, columns) == 0, -100)
    return given


def run(model, implementation, given, **more):
    model.set_attn_implementation(implementation)
    model.zero_grad()
    output = model(**given, **more)
    loss = output["loss"] if "loss" in output else output[0].float().pow(2).sum()
    gradients = {}
    if loss.requires_grad:
        loss.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return output, loss.detach(), gradients


def reference(model, given, **more):
    """The padded path, with what the unpadded one means applied by hand."""
    mask = given["attention_mask"]
    model.set_attn_implementation("sdpa")
    model.zero_grad()
    given = dict(given)
    keep = mask.bool()
    if isinstance(model, d.DistilBertForQuestionAnswering):
        starts, ends = given.pop("start_positions"), given.pop("end_positions")
        output = model(**given, **more)
        loss = 0.0
        for name, positions in (("start_logits", starts), ("end_logits", ends)):
            logits = output[name].masked_fill(~keep, torch.finfo(output[name].dtype).min)
            output[name] = logits
            rows = [
                torch.nn.functional.cross_entropy(row[real].float(), real[:p].sum())
                for row, real, p in zip(logits, keep, positions, strict=True)
                if p < len(real) and real[p]
            ]
            loss = loss + (sum(rows) / len(rows) if rows else logits.sum() * 0.0) / 2
    else:
        if "labels" in given and given["labels"].dim() == 2 and mask.dim() == 2:
            given["labels"] = given["labels"].masked_fill(~keep, -100)
        output = model(**given, **more)
        loss = output.get("loss")
        if loss is None:
            zeroed = output[0].masked_fill(~keep[..., None], 0)
            output["last_hidden_state"] = zeroed
            loss = zeroed.float().pow(2).sum()
        elif not isinstance(model, READS_FIRST):
            output["logits"] = output.logits.masked_fill(~keep[..., None], 0)
    loss.backward()
    return output, loss.detach(), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("kind", ["right", "left", "holes", "empty row", "one row", "one token"])
def test_unpadded_equals_padded(head, kind, tiny):
    mask = torch.tensor(MASKS[kind])
    model = make(head, tiny)
    given = feed(head, mask)
    expected, expected_loss, expected_gradients = reference(model, given, output_hidden_states=True)
    expected_gradients = {n: g.clone() for n, g in expected_gradients.items() if g is not None}
    output, loss, gradients = run(model, "varlen", given, output_hidden_states=True)

    torch.testing.assert_close(loss.float(), expected_loss.float(), rtol=1e-5, atol=1e-5)
    for name in expected:
        if name == "hidden_states":
            continue
        torch.testing.assert_close(output[name], expected[name], rtol=1e-5, atol=1e-5)
    reads_masked_first = isinstance(model, READS_FIRST) and not mask[:, 0].all()
    for ours, theirs in zip(output.hidden_states, expected.hidden_states, strict=True):
        keep = torch.ones_like(theirs, dtype=torch.bool)
        if not reads_masked_first:
            keep = given["attention_mask"].flatten(0, -2).bool()[..., None].expand_as(theirs)
            assert not ours[~keep].any()
        torch.testing.assert_close(ours[keep], theirs[keep], rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected_gradients[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("kind", ["all real", "none real"])
def test_batches_without_anything_to_drop_take_the_padded_path(head, kind, tiny):
    model = make(head, tiny)
    given = feed(head, torch.tensor(MASKS[kind]))
    padded, loss, gradients = run(model, "sdpa", given)
    gradients = {name: g.clone() for name, g in gradients.items()}
    unpadded, same_loss, same_gradients = run(model, "varlen", given)
    assert torch.isfinite(loss)
    assert torch.equal(loss, same_loss)
    assert all(torch.equal(padded[name], unpadded[name]) for name in padded)
    assert all(torch.equal(gradients[name], same_gradients[name]) for name in gradients)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_rows_without_a_real_token_are_finite(head, implementation, tiny):
    model = make(head, tiny).train()
    for kind in ("empty row", "none real"):
        output, loss, gradients = run(model, implementation, feed(head, torch.tensor(MASKS[kind])))
        assert torch.isfinite(loss)
        assert all(torch.isfinite(output[n]).all() for n in output)
        assert all(torch.isfinite(g).all() for g in gradients.values())


def distance(ours, theirs):
    """How far two tensors are from each other, beside their size."""
    ours, theirs = ours.double(), theirs.double()
    return ((ours - theirs).norm() / theirs.norm().clamp(min=1e-3)).item()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("kind", ["right", "left", "holes", "empty row"])
def test_unpadded_equals_padded_in_bfloat16(head, kind, tiny):
    """Outputs, loss and all gradients, to a few roundings of 2^-8."""
    model = make(head, tiny, torch.bfloat16)
    given = feed(head, torch.tensor(MASKS[kind]))
    expected, expected_loss, expected_gradients = reference(model, given)
    expected_gradients = {n: g.clone() for n, g in expected_gradients.items() if g is not None}
    output, loss, gradients = run(model, "varlen", given)
    assert distance(loss, expected_loss) < 0.02
    for name in expected:
        if name != "loss":
            assert output[name].dtype == torch.bfloat16
            real = expected[name] > torch.finfo(torch.bfloat16).min
            assert torch.equal(real, output[name] > torch.finfo(torch.bfloat16).min)
            assert distance(output[name][real], expected[name][real]) < 0.02
    flat = [torch.cat([g[n].flatten() for n in gradients]) for g in (gradients, expected_gradients)]
    assert distance(*flat) < 0.04


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
def test_autocast_keeps_masked_rows_finite(head, implementation, tiny):
    model = make(head, tiny)
    given = feed(head, torch.tensor(MASKS["empty row"]))
    with torch.autocast("cpu", torch.bfloat16):
        output, loss, _ = run(model, implementation, given)
    _, exact_loss, _ = run(model, implementation, given)
    assert all(torch.isfinite(output[n]).all() for n in output)
    torch.testing.assert_close(loss.float(), exact_loss, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_autocast_leaves_float64_alone(implementation, tiny):
    model = make(d.DistilBertForMaskedLM, tiny).double()
    given = feed(d.DistilBertForMaskedLM, torch.tensor(MASKS["right"]))
    exact = run(model, implementation, given)[0].logits
    with torch.autocast("cpu", torch.bfloat16):
        found = run(model, implementation, given)[0].logits
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_gradient_checkpointing_changes_nothing(implementation, tiny):
    given = feed(d.DistilBertForMaskedLM, torch.tensor(MASKS["right"]))
    tiny.dropout = tiny.attention_dropout = 0.0
    model = make(d.DistilBertForMaskedLM, tiny).train()
    _, loss, gradients = run(model, implementation, given)
    gradients = {name: g.clone() for name, g in gradients.items()}
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    _, same_loss, same_gradients = run(model, implementation, given)
    assert torch.equal(loss, same_loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, same_gradients[name], rtol=0, atol=0)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_gradient_checkpointing_computes_the_layers_again(tiny):
    model = make(d.DistilBertModel, tiny).train()
    calls = []
    model.transformer.layer[0].register_forward_pre_hook(lambda *_: calls.append(1))
    ids = torch.randint(0, 60, (2, 5))
    model(ids)[0].sum().backward()
    assert len(calls) == 1
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model(ids)[0].sum().backward()
    assert len(calls) == 3
    model.gradient_checkpointing_enable({"use_reentrant": True})
    model(ids)[0].sum().backward()
    assert len(calls) == 5
    with pytest.raises(ValueError, match=r"use_reentrant, nothing else; got .*preserve_rng"):
        model.gradient_checkpointing_enable({"preserve_rng_state": False})


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_attention_dropout_acts_on_every_path(implementation, tiny):
    tiny.dropout = 0.0
    tiny.attention_dropout = 0.5
    model = make(d.DistilBertModel, tiny)
    given = feed(d.DistilBertModel, torch.tensor(MASKS["right"]))
    still = run(model, implementation, given)[0][0]
    model.train()
    torch.manual_seed(0)
    first = run(model, implementation, given)[0][0]
    second = run(model, implementation, given)[0][0]
    torch.manual_seed(0)
    again = run(model, implementation, given)[0][0]
    assert not torch.allclose(first, still)
    assert not torch.allclose(first, second)
    assert torch.equal(first, again)


def test_an_answer_does_not_depend_on_its_neighbours(tiny):
    model = make(d.DistilBertForTokenClassification, tiny)
    model.set_attn_implementation("varlen")
    mask = torch.tensor(MASKS["right"])
    ids = feed(d.DistilBertModel, mask)["input_ids"]
    together = model(ids, attention_mask=mask).logits
    for row, real, logits in zip(ids, mask.bool(), together, strict=True):
        alone = model(row[real][None]).logits[0]
        torch.testing.assert_close(logits[real], alone, rtol=1e-5, atol=1e-5)


# Lengths instead of, or beside, a mask


@pytest.mark.parametrize("implementation", ["sdpa", "varlen"])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_lengths_say_what_a_mask_says(head, implementation, tiny):
    model = make(head, tiny)
    given = feed(head, torch.tensor(MASKS["right"]))
    lengths = given["attention_mask"].sum(-1).tolist()
    by_mask, loss, _ = run(model, implementation, given)
    both, both_loss, _ = run(model, implementation, given, lengths=lengths)
    del given["attention_mask"]
    by_length, length_loss, _ = run(model, implementation, given, lengths=lengths)
    assert torch.equal(loss, length_loss)
    assert torch.equal(loss, both_loss)
    for name in by_mask:
        assert torch.equal(by_mask[name], by_length[name])
        assert torch.equal(by_mask[name], both[name])


@pytest.mark.parametrize("lengths", [[2, 3], [2, 3, 4, 7], [2, 3, 4, -1]])
def test_lengths_that_do_not_fit(lengths, tiny):
    model = make(d.DistilBertModel, tiny)
    with pytest.raises(ValueError, match="lengths must be 4 numbers from 0 to 6"):
        model(torch.zeros(4, 6, dtype=torch.long), lengths=lengths)


def test_lengths_that_contradict_the_mask(tiny):
    model = make(d.DistilBertModel, tiny)
    mask = torch.tensor(MASKS["holes"])
    with pytest.raises(ValueError, match="do not say the same"):
        model(torch.zeros_like(mask), attention_mask=mask, lengths=[4, 3, 2, 5])


def test_full_lengths_spare_a_device_the_mask(monkeypatch):
    monkeypatch.setattr(inputs, "readable", lambda x: False)
    mask, here = torch.tensor([[1, 1, 1], [1, 1, 0]]), torch.device("cpu")
    assert inputs.keep_mask(torch.ones_like(mask), [3, 3], (2, 3), here, 1) is None
    assert torch.equal(inputs.keep_mask(mask, [3, 2], (2, 3), here, 1), mask.bool())
    per_query = torch.ones(2, 3, 3)
    assert inputs.keep_mask(per_query, [3, 3], (2, 3), here, 1) is per_query
    with pytest.raises(ValueError, match=r"attention_mask must be \(2, 3\)"):
        inputs.keep_mask(torch.ones(2, 4), [3, 3], (2, 3), here, 1)


def test_layouts_from_mask_and_from_lengths_are_the_same():
    mask = torch.tensor(MASKS["right"]).bool()
    one = Unpadding.from_mask(mask)
    other = Unpadding.from_lengths(mask.sum(1).tolist(), 6, torch.device("cpu"))
    assert torch.equal(one.indices, other.indices)
    assert torch.equal(one.rows, other.rows)
    assert one.lengths == other.lengths == [1, 3, 3, 6]
    assert list(one.blocks()) == [(1, 1), (2, 3), (1, 6)]


@pytest.mark.parametrize("kind", list(MASKS))
def test_pad_is_the_inverse_of_unpad(kind):
    mask = torch.tensor(MASKS[kind]).bool()
    layout = Unpadding.from_mask(mask)
    x = torch.randn(*mask.shape, 5)
    assert torch.equal(layout.pad(layout.unpad(x)), x * mask[..., None])
    assert torch.equal(layout.pad(layout.unpad(x), -1.0)[~mask], -torch.ones_like(x[~mask]))
    assert torch.equal(layout.mask(), mask)


# The one place that decides


def chosen(tiny, mask, **changes):
    tiny.attn_implementation = changes.pop("implementation", "varlen")
    settings = {"needs_padding": False, "reads_first_token": False, "lengths": None, **changes}
    lengths = settings.pop("lengths")
    return inputs.choose_unpadding(tiny, mask, lengths, device=torch.device("cpu"), **settings)


def layout(tiny, mask, **changes):
    return chosen(tiny, mask, **changes)[0]


def test_the_unpadded_path_is_taken_for_padding_only(tiny):
    mask = torch.tensor(MASKS["right"]).bool()
    assert layout(tiny, mask) is not None
    assert layout(tiny, mask, reads_first_token=True) is not None
    assert layout(tiny, mask, implementation="sdpa") is None
    assert layout(tiny, mask, implementation="eager") is None
    assert layout(tiny, mask, needs_padding=True) is None
    assert layout(tiny, None) is None
    assert layout(tiny, mask[:, None].expand(4, 6, 6)) is None
    assert layout(tiny, torch.tensor(MASKS["all real"]).bool()) is None
    assert layout(tiny, torch.tensor(MASKS["none real"]).bool()) is None
    assert layout(tiny, mask[:0]) is None


def test_no_mask_is_left_where_nothing_is_masked(tiny):
    assert chosen(tiny, torch.tensor(MASKS["all real"]).bool()) == (None, None)
    right = torch.tensor(MASKS["right"]).bool()
    assert chosen(tiny, right)[1] is None
    assert chosen(tiny, right, needs_padding=True)[1] is right
    none_real = torch.tensor(MASKS["none real"]).bool()
    assert chosen(tiny, none_real)[1] is none_real


def test_a_head_that_reads_a_masked_first_token_takes_the_padded_path(tiny):
    left = torch.tensor(MASKS["left"]).bool()
    assert layout(tiny, left) is not None
    assert layout(tiny, left, reads_first_token=True) is None
    lengths = [3, 0]
    right = torch.arange(4) < torch.tensor(lengths)[:, None]
    assert layout(tiny, right, lengths=lengths) is not None
    assert layout(tiny, right, lengths=lengths, reads_first_token=True) is None


@pytest.mark.parametrize("extra", [{"output_attentions": True}, {"head_mask": torch.ones(2, 4)}])
def test_attentions_and_head_mask_take_the_padded_path(extra, tiny):
    model = make(d.DistilBertModel, tiny)
    given = feed(d.DistilBertModel, torch.tensor(MASKS["right"]))
    padded = run(model, "eager", given, **extra)[0]
    unpadded = run(model, "varlen", given, **extra)[0]
    assert torch.equal(padded.last_hidden_state, unpadded.last_hidden_state)
    assert unpadded.last_hidden_state[1, 5].any()


@pytest.mark.parametrize("part", ["embeddings", "embeddings.word_embeddings"])
def test_hooks_on_the_embeddings_take_the_padded_path(part, tiny):
    model = make(d.DistilBertModel, tiny)
    given = feed(d.DistilBertModel, torch.tensor(MASKS["right"]))
    shapes = []
    hook = model.get_submodule(part).register_forward_hook(
        lambda *call: shapes.append(call[2].shape)
    )
    padded = run(model, "sdpa", given)[0]
    assert torch.equal(run(model, "varlen", given)[0].last_hidden_state, padded.last_hidden_state)
    assert shapes == [(4, 6, 32)] * 2
    hook.remove()
    model.enable_input_require_grads()  # a hook that asks for no shape
    assert not run(model, "varlen", given)[0].last_hidden_state[1, 5].any()


@pytest.mark.parametrize("part", ["LayerNorm", "dropout"])
def test_hooks_before_a_part_of_the_embeddings_take_the_padded_path(part, tiny):
    model = make(d.DistilBertModel, tiny)
    given = feed(d.DistilBertModel, torch.tensor(MASKS["right"]))
    seen = []
    model.embeddings.get_submodule(part).register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    run(model, "sdpa", given)
    run(model, "varlen", given)
    assert torch.equal(*seen)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_cuda(head, dtype, tiny):
    mask = torch.tensor(MASKS["right"])
    given = feed(head, mask)
    exact, exact_loss, _ = run(make(head, tiny), "varlen", given)
    model = make(head, tiny, dtype).cuda()
    on_device = {name: x.cuda() for name, x in given.items()}
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 0.1, "atol": 0.1}
    )
    lengths = given["attention_mask"].sum(-1).tolist()
    for more in ({}, {"lengths": lengths}):
        output, loss, gradients = run(model, "varlen", on_device, **more)
        name = next(n for n in output if n != "loss")
        real = exact[name] > torch.finfo(dtype).min
        torch.testing.assert_close(output[name].float().cpu()[real], exact[name][real], **tolerance)
        torch.testing.assert_close(loss.float().cpu(), exact_loss, **tolerance)
        assert all(torch.isfinite(g).all() for g in gradients.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_attention_dropout_on_cuda(dtype):
    """The mean over many draws is attention without dropout, for sequences of several lengths."""
    layout = Unpadding.from_lengths([3, 7, 0, 7], 8, torch.device("cuda"))
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 17, 2, 32, device="cuda", dtype=dtype).unbind()
    exact = attention.unpadded(q.cpu(), k.cpu(), v.cpu(), layout_on_cpu(layout), 0.0)
    draws = [attention.unpadded(q, k, v, layout, 0.1).float().cpu() for _ in range(400)]
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(torch.stack(draws).mean(0), exact.float(), rtol=0.1, atol=0.1)


def layout_on_cpu(layout):
    return Unpadding(layout.indices.cpu(), layout.lengths, layout.rows.cpu(), layout.shape)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_flash_kernel_drops_out():
    """Its mean over seeds is attention without dropout; a seed gives the same bits again."""
    lengths, rate = [7, 300, 33], 0.3
    layout = Unpadding.from_lengths(lengths, 300, torch.device("cuda"))
    torch.manual_seed(0)
    shape = (sum(lengths), 4, 32)
    q, k, v = (torch.randn(shape, device="cuda").bfloat16().requires_grad_() for _ in range(3))
    plain = attention.unpadded(q, k, v, layout, 0.0)
    blocks = attention.unpadded(q.float(), k.float(), v.float(), layout, 0.0)
    torch.testing.assert_close(plain.float(), blocks, rtol=0.02, atol=0.02)

    def dropped(seed):
        torch.manual_seed(seed)
        return attention.unpadded(q, k, v, layout, rate)

    assert torch.equal(dropped(1), dropped(1))
    assert not torch.equal(dropped(1), dropped(2))
    mean = torch.stack([dropped(seed).detach().float() for seed in range(400)]).mean(0)
    error = (mean - blocks).norm() / blocks.norm()
    spread = (dropped(0).float() - blocks).norm() / blocks.norm()
    assert error < 0.15 * spread
    weights = torch.randn(shape, device="cuda")
    gradients = torch.autograd.grad((dropped(1).float() * weights).sum(), (q, k, v))
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)
    # The context is linear in the values, if the way back drops what the way there dropped.
    by_values = (gradients[2].float() * v.float()).sum()
    torch.testing.assert_close(by_values, (dropped(1).float() * weights).sum(), rtol=0.02, atol=1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_without_padding_needs_no_mask_on_cuda(tiny):
    given = feed(d.DistilBertForMaskedLM, torch.tensor(MASKS["all real"]))
    model = make(d.DistilBertForMaskedLM, tiny)
    exact = run(model, "varlen", given)[0].logits
    on_device = {name: x.cuda() for name, x in given.items() if name != "attention_mask"}
    found = run(model.cuda(), "varlen", on_device, lengths=[6] * 4)[0].logits
    torch.testing.assert_close(found.cpu(), exact, rtol=1e-4, atol=1e-4)

"""Outputs, losses and gradients are transformers', for files that transformers wrote.

Random configurations and weights (`pair` in conftest.py), dropout off, fp32 to 1e-5.
"""

import pytest
import torch
import torch.nn.functional as F

import distilbert

pytestmark = pytest.mark.parity


@pytest.fixture(params=["eager", "sdpa"])
def our_attention(request, pair):
    before = pair.ours.config.attn_implementation
    pair.ours.set_attn_implementation(request.param)
    yield request.param
    pair.ours.set_attn_implementation(before)


def test_outputs_losses_and_gradients(pair, mask, our_attention):
    assert pair.info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    pair.check(pair.inputs(mask, labels=True), gradients=True)


def test_hidden_states_and_attentions(pair, mask):
    pair.check(pair.inputs(mask), output_hidden_states=True, output_attentions=True)
    output = pair.ours(**pair.inputs(mask), output_hidden_states=True, output_attentions=True)
    layers = pair.ours.config.n_layers
    assert (len(output.hidden_states), len(output.attentions)) == (layers + 1, layers)


def test_dropout_has_the_same_places(pair):
    """Code that sets the rate of every Dropout then drops where transformers does."""
    ours, theirs = (
        [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
        for model in (pair.ours, pair.theirs)
    )
    assert sorted(ours) == sorted(theirs)


def test_parts_by_themselves(make_pair, tools, peer_version):
    if peer_version < (5, 0):
        pytest.skip("in transformers 4.57 their arguments and results are others")
    pair = make_pair("DistilBertModel", seed=1)
    given = pair.inputs("right")
    added = pair.ours.get_extended_attention_mask(given["attention_mask"])
    x = pair.theirs.embeddings(given["input_ids"])
    tools.assert_close(pair.ours.embeddings(given["input_ids"]), x)
    words = pair.ours.get_input_embeddings()(given["input_ids"])
    tools.assert_close(pair.ours.embeddings(None, words), x)
    ours, theirs = pair.ours.transformer, pair.theirs.transformer
    for mask in (None, added):
        tools.assert_close(ours(x, mask)[0], theirs(x, mask)[0])
        for one, other in zip(ours.layer, theirs.layer, strict=True):
            tools.assert_close(one(x, mask), other(x, mask))
            tools.assert_close(one.attention(x, mask)[0], other.attention(x, mask)[0])


def test_tuples(pair, tools):
    given = pair.inputs("right", labels=True)
    wants = {"output_hidden_states": True, "output_attentions": True, "return_dict": False}
    ours, theirs = (model(**given, **wants) for model in (pair.ours, pair.theirs))
    assert isinstance(ours, tuple)
    tools.assert_close(ours, [part for part in theirs if part != ()])  # no cross-attentions


def test_inputs_embeds(pair, tools):
    given = pair.inputs("holed", segments=False)
    words = pair.theirs.get_input_embeddings().weight
    embeds = words[given.pop("input_ids")].detach()
    gradients = []
    for model in (pair.theirs, pair.ours):
        leaf = embeds.clone().requires_grad_()
        model(inputs_embeds=leaf, **given)[0].square().mean().backward()
        gradients.append(leaf.grad)
    tools.assert_close(*gradients)
    pair.check({"inputs_embeds": embeds, **given}, gradients=True)


def test_position_ids(pair, peer_version):
    if not pair.bert and peer_version < (5, 0):
        pytest.skip("transformers 4.57 has no position_ids for DistilBERT")
    given = pair.inputs("right")
    ids = given["input_ids"]
    longest = pair.ours.config.max_position_embeddings
    given["position_ids"] = torch.randint(
        0, longest, ids.shape, generator=torch.Generator().manual_seed(1)
    )
    peer_given = dict(given)
    if pair.class_name == "DistilBertForMultipleChoice":  # 5.23 crashes unless they come flat
        peer_given["position_ids"] = given["position_ids"].flatten(0, 1)
    pair.check(given, gradients=True, peer_given=peer_given)


def test_their_fast_attention(class_name, make_pair, mask):
    pair = make_pair(class_name, seed=7, attention="sdpa")
    pair.check(pair.inputs(mask, labels=True), gradients=True)


def test_unpadded_at_real_tokens(pair, tools):
    """The unpadded path; a question's loss is then that of the unpadded question."""
    given = pair.inputs("right", labels=True)
    where = given["attention_mask"].bool().flatten(0, -2)
    positions = {n: given.pop(n) for n in list(given) if n.endswith("_positions")}
    pair.ours.set_attn_implementation("varlen")
    try:
        pair.check(given, gradients=True, where=where, output_hidden_states=True)
        if positions:
            theirs = pair.theirs(**given)
            answers = {"start": torch.tensor([2, 0, 1]), "end": torch.tensor([3, 2, 1])}
            alone = [
                F.cross_entropy(theirs[f"{which}_logits"][row, keep], answer[row])
                for which, answer in answers.items()
                for row, keep in enumerate(where)
            ]
            given.update({f"{which}_positions": answer for which, answer in answers.items()})
            tools.assert_close(pair.ours(**given).loss, torch.stack(alone).mean())
    finally:
        pair.ours.set_attn_implementation("sdpa")


@pytest.mark.parametrize("dim", [6, 7, 64])
def test_new_sinusoids(transformers, tools, dim):
    settings = {"sinusoidal_pos_embds": True, "dim": dim, "n_heads": 1, "n_layers": 1}
    ours, theirs = (
        package.DistilBertModel(package.DistilBertConfig(**settings)).get_position_embeddings()
        for package in (distilbert, transformers)
    )
    tools.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("our_attention", ["eager", "sdpa", "varlen"])
def test_bf16_is_as_close_to_fp32(class_name, make_pair, our_attention):
    pair = make_pair(class_name, seed=5)
    given = pair.inputs("right")
    where = given["attention_mask"].bool()

    def compute(model):
        with torch.no_grad():
            value = model(**given)[0].float()
        return value[where] if value.shape[:2] == where.shape else value

    exact = compute(pair.theirs)
    theirs = compute(pair.theirs.bfloat16())
    ours = type(pair.ours).from_pretrained(
        pair.folder, dtype="bfloat16", attn_implementation=our_attention
    )
    errors = [((value - exact).norm() / exact.norm()).item() for value in (compute(ours), theirs)]
    assert errors[0] < 2 * errors[1] + 0.005
    assert errors[0] < 0.05

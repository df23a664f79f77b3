"""A prepared model against the model it was made from."""

import copy
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

import distilbert as d
from distilbert.inference import native_stack as stack
from distilbert.inference import slices
from distilbert.modeling.model import AttentionPlan, Transformer
from distilbert.modeling.unpadding import Unpadding
from distilbert.native import library, processor

from .conftest import HEADS, LONGEST

MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 1, 1], [1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0]],
    "empty row": [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1] * 6],
    "all real": [[1] * 6] * 4,
    "none real": [[0] * 6] * 2,
    "one token": [[1], [0], [1]],
}


@pytest.fixture(autouse=True, params=["native", "torch"])
def engine(request, monkeypatch):
    """Every test with both engines."""
    if request.param == "torch":
        monkeypatch.setattr(library, "engine", lambda: None)
    elif library.engine() is None:
        pytest.skip("not compiled")
    return request.param


def assert_equal(found, expected, atol=1e-5):
    assert list(found) == list(expected)
    for name in expected:
        several = isinstance(expected[name], tuple)
        pairs = (found[name], expected[name]) if several else ((found[name],), (expected[name],))
        for ours, theirs in zip(*pairs, strict=True):
            assert ours.dtype == torch.float32
            torch.testing.assert_close(ours, theirs.detach(), atol=atol, rtol=1e-5)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
def test_equal_to_the_model(make, feed, family, head, mask):
    model = make(head, family)
    inputs = feed(head, torch.tensor(MASKS[mask]))
    assert_equal(d.prepare(model)(**inputs), model(**inputs))


@pytest.mark.parametrize("activation", sorted(library.ACTIVATIONS.keys() - {None}))
def test_a_nan_stays_one(make, activation):
    """Whatever it passes on its way, a weight that is broken shows."""
    model = make(activation=activation)
    model.transformer.layer[0].ffn.lin1.weight.data[3, 5] = float("nan")
    assert d.prepare(model)(torch.tensor([[2, 7, 9, 3]])).last_hidden_state.isnan().all()


@pytest.mark.parametrize("seed", range(6))
def test_equal_on_random_shapes(make, feed, seed, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_TOKENS", 64)
    monkeypatch.setattr(stack, "SLICE_TOKENS", 64)
    draw = random.Random(seed)
    heads = draw.choice([1, 2, 3, 5])
    model = make(
        head := draw.choice(HEADS),
        draw.choice(["DistilBert", "Bert"]),
        n_layers=draw.randint(1, 4),
        n_heads=heads,
        dim=heads * draw.choice([4, 7, 16]),
        hidden_dim=draw.randint(1, 90),
        activation=draw.choice(["gelu", "gelu_new", "relu", "silu", "quick_gelu", "tanh"]),
    )
    prepared = d.prepare(model)
    for _ in range(3):
        batch, longest = draw.randint(1, 12), draw.randint(1, LONGEST)
        mask = torch.rand(batch, longest, generator=torch.Generator().manual_seed(seed)) < 0.7
        inputs = feed(head, mask.long(), seed)
        assert_equal(prepared(**inputs), model(**inputs), atol=3e-5)  # weights are large


@pytest.fixture
def three_threads(monkeypatch):
    """Slices of a few tokens on three threads."""
    monkeypatch.setattr(slices, "SLICE_TOKENS", 8)
    monkeypatch.setattr(stack, "SLICE_TOKENS", 8)
    monkeypatch.setattr(slices, "FEWEST_TOKENS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("inference_mode", [False, True])
@pytest.mark.parametrize("mask", ["right", "holes", "empty row", "all real", "none real"])
@pytest.mark.parametrize("head", HEADS)
def test_equal_on_several_threads(make, feed, three_threads, head, mask, inference_mode):
    model = make(head)
    inputs = feed(head, torch.tensor(MASKS[mask])) | {"output_hidden_states": True}
    prepared = d.prepare(model)
    with torch.inference_mode(inference_mode):
        found = prepared(**inputs)
    assert_equal(found, model(**inputs))
    assert torch.get_num_threads() == 3


def test_slices_are_whole_sequences_of_about_equal_size(monkeypatch, three_threads):
    monkeypatch.setattr(slices, "SLICE_TOKENS", 100)
    lengths = sorted([3, 30, 20, 0, 28, 1, 31, 25, 14, 29, 16] * 3)  # 591 tokens
    layout = Unpadding.from_lengths(lengths, 31, torch.device("cpu"))
    plan = AttentionPlan(layout, None, step_by_step=False)
    parts = slices.slices(plan, torch.zeros(sum(lengths), 4))
    sizes = [part.tokens.stop - part.tokens.start for part in parts]
    assert len(parts) == 6  # for three threads, about 100 tokens each
    assert sum(sizes) == sum(lengths)
    assert max(abs(size - 591 / 6) for size in sizes) <= 31
    assert [each for part in parts for each in part.layout.lengths] == lengths
    for few in (2, 0):  # tokens
        layout = Unpadding.from_lengths([few], 9, torch.device("cpu"))
        plan = AttentionPlan(layout, None, step_by_step=False)
        assert len(slices.slices(plan, torch.zeros(few, 4))) == 1


NOT_FINITE = {
    "distilbert.embeddings.word_embeddings.weight": torch.nan,
    "distilbert.embeddings.LayerNorm.bias": torch.nan,
    "distilbert.transformer.layer.0.attention.v_lin.bias": torch.nan,
    "distilbert.transformer.layer.1.ffn.lin1.weight": torch.inf,
    "distilbert.transformer.layer.1.ffn.lin1.bias": -torch.inf,
    "distilbert.transformer.layer.1.output_layer_norm.weight": torch.nan,
    "vocab_layer_norm.bias": torch.nan,
}


@pytest.mark.parametrize(("name", "value"), NOT_FINITE.items(), ids=list(NOT_FINITE))
def test_int8_refuses_weights_that_are_not_finite(make, name, value):
    model = make("ForMaskedLM")
    model.get_parameter(name).data.flatten()[5] = value
    d.prepare(model)
    with pytest.raises(ValueError, match=f"^{name} has values that are nan or infinite"):
        d.prepare(model, "int8")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_the_head_rules_out(make, precision):
    ids = torch.tensor([[2, 7, 9, 3]])
    for head, name in ("MaskedLM", "vocab_projector"), ("SequenceClassification", "classifier"):
        model = make(f"For{head}")
        model.get_submodule(name).bias.data[1] = -torch.inf
        found = d.prepare(model, precision)(ids).logits
        assert (found[..., 1] == -torch.inf).all()
        assert found.isfinite().sum() == found.numel() - found[..., 1].numel()


def test_the_native_engine_needs_no_fbgemm(make, engine, monkeypatch):
    monkeypatch.setattr(processor, "has_fbgemm", lambda: False)
    if engine == "native":
        assert d.prepare(make(), "int8").engine == "native"
    with pytest.raises(ValueError, match="int8 needs the native engine"):
        d.prepare(make(), "int8", engine="torch")


@pytest.mark.parametrize("head", HEADS)
def test_everything_that_forward_takes(make, feed, right, head):
    model = make(head, "Bert")
    prepared = d.prepare(model)
    inputs = feed(head, right(5, 2, 5))
    ids = inputs["input_ids"]
    inputs["token_type_ids"] = ids % 2
    inputs["position_ids"] = torch.arange(5).flip(0).expand(ids.shape)
    asked = inputs | {"output_hidden_states": True}
    assert_equal(prepared(**asked), model(**asked))
    words = model.get_input_embeddings()(inputs.pop("input_ids")).detach()
    assert_equal(prepared(**inputs, inputs_embeds=words), model(**inputs, inputs_embeds=words))
    lengths = inputs.pop("attention_mask").sum(-1).tolist()
    inputs["input_ids"] = ids
    assert_equal(prepared(**inputs, lengths=lengths), model(**inputs, lengths=lengths))
    assert isinstance(prepared(ids, return_dict=False), tuple)


@pytest.mark.parametrize("shape", [(3, 6, 6), (3, 1, 6, 6), (1, 1, 6, 6), (1, 1, 1, 6)])
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_a_mask_per_query(make, feed, head, shape, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_TOKENS", 12)
    monkeypatch.setattr(stack, "SLICE_TOKENS", 12)
    model = make(head)
    inputs = feed(head, torch.ones(3, 6, dtype=torch.long))
    inputs["attention_mask"] = torch.rand(shape) < 0.7
    assert_equal(d.prepare(model)(**inputs), model(**inputs))


def test_losses_are_computed_without_gradients(make, feed, right):
    model = make("ForSequenceClassification")
    inputs = feed("", right(4, 2)) | {"labels": torch.tensor([0, 2])}
    output = d.prepare(model)(**inputs)
    assert_equal(output, model(**inputs))
    assert not output.loss.requires_grad


def test_pruned_heads(make, feed, right):
    model = make()
    model.prune_heads({0: [0, 2], 1: [1]})
    inputs = feed("", right(6, 3))
    assert_equal(d.prepare(model)(**inputs), model(**inputs))


def test_a_decoder_of_its_own(make, feed, right):
    model = make("ForMaskedLM", tie_word_embeddings=False)
    inputs = feed("", right(6, 3))
    assert_equal(d.prepare(model)(**inputs), model(**inputs))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_nothing_is_shared_with_the_model(make, feed, right, precision):
    model = make("ForSequenceClassification", "Bert")
    inputs = feed("", right(6, 3))
    prepared = d.prepare(model, precision)
    before = prepared(**inputs).logits
    for parameter in model.parameters():
        parameter.data.zero_()
    model.config.num_labels = 7
    torch.testing.assert_close(prepared(**inputs).logits, before, atol=0, rtol=0)
    assert prepared.config.num_labels == 3


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("head", ["ForMaskedLM", "ForSequenceClassification"])
def test_a_text_alone_and_among_others(make, feed, right, head, precision):
    model = make(head)
    if precision == "int8":  # an outlier far beyond its neighbours
        model.get_input_embeddings().weight.data[7, 3] = 500.0
    prepared = d.prepare(model, precision)
    lengths = [5, 9, 1, 20, 9, 3]
    inputs = feed(head, right(*lengths))
    ids = inputs["input_ids"]
    ids[ids == 7] = 8
    ids[3, 4] = 7
    together = prepared(**inputs).logits
    for row, length in enumerate(lengths):
        alone = prepared(ids[row : row + 1, :length]).logits[0]
        found = together[row, :length] if head == "ForMaskedLM" else together[row]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_eight_threads_at_once(make, feed, right, precision):
    prepared = d.prepare(make("ForTokenClassification"), precision)
    batches = [feed("", right(*range(1, 3 + i)), seed=i) for i in range(16)]
    expected = [prepared(**batch).logits for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for found, wanted in zip(
                pool.map(lambda batch: prepared(**batch).logits, batches), expected, strict=True
            ):
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:bf16 is slow on this processor")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.05), ("fp16", 0.005), ("int8", 0.08)])
def test_lower_precision_is_close(make, feed, right, head, precision, most, monkeypatch):
    # No processor has fp16 by itself, but each can compute it.
    monkeypatch.setattr(processor, "choose_precision", lambda *given: given[0])
    model = make(head, dim=64, hidden_dim=128)
    inputs = feed(head, right(9, 4, 9)) | {"output_hidden_states": True}
    found, expected = d.prepare(model, precision)(**inputs), model(**inputs)
    assert all(found[name].dtype == torch.float32 for name in found if name != "hidden_states")
    found, expected = found.hidden_states[-1], expected.hidden_states[-1]
    assert 0 < (found - expected).norm() / expected.norm() < most


def test_what_only_the_model_can_do(make, feed, right):
    prepared = d.prepare(make())
    inputs = feed("", right(3, 2))
    for asked in ({"output_attentions": True}, {"head_mask": torch.ones(4)}):
        with pytest.raises(ValueError, match="call the model that it was made from"):
            prepared(**inputs, **asked)
    for name in ("state_dict", "save_pretrained", "parameters", "half", "to"):
        with pytest.raises(AttributeError, match=f"no '{name}'.*prepare that one again"):
            getattr(prepared, name)
    with pytest.raises(AttributeError, match=r"no 'train'.*prepare that one again"):
        prepared.train()
    with pytest.raises(AttributeError, match=r"no 'colour'$"):
        _ = prepared.colour
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="load in each process; threads may share one"):
            use(prepared)
    assert prepared.eval() is prepared.train(False) is prepared


def test_bad_inputs_get_the_model_s_errors(make):
    prepared = d.prepare(make("ForMaskedLM"), "int8")
    with pytest.raises(IndexError, match=f"input_ids holds {999}; the model knows 0 to 59"):
        prepared(torch.tensor([[1, 999]]))
    with pytest.raises(IndexError, match="input_ids holds -1"):
        prepared(torch.tensor([[1, -1]]))
    with pytest.raises(ValueError, match="the model has positions for 40"):
        prepared(torch.ones(1, 41, dtype=torch.long))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("head", HEADS)
def test_no_texts(make, feed, head, precision):
    model = make(head)
    inputs = feed(head, torch.ones(0, 5, dtype=torch.long))
    found, expected = d.prepare(model, precision)(**inputs), model(**inputs)
    assert [found[name].shape for name in found] == [expected[name].shape for name in expected]


def test_models_that_cannot_be_prepared(make):
    with pytest.raises(TypeError, match="DistilBERT or BERT model of this package, got Linear"):
        d.prepare(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"precision must be .*; got 'fp64'"):
        d.prepare(make(), "fp64")
    model = make()
    model.transformer.layer[1].ffn.lin1 = torch.nn.Sequential(model.transformer.layer[1].ffn.lin1)
    with pytest.raises(TypeError, match=r"layer\.1\.lin1 is a .*Sequential; .*merged"):
        d.prepare(model)
    model.transformer.layer[0] = torch.nn.Identity()
    with pytest.raises(TypeError, match=r"layer\.0 is a .*Identity; only .*Transf"):
        d.prepare(model)


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_quantised_models(make):
    model = make()
    with pytest.raises(TypeError, match=r"^prepare the model before torch\.compile, or its"):
        d.prepare(torch.compile(model, backend="eager"))
    model.transformer.layer[0] = torch.compile(model.transformer.layer[0], backend="eager")
    with pytest.raises(TypeError, match=r"^transformer\.layer\.0 is compiled: prepare the"):
        d.prepare(model)
    quantised = torch.ao.quantization.quantize_dynamic(make(), {torch.nn.Linear})
    with pytest.raises(TypeError, match=r"is a torch\.ao\.nn\.quantized\..*\.Linear; only torch"):
        d.prepare(quantised)


def test_parts_that_would_be_passed_by(make):
    class Doubled(torch.nn.Embedding):
        def forward(self, ids):
            return 2 * super().forward(ids)

    class Shifted(torch.nn.LayerNorm):
        def forward(self, x):
            return super().forward(x) + 1

    model = make()
    model.transformer.layer[1].output_layer_norm = Shifted(32)
    with pytest.raises(TypeError, match=r"layer\.1\.output_layer_norm is a .*Shifted; .*LayerN"):
        d.prepare(model)
    model = make()
    model.transformer.layer[0].sa_layer_norm = torch.nn.LayerNorm(32, bias=False)
    with pytest.raises(TypeError, match=r"layer\.0\.sa_layer_norm has no weight or no bias"):
        d.prepare(model)
    model = make()
    model.transformer.layer[0].ffn.register_forward_hook(lambda *given: None)
    with pytest.raises(TypeError, match=r"layer\.0\.ffn has a hook, .*: remove it"):
        d.prepare(model)
    model = make()
    model.set_input_embeddings(Doubled.from_pretrained(model.get_input_embeddings().weight))
    ids = torch.tensor([[2, 7, 3]])
    torch.testing.assert_close(d.prepare(model)(ids)[0], model(ids)[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(TypeError, match=r"word_embeddings is a .*Doubled; only .*Embedding"):
        d.prepare(model, "int8")


@pytest.mark.parametrize("path", ["attention_dropout", "ffn.dropout"])
def test_what_stands_where_a_dropout_did(make, path):
    model, ids = make(), torch.tensor([[2, 7, 3]])
    block = model.transformer.layer[1]
    block.set_submodule("attention.dropout", torch.nn.Tanh())  # whose rate is read
    for passes in (torch.nn.Identity(), torch.nn.Dropout(0.3)):
        block.set_submodule(path, passes.eval())
        torch.testing.assert_close(d.prepare(model)(ids)[0], model(ids)[0], atol=1e-5, rtol=1e-5)
    block.set_submodule(path, torch.nn.Sequential(torch.nn.Linear(32, 32)))
    with pytest.raises(TypeError, match=rf"^layer\.1\.{path} is a .*Sequential; .*\.Dropout can"):
        d.prepare(model)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["word_embeddings", "position_embeddings"])
def test_tables_that_change_as_they_are_read(make, name, precision):
    model, ids = make(dim=64), torch.tensor([[2, 7, 9, 3]])
    table = model.embeddings.get_submodule(name)
    table.max_norm = 0.5
    with pytest.raises(ValueError, match=rf"^{name} has max_norm=0\.5, .*renorm_\(2\.0, 0, 0\.5"):
        d.prepare(model, precision)
    expected = copy.deepcopy(model)(ids)[0].detach()
    table.weight.data.renorm_(2.0, 0, 0.5)  # what the message says
    table.max_norm = None
    found = d.prepare(model, precision)(ids)[0]
    assert (found - expected).norm() / expected.norm() < (1e-5 if precision == "fp32" else 0.08)


HOOKED = {
    "the stack of blocks": "distilbert.transformer",
    "pre_classifier": "pre_classifier",
    "classifier": "classifier",
    "layer.0.attention.q_lin": "distilbert.transformer.layer.0.attention.q_lin",
    "word_embeddings": "distilbert.embeddings.word_embeddings",
}


@pytest.mark.parametrize(("name", "path"), HOOKED.items(), ids=list(HOOKED))
def test_hooks_on_what_is_replaced(make, name, path):
    model = make("ForSequenceClassification")
    hook = model.get_submodule(path).register_forward_hook(lambda *given: None)
    with pytest.raises(TypeError, match=f"^{name} has a hook"):
        d.prepare(model, "int8")
    hook.remove()
    d.prepare(model, "int8")


@pytest.mark.parametrize(
    "path", ["distilbert", "distilbert.embeddings", "distilbert.embeddings.word_embeddings"]
)
def test_hooks_on_what_stays_are_called(make, path):
    model, seen = make("ForSequenceClassification"), []
    model.get_submodule(path).register_forward_hook(lambda *given: seen.append(path))
    d.prepare(model)(torch.tensor([[2, 7, 3]]))
    assert seen == [path]


def test_hooks_of_all_modules(make):
    hook = register_module_forward_hook(lambda *given: None)
    try:
        with pytest.raises(TypeError, match=r"^hooks of all modules .*: remove them first"):
            d.prepare(make())
    finally:
        hook.remove()


REPLACED = [*HOOKED.values(), "distilbert", "distilbert.embeddings.LayerNorm"]


@pytest.mark.parametrize("path", ["", *REPLACED])
def test_a_replaced_method(make, path):
    model = make("ForSequenceClassification")
    module = model.get_submodule(path)
    own = module.forward
    module.forward = lambda *given, **named: own(*given, **named)
    with pytest.raises(TypeError, match=f"^{path or 'the model'} has a forward of its own"):
        d.prepare(model)
    module.forward = own
    d.prepare(model)


def test_activations_are_those_of_the_blocks(make):
    model, ids = make(activation="gelu_new"), torch.tensor([[2, 7, 3]])
    model.transformer.layer[0].ffn.activation = torch.nn.functional.relu
    model.config.activation = "silu"
    found = d.prepare(copy.deepcopy(model))(ids)[0]
    torch.testing.assert_close(found, model(ids)[0], atol=1e-5, rtol=1e-5)
    model.transformer.layer[1].ffn.activation = torch.nn.ReLU()
    with pytest.raises(TypeError, match=r"^layer\.1\.ffn\.activation is ReLU\(\), which is not"):
        d.prepare(model)


def test_a_stack_of_another_class_is_not_prepared(make):
    class Stack(Transformer):
        pass

    model = make()
    model.transformer = Stack(model.config)
    with pytest.raises(TypeError, match=r"the stack of blocks is a .*Stack; only .*Transformer"):
        d.prepare(model)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_other_defaults_of_pytorch(make, precision):
    model, ids = make(dim=64), torch.tensor([[2, 7, 9, 3]])
    expected = d.prepare(model, precision)(ids)[0]
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            prepared = d.prepare(model, precision)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(prepared(ids)[0], expected)


def test_a_model_that_shows_attentions_by_default_is_prepared_without(make):
    model, ids = make("ForSequenceClassification"), torch.tensor([[2, 7, 9, 3]])
    expected = model(ids).logits
    model.config.output_attentions = True
    torch.testing.assert_close(d.prepare(model)(ids).logits, expected, atol=1e-5, rtol=1e-5)
    assert model(ids).attentions is not None


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForTokenClassification"])
def test_an_encoder_put_in_by_hand(make, feed, head):
    model = make(head)
    model.distilbert = make(seed=1)
    batch = feed(head, torch.tensor(MASKS["holes"]))
    expected = model(**batch)
    model.distilbert.config.attn_implementation = "eager"
    model.distilbert.config.output_attentions = True
    assert_equal(d.prepare(model)(**batch), expected)


class LowRank(torch.nn.Module):
    """An adapter that reads the weights of what it adapts."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down = torch.nn.Linear(base.in_features, 2, bias=False)
        self.up = torch.nn.Linear(2, base.out_features, bias=False)

    def forward(self, x):
        weight = self.base.weight + self.up.weight @ self.down.weight
        return torch.nn.functional.linear(x, weight, self.base.bias)


CLASSIFIERS = {
    "adapter": lambda: LowRank(torch.nn.Linear(32, 3)),
    "block": lambda: torch.nn.TransformerEncoderLayer(32, 4, 48, batch_first=True),
    "several": lambda: torch.nn.Sequential(torch.nn.Linear(32, 5), LowRank(torch.nn.Linear(5, 3))),
}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_another_class_keeps_its_layers(make, feed, right, name, precision):
    model = make("ForSequenceClassification")
    model.classifier = CLASSIFIERS[name]().eval()
    batch = feed("", right(6, 3))
    prepared = d.prepare(model, precision)
    named = {each for each in prepared.layers if each.startswith("classifier")}
    assert named == ({"classifier.0"} if name == "several" else set())
    assert_equal(prepared(**batch), model(**batch), atol=1e-5 if precision == "fp32" else 0.2)


def test_it_says_what_it_is(make, engine):
    prepared = d.prepare(make("ForSequenceClassification"), "int8")
    assert repr(prepared) == (
        f"PreparedModel(DistilBertForSequenceClassification, int8 on cpu, engine {engine}, "
        f"linear layers: 9 int8, 2 {prepared.layers['classifier']}, not checked)"
    )
    assert prepared.model_class is d.DistilBertForSequenceClassification


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-3), ("fp16", 0.005), ("auto", 0.05)])
def test_on_a_gpu(make, feed, right, head, precision, most):
    model = make(head, dim=64).cuda()
    inputs = {k: v.cuda() for k, v in feed(head, right(9, 4, 9)).items()}
    prepared = d.prepare(model, precision)
    assert prepared.precision == ("bf16" if precision == "auto" else precision)
    inputs["output_hidden_states"] = True
    found, expected = (m(**inputs).hidden_states[-1] for m in (prepared, model))
    assert (found - expected).norm() / expected.norm() < most
    del inputs[
        "output_hidden_states"
    ]  # now a last layer of first tokens only, if the head reads them
    found, expected = (m(**inputs) for m in (prepared, model))
    name = next(iter(expected))
    real = expected[name] > torch.finfo(torch.float32).min
    difference = (found[name] - expected[name])[real]
    assert difference.norm() / expected[name][real].norm() < 2 * most
    with pytest.raises(ValueError, match=r"int8 needs .* and this is cuda without"):
        d.prepare(model, "int8")


@pytest.mark.parametrize("sizes", [(7,), (20,) * 8])
def test_autocast_changes_nothing(make, feed, right, engine, sizes):
    ours = d.prepare(make())
    inputs = feed("Model", right(*sizes))
    expected = ours(**inputs)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(**inputs)[0], expected)

"""What code written for transformers 4.x does with a model, beside calling it."""

import copy
import inspect
import logging
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import distilbert as d
from distilbert.matching import _modules

IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0], [2, 3, 0, 0]])
MASK = (IDS > 0).long()


class Weighted(d.DistilBertPreTrainedModel):
    """A user's class: the encoder, and layers, a parameter and a buffer of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.distilbert = d.DistilBertModel(config)
        self.norm = nn.BatchNorm1d(config.hidden_size)
        self.temperature = nn.Parameter(torch.full((), 3.0))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.register_buffer("class_weights", torch.tensor([1.0, 2.0, 3.0]))
        self.post_init()

    def forward(self, input_ids, attention_mask=None):
        return_dict = self.config.use_return_dict
        hidden = self.distilbert(input_ids, attention_mask, return_dict=return_dict)[0]
        return self.classifier(self.norm(hidden[:, 0])) / self.temperature * self.class_weights


class TestOwnClass:
    def test_its_own_layers_keep_their_first_values(self, tiny, tmp_path):
        d.DistilBertModel(tiny).save_pretrained(tmp_path)
        for model in (Weighted(tiny), Weighted.from_pretrained(tmp_path)):
            assert model.class_weights.tolist() == [1, 2, 3]
            assert model.temperature == 3
            assert model.norm.weight.tolist() == model.norm.running_var.tolist() == [1.0] * 32
            assert 0.05 < model.classifier.weight.std() < 0.15  # initializer_range

    def test_round_trip(self, tiny, tmp_path):
        model = Weighted(tiny).eval()
        nn.init.normal_(model.norm.weight)
        model.save_pretrained(tmp_path)
        loaded = Weighted.from_pretrained(tmp_path, dtype="float64")
        assert loaded.norm.weight.dtype == torch.float64
        torch.testing.assert_close(loaded(IDS, MASK).float(), model(IDS, MASK))

    def test_its_constructor_gets_what_is_no_field(self, tiny, tmp_path):
        class Own(d.DistilBertModel):
            def __init__(self, config, extra=1, num_labels=None):
                super().__init__(config)
                self.extra, self.given = extra, num_labels

        Own(tiny).save_pretrained(tmp_path)
        model = Own.from_pretrained(tmp_path, extra=4, num_labels=5)
        assert (model.extra, model.given, model.config.num_labels) == (4, None, 5)
        assert Own.from_pretrained(tmp_path).extra == 1
        with pytest.raises(TypeError, match="no field 'extras'"):
            Own.from_pretrained(tmp_path, extras=4)

    def test_one_configuration_for_all_parts(self, tiny):
        model = Weighted(tiny)
        model.set_attn_implementation("eager")
        assert model.distilbert.config.attn_implementation == "eager"
        again = copy.deepcopy(model)
        assert again.distilbert.config is again.config

    def test_init_weights_is_the_older_name(self, tiny):
        model = d.DistilBertForTokenClassification(tiny)
        model.classifier.weight.data.fill_(9.0)
        model.init_weights()
        assert model.classifier.weight.abs().max() < 1


class TestRecordedAndTransformed:
    @pytest.mark.filterwarnings("ignore:There is a performance drop")  # PyTorch's, about vmap
    @pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
    def test_gradients_per_example(self, attention, tiny):
        tiny.dropout = tiny.attention_dropout = tiny.seq_classif_dropout = 0.0
        tiny.attn_implementation = attention
        model = d.DistilBertForSequenceClassification(tiny)
        labels = torch.tensor([0, 1, 2])

        def loss(parameters, ids, mask, label):
            inputs = {"input_ids": ids[None], "attention_mask": mask[None], "labels": label[None]}
            return torch.func.functional_call(model, parameters, (), inputs).loss

        per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0))
        found = per_example(dict(model.named_parameters()), IDS, MASK, labels)
        for row in range(3):
            model.zero_grad()
            model(IDS[row : row + 1], MASK[row : row + 1], labels=labels[row : row + 1])[
                0
            ].backward()
            torch.testing.assert_close(
                found["classifier.weight"][row], model.classifier.weight.grad, rtol=1e-4, atol=1e-6
            )

    @pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
    def test_without_values(self, attention, tiny):
        tiny.attn_implementation = attention
        with torch.device("meta"):
            model = d.DistilBertForSequenceClassification(tiny)
        assert model(IDS.to("meta"), MASK.to("meta")).logits.shape == (3, 3)
        with FakeTensorMode():
            model = d.DistilBertForSequenceClassification(tiny)
            ids = torch.ones(2, 5, dtype=torch.long)
            assert model(ids, ids).logits.shape == (2, 3)


class TestParts:
    def test_fewer_layers_in_place(self, tiny):
        model = d.DistilBertModel(tiny).eval()
        every = model(IDS, MASK, output_hidden_states=True).hidden_states
        model.transformer.layer = model.transformer.layer[:1]
        torch.testing.assert_close(model(IDS, MASK).last_hidden_state, every[1])

    def test_embeddings_by_themselves(self, tiny):
        model = d.DistilBertModel(tiny).eval()
        torch.testing.assert_close(
            model.embeddings(IDS), model(IDS, output_hidden_states=True).hidden_states[0]
        )

    @pytest.mark.parametrize("form", ["none", "2-D", "2-D floating", "boolean", "added"])
    def test_blocks_by_themselves(self, form, tiny):
        model = d.DistilBertModel(tiny).eval()
        mask = {
            "none": None, "2-D": MASK, "2-D floating": MASK.float(),
            "boolean": MASK[:, None, None].bool(),
            "added": model.get_extended_attention_mask(MASK),
        }[form]  # fmt: skip
        output = model(IDS, None if mask is None else MASK, output_hidden_states=True)
        x = embedded = model.embeddings(IDS)
        for number, block in enumerate(model.transformer.layer, 1):
            context, _ = block.attention(x, mask)
            by_parts = block.sa_layer_norm(context + x)
            by_parts = block.output_layer_norm(block.ffn(by_parts) + by_parts)
            x = block(x, mask)
            torch.testing.assert_close(x, by_parts)
            torch.testing.assert_close(x, output.hidden_states[number])
        torch.testing.assert_close(model.transformer(embedded, mask)[0], x)
        if mask is None:
            assert torch.equal(model.transformer(embedded)[0], x)
            assert torch.equal(block(embedded), block(embedded, None, None))

    def test_blocks_by_themselves_on_what_is_none(self, tiny):
        model = d.DistilBertModel(tiny).eval()
        block, x = model.transformer.layer[0], model.embeddings(IDS)
        with pytest.raises(ValueError, match=r"got \(4, 32\); a block returns .* without \[0\]"):
            block(block(x, MASK)[0], MASK)
        with pytest.raises(ValueError, match=r"attention_mask must be \(3, 4\).*got \(3, 3\)"):
            block(x, MASK[:, :3])
        with pytest.raises(TypeError, match=r"attention_mask must be a torch\.Tensor, got list"):
            block(x, [None] * 2)

    def test_num_labels(self, tiny):
        model = d.DistilBertForSequenceClassification(tiny)
        assert model.num_labels == 3
        model.num_labels, model.classifier = 7, nn.Linear(32, 7)
        assert model(IDS, MASK, labels=torch.tensor([6, 5, 4])).loss.isfinite()
        assert len(model.config.id2label) == 7

    def test_names_that_other_code_reads(self, tiny, tmp_path):
        model = d.DistilBertForTokenClassification(tiny)
        model.save_pretrained(tmp_path)
        assert model.name_or_path == ""
        assert type(model).from_pretrained(tmp_path).name_or_path == str(tmp_path)
        assert model.main_input_name == "input_ids"
        assert model.config.get_text_config() is model.config.get_text_config(decoder=True)
        stack = model.distilbert.transformer
        assert (stack.n_layers, stack.layer[0].attention.dim) == (2, 32)
        model.prune_heads({0: [1, 2]})
        assert [block.attention.dim for block in stack.layer] == [16, 32]
        stack.cut(1)
        assert stack.n_layers == 1

    def test_the_loss_of_a_masked_lm_as_other_code_computes_it(self, tiny):
        model = d.DistilBertForMaskedLM(tiny).eval()
        output = model(IDS, MASK, labels=IDS.where(IDS > 3, -100))
        labels = IDS.where(IDS > 3, -100).flatten()
        by_hand = model.mlm_loss_fct(output.logits.flatten(0, 1), labels)
        torch.testing.assert_close(by_hand, output.loss)

    def test_gradients_at_the_input_of_a_frozen_model(self, tiny):
        model = d.DistilBertModel(tiny).requires_grad_(False)
        assert not model(IDS, MASK)[0].requires_grad
        hook = model.enable_input_require_grads()
        assert model(IDS, MASK)[0].requires_grad
        hook.remove()
        assert not model(IDS, MASK)[0].requires_grad
        for _ in range(2):
            model.enable_input_require_grads()
        assert model(IDS, MASK)[0].requires_grad
        twin = copy.deepcopy(model)
        for each in (model, twin):
            each.disable_input_require_grads()
            each.disable_input_require_grads()
            assert not each(IDS, MASK)[0].requires_grad

    def test_new_rows_as_the_mean_of_the_old(self, tiny):
        model = d.DistilBertForMaskedLM(tiny)
        old = model.get_input_embeddings().weight.detach().clone()
        table = model.resize_token_embeddings(64, mean_resizing=True)
        torch.testing.assert_close(table.weight[60:], old.mean(0).expand(4, 32))
        assert model.vocab_projector.weight is table.weight

    def test_the_arguments_that_trainers_look_for(self):
        for kind in ("DistilBert", "Bert"):
            for head in ("MaskedLM", "SequenceClassification", "MultipleChoice"):
                forward = getattr(d, f"{kind}For{head}").forward
                assert "labels" in inspect.signature(forward).parameters
            names = inspect.signature(getattr(d, f"{kind}ForQuestionAnswering").forward).parameters
            assert {"start_positions", "end_positions"} <= set(names)

    def test_checkpointing_as_trainers_ask_for_it(self, tiny):
        model = d.DistilBertModel(tiny)
        model.gradient_checkpointing_enable(None, every_n_layers=1, offload=False)
        assert model.is_gradient_checkpointing
        with pytest.raises(ValueError, match="every layer is checkpointed"):
            model.gradient_checkpointing_enable(every_n_layers=2)

    @pytest.mark.parametrize(
        "cls", [d.DistilBertModel, d.DistilBertForTokenClassification, Weighted]
    )
    def test_checkpointing_as_a_field_of_the_configuration(self, cls, tiny, tmp_path):
        assert not cls(tiny).is_gradient_checkpointing
        tiny.gradient_checkpointing = True
        model = cls(tiny)
        assert model.is_gradient_checkpointing
        assert not hasattr(model.config, "gradient_checkpointing")
        assert tiny.gradient_checkpointing  # the model has a copy
        model.save_pretrained(tmp_path)
        assert not cls.from_pretrained(tmp_path).is_gradient_checkpointing
        assert cls.from_pretrained(tmp_path, config=tiny).is_gradient_checkpointing


def replica_of(model):
    """Return what DataParallel puts on each device: modules whose weights are no parameters."""
    replicas = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, replica in replicas.items():
        for name, part in module.named_children():
            setattr(replica, name, replicas[part])
        for name, weight in module.named_parameters(recurse=False):
            setattr(replica, name, weight.view_as(weight))
    return replicas[model]


BERT = d.BertConfig(
    vocab_size=60, hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=48
)
CLASSES = [
    d.DistilBertModel, d.DistilBertForMaskedLM, d.DistilBertForSequenceClassification,
    d.DistilBertForMultipleChoice, d.DistilBertForTokenClassification,
    d.DistilBertForQuestionAnswering, d.BertModel,
]  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
class TestWeightsElsewhere:
    def make(self, cls, tiny):
        model = cls(BERT if cls is d.BertModel else tiny).eval()
        given = (IDS[:, None], MASK[:, None]) if "Choice" in cls.__name__ else (IDS, MASK)
        return model, given, next(iter(model(*given).values()))

    @pytest.mark.parametrize("attention", ["sdpa", "varlen"])
    def test_replicas_of_data_parallel(self, cls, attention, tiny):
        model, given, expected = self.make(cls, tiny)
        model.set_attn_implementation(attention)
        output = next(iter(replica_of(model)(*given).values()))
        if attention == "sdpa":
            torch.testing.assert_close(output, expected)
        output.flatten()[0].backward()
        assert model.get_input_embeddings().weight.grad.any()

    def test_offloaded_by_accelerate(self, cls, tiny):
        accelerate = pytest.importorskip("accelerate")
        model, given, expected = self.make(cls, tiny)
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
        assert next(model.parameters()).is_meta
        torch.testing.assert_close(next(iter(model(*given).values())), expected)


class TestFiles:
    def test_saved_the_way_of_accelerates_scripts(self, tiny, tmp_path):
        model = d.DistilBertForMaskedLM(tiny)
        model.save_pretrained(
            tmp_path, is_main_process=True, save_function=torch.save, state_dict=model.state_dict()
        )
        assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
        d.DistilBertForMaskedLM.from_pretrained(tmp_path)

    @pytest.mark.parametrize(
        ("option", "remedy"),
        [("device_map", "say device="), ("low_cpu_mem_usage", "leave it out"),
         ("trust_remote_code", "never run"), ("variant", "rename")],
    )  # fmt: skip
    def test_options_that_are_elsewhere(self, option, remedy, tmp_path):
        with pytest.raises(TypeError, match=f"no option '{option}'.*{remedy}"):
            d.DistilBertModel.from_pretrained(tmp_path, **{option: "auto"})

    def test_options_that_change_nothing(self, tiny, tmp_path):
        d.DistilBertModel(tiny).save_pretrained(tmp_path)
        model = d.DistilBertModel.from_pretrained(
            tmp_path,
            finetuning_task="sst2",
            device_map="cpu",
            from_flax=False,
            from_tf=False,
            low_cpu_mem_usage=True,
            proxies=None,
            quantization_config=None,
            resume_download=None,
            torchscript=False,
            trust_remote_code=False,
            use_auth_token=None,
            variant=None,
            weights_only=True,
        )
        assert model.config.finetuning_task == "sst2"
        assert "trust_remote_code" not in model.config.to_dict()

    def test_a_configuration_of_another_package_is_named(self, tmp_path):
        match = r"a distilbert\.DistilBertConfig, or the folder .* of one; got a builtins\.dict"
        with pytest.raises(TypeError, match=match):
            d.DistilBertModel.from_pretrained(tmp_path, config={"dim": 32})

    def test_a_configuration_in_another_folder(self, tiny, tmp_path):
        d.DistilBertModel(tiny).save_pretrained(tmp_path / "model")
        tiny.output_attentions = True
        tiny.save_pretrained(tmp_path / "shape")
        for config in (tmp_path / "shape", str(tmp_path / "shape" / "config.json")):
            model = d.DistilBertModel.from_pretrained(
                tmp_path / "model", config=config, dropout=0.3
            )
            assert (model.config.output_attentions, model.config.dropout) == (True, 0.3)
        with pytest.raises(OSError, match=r"there is no folder .*/nowhere"):
            d.DistilBertModel.from_pretrained(tmp_path / "model", config=tmp_path / "nowhere")

    def test_weights_and_a_configuration_without_a_folder(self, tiny, tmp_path):
        model = d.DistilBertForMaskedLM(tiny)
        given = {"config": tiny, "state_dict": model.state_dict()}
        again = d.DistilBertForMaskedLM.from_pretrained(None, **given)
        assert torch.equal(again.vocab_transform.weight, model.vocab_transform.weight)
        assert again.name_or_path == ""
        for name in given:
            with pytest.raises(TypeError, match=r"None takes both config=… and state_dict=…"):
                d.DistilBertForMaskedLM.from_pretrained(None, **{name: given[name]})

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "best.pt"])
    def test_one_file_of_weights(self, name, tiny, tmp_path):
        other, model = d.DistilBertForMaskedLM(tiny), d.DistilBertForMaskedLM(tiny)
        other.save_pretrained(tmp_path)  # what lies beside it is not read
        file = tmp_path / name
        if name == "model.safetensors":
            model.save_pretrained(tmp_path)
        else:
            torch.save(model.state_dict(), file)
        for given in ({}, {"config": tiny}):
            again = d.DistilBertForMaskedLM.from_pretrained(str(file), **given)
            assert torch.equal(again.vocab_transform.weight, model.vocab_transform.weight)
        (tmp_path / "config.json").unlink()
        d.DistilBertForMaskedLM.from_pretrained(file, config=tiny)
        with pytest.raises(OSError, match=f"{name} has no file config.json beside it: .* config="):
            d.DistilBertForMaskedLM.from_pretrained(file)

    def test_masks_for_layers_of_ones_own(self, tiny):
        model = d.DistilBertModel(tiny).half()
        lowest = torch.finfo(torch.float16).min
        for mask in (MASK, MASK.bool(), MASK.float()):
            added = model.get_extended_attention_mask(mask, mask.shape)
            assert added.dtype == torch.float16
            assert torch.equal(added[:, 0, 0], (1 - MASK.half()) * lowest)
        per_query = MASK[:, None] * MASK[:, :, None]
        added = model.get_extended_attention_mask(per_query, dtype=torch.float32)
        expected = (1 - per_query[:, None].float()) * torch.finfo(torch.float32).min
        assert torch.equal(added, expected)
        with pytest.raises(ValueError, match=r"\(batch, tokens, tokens\), got \(4,\)"):
            model.get_extended_attention_mask(MASK[0])
        assert model.get_head_mask(None, 3) == [None] * 3
        keep = torch.tensor([[1.0, 0, 1, 1], [0, 1, 1, 1]])
        assert torch.equal(torch.stack(model.get_head_mask(keep, 2)), keep[:, None, :, None, None])

    def test_files_have_no_variants(self, tiny, tmp_path):
        model = d.DistilBertModel(tiny)
        model.save_pretrained(tmp_path, variant=None)
        with pytest.raises(TypeError, match=r"no option 'variant'.*model\.half\(\).*rename"):
            model.save_pretrained(tmp_path / "other", variant="fp16", push_to_hub=True)
        assert not (tmp_path / "other").exists()

    def test_many_layers_are_reported_together(self, tiny, tmp_path, caplog):
        tiny.n_layers = 5
        d.DistilBertModel(tiny).save_pretrained(tmp_path)
        with caplog.at_level(logging.WARNING, "distilbert"):
            d.DistilBertModel.from_pretrained(tmp_path, n_layers=2)
        assert caplog.messages[0].endswith("not in the model: transformer.layer.2-4")

    def test_names_of_what_is_reported(self):
        assert _modules(["a.weight", "a.bias", "layer.3.b.weight"]) == "a, layer.3.b"
        parts = [f"layer.{i}.{part}.weight" for i in (0, 2, 5) for part in "abc"]
        assert _modules(["x.weight", *parts, "y.weight"]) == "x, layer.0/2/5, y"

    def test_opening_a_file_imports_no_compiler(self, tiny, tmp_path):
        """PyTorch's ways of building on the meta device took a second and a half to import."""
        d.DistilBertForMaskedLM(tiny).save_pretrained(tmp_path)
        code = (
            "import sys, torch; before = set(sys.modules); import distilbert as d\n"
            "d.DistilBertForMaskedLM.from_pretrained(sys.argv[1])\n"
            "heavy = {'sympy', 'torch._dynamo', 'torch.nn.attention.varlen'}\n"
            "print(sorted((set(sys.modules) - before) & heavy))"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == "[]"


class TestWords:
    def test_lists_instead_of_tensors(self, tiny):
        model = d.DistilBertForSequenceClassification(tiny)
        with pytest.raises(TypeError, match=r'got list.*return_tensors="pt"'):
            model([[2, 3]])
        with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got list"):
            model(IDS, MASK, labels=[0, 1, 2])
        answers = d.DistilBertForQuestionAnswering(tiny)
        with pytest.raises(TypeError, match=r"positions must be a torch\.Tensor, got list"):
            answers(IDS, MASK, start_positions=[1, 1, 1], end_positions=[1, 1, 1])

    def test_the_warning_about_token_types_points_at_the_caller(self, tiny):
        for model in (d.DistilBertModel(tiny), d.DistilBertForSequenceClassification(tiny)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model(IDS, token_type_ids=MASK)
            assert [w.filename for w in caught] == [__file__]


class Drawn(d.DistilBertPreTrainedModel):
    """A user's class that says how its layers are drawn."""

    def __init__(self, config):
        super().__init__(config)
        self.distilbert = d.DistilBertModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.scale = nn.Linear(2, 2)
        self.post_init()

    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self.classifier:
            nn.init.constant_(module.weight, 0.5)


def test_a_class_draws_its_own_weights(tiny, tmp_path):
    model = Drawn(tiny)
    assert (model.classifier.weight == 0.5).all()
    assert not model.scale.bias.any()
    d.DistilBertModel(tiny).save_pretrained(tmp_path)
    again = Drawn.from_pretrained(tmp_path, num_labels=3)
    assert (again.classifier.weight == 0.5).all()
    before = again.distilbert.transformer.layer[0].ffn.lin1.weight.clone()
    again.apply(again._init_weights)  # as older code does
    assert not torch.equal(again.distilbert.transformer.layer[0].ffn.lin1.weight, before)


class OnFiles(d.DistilBertPreTrainedModel):
    """A user's class around an encoder out of files, with the last line that older code has."""

    def __init__(self, config, folder):
        super().__init__(config)
        self.distilbert = d.DistilBertModel.from_pretrained(folder)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.init_weights()


def test_a_constructor_keeps_the_encoder_that_it_opened(tiny, tmp_path):
    encoder = d.DistilBertModel(tiny)
    encoder.save_pretrained(tmp_path)
    model = OnFiles(tiny, tmp_path)
    assert model.config is model.distilbert.config
    own, stored = model.distilbert.state_dict(), encoder.state_dict()
    assert all(torch.equal(own[name], stored[name]) for name in stored)
    model.init_weights()
    assert all(torch.equal(own[name], stored[name]) for name in stored)


class Further(d.DistilBertForSequenceClassification):
    """A user's class that fills a finished one and draws what it adds."""

    def __init__(self, config, weights=None):
        super().__init__(config)
        if weights is not None:
            self.distilbert.load_state_dict(weights)
        self.extra = torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
        self.init_weights()


def test_a_constructor_keeps_the_weights_that_it_put_in(tiny, tmp_path):
    weights = d.DistilBertModel(tiny).state_dict()
    model = Further(tiny, weights)
    own = model.distilbert.state_dict()
    assert all(torch.equal(own[name], weight) for name, weight in weights.items())
    model.save_pretrained(tmp_path)  # its class makes the layer that computes its weight again
    again = Further.from_pretrained(tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    again.resize_token_embeddings(20)

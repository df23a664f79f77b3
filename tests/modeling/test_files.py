"""Weights in safetensors: damaged and hostile ones, shards, and what a save leaves behind."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrize, prune

import distilbert as d
from distilbert.hub import Source
from distilbert.modeling import files, resizing
from distilbert.modeling.files import read_weights

SAFE, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return d.DistilBertForMaskedLM(tiny).eval()


@pytest.fixture
def saved(model, tmp_path):
    model.save_pretrained(tmp_path)
    return tmp_path


def load(folder, **options):
    return d.DistilBertForMaskedLM.from_pretrained(folder, **options)


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def refused(folder, name=SAFE, match=""):
    with pytest.raises((ValueError, TypeError, OSError), match=match) as caught:
        load(folder)
    assert name in str(caught.value)


def safetensors_bytes(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


class TestDamagedSafetensors:
    def test_every_truncation(self, saved):
        whole = (saved / SAFE).read_bytes()
        lengths = {*range(0, 40), *range(40, len(whole), 3001), len(whole) - 1, len(whole) - 4}
        for length in sorted(lengths):
            (saved / SAFE).write_bytes(whole[:length])
            refused(saved, match="not a valid safetensors file")

    def test_bytes_too_many(self, saved):
        (saved / SAFE).write_bytes((saved / SAFE).read_bytes() + b"\0\0\0\0")
        refused(saved, match="not a valid safetensors file")

    def test_changed_header_is_refused_or_reported(self, saved, caplog):
        whole = (saved / SAFE).read_bytes()
        header = struct.unpack("<Q", whole[:8])[0]
        randomness = np.random.default_rng(0)
        for _ in range(150):
            changed = bytearray(whole)
            changed[randomness.integers(8 + header)] = randomness.integers(256)
            (saved / SAFE).write_bytes(changed)
            caplog.clear()
            try:
                loaded = load(saved)
            except (ValueError, OSError) as error:
                assert SAFE in str(error) or str(saved) in str(error)  # noqa: PT017
            else:  # a harmless change, as in the padding, or one that is told
                original = load_file_bytes(whole)
                state = loaded.state_dict()
                equal = all(torch.equal(state[n], t) for n, t in original.items())
                assert equal or caplog.records

    @pytest.mark.parametrize(
        "content",
        [
            safetensors_bytes({}, length=2**63),
            safetensors_bytes({}, length=2**40),
            safetensors_bytes({}, length=100_000_001),
            safetensors_bytes(b"[" * 100_000),
            safetensors_bytes(b"not json"),
            safetensors_bytes(b"\xff\xfe"),
            safetensors_bytes([1]),
            safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}),
            safetensors_bytes(
                {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, b"8" * 8
            ),
            safetensors_bytes(
                {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}, b"8" * 8
            ),
            safetensors_bytes(
                {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"8" * 8
            ),
            safetensors_bytes(
                {"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"8" * 8
            ),
            safetensors_bytes(
                {"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}}, b"8" * 8
            ),
            safetensors_bytes(
                {
                    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                    "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
                },
                b"8" * 12,
            ),
        ],
    )
    def test_header_that_lies(self, saved, content):
        (saved / SAFE).write_bytes(content)
        refused(saved, match="not a valid safetensors file")

    def test_wrong_dtype_is_refused(self, saved):
        weights = load_file(saved / SAFE)
        key = "distilbert.embeddings.LayerNorm.weight"
        for dtype in (torch.int64, torch.int8, torch.bool, torch.float8_e4m3fn, torch.complex64):
            save_file({**weights, key: weights[key].to(dtype)}, saved / SAFE)
            refused(saved, str(saved), match=f"{key} does not hold floating-point numbers")

    def test_empty_file_of_weights(self, saved):
        save_file({}, saved / SAFE)
        refused(saved, str(saved), match="none of its 0 weights belongs to a distilbert")

    def test_nan_is_a_number_of_the_file(self, saved, caplog):
        weights = load_file(saved / SAFE)
        weights["distilbert.embeddings.word_embeddings.weight"][5] = float("nan")
        weights["vocab_projector.weight"] = weights["distilbert.embeddings.word_embeddings.weight"]
        save_file({n: w.clone() for n, w in weights.items()}, saved / SAFE)
        loaded = load(saved)
        assert loaded.get_input_embeddings().weight[5].isnan().all()
        assert loaded.vocab_projector.weight is loaded.get_input_embeddings().weight
        assert not caplog.records


def load_file_bytes(content):
    from safetensors.torch import load

    return load(content)


class TestShards:
    @pytest.fixture
    def sharded(self, model, tmp_path):
        model.save_pretrained(tmp_path, max_shard_size="20KB")
        return tmp_path

    def change_index(self, folder, change):
        index = json.loads((folder / INDEX).read_text())
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index))

    def test_open(self, model, sharded):
        assert len(list(sharded.glob("model-*-of-*.safetensors"))) > 2
        assert not (sharded / SAFE).exists()
        assert same(load(sharded), model)

    def test_saving_imports_nothing_for_distributed_tensors(self, saved):
        code = (
            "import sys, distilbert as d\n"
            f"d.DistilBertModel.from_pretrained({str(saved)!r}).save_pretrained({str(saved)!r})\n"
            "sys.exit('torch.distributed.tensor' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_missing_shard(self, sharded):
        shard = min(sharded.glob("model-*"))
        shard.unlink()
        refused(sharded, shard.name, match="has no file")

    def test_truncated_shard(self, sharded):
        shard = max(sharded.glob("model-*"))
        shard.write_bytes(shard.read_bytes()[:-1])
        refused(sharded, shard.name, match="not a valid safetensors file")

    def test_shard_without_a_tensor_of_the_index(self, sharded):
        first, second = sorted(sharded.glob("model-*"))[:2]
        self.change_index(sharded, lambda where: where.update({"extra.weight": first.name}))
        refused(sharded, first.name, match=r"does not hold extra\.weight, which its index says")
        self.change_index(sharded, lambda where: where.update({"extra.weight": second.name}))
        refused(sharded, second.name, match=r"does not hold extra\.weight")

    def test_tensor_in_another_shard_than_the_index_says(self, model, sharded):
        first, second = sorted(sharded.glob("model-*"))[:2]
        moved = next(iter(load_file(second)))
        self.change_index(sharded, lambda where: where.update({moved: first.name}))
        assert same(load(sharded), model)  # there is no doubt which tensor is meant

    def test_tensor_in_two_shards(self, sharded):
        first, second = sorted(sharded.glob("model-*"))[:2]
        save_file({**load_file(first), **load_file(second)}, second)
        refused(sharded, first.name, match=f"{second.name} holds .*, and so does")

    def test_index_pointing_outside(self, sharded):
        self.change_index(sharded, lambda where: where.update({"x": "../../x"}))
        refused(sharded, INDEX, match=r"names the shard '\.\./\.\./x'")

    def test_index_that_is_not_json(self, sharded):
        (sharded / INDEX).write_text("{")
        refused(sharded, INDEX, match="not a valid JSON file")


class TestSaving:
    def test_failure_leaves_the_old_checkpoint(self, model, saved, monkeypatch):
        before = {p.name: p.read_bytes() for p in saved.iterdir()}
        calls = []

        def fail(tensors, path, metadata):
            if calls:
                raise OSError(28, "No space left on device")
            calls.append(path)
            save_file(tensors, path, metadata)

        monkeypatch.setattr(files, "save_file", fail)
        with pytest.raises(OSError, match="No space left"):
            model.save_pretrained(saved, max_shard_size="20KB")
        assert len(calls) == 1
        assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
        assert same(load(saved), model)

    def test_one_file_to_shards_and_back(self, model, saved):
        (saved / "model-notes.safetensors").touch()
        one = set(os.listdir(saved))
        model.save_pretrained(saved, max_shard_size="20KB")
        assert SAFE not in os.listdir(saved)
        assert same(load(saved), model)
        many = set(os.listdir(saved))
        model.save_pretrained(saved, max_shard_size="40KB")
        assert len(os.listdir(saved)) < len(many)
        assert same(load(saved), model)
        model.save_pretrained(saved)
        assert set(os.listdir(saved)) == one
        assert same(load(saved), model)

    @pytest.mark.parametrize("kind", ["safetensors", "bin"])
    def test_into_the_folder_it_came_from(self, model, saved, kind):
        if kind == "bin":
            (saved / SAFE).unlink()
            torch.save(model.state_dict(), saved / "pytorch_model.bin")
        loaded = load(saved)
        with torch.no_grad():
            loaded.vocab_transform.bias.add_(1)
        loaded.save_pretrained(saved)
        assert same(load(saved), loaded)
        assert not same(load(saved), model)

    def test_permissions(self, saved):
        (saved / "plain").touch()
        modes = {path.stat().st_mode for path in saved.iterdir()}
        assert len(modes) == 1

    def test_tied_decoder_is_not_written(self, saved):
        weights = load_file(saved / SAFE)
        assert "vocab_projector.bias" in weights
        assert "vocab_projector.weight" not in weights
        assert "tie_word_embeddings" not in json.loads((saved / "config.json").read_text())

    def test_untied_decoder_is_written(self, tiny, tmp_path):
        tiny.tie_word_embeddings = False
        model = d.DistilBertForMaskedLM(tiny)
        model.save_pretrained(tmp_path)
        assert "vocab_projector.weight" in load_file(tmp_path / SAFE)
        assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is False
        assert same(load(tmp_path), model)

    def test_weights_that_share_memory_are_written_twice(self, tiny, tmp_path):
        tiny.tie_word_embeddings = False
        model = d.DistilBertForMaskedLM(tiny)
        model.vocab_projector.weight = model.get_input_embeddings().weight
        model.save_pretrained(tmp_path)
        assert same(load(tmp_path), model)

    def test_config_says_what_is_in_the_file(self, model, tmp_path):
        model.to(torch.bfloat16).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["dtype"] == "bfloat16"
        assert config["architectures"] == ["DistilBertForMaskedLM"]
        assert model.config.architectures is None

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_dtypes_read_back(self, model, tmp_path, dtype):
        model.to(dtype).save_pretrained(tmp_path)
        name = str(dtype).removeprefix("torch.")
        for asked in ("auto", dtype, name, str(dtype)):
            assert same(load(tmp_path, dtype=asked), model)
            again = load(tmp_path, torch_dtype=asked)
            assert again.dtype == again.config.dtype == again.config.torch_dtype == dtype
            assert again.distilbert.config.dtype == dtype
        again = load(tmp_path)
        assert again.dtype == again.config.dtype == torch.float32
        again.save_pretrained(tmp_path / "again")
        assert json.loads((tmp_path / "again/config.json").read_text())["dtype"] == "float32"
        assert same(load(tmp_path).to(dtype), model)

    def test_state_dict_instead_of_the_model_s(self, model, tmp_path):
        state = {name: torch.full_like(w, 0.5) for name, w in model.state_dict().items()}
        model.save_pretrained(tmp_path, state_dict={n: w.half() for n, w in state.items()})
        assert all((w == 0.5).all() for w in load(tmp_path).state_dict().values())
        assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
        del state["vocab_projector.weight"]
        model.save_pretrained(tmp_path, state_dict=state)

    def test_state_dict_of_another_model(self, model, tmp_path):
        state = model.state_dict()
        with pytest.raises(ValueError, match=r"has no weight 'module\."):
            model.save_pretrained(tmp_path, state_dict={f"module.{n}": w for n, w in state.items()})
        del state["vocab_projector.bias"]
        with pytest.raises(ValueError, match=r"also needs the weight 'vocab_projector\.bias'"):
            model.save_pretrained(tmp_path, state_dict=state)
        assert os.listdir(tmp_path) == []

    def test_compiled_layers_have_the_names_of_layers(self, model, tmp_path):
        layers = model.distilbert.transformer.layer
        layers[0] = torch.compile(layers[0], backend="eager")
        model.save_pretrained(tmp_path)
        layers[0] = layers[0]._orig_mod
        assert same(load(tmp_path), model)

    @pytest.mark.filterwarnings("ignore")
    def test_quantised_models_are_not_saved(self, model, tmp_path):
        linear = {torch.nn.Linear}
        quantised = torch.ao.quantization.quantize_dynamic(model, linear, dtype=torch.qint8)
        with pytest.raises(ValueError, match="not a tensor: quantised models are not saved"):
            quantised.save_pretrained(tmp_path)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
    def test_names_of_a_wrapper(self, model, tmp_path, prefix):
        model.save_pretrained(tmp_path)
        weights = {f"{prefix}{name}": w.clone() for name, w in model.state_dict().items()}
        save_file(weights, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=f"; strip '{prefix}' from the names"):
            load(tmp_path)

    def test_views_and_transposed_weights(self, model, tmp_path):
        state = {
            n: w.T.contiguous().T if w.dim() == 2 else w for n, w in model.state_dict().items()
        }
        model.save_pretrained(tmp_path, state_dict=state)
        assert same(load(tmp_path), model)

    def test_meta_model_has_nothing_to_save(self, tiny, tmp_path):
        with torch.device("meta"):
            model = d.DistilBertModel(tiny)
        with pytest.raises(ValueError, match="on the meta device"):
            model.save_pretrained(tmp_path)
        assert os.listdir(tmp_path) == []

    def test_other_processes_write_nothing(self, model, tmp_path):
        model.save_pretrained(tmp_path / "x", is_main_process=False)
        assert not (tmp_path / "x").exists()

    def test_pickle_is_not_written(self, model, tmp_path):
        with pytest.raises(ValueError, match="as safetensors only"):
            model.save_pretrained(tmp_path, safe_serialization=False)
        with pytest.raises(TypeError, match="no option 'max_shard'"):
            model.save_pretrained(tmp_path, max_shard="1KB")
        with pytest.raises(ValueError, match="not supported"):
            model.save_pretrained(tmp_path, max_shard_size="lots")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("size", ["5GB", "20KB"])
    def test_transformers_opens_it(self, model, tmp_path, size):
        import transformers

        model.save_pretrained(tmp_path, max_shard_size=size)
        theirs = transformers.DistilBertForMaskedLM.from_pretrained(tmp_path).eval()
        ids = torch.tensor([[2, 7, 9, 3]])
        with torch.no_grad():
            torch.testing.assert_close(theirs(ids).logits, model(ids).logits)

    @pytest.mark.parametrize("kind", ["DistilBert", "Bert"])
    def test_answers_have_no_labels(self, tiny, tmp_path, kind):
        config = tiny if kind == "DistilBert" else d.BertConfig(
            vocab_size=60, hidden_size=32, num_attention_heads=4, num_hidden_layers=2,
            intermediate_size=48, num_labels=3,
        )  # fmt: skip
        for head, count in (("QuestionAnswering", 2), ("TokenClassification", 3)):
            cls = getattr(d, f"{kind}For{head}")
            cls(config).save_pretrained(tmp_path)
            opened = cls.from_pretrained(tmp_path)
            assert opened.config.num_labels == count
            if head == "QuestionAnswering":
                transformers = pytest.importorskip("transformers")
                transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path)

    def test_names_are_read_lazily(self, saved):
        weights = read_weights(Source(saved))
        assert "distilbert.embeddings.LayerNorm.bias" in weights
        assert len(list(weights)) == len(weights)
        with pytest.raises(KeyError):
            weights["nothing"]


@pytest.mark.parametrize("tied", [True, False])
def test_bias_of_a_bert_decoder_has_two_names(tmp_path, tied):
    config = d.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        tie_word_embeddings=tied,
    )
    model = d.BertForMaskedLM(config)
    torch.nn.init.normal_(model.vocab_projector.bias)
    model.save_pretrained(tmp_path)
    one, other = "cls.predictions.bias", "cls.predictions.decoder.bias"
    weights = load_file(tmp_path / SAFE)
    assert {one, other} & weights.keys() == ({one} if tied else {one, other})
    for kept in (one, other):  # either will do
        bias = model.vocab_projector.bias.detach()
        rest = {n: w for n, w in weights.items() if n not in (one, other)}
        save_file({**rest, kept: bias}, tmp_path / SAFE)
        assert same(d.BertForMaskedLM.from_pretrained(tmp_path), model)
    save_file({**rest, one: torch.zeros(60), other: bias}, tmp_path / SAFE)
    assert same(d.BertForMaskedLM.from_pretrained(tmp_path), model)


def test_weights_that_are_computed_are_refused(tiny, tmp_path):
    model = d.DistilBertForMaskedLM(tiny)
    q_lin = model.distilbert.transformer.layer[1].attention.q_lin
    prune.l1_unstructured(q_lin, "weight", 0.5)
    for act in (lambda: model.save_pretrained(tmp_path), lambda: model.prune_heads({1: [0]})):
        with pytest.raises(ValueError, match=r"layer.1.attention.q_lin .*utils.prune.remove"):
            act()
    assert not model.config.pruned_heads
    words, positions = model.get_input_embeddings(), model.get_position_embeddings()
    for table, resize in (
        (words, lambda: model.resize_token_embeddings(70)),
        (words, lambda: resizing.keep_tokens(model, range(50))),
        (positions, lambda: model.resize_position_embeddings(70)),
    ):
        prune.l1_unstructured(table, "weight", 0.5)
        with pytest.raises(ValueError, match=r"Embedding is computed .*utils.prune.remove"):
            resize()
        prune.remove(table, "weight")
        resize()
    prune.remove(q_lin, "weight")
    model.prune_heads({1: [0]})
    parametrize.register_parametrization(model.vocab_transform, "weight", torch.nn.Identity())
    with pytest.raises(ValueError, match=r"vocab_transform .*remove_parametrizations"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_spread_are_refused(tiny, tmp_path):
    class Spread(torch.Tensor):
        """What matters of a DTensor here."""

        full_tensor = torch.Tensor.clone

    model = d.DistilBertModel(tiny)
    weights = {name: weight.as_subclass(Spread) for name, weight in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"spread over processes: .*full_state_dict=True"):
        model.save_pretrained(tmp_path, state_dict=weights)

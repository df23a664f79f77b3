from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from distilbert import DistilBertForSequenceClassification, DistilBertModel
from distilbert.modeling.arrays import ArrayModel, open_unpadded

INPUTS = {
    "input_ids": np.array([[2, 7, 8, 3], [2, 9, 3, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_outputs_are_the_model_s(tiny, attention):
    model = DistilBertForSequenceClassification(tiny)
    model.set_attn_implementation(attention)
    found = ArrayModel(model.train())(**INPUTS)
    model.eval()
    with torch.no_grad():
        expected = model(**{k: torch.from_numpy(v) for k, v in INPUTS.items()})
    np.testing.assert_allclose(found["logits"], expected.logits.numpy(), atol=1e-6)


def test_each_module_keeps_its_mode(tiny):
    model = DistilBertForSequenceClassification(tiny).train()
    model.distilbert.transformer.layer[0].eval()
    before = {name: module.training for name, module in model.named_modules()}
    ArrayModel(model)(**INPUTS)
    assert {name: module.training for name, module in model.named_modules()} == before
    with pytest.raises(IndexError, match="input_ids"):
        ArrayModel(model)(**{**INPUTS, "input_ids": INPUTS["input_ids"] + 10**6})
    assert {name: module.training for name, module in model.named_modules()} == before


def test_threads_do_not_bring_training_mode_back_to_each_other(tiny):
    model = DistilBertForSequenceClassification(tiny)
    expected = ArrayModel(model.eval())(**INPUTS)["logits"]
    model.train()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ArrayModel(model)(**INPUTS)["logits"], range(200)))
    for logits in found:
        np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert all(module.training for module in model.modules())


def test_outputs_are_float32_and_without_gradients(tiny):
    model = DistilBertModel(tiny).bfloat16()
    states = ArrayModel(model)(**INPUTS)["last_hidden_state"]
    assert states.dtype == np.float32
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_returns_tuples(tiny):
    tiny.return_dict = False
    assert ArrayModel(DistilBertModel(tiny))(**INPUTS)["last_hidden_state"].shape == (2, 4, 32)


def test_a_folder_without_the_head(tiny, tmp_path):
    DistilBertModel(tiny).save_pretrained(tmp_path)
    assert open_unpadded(tmp_path, "Model").config.dim == 32
    with pytest.raises(ValueError, match=r"not a whole DistilBertForMaskedLM: vocab_.* is missing"):
        open_unpadded(tmp_path, "ForMaskedLM")


def test_a_tagger_is_no_classifier_though_their_layers_have_one_shape(tiny, tmp_path):
    DistilBertForSequenceClassification(tiny).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError,
        match="is a DistilBertForSequenceClassification, not a DistilBertForTokenClassification",
    ):
        open_unpadded(tmp_path, "ForTokenClassification")

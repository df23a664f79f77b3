"""The defects of the anchors that ours must not have, one test each (those of models).

Those of the tokenizers are in tests/tokenization.
"""

import copy

import pytest
import torch

import distilbert as d

IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])


def test_new_position_rows_are_not_drawn_with_deviation_1(tiny):
    tiny.initializer_range = 0.02
    model = d.DistilBertModel(tiny)
    model.resize_position_embeddings(500)
    assert model.get_position_embeddings().weight[16:].std() < 0.03


def test_sequences_beyond_the_old_length_work_after_resizing(tiny):
    model = d.DistilBertModel(tiny)
    model.resize_position_embeddings(50)
    assert model(torch.zeros(1, 40, dtype=torch.long))[0].shape == (1, 40, 32)


def test_sinusoidal_positions_can_be_resized(tiny):
    tiny.sinusoidal_pos_embds = True
    model = d.DistilBertForQuestionAnswering(tiny)
    model.resize_position_embeddings(50)
    assert model(torch.zeros(1, 40, dtype=torch.long)).start_logits.shape == (1, 40)


def test_resizing_positions_keeps_bf16(tiny):
    model = d.DistilBertModel(tiny).bfloat16()
    for count in (50, 10):
        model.resize_position_embeddings(count)
        assert model.get_position_embeddings().weight.dtype == torch.bfloat16


def test_multiple_choice_takes_position_ids(tiny):
    ids = IDS[:, None].repeat(1, 3, 1)
    positions = torch.arange(4).expand(2, 3, 4)
    assert d.DistilBertForMultipleChoice(tiny)(ids, position_ids=positions).logits.shape == (2, 3)


def test_head_mask_is_not_ignored(tiny):
    model = d.DistilBertModel(tiny).eval()
    for implementation in ("eager", "sdpa", "varlen"):
        model.set_attn_implementation(implementation)
        assert not torch.allclose(model(IDS, head_mask=torch.zeros(4))[0], model(IDS)[0])


@pytest.mark.parametrize(
    "cls",
    [
        d.DistilBertModel,
        d.DistilBertForMaskedLM,
        d.DistilBertForSequenceClassification,
        d.DistilBertForMultipleChoice,
        d.DistilBertForTokenClassification,
        d.DistilBertForQuestionAnswering,
        d.BertModel,
        d.BertForMaskedLM,
    ],
    ids=lambda cls: cls.__name__,
)
def test_misspelt_arguments_are_refused(cls, tiny):
    config = tiny if cls.config_class is d.DistilBertConfig else d.BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=2
    )  # fmt: skip
    ids = IDS[:, None] if cls is d.DistilBertForMultipleChoice else IDS
    with pytest.raises(TypeError, match="attention_masks"):
        cls(config)(ids, attention_masks=ids)


def test_forward_does_not_write_problem_type(tiny):
    model = d.DistilBertForSequenceClassification(tiny)
    before = copy.deepcopy(model.config)
    model(IDS, labels=torch.tensor([0, 1]))
    assert model.config == before
    assert model.config.problem_type is None
    assert model(IDS, labels=torch.ones(2, 3)).loss > 0  # the next kind of labels still works


def test_nothing_labelled_is_not_nan(tiny):
    for cls in (d.DistilBertForMaskedLM, d.DistilBertForTokenClassification):
        loss = cls(tiny)(IDS, labels=torch.full_like(IDS, -100)).loss
        assert loss.item() == 0
        assert loss.requires_grad

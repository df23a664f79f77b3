"""The files that we save open in transformers, whole, with the same outputs."""

import pytest
import torch

import distilbert

pytestmark = pytest.mark.parity


@pytest.fixture(params=range(4), ids=lambda seed: f"seed{seed}")
def ours(request, class_name, tools):
    cls = getattr(distilbert, class_name)
    model = cls(cls.config_class(**tools.random_settings(class_name, request.param))).eval()
    tools.shake(model, request.param)
    return model


def open_theirs(transformers, model, folder, **options):
    peer = getattr(transformers, type(model).__name__)
    theirs, info = peer.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **options
    )
    assert not any(info.values()), info
    return theirs.eval()


def compute(model):
    ids = torch.tensor([[1, 2, 3, 4, 5, 0], [5, 4, 3, 0, 0, 0]])
    mask = (ids != 0).long()
    if type(model).__name__.endswith("MultipleChoice"):
        ids, mask = ids[None], mask[None]
    with torch.no_grad():
        return model(ids, attention_mask=mask, return_dict=False)


@pytest.mark.parametrize("shard", ["5GB", "1KB"])
def test_ours_in_theirs(transformers, ours, tools, tmp_path, shard):
    ours.save_pretrained(tmp_path, max_shard_size=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "1KB")
    theirs = open_theirs(transformers, ours, tmp_path)
    tools.assert_close(compute(ours), compute(theirs))
    assert theirs.config.architectures == [type(ours).__name__]
    for name in ours.config.checks:
        assert getattr(theirs.config, name) == getattr(ours.config, name), name
    assert theirs.config.num_labels == ours.config.num_labels
    assert theirs.config.id2label == ours.config.id2label
    assert theirs.config.tie_word_embeddings == ours.config.tie_word_embeddings


def test_theirs_from_ours_in_ours(transformers, ours, tools, tmp_path):
    """From us to transformers and back: every weight and every field is what it was."""
    ours.save_pretrained(tmp_path / "first")
    open_theirs(transformers, ours, tmp_path / "first").save_pretrained(tmp_path / "second")
    again = type(ours).from_pretrained(tmp_path / "second")
    assert {n: getattr(again.config, n) for n in again.config.checks} == {
        n: getattr(ours.config, n) for n in ours.config.checks
    }
    for (name, one), other in zip(
        ours.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_half_precision(transformers, class_name, tools, tmp_path):
    cls = getattr(distilbert, class_name)
    settings = tools.random_settings(class_name, 0)
    model = cls(cls.config_class(**settings)).bfloat16().eval()
    model.save_pretrained(tmp_path)
    theirs = open_theirs(transformers, model, tmp_path, dtype="auto")
    ours = cls.from_pretrained(tmp_path, dtype="auto")
    assert ours.dtype == theirs.dtype == torch.bfloat16
    for name, parameter in theirs.state_dict().items():
        if name in ours.state_dict():
            assert torch.equal(parameter, ours.state_dict()[name]), name


@pytest.mark.parametrize("head", ["ForMaskedLM", "ForSequenceClassification"])
@pytest.mark.parametrize("kind", ["DistilBert", "Bert"])
def test_a_bare_encoder_and_a_head_exchange_weights(make_pair, tools, kind, head):
    """Names with and without prefix, either way, give the same encoder."""
    with_head, bare = make_pair(f"{kind}{head}"), make_pair(f"{kind}Model")
    encoder = type(bare.ours).from_pretrained(with_head.folder)
    expected = with_head.theirs.base_model(**with_head.inputs()).last_hidden_state
    tools.assert_close(encoder(**with_head.inputs()).last_hidden_state, expected)
    model = type(with_head.ours).from_pretrained(bare.folder)
    expected = bare.theirs(**bare.inputs()).last_hidden_state
    tools.assert_close(model.base_model(**bare.inputs()).last_hidden_state, expected)

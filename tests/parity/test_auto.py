"""transformers' Auto classes and ours on one folder: a pair of texts in, the same logits out."""

import pytest
import torch
import transformers

import distilbert

pytestmark = pytest.mark.parity

NAMES = [name for name in distilbert.__all__ if name.startswith("AutoModel")]
SIZES = {"max_position_embeddings": 16, "initializer_range": 0.3}


@pytest.fixture(params=["bert", "distilbert"])
def parts(request, tiny_vocab, tmp_path):
    """Configuration and tokenizer of transformers, the latter saved."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tiny_vocab), encoding="utf-8")
    sizes = {"vocab_size": len(tiny_vocab), **SIZES}
    if request.param == "bert":
        config = transformers.BertConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            **sizes,
        )  # fmt: skip
        tokenizer = transformers.BertTokenizer.from_pretrained(tmp_path)
    else:
        config = transformers.DistilBertConfig(
            dim=16, n_layers=2, n_heads=2, hidden_dim=24, **sizes
        )
        tokenizer = transformers.DistilBertTokenizer.from_pretrained(tmp_path)
    folder = tmp_path / "saved"
    tokenizer.save_pretrained(folder)
    return config, folder


@pytest.mark.parametrize("name", NAMES)
def test_the_same_script(parts, name):
    config, folder = parts
    torch.manual_seed(0)
    getattr(transformers, name).from_config(config).save_pretrained(folder)

    def script(library):
        config = library.AutoConfig.from_pretrained(folder)
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        model = getattr(library, name).from_pretrained(folder, config=config).eval()
        texts = ["the small model", "a"], ["un affable models", "smaller"]
        inputs = tokenizer(*texts, padding=True, return_tensors="pt")
        kind = type(model).__name__
        if name.endswith("MultipleChoice"):
            inputs = {key: value[None] for key, value in inputs.items()}
        with torch.no_grad():
            return kind, set(inputs), model(**inputs)[0]

    ours, theirs = script(distilbert), script(transformers)
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-5, atol=1e-5)

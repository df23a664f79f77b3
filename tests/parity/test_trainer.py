"""transformers' Trainer and collators with our models and tokenizers, as the guide describes it."""

import re
import warnings
from pathlib import Path

import pytest

import distilbert as d

GUIDE = Path(__file__).parents[2] / "docs/guides/from-transformers.md"
SIZES = {"vocab_size": 9, "max_position_embeddings": 16}
SMALL = d.DistilBertConfig(n_layers=1, n_heads=2, dim=8, hidden_dim=8, **SIZES)


@pytest.fixture(scope="module")
def trainer_class():
    """The class that the guide shows."""
    pytest.importorskip("accelerate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    (block,) = re.findall(r"```python\n(import transformers.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {}
    exec(block, names)
    return transformers, names["Trainer"]


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ngood\nbad\nfilm")
    return d.DistilBertTokenizerFast(str(path))


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")  # transformers' own, about its own arguments
@pytest.mark.parametrize(
    ("task", "head", "options"),
    [
        ("text-classification", "SequenceClassification", {}),
        ("token-classification", "TokenClassification", {}),
        ("fill-mask", "MaskedLM", {"top_k": 2}),
        ("zero-shot-classification", "SequenceClassification", {"candidate_labels": ["film"]}),
    ],
)
def test_pipelines_of_transformers_take_our_models(task, head, options, tokenizer):
    transformers = pytest.importorskip("transformers")
    model = getattr(d, f"DistilBertFor{head}")(SMALL).eval()
    pipeline = transformers.pipeline(task, model=model, tokenizer=tokenizer)
    assert pipeline("a good [MASK]", **options)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")  # transformers' own, about its own arguments
@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
@pytest.mark.parametrize(
    "cls",
    [d.DistilBertForSequenceClassification, d.DistilBertForMaskedLM],
    ids=lambda c: c.__name__,
)
def test_train_save_and_resume(cls, attention, trainer_class, tokenizer, tmp_path):
    transformers, Trainer = trainer_class  # noqa: N806
    labelled = [("a good film", 1), ("bad", 0)] * 4
    if cls is d.DistilBertForMaskedLM:
        data = [dict(tokenizer(text)) for text, _ in labelled]
        collator = transformers.DataCollatorForLanguageModeling(tokenizer)
    else:
        data = [dict(tokenizer(text), labels=label) for text, label in labelled]
        collator = transformers.DataCollatorWithPadding(tokenizer)
    model = cls(SMALL)
    model.set_attn_implementation(attention)
    settings = transformers.TrainingArguments(
        str(tmp_path / "run"), max_steps=4, save_steps=2, per_device_train_batch_size=2,
        gradient_accumulation_steps=2, gradient_checkpointing=True, use_cpu=True, report_to=[],
        eval_strategy="steps", eval_steps=2, load_best_model_at_end=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=data,
        eval_dataset=data,
        data_collator=collator,
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.state.global_step == 4
    assert trainer.evaluate()["eval_loss"] > 0
    trainer.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-2"))
    trainer.save_model()
    opened = cls.from_pretrained(tmp_path / "run")
    for name, weight in model.state_dict().items():
        assert (opened.state_dict()[name] == weight).all(), name
    assert d.DistilBertTokenizerFast.from_pretrained(tmp_path / "run").vocab_size == 9

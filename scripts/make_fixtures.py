"""Write tests/fixtures/transformers-4.57: files and answers of transformers 4.57, tiny.

`make fixtures` runs it in an environment with 4.57, which cannot live beside 5.23. Seeds are fixed:
running it again writes the same bytes. tests/parity/test_fixtures_4_57.py reads the result:

    cases.json           one entry per case: class, checkpoint folder, options of the call
    <checkpoint>/        as save_pretrained wrote it
    <case>.safetensors   given/<argument>, output/<name>[/<number>], gradient/<their parameter>
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "transformers-4.57"
SIZES = {"vocab_size": 24, "max_position_embeddings": 10}
DISTILBERT = {"dim": 6, "n_heads": 3, "n_layers": 2, "hidden_dim": 10, **SIZES}
BERT = {
    "hidden_size": 6,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 10,
    **SIZES,
}
KEEP = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 0, 1]])
IDS = torch.tensor([[2, 9, 14, 7, 3], [2, 21, 3, 0, 0], [2, 5, 11, 17, 3]])
TYPES = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
PLAIN = {"input_ids": IDS, "attention_mask": KEEP}
CHOICES = {name: torch.stack([x, x.flip(0)], 1) for name, x in PLAIN.items()}  # (B, 2, T)
BY_TOKEN = {**PLAIN, "labels": torch.where(KEEP == 1, IDS % 4, -100)}
BY_ROW = {**PLAIN, "labels": torch.tensor([2, 0, 1])}
SPANS = {"start_positions": torch.tensor([1, 0, 9]), "end_positions": torch.tensor([3, 1, 2])}
HEADS_OFF = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]])  # (n_layers, n_heads)
PRUNED = {0: [1], 1: [0, 2]}
ALL = {"output_hidden_states": True, "output_attentions": True}

cases: list[dict] = []


@torch.no_grad()
def make(class_name: str, **settings) -> transformers.PreTrainedModel:
    """A model whose every weight matters; what is not trained (sinusoidal positions) stays."""
    sizes = BERT if class_name.startswith("Bert") else DISTILBERT
    cls = getattr(transformers, class_name)
    config = cls.config_class(**sizes, attn_implementation="eager", **settings)
    model = cls(config).eval()
    generator = torch.Generator().manual_seed(len(cases))
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        mean = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        parameter.copy_(mean + (0.3 if parameter.dim() > 1 else 0.2) * noise)
    return model


def save(model: transformers.PreTrainedModel, checkpoint: str, **options) -> None:
    model.save_pretrained(FOLDER / checkpoint, **options)


def record(
    model: transformers.PreTrainedModel,
    case: str,
    given: dict[str, torch.Tensor],
    *,
    checkpoint: str | None = None,
    prune: dict[int, list[int]] | None = None,
    gradients: bool = False,
) -> None:
    """Compute the answers of a case and write them down."""
    output = model(**given, **ALL)
    tensors = {f"given/{name}": value for name, value in given.items()}
    for name, value in output.items():
        parts = (
            {f"/{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {"": value}
        )
        tensors |= {f"output/{name}{number}": part for number, part in parts.items()}
    if gradients:
        output.loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                tensors[f"gradient/{name}"] = parameter.grad
        model.zero_grad()
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, FOLDER / f"{case}.safetensors")
    entry = {"case": case, "class": type(model).__name__, "checkpoint": checkpoint or case}
    cases.append({**entry, "prune": prune} if prune else entry)


def heads() -> None:
    """One checkpoint per class, with losses and gradients."""
    for class_name, case, given, settings in (
        ("DistilBertForMaskedLM", "masked-lm", BY_TOKEN, {}),
        ("DistilBertForMaskedLM", "masked-lm-untied", BY_TOKEN, {"tie_word_embeddings": False}),
        ("DistilBertForSequenceClassification", "classification", BY_ROW, {"num_labels": 3}),
        ("DistilBertForTokenClassification", "tokens", BY_TOKEN, {"num_labels": 4}),
        ("DistilBertForQuestionAnswering", "questions", {**PLAIN, **SPANS}, {}),
        (
            "DistilBertForMultipleChoice",
            "choices",
            {**CHOICES, "labels": torch.tensor([1, 0, 0])},
            {"activation": "relu"},
        ),
        (
            "BertForSequenceClassification",
            "bert-classification",
            {**BY_ROW, "token_type_ids": TYPES},
            {"num_labels": 3, "hidden_act": "gelu_new"},
        ),
        ("BertForMaskedLM", "bert-masked-lm", {**BY_TOKEN, "token_type_ids": TYPES}, {}),
    ):
        model = make(class_name, **settings)
        save(model, case)
        record(model, case, given, gradients=True)


def encoders() -> None:
    """Encoders in each form that 4.57 writes."""
    for case, class_name, settings, options in (
        ("model", "DistilBertModel", {}, {}),
        ("sinusoidal", "DistilBertModel", {"sinusoidal_pos_embds": True}, {}),
        ("bin", "DistilBertModel", {}, {"safe_serialization": False}),
        ("shards", "DistilBertModel", {}, {"max_shard_size": "2KB"}),
        (
            "bin-shards",
            "DistilBertModel",
            {"activation": "silu"},
            {"safe_serialization": False, "max_shard_size": "2KB"},
        ),
        ("bert-model", "BertModel", {}, {}),
    ):
        model = make(class_name, **settings)
        save(model, case, **options)
        record(model, case, PLAIN)
    half = make("DistilBertModel").bfloat16()
    save(half, "half")
    record(half.float(), "half", PLAIN)


def attention_heads() -> None:
    """Masked and pruned heads: 5.x has neither."""
    model = transformers.DistilBertModel.from_pretrained(
        FOLDER / "model", attn_implementation="eager"
    )
    for case, head_mask in (("head-mask", HEADS_OFF), ("head-mask-shared", HEADS_OFF[0])):
        record(model, case, {**PLAIN, "head_mask": head_mask}, checkpoint="model")
    for checkpoint in ("classification", "bert-classification"):
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            FOLDER / checkpoint, attn_implementation="eager"
        )
        record(model, f"{checkpoint}-head-mask", {**BY_ROW, "head_mask": HEADS_OFF},
               checkpoint=checkpoint, gradients=True)  # fmt: skip
        model.prune_heads(PRUNED)
        save(model, f"{checkpoint}-pruned")
        record(model, f"{checkpoint}-pruned", BY_ROW, gradients=True)
        record(model, f"{checkpoint}-prune", BY_ROW, checkpoint=checkpoint, prune=PRUNED)


def main() -> None:
    if not transformers.__version__.startswith("4.57."):
        raise SystemExit(f"this needs transformers 4.57, found {transformers.__version__}")
    transformers.logging.set_verbosity_error()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    heads()
    encoders()
    attention_heads()
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

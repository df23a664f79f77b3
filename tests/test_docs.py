"""The documentation, run: the Python blocks of each page, in order, in a process of its own."""

import json
import random
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.distributed.run import get_args_parser

import distilbert as d
from distilbert import cli, flags
from distilbert.recipes import distill

ROOT = Path(__file__).parents[1]
KERAS_WITH_NUMPY = "ignore:__array__ implementation:DeprecationWarning"  # Keras, NumPy 2.4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *["a", "wonderful", "film", "not", "my", "cup", "of", "tea", ".", "!"]]
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "```python" in page.read_text(encoding="utf-8")
)
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [
    ROOT / "docs" / "guides" / f"{name}.md"
    for name in ("distill", "export", "finetune", "predict", "serve", "speed")
]


@pytest.fixture
def folder_with_models(tmp_path):
    """The hub ids that the documentation names, as local folders with tiny models."""
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 32, "id2label": {0: "N", 1: "P"}}
    small = d.DistilBertConfig(n_layers=1, n_heads=2, dim=8, hidden_dim=8, **sizes)
    bert = d.BertConfig(num_hidden_layers=1, num_attention_heads=2, hidden_size=8,
                        intermediate_size=8, **sizes)  # fmt: skip
    torch.manual_seed(0)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    for name, model in {
        "distilbert-base-uncased": d.DistilBertForMaskedLM(small),
        "distilbert-base-uncased-finetuned-sst-2-english": d.DistilBertForSequenceClassification(
            small
        ),
        "bert-base-uncased": d.BertForMaskedLM(bert),
        "my-tagger": d.DistilBertForTokenClassification(small),
        "my-reader": d.DistilBertForQuestionAnswering(small),
    }.items():
        model.save_pretrained(tmp_path / name)
        d.DistilBertTokenizerFast(str(vocabulary)).save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_code_runs(page, folder_with_models):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    script = folder_with_models / "page.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", KERAS_WITH_NUMPY, script.name],
        cwd=folder_with_models,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def write_labelled(folder, texts):
    """Write the training and validation data that the documentation names."""
    content = "\n".join(["text,label", *(f"{text},{text.startswith('a')}" for text in texts)])
    for name in ("train.csv", "dev.csv"):
        (folder / name).write_text(content, encoding="utf-8")


def run_commands(commands, folder):
    """Run commands one after the other in one process: most of the time it imports."""
    code = "import sys; from distilbert import cli\n"
    code += f"for words in {commands}: assert cli.main(words) == 0, words"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_readme_run(folder_with_models):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^distilbert (.*)$", page, re.MULTILINE)
    names = [command.split()[0] for command in commands]
    assert names == ["prepare", "distill", "finetune", "evaluate"]
    (folder_with_models / "bert-base-uncased").rename(folder_with_models / "my-bert")
    texts = folder_with_models / "my-texts"
    texts.mkdir()
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS[5:], k=draw.randint(12, 20))) for _ in range(1500)]
    (texts / "reviews.txt").write_text("\n".join(lines), encoding="utf-8")
    write_labelled(folder_with_models, lines[:64])
    run_commands([command.split() for command in commands], folder_with_models)
    student = d.DistilBertForMaskedLM.from_pretrained(folder_with_models / "run" / "model")
    assert student.config.n_layers == 1


def commands_of(page):
    """The commands of a guide, as words."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "\n".join(text for kind, text in blocks if not kind).replace("\\\n", " ").splitlines()
    found = [line.partition("distilbert ")[2] for line in lines if "distilbert " in line]
    return [shlex.split(command.removeprefix("-- ")) for command in found]  # of torchrun


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_commands_of_the_guides_have_settings_that_can_be(page):
    found = commands_of(page)
    assert found
    for recipe, *words in found:
        module = import_module(cli.RECIPES[recipe][0])
        settings = flags.read_settings(recipe, module.Settings, words)
        if recipe == "distill":
            distill.with_recipe(settings)


@pytest.mark.slow
def test_the_first_commands_of_the_guides_run(folder_with_models):
    """The model that is fine-tuned is evaluated and exported, and the export answers."""
    texts = ["a wonderful film !", "not my cup of tea .", "a film .", "my tea !"] * 4
    write_labelled(folder_with_models, texts)
    (folder_with_models / "reviews.txt").write_text("\n".join(texts), encoding="utf-8")
    (folder_with_models / "distilbert-base-uncased").rename(folder_with_models / "my-distilbert")
    made = {"my-tagger": "run/model", "my-model": "tagger-onnx"}
    commands = []
    for name, recipe in (
        ("finetune", "finetune"),
        ("finetune", "evaluate"),
        ("export", "export"),
        ("predict", "predict"),
    ):
        found = commands_of(ROOT / "docs" / "guides" / f"{name}.md")
        words = next(words for words in found if words[0] == recipe)
        commands.append([made.get(word, word) for word in words])
    run_commands(commands, folder_with_models)
    answers = (folder_with_models / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in answers] == texts


@pytest.mark.parametrize("recipe", cli.RECIPES)
def test_every_flag_has_a_help_line_that_can_be_read_alone(recipe, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # lines are broken at hyphens, too
    with pytest.raises(SystemExit, match="0"):
        cli.main([recipe, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    kind = import_module(cli.RECIPES[recipe][0]).Settings
    _, lines = flags._documentation(kind)
    assert list(lines) == [entry.name for entry in fields(kind)]
    for name, line in lines.items():
        assert line in shown, name
        assert not re.match("(of|in|as|those|the same)\\b", line), name


@pytest.mark.parametrize("recipe", ["pretrain", "distill", "finetune", "evaluate"])
def test_torchrun_leaves_every_flag_to_the_recipe(recipe):
    kind = import_module(cli.RECIPES[recipe][0]).Settings
    words = [recipe, *(word for entry in fields(kind) for word in (f"--{entry.name}", "x"))]
    command = ["--nproc_per_node", "2", "-m", "distilbert", "--", *words]
    assert get_args_parser().parse_args(command).training_script_args == words


def test_torchrun_is_shown_in_the_form_that_leaves_it_the_flags():
    pages = [*TEXTS, *(ROOT / "src").rglob("*.py")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    shown = re.findall(r"torchrun .*?-m distilbert (\S+)", text)
    assert shown
    assert set(shown) == {"--"}


def test_the_readme_predicts_in_five_lines():
    first = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    statements = [line for line in first[1].splitlines() if line and "import" not in line]
    assert len(statements) <= 5


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(
        r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")
    ):
        if not target.startswith("http"):
            other = page.parent / target if target else page
            assert other.exists(), f"{page}: {target}"
            assert not anchor or anchors(other).count(anchor) == 1, f"{page}: {target}#{anchor}"


def test_every_public_class_has_an_example_that_runs_as_a_doctest():
    for name in d.__all__:
        value = getattr(d, name)
        assert value.__doc__, name
        if isinstance(value, type) and not name.endswith(("PreTrainedModel", "Span")):
            assert ">>>" in value.__doc__, name

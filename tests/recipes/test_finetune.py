"""`distilbert finetune` on files of one's own: it learns, resumes, and refuses what cannot be."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import distilbert as d
from distilbert import cli
from distilbert.modeling.opening import open_head
from distilbert.recipes import finetune as recipe
from distilbert.recipes import task_data
from distilbert.recipes.finetune import Settings, main
from distilbert.recipes.plan import Plan
from distilbert.recipes.seeds import folder_of, sum_up
from distilbert.recipes.task_job import TaskJob
from distilbert.runtime import checkpoint
from distilbert.runtime.metrics import read_metrics
from distilbert.tasks.catalog import make_task

from .reviews import BAD, GOOD, OTHER, VOCAB, save_model, write_reviews

QUICK = {"learning_rate": 5e-3, "batch_size": 16, "epochs": 5.0}


@pytest.fixture
def finetune(fresh, reviews, masked_lm, tmp_path):
    """Return a function that runs the recipe in `tmp_path / name`."""

    def run(name="run", **settings):
        fresh()
        given = {"model": masked_lm, "out": str(tmp_path / name), **reviews, **QUICK, **settings}
        return main(Settings(**given))

    return run


def numbers(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(folder)]


def test_it_learns_and_keeps_the_best(finetune, masked_lm, tmp_path):
    scores = finetune()
    assert scores["accuracy"] > 0.95
    assert scores.keys() == {"loss", "accuracy", "f1", "matthews"}
    model = d.DistilBertForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert model.config.id2label == {0: "neg", 1: "pos"}
    assert model.config.problem_type == "single_label_classification"
    for file in ("vocab.txt", "tokenizer.json"):
        published = (tmp_path / "run" / "model" / file).read_bytes()
        assert published == (Path(masked_lm) / file).read_bytes()
    said, before = (
        json.loads((folder / "tokenizer_config.json").read_text())
        for folder in (tmp_path / "run" / "model", Path(masked_lm))
    )
    assert said == before | {"model_max_length": 24}
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(tmp_path / "run" / "model")
    inputs = tokenizer(["the film was great", "a sad plot"], padding=True, return_tensors="pt")
    assert model(**inputs).logits.argmax(-1).tolist() == [1, 0]
    lines = [line for line in numbers(tmp_path / "run") if "validation/loss" in line]
    assert [line["step"] for line in lines] == [13, 26, 39, 52, 62]
    best = max(line["validation/accuracy"] for line in lines)
    assert scores["accuracy"] == best
    rates = {line["step"]: line["rate"] for line in numbers(tmp_path / "run") if "rate" in line}
    assert rates[10] == pytest.approx(5e-3 * (62 - 9) / (62 - 6))  # 6 steps of warm-up
    assert rates[62] == pytest.approx(5e-3 / (62 - 6))


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
def test_pairs(finetune, tmp_path, kind):
    """The first text misleads. BERT gets its segment ids, and learns them."""
    data = {
        "train": write_reviews(tmp_path / "train.csv", 400, 0, pair=True),
        "validation": write_reviews(tmp_path / "dev.csv", 80, 1, pair=True),
    }
    base = save_model(tmp_path / "base", kind)
    scores = finetune(model=base, second_text_column="second", **data, epochs=8.0, patience=5)
    assert scores["accuracy"] > 0.9
    said = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    name = {"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer"}[kind]
    assert (said["tokenizer_class"], said["model_max_length"]) == (name, 24)
    if kind == "bert":
        model = d.BertForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
        types = model.base_model.embeddings.token_type_embeddings.weight
        before = d.BertForMaskedLM.from_pretrained(base)
        start = before.base_model.embeddings.token_type_embeddings.weight
        assert not torch.equal(types[1], start[1])


def test_the_best_weights_are_published_not_the_last(finetune, tmp_path):
    """A learning rate that ruins the model after it has learned."""
    scores = finetune(learning_rate=3e-2, epochs=8.0, warmup=0.6, metric="loss", save_every=5)
    lines = [line for line in numbers(tmp_path / "run") if "validation/loss" in line]
    losses = [line["validation/loss"] for line in lines]
    assert scores["loss"] == min(losses)
    assert losses[-1] > min(losses)
    fresh_scores = finetune(learning_rate=3e-2, epochs=8.0, warmup=0.6, metric="loss", save_every=5)
    assert fresh_scores == scores  # nothing is left to do


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_divergence_before_a_validation(finetune, tmp_path, task):
    """The loss of the step is still a number, that of the weights after it is none."""
    data = {}
    if task == "regression":  # whose score would refuse NaN in other words
        rows = write_lines(tmp_path / "rows.jsonl", examples_of(task, 40, seed=0))
        data = {"train": rows, "validation": rows}
    with pytest.raises(ValueError, match="the validation loss is nan in step 1: training has div"):
        finetune(learning_rate=1e38, max_norm=1e38, warmup=0.0, save_every=1, task=task, **data)


def test_a_collapse_is_said(finetune, caplog):
    said = "step 62: the model answers nearly the same to every text"
    finetune("good")
    assert said not in caplog.text
    finetune("bad", learning_rate=1.0)
    assert said in caplog.text


@pytest.mark.parametrize(
    ("problem", "rows", "labels", "outputs", "collapsed"),
    [
        ("single_label_classification", 1, [0, 1], [[0.1, 0.2], [0.1, 0.2]], True),
        ("single_label_classification", 1, [0, 1], [[0.1, 0.2], [0.2, 0.1]], False),
        ("single_label_classification", 1, [0], [[0.1, 0.2]], False),
        ("regression", 1, [0.001, 0.009], [[0.002], [0.008]], False),
        ("regression", 1, [0.0, 5.0], [[2.51], [2.5]], True),
        (None, 2, [0, 0], [[2.0, 0.0], [2.0, 0.0]], False),
        (None, 2, [0, 1], [[2.0, 2.0], [2.0, 2.0]], True),
    ],
)
def test_what_a_collapse_is(problem, rows, labels, outputs, collapsed):
    class Examples(list):
        """One for each label."""

    features = Examples(labels)
    features.rows, features.labels = rows, np.array(labels)
    model = SimpleNamespace(config=SimpleNamespace(problem_type=problem))
    job = SimpleNamespace(model=model, validation=SimpleNamespace(features=features))
    assert TaskJob._is_collapsed(job, np.array(outputs)) is collapsed


def test_patience_ends_a_run(finetune, tmp_path, capfd):
    settings = {"patience": 2, "epochs": 30.0}
    scores = finetune(**settings)
    steps = [line["step"] for line in numbers(tmp_path / "run")]
    assert max(steps) < 13 * 30
    assert "the best, step" in capfd.readouterr().err
    last = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert last.state["best_step"] < last.step
    best, weights = (last.tensors(name)["model.classifier.weight"] for name in ("best", "weights"))
    assert not torch.equal(best, weights)
    file = tmp_path / "run" / "model" / "model.safetensors"
    assert torch.equal(load_file(file)["classifier.weight"], best)
    assert finetune(**settings) == scores
    assert torch.equal(load_file(file)["classifier.weight"], best)
    assert [line["step"] for line in numbers(tmp_path / "run")] == steps


def test_several_seeds(finetune, tmp_path):
    scores = finetune(seeds=(1, 2, 3), epochs=1.0)
    record = json.loads((tmp_path / "run" / "seeds.json").read_text())
    losses = {seed: each["loss"] for seed, each in record["scores"].items()}
    assert len(set(losses.values())) == 3
    assert scores["loss"] == sorted(losses.values())[1] == record["median"]["loss"]
    best = tmp_path / "run" / f"seed-{record['published']}" / "model"
    for file in best.iterdir():
        assert (tmp_path / "run" / "model" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(ValueError, match="one or more different numbers"):
        finetune(seeds=(1, 1))


def test_settings_reach_the_loop(finetune, monkeypatch):
    plans = []
    monkeypatch.setattr(recipe, "train", lambda *given: plans.append(given[3]) or {})
    given = {"steps": 7, "warmup": 0.2, "weight_decay": 0.4, "max_norm": 0.6, "metric": "loss"}
    finetune(**given, learning_rate=0.3, patience=3, save_every=2)
    finetune("other", layer_decay=0.5)
    plan, usual = plans
    assert plan == Plan(
        **given, peak=0.3, patience=3, save_every=2, seed=0, betas=(0.9, 0.999), eps=1e-8,
        validates_first=False, scale_of=plan.scale_of, checkpoints=True,
    )  # fmt: skip
    assert (usual.steps, usual.save_every, usual.patience) == (62, 13, 0)  # 13 are an epoch
    layers = "model.distilbert.transformer.layer"
    assert usual.scale_of(f"{layers}.0.q") == 0.5 * usual.scale_of(f"{layers}.1.q") > 0


@pytest.mark.parametrize(("metric", "best"), [("loss", 2), ("accuracy", 3)])
def test_the_best_seed_is_published(tmp_path, metric, best):
    scores = {
        1: {"loss": 0.5, "accuracy": 0.7},
        2: {"loss": 0.2, "accuracy": 0.8},
        3: {"loss": 0.4, "accuracy": 0.9},
    }
    for seed in scores:
        (folder_of(tmp_path, seed) / "model").mkdir(parents=True)
        (folder_of(tmp_path, seed) / "model" / "config.json").write_text(str(seed))
    launch = SimpleNamespace(on_main=lambda work: work())
    assert sum_up(launch, tmp_path, metric, scores) == {"loss": 0.4, "accuracy": 0.8}
    assert (tmp_path / "model" / "config.json").read_text() == str(best)
    assert json.loads((tmp_path / "seeds.json").read_text())["published"] == best


def test_seeds_may_be_added_but_not_taken_away(finetune, tmp_path):
    finetune(seeds=(1, 2), steps=2)
    for name in ("seed-3.zip", "seed-notes"):  # which are no runs
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "seed-x").mkdir()
    finetune(seeds=(1, 2, 3), steps=2)
    record = json.loads((tmp_path / "run" / "seeds.json").read_text())
    assert list(record["scores"]) == ["1", "2", "3"]
    with pytest.raises(ValueError, match="has seed-3 as well, and seeds are 1 2: give those and"):
        finetune(seeds=(1, 2), steps=2)
    for name in ("run", "single"):
        finetune("single", seeds=(1,), steps=2)
        with pytest.raises(ValueError, match=r"holds a run with other settings: .*seeds was"):
            finetune(name, seeds=(4,) if name == "run" else (1, 2), steps=2)
    assert json.loads((tmp_path / "run" / "seeds.json").read_text()) == record


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_no_input_is_replaced(finetune, masked_lm, tmp_path, seeds):
    model = shutil.copytree(masked_lm, tmp_path / "run" / "model")
    before = {file: file.read_bytes() for file in model.iterdir()}
    for wrong in ({"model": str(model)}, {"teacher": str(model / "..") + "/model"}):
        with pytest.raises(ValueError, match="would be replaced by the model of this run"):
            finetune(seeds=seeds, steps=1, **wrong)
    assert before == {file: file.read_bytes() for file in model.iterdir()}


def test_micro_batches_do_not_matter(finetune, tmp_path):
    """Within the order of sums, without dropout."""
    base = save_model(
        tmp_path / "base", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0
    )
    finetune("whole", model=base, steps=12)
    finetune("parts", model=base, steps=12, micro_tokens=40)
    for one, other in zip(numbers(tmp_path / "whole"), numbers(tmp_path / "parts"), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_going_on_from_a_fine_tuned_model(finetune, tmp_path):
    """Labels keep their numbers; a head for others is drawn anew."""
    base = save_model(
        tmp_path / "base", head="SequenceClassification", id2label={0: "pos", 1: "neg"}
    )
    finetune(model=base, steps=2)
    model = d.DistilBertForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert model.config.id2label == {0: "pos", 1: "neg"}
    for number, names in enumerate((["a", "b", "c"], ["neg", "pos", "neg"])):
        labels = {"id2label": dict(enumerate(names))}
        base = save_model(tmp_path / "three", head="SequenceClassification", **labels)
        finetune(f"other-{number}", model=base, steps=2)
        weights = load_file(tmp_path / f"other-{number}" / "model" / "model.safetensors")
        assert len(weights["classifier.weight"]) == 2


def test_words_that_the_validation_data_alone_have(finetune, tmp_path):
    rows = {"train": "a good film,pos\na bad film,neg\n", "validation": "the plot was sad,neg\n"}
    files = {name: tmp_path / f"{name}.csv" for name in rows}
    for name, path in files.items():
        path.write_text(f"text,label\n{rows[name]}")
    scores = finetune(**{name: str(path) for name, path in files.items()}, steps=1)
    assert np.isfinite(scores["loss"])


def test_cutting_is_said(finetune, tmp_path, capfd):
    finetune(steps=1, max_length=6)
    assert "cut to 6 tokens" in capfd.readouterr().err
    long = tmp_path / "long.csv"
    long.write_text("text,label\n" + "film " * 40 + ",pos\ngood,neg\n")
    with pytest.raises(ValueError, match=r"long.csv: 1 of 2 texts have more than the 24 tokens"):
        finetune("other", train=str(long))
    with pytest.raises(ValueError, match="max_length must be at most 24"):
        finetune("other", max_length=25)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train", "text,label\na film,pos\ngood,pos\n", "nothing to learn from one class"),
        ("train", "text,label\n  ,pos\ngood,neg\n", "line 2: the text is empty"),
        ("train", "text,label\na film,\ngood,neg\n", "line 2: 'label' is empty"),
        (
            "train",
            "review,label\na,pos\nb,neg\n",
            "no column 'text'; its columns are: review, label",
        ),
        ("train", "text,stars\na,pos\n", "no column 'label'; .* Say which one with label_column"),
        ("validation", "text,label\na film,meh\n", "line 2: the label 'meh' is none .* neg, pos"),
    ],
)
def test_wrong_data_leaves_nothing_behind(finetune, tmp_path, name, content, message):
    (tmp_path / "wrong.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        finetune(**{name: str(tmp_path / "wrong.csv")})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--task cooking", "task must be one of classification"),
        ("--batch_size 0", "batch_size"),
        ("--micro_tokens 5", "raise micro_tokens"),
        ("--patience -1", "patience must be 0 (off) or more"),
        ("--metric bleu", "metric must be one of loss, accuracy, f1, matthews; got 'bleu'"),
        ("--epochs 0", "give steps or epochs"),
        ("--epochs 0.01", "lower batch_size or give steps"),
    ],
)
def test_wrong_settings(fresh, reviews, masked_lm, tmp_path, capfd, flags, message):
    command = ["finetune", "--model", masked_lm, "--out", str(tmp_path / "run"), *flags.split()]
    command += ["--train", reviews["train"], "--validation", reviews["validation"]]
    assert cli.main(command) == 1
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_share_is_held_out(finetune, reviews, tmp_path, capfd):
    finetune(steps=1, validation="0.25")
    rows = len(Path(reviews["train"]).read_text().splitlines()) - 1
    said = capfd.readouterr().err
    assert f"{rows - round(rows / 4)} texts" in said
    assert f"{round(rows / 4)} texts" in said
    with pytest.raises(ValueError, match=r"holds a run with other settings: .*validation"):
        finetune(steps=1, validation="0.5")
    with pytest.raises(ValueError, match=r"above 0 and below 1, got 1.5"):
        finetune("other", validation="1.5")


def test_other_data_are_another_run(finetune, tmp_path):
    finetune(steps=1)
    changed = write_reviews(tmp_path / "other.csv", 60, 7)
    with pytest.raises(ValueError, match="train was"):
        finetune(steps=1, train=changed)


def test_other_spellings_of_paths_are_the_same_run(finetune, reviews, tmp_path, monkeypatch, capfd):
    finetune(steps=1)
    monkeypatch.chdir(Path(reviews["train"]).parent)
    finetune(steps=1, train="train.csv", validation="./dev.csv")
    assert "nothing is left to do" in capfd.readouterr().err
    finetune("share", steps=1, validation="0.25")
    finetune("share", steps=1, train="train.csv", validation=".250")
    with pytest.raises(ValueError, match=r'validation was "\.250" .* "0\.25", now is "dev'):
        finetune("share", steps=1, validation="dev.csv")


def test_data_of_the_hub_have_a_name(monkeypatch):
    """What the hub says of two data sets may be the same."""
    monkeypatch.setattr(task_data, "fingerprint", lambda data: '["0.0.0", null, null]')
    assert task_data._known("hf:one") != task_data._known("hf:other")


def test_a_run_of_an_older_version_goes_on(finetune, masked_lm, tmp_path, capfd):
    """Its record has no tokenizers, and of an augmenter no hash."""
    finetune(steps=1, augment=1, augmenter=masked_lm)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    kept = {name: record["fingerprint"][name] for name in ("model", "train", "validation")}
    path.write_text(json.dumps(record | {"fingerprint": kept}))
    finetune(steps=1, augment=1, augmenter=masked_lm)
    assert "nothing is left to do" in capfd.readouterr().err
    assert json.loads(path.read_text())["fingerprint"] == record["fingerprint"]


def test_other_weights_are_another_run(finetune, masked_lm, tmp_path):
    moved = shutil.copytree(masked_lm, tmp_path / "moved")
    finetune(steps=1, model=str(moved))
    weights = load_file(moved / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, moved / "model.safetensors")
    with pytest.raises(ValueError, match="model was"):
        finetune(steps=1, model=str(moved))


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def review(draw, is_good):
    words = [str(word) for word in draw.choice(OTHER, draw.integers(2, 8))]
    place = int(draw.integers(0, len(words)))
    words.insert(place, str(draw.choice([BAD, GOOD][is_good])))
    return words, place


def examples_of(task, count, seed):
    """Every task is to find the word of praise or blame."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        is_good = int(draw.integers(0, 2))
        words, place = review(draw, is_good)
        text = " ".join(words)
        if task == "regression":
            yield {"text": text, "label": 4.0 * is_good + 1}
        elif task == "multi-label":
            yield {"text": text, "label": ["any", ["bad", "good"][is_good]]}
        elif task == "token-classification":
            tags = ["O"] * len(words)
            tags[place] = ["B-BAD", "B-GOOD"][is_good]
            yield {"tokens": words, "ner_tags": tags}
        elif task == "question-answering":
            start = len(" ".join([*words[:place], ""]))
            answers = {"text": [words[place]], "answer_start": [start]}
            yield {"id": str(number), "question": "was it", "context": text, "answers": answers}
        else:
            endings = [" ".join(review(draw, i == is_good)[0]) for i in range(2)]
            yield {"sent1": "the film", "ending0": endings[0], "ending1": endings[1],
                   "label": is_good}  # fmt: skip


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("regression", "SequenceClassification"),
        ("multi-label", "SequenceClassification"),
        ("token-classification", "TokenClassification"),
        ("question-answering", "QuestionAnswering"),
        ("multiple-choice", "MultipleChoice"),
    ],
)
def test_every_kind_of_task(finetune, evaluate, tmp_path, task, head, kind):
    if (task, kind) == ("multi-label", "bert"):
        pytest.skip("this tiny BERT stays on a plateau with half of the seeds")
    data = {
        name: write_lines(tmp_path / f"{name}.jsonl", examples_of(task, count, seed))
        for name, count, seed in (("train", 200, 0), ("validation", 40, 1))
    }
    base = save_model(tmp_path / "base", kind)
    options = {"task": task, "max_length": 16, "stride": 4 if task[0] == "q" else None}
    scores = finetune(model=base, epochs=10.0, **data, **options)
    assert scores[make_task(task).metric] > 0.9
    cls = getattr(d, f"{'Bert' if kind == 'bert' else 'DistilBert'}For{head}")
    model = str(tmp_path / "run" / "model")
    config = cls.from_pretrained(model).config
    names = {"regression": ["label"], "multi-label": ["any", "bad", "good"],
             "token-classification": ["B-BAD", "B-GOOD", "O"]}  # fmt: skip
    if task in names:
        assert list(config.id2label.values()) == names[task]
    result = evaluate(model=model, data=data["validation"], **options)
    assert result["scores"] == pytest.approx(scores, abs=1e-5)


@pytest.fixture(scope="module")
def task_teacher(tmp_path_factory, reviews):
    """A BERT that knows the task, with its labels the other way round."""
    from accelerate.state import AcceleratorState, GradientState

    folder = tmp_path_factory.mktemp("teacher")
    base = save_model(folder / "base", "bert", head="SequenceClassification")
    config = json.loads((folder / "base" / "config.json").read_text())
    config |= {"id2label": {"0": "pos", "1": "neg"}, "label2id": {"pos": 0, "neg": 1}}
    (folder / "base" / "config.json").write_text(json.dumps(config))
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    main(Settings(model=base, out=str(folder / "run"), **reviews, **{**QUICK, "epochs": 8.0}))
    return str(folder / "run" / "model")


def test_a_teacher_is_enough(finetune, task_teacher, reviews, tmp_path):
    """The student learns from the teacher alone, on labels that are wrong."""
    content = Path(reviews["train"]).read_text()
    for before, after in ((",neg", ",?"), (",pos", ",neg"), (",?", ",pos")):
        content = content.replace(before, after)
    (tmp_path / "wrong.csv").write_text(content)
    wrong = {"train": str(tmp_path / "wrong.csv")}
    finetune("plain", **wrong)
    assert numbers(tmp_path / "plain")[-1]["validation/accuracy"] < 0.2
    taught = finetune("taught", teacher=task_teacher, labels=0.0, ce=1.0, **wrong)
    assert taught["accuracy"] > 0.95
    model = d.DistilBertForSequenceClassification.from_pretrained(tmp_path / "taught" / "model")
    assert model.config.id2label == {0: "neg", 1: "pos"}


def test_what_the_teacher_scores(finetune, evaluate, task_teacher, reviews, tmp_path, capfd):
    """Whose labels have other numbers; one with too few positions still teaches."""
    right = evaluate(model=task_teacher, data=reviews["validation"])["scores"]
    capfd.readouterr()
    finetune(teacher=task_teacher, steps=1)
    said = f"teacher: validation accuracy {right['accuracy']:.4f}, "
    assert said in capfd.readouterr().err
    rows = Path(reviews["train"]).read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(row for row in rows if len(row.split()) < 8))
    short = shutil.copytree(task_teacher, tmp_path / "short")
    model = d.BertForSequenceClassification.from_pretrained(task_teacher)
    model.resize_position_embeddings(10)
    model.save_pretrained(short)
    finetune("short", teacher=str(short), steps=1, train=str(tmp_path / "short.csv"))
    assert "teacher: validation" not in capfd.readouterr().err


def test_all_terms_of_a_teacher(finetune, task_teacher, tmp_path):
    scores = finetune(teacher=task_teacher, hidden=0.5, attention=0.5)
    assert scores["accuracy"] > 0.95
    logged = [line for line in numbers(tmp_path / "run") if "ce" in line]
    assert logged[-1].keys() >= {"labels", "ce", "hidden", "attention", "loss"}
    for line in logged:
        mean = 0.5 * sum(line[name] for name in ("labels", "ce", "hidden", "attention"))
        assert line["loss"] == pytest.approx(mean, rel=1e-4)
    assert logged[-1]["hidden"] < logged[0]["hidden"]


def test_hidden_states_of_a_quick_teacher(finetune, task_teacher, tmp_path, monkeypatch):
    finetune("quick", teacher=task_teacher, hidden=1.0, steps=5)
    monkeypatch.setattr(
        "distilbert.recipes.task_data.use_fast_stack", lambda teacher, precision: None
    )
    finetune("plain", teacher=task_teacher, hidden=1.0, steps=5)
    quick, plain = (
        [line["hidden"] for line in numbers(tmp_path / name) if "hidden" in line]
        for name in ("quick", "plain")
    )
    assert quick == pytest.approx(plain, rel=1e-3)


def test_teachers_that_do_not_fit(finetune, task_teacher, masked_lm, reviews, tmp_path):
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForSequence"):
        finetune(teacher=masked_lm)
    with pytest.raises(ValueError, match="hidden needs a teacher"):
        finetune(hidden=1.0)
    with pytest.raises(ValueError, match="gradient_checkpointing does not go"):
        finetune(teacher=task_teacher, hidden=1.0, gradient_checkpointing=True)
    other = save_model(tmp_path / "other", head="SequenceClassification",
                       id2label={0: "a", 1: "b"})  # fmt: skip
    with pytest.raises(ValueError, match=r"has the labels a, b; the data have neg, pos"):
        finetune(teacher=other)
    words = d.DistilBertTokenizerFast.from_pretrained(other).get_vocab()
    last = max(words, key=words.get)
    plain = save_model(tmp_path / "plain", head="SequenceClassification")
    d.DistilBertTokenizerFast(
        {"else" if word == last else word: i for word, i in words.items()}
    ).save_pretrained(plain)
    with pytest.raises(ValueError, match="another vocabulary than the student"):
        finetune(teacher=plain)
    d.DistilBertTokenizerFast(words, do_lower_case=False).save_pretrained(plain)
    with pytest.raises(ValueError, match=r"has do_lower_case False, that of the student True"):
        finetune(teacher=plain)


def test_a_teacher_of_a_value_may_have_learned_it_from_another_column(finetune, tmp_path):
    teacher = save_model(tmp_path / "teacher", head="SequenceClassification",
                         id2label={0: "rating"}, num_labels=1)  # fmt: skip
    data = write_lines(tmp_path / "values.jsonl", examples_of("regression", 20, seed=0))
    files = {"train": data, "validation": data}
    scores = finetune(teacher=teacher, task="regression", steps=2, **files)
    assert np.isfinite(scores["loss"])


def write_pairs(path, kind, count, seed):
    """Two reviews that agree or not; a review and the one that answers it, word by word; one."""
    draw = np.random.default_rng(seed)
    answers = dict(zip(BAD + GOOD, OTHER, strict=True))
    rows = []
    for _ in range(count):
        first, second = (review(draw, int(is_good)) for is_good in draw.integers(0, 2, 2))
        texts = {"sentence1": " ".join(first[0]), "sentence2": " ".join(second[0])}
        is_good = [words[place] in GOOD for words, place in (first, second)]
        if kind == "together":
            words = [str(word) for word in draw.choice(BAD + GOOD, 2, replace=False)]
            texts = {"sentence1": " ".join(words), "sentence2": " ".join(map(answers.get, words))}
        elif kind == "similar":
            texts["label"] = 1 + 4 * (is_good[0] == is_good[1])
        else:
            del texts["sentence2"]
        rows.append(texts)
    return write_lines(path, rows)


@pytest.fixture
def pairs(tmp_path):
    """Return a function that gives the files of a kind of training data and of validation data."""

    def files(kind, other=None):
        parts = (("train", kind, 200, 0), ("validation", other or kind, 40, 1))
        return {name: write_pairs(tmp_path / f"{name}.jsonl", *rest) for name, *rest in parts} | {
            "task": "embedding"
        }

    return files


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
@pytest.mark.parametrize(("data", "metric"), [("similar", "spearman"), ("together", "mrr")])
def test_embeddings(finetune, evaluate, pairs, tmp_path, capfd, data, metric, kind):
    """The folder is a bare encoder; whoever reads its embeddings finds what was learnt."""
    files = pairs(data)
    base = save_model(tmp_path / "base", kind)
    before = evaluate(model=base, data=files["validation"], task="embedding")
    scores = finetune(model=base, **files, epochs=10.0)
    assert before["metric"] == metric
    assert before["scores"][metric] < 0.6
    assert scores[metric] > 0.8
    said = capfd.readouterr().err
    assert {"similar": "pairs with similarities of 1 to 5", "together": "belong together"}[
        data
    ] in said
    folder = tmp_path / "run" / "model"
    model = str(folder)
    assert evaluate(model=model, data=files["validation"], task="embedding")[
        "scores"
    ] == pytest.approx(scores, abs=1e-5)
    d.export_onnx(folder, tmp_path / "onnx")
    exported = evaluate(model=str(tmp_path / "onnx"), data=files["validation"], task="embedding")
    assert exported["scores"] == pytest.approx(scores, abs=1e-5)
    cls = d.BertModel if kind == "bert" else d.DistilBertModel
    assert json.loads((folder / "config.json").read_text())["architectures"] == [cls.__name__]
    assert cls.from_pretrained(folder).config.problem_type is None
    if data == "similar":
        find = d.pipeline("sentence-embedding", model)
        same, different = find(["good", "great", "awful"])[0] @ np.stack(
            [find("nice"), find("sad")], 1
        )
        assert same > 0.5 > different


def test_embeddings_of_a_teacher(finetune, evaluate, pairs, tmp_path):
    """A student of other random weights, from pairs without their labels, and from texts alone."""
    files = pairs("similar")
    finetune("teacher", **files, epochs=10.0)
    teacher = str(tmp_path / "teacher" / "model")
    student = save_model(tmp_path / "base", n_layers=1)
    start = evaluate(model=student, data=files["validation"], task="embedding")["scores"]
    assert start["spearman"] < 0.3
    for data, options in (("similar", {"labels": 0.0}), ("texts", {"epochs": 10.0})):
        files = pairs(data, "similar")
        scores = finetune(data, model=student, teacher=teacher, **files, **options)
        assert scores["spearman"] > 0.7
        terms = [line for line in numbers(tmp_path / data) if "ce" in line]
        assert "labels" not in terms[0]
        assert terms[-1]["ce"] < 0.5 * terms[0]["ce"]


def test_embeddings_by_all_terms_of_a_teacher(finetune, pairs, tmp_path):
    files = pairs("together")
    teacher = save_model(tmp_path / "teacher", head="MaskedLM", n_layers=4)
    finetune(**files, teacher=teacher, hidden=0.5, attention=0.5, steps=10)
    [line] = [line for line in numbers(tmp_path / "run") if "ce" in line]
    assert line.keys() >= {"labels", "ce", "hidden", "attention"}


def test_pairs_of_a_teacher_alone_need_no_others(finetune, pairs, masked_lm, tmp_path):
    """Only the term of the labels contrasts a pair with its batch."""
    given = pairs("together") | {"teacher": masked_lm, "batch_size": 1, "steps": 2}
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        finetune("none", **given)
    assert not (tmp_path / "none").exists()
    assert finetune(**given, labels=0.0).keys() == {"loss", "mrr", "accuracy"}


def test_texts_alone_are_scored_by_the_teacher(finetune, pairs, masked_lm, tmp_path):
    """A model that is its own teacher has nothing to learn."""
    files = pairs("texts") | {"validation": "0.2"}
    base = save_model(tmp_path / "base", dropout=0.0, attention_dropout=0.0)
    scores = finetune(model=base, teacher=base, **files, steps=2, learning_rate=1e-9)
    assert scores == {"loss": pytest.approx(0, abs=1e-6)}
    with pytest.raises(
        ValueError, match=r"train.jsonl has texts alone, and no teacher .* second_t"
    ):
        finetune("none", **files)
    with pytest.raises(ValueError, match=r"has texts alone, without labels that labels=0.7 could"):
        finetune("none", **files, teacher=masked_lm, labels=0.7)
    with pytest.raises(ValueError, match=r"metric must be one of loss; got 'spearman'"):
        finetune("none", **files, teacher=masked_lm, metric="spearman")
    assert not (tmp_path / "none").exists()


def test_embeddings_that_cannot_be(finetune, evaluate, pairs, masked_lm, tmp_path):
    files = pairs("similar", "together")
    with pytest.raises(
        ValueError, match="metric must be one of loss, mrr, accuracy; got 'pearson'"
    ):
        finetune(**files, metric="pearson")
    with pytest.raises(ValueError, match="embedding has no temperature"):
        finetune(**files, teacher=masked_lm, temperature=3.0)
    wide = save_model(tmp_path / "wide", dim=16)
    with pytest.raises(ValueError, match=r"wide has embeddings of width 16, the student of 32"):
        finetune(**files, teacher=wide)
    with pytest.raises(ValueError, match="embedding has no augment: it is for tasks that label"):
        finetune(**files, augment=1, augmenter=masked_lm)
    texts = write_pairs(tmp_path / "texts.jsonl", "texts", 5, 0)
    with pytest.raises(ValueError, match=r"texts.jsonl has texts alone, and no teacher"):
        evaluate(model=masked_lm, data=texts, task="embedding")
    with pytest.raises(ValueError, match=r"texts.jsonl has texts alone, and no teacher"):
        finetune(**{**files, "validation": texts})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("data", ["similar", "together"])
def test_embeddings_go_on_with_the_same_bits(finetune, pairs, tmp_path, monkeypatch, data):
    """With dropout, as models come."""
    files = pairs(data)
    options = {"steps": 12, "save_every": 4, **files}
    whole = finetune("whole", **options)
    score = recipe.TaskJob.validate

    def stop(job, launch, done):
        if done == 8:
            raise RuntimeError("killed")
        return score(job, launch, done)

    with monkeypatch.context() as patch:
        patch.setattr(recipe.TaskJob, "validate", stop)
        with pytest.raises(RuntimeError, match="killed"):
            finetune("parts", **options)
    assert checkpoint.latest(tmp_path / "parts" / "checkpoints").step == 4
    assert finetune("parts", **options) == whole
    one, other = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()
    if data == "together":  # its batch is never split
        finetune("small", **options, micro_tokens=40)
        small = (tmp_path / "small" / "model" / "model.safetensors").read_bytes()
        assert small == one.read_bytes()


def test_embeddings_by_the_command(fresh, pairs, masked_lm, tmp_path, capfd):
    files = pairs("similar")
    command = ["finetune", "--task", "embedding", "--model", masked_lm, "--train", files["train"]]
    command += ["--validation", files["validation"], "--out", str(tmp_path / "run"), "--steps", "2"]
    assert cli.main([*command, "--seeds", "1", "2"]) == 0
    said = capfd.readouterr().err
    assert "the best, step 2: validation loss" in said
    assert "spearman" in said
    assert (tmp_path / "run" / "model" / "tokenizer.json").exists()


def test_frozen_layers_stay_and_rates_fall(finetune, masked_lm, tmp_path):
    finetune(steps=3, frozen_layers=1, layer_decay=0.5)
    before = load_file(f"{masked_lm}/model.safetensors")
    after = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name, weight in after.items():
        if name in before:
            is_frozen = "embeddings" in name or ".layer.0." in name
            assert torch.equal(weight, before[name]) == is_frozen, name


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
def test_some_layers_are_kept(finetune, tmp_path, kind):
    base = save_model(tmp_path / "base", kind)
    finetune(model=base, steps=2, layers=(1,), learning_rate=1e-9)
    folder = tmp_path / "run" / "model"
    model = open_head(str(folder), "ForSequenceClassification", is_trained=True)
    assert model.config.n_layers == 1
    before = (
        open_head(base, "ForSequenceClassification").base_model.transformer.layer[1].state_dict()
    )
    [layer] = model.base_model.transformer.layer
    for name, weight in layer.state_dict().items():
        torch.testing.assert_close(weight, before[name], msg=name)
    for wrong in ((2,), (0, 0), (-1,)):
        with pytest.raises(ValueError, match="layers must be some of 0 to 1"):
            finetune("other", model=base, layers=wrong)


def test_class_weights_change_the_balance(finetune):
    few = {"steps": 8, "learning_rate": 1e-4}
    plain = finetune("plain", **few)
    weighed = finetune("weighed", class_weights=("pos=50",), **few)
    assert weighed != plain
    with pytest.raises(ValueError, match="is neither 'balanced' nor NAME=WEIGHT"):
        finetune("other", class_weights=("good=2",))
    with pytest.raises(ValueError, match=r"multiple-choice has no class_weights|no column"):
        finetune("other", task="multiple-choice", class_weights=("balanced",))


def test_only_tasks_of_one_label_have_class_weights(finetune, pairs, tmp_path):
    with pytest.raises(ValueError, match="embedding has no class_weights: its loss is not that"):
        finetune(**pairs("similar"), class_weights=("balanced",))
    assert not (tmp_path / "run").exists()


def test_augmentation_adds_examples(finetune, task_teacher, masked_lm, tmp_path, capfd):
    settings = {"augment": 2, "augmenter": masked_lm, "teacher": task_teacher, "labels": 0.0}
    scores = finetune(ce=1.0, **settings)
    assert "train.csv: 600 texts" in capfd.readouterr().err
    assert scores["accuracy"] > 0.95
    pair = {"second_text_column": "second", "steps": 2, "augment": 1, "augmenter": masked_lm}
    finetune("pair", **pair)
    assert "train.csv: 400 texts" in capfd.readouterr().err
    with pytest.raises(ValueError, match="an augmenter has nothing to do without augment"):
        finetune("other", augmenter=masked_lm)
    with pytest.raises(ValueError, match=r"augment needs a masked LM .* with augmenter"):
        finetune("other", augment=1)
    with pytest.raises(ValueError, match="augment must be 0 or more"):
        finetune("other", augment=-1)
    rows = write_lines(tmp_path / "c.jsonl", examples_of("multiple-choice", 4, 0))
    wrong = {"task": "multiple-choice", "train": rows, "validation": rows}
    with pytest.raises(ValueError, match="multiple-choice has no augment"):
        finetune("other", augment=1, augmenter=masked_lm, **wrong)


def test_augmentation_that_changes_little_or_nothing(finetune, masked_lm, tmp_path, caplog):
    """Words that touch something else, and one that stands alone."""
    data = tmp_path / "few.csv"
    settings = {"train": str(data), "validation": str(data), "augment": 1, "augmenter": masked_lm}
    lines = [f"good-film,{'no' if i % 2 else 'yes'}" for i in range(20)]
    data.write_text("\n".join(["text,label", *lines]))
    with pytest.raises(ValueError, match=r"augment changes no text of .*few\.csv: only words betw"):
        finetune("none", steps=1, **settings)
    lines[:4] = ["the good film was a good movie,yes"] * 4
    data.write_text("\n".join(["text,label", *lines]))
    finetune("few", steps=1, **settings)
    assert re.search(r"augment has changed \d+\.0% of the copies of .*few\.csv", caplog.text)


def test_another_tokenizer_or_augmenter_is_another_run(finetune, masked_lm, tmp_path):
    """Under the same path: what was read in the first part would differ from the rest."""
    for name in ("base", "augmenter"):
        shutil.copytree(masked_lm, tmp_path / name)
    given = {"model": str(tmp_path / "base"), "augmenter": str(tmp_path / "augmenter")}
    finetune(steps=1, augment=1, **given)
    given["augmenter"] = masked_lm  # spelled otherwise, the same
    finetune(steps=1, augment=1, **given)
    given["augmenter"] = save_model(tmp_path / "augmenter", initializer_range=1.0)
    with pytest.raises(ValueError, match="augmenter was"):
        finetune(steps=1, augment=1, **given)
    given["augmenter"] = masked_lm
    entries = {word: entry for entry, word in enumerate(VOCAB)}
    entries["good"], entries["bad"] = entries["bad"], entries["good"]
    d.DistilBertTokenizerFast(entries).save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="model's vocab was"):
        finetune(steps=1, augment=1, **given)


def test_augmentation_keeps_tags(finetune, masked_lm, tmp_path, capfd):
    rows = write_lines(tmp_path / "t.jsonl", examples_of("token-classification", 20, 0))
    data = {"task": "token-classification", "train": rows, "validation": rows}
    finetune(augment=1, augmenter=masked_lm, steps=2, **data)
    assert "t.jsonl: 40 texts" in capfd.readouterr().err


def test_without_checkpoints(masked_lm, reviews, tmp_path, fresh):
    """The same weights as with them."""
    from distilbert.recipes.finetune import fit
    from distilbert.recipes.task_data import read_data
    from distilbert.runtime import launch as launching

    found = []
    for checkpoints in (True, False):
        fresh()
        folder = tmp_path / str(checkpoints)
        settings = Settings(model=masked_lm, out=str(folder), steps=4, **reviews)
        launch = launching.start()
        data = read_data(settings, launch)
        fit(settings, launch, data, 0, folder, checkpoints=checkpoints)
        assert (folder / "checkpoints").exists() == checkpoints
        found.append(load_file(folder / "model/model.safetensors"))
    assert all(torch.equal(found[0][name], weight) for name, weight in found[1].items())

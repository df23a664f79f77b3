"""Every task by name, its official files, and the real data where they are."""

import pytest

from distilbert import DistilBertTokenizerFast
from distilbert.checkpoint import KINDS
from distilbert.tasks.catalog import NAMES, make_task

MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n"
MNLI = "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tneutral\tentailment\n"
QQP = "id\tquestion1\tquestion2\tis_duplicate\n0\ta\tb\t0\n"
TSV = {  # a file of the task, and its first row as the task reads it
    "cola": ("gj04\t1\t\tThe a.\n", {"sentence": "The a.", "label": 1}),
    "sst2": ("sentence\tlabel\na b\t1\n", {"sentence": "a b", "label": 1}),
    "mrpc": (MRPC, {"sentence1": "a", "sentence2": "b", "label": 1}),
    "stsb": ("sentence1\tsentence2\tscore\na\tb\t2.5\n", {"sentence1": "a", "label": "2.5"}),
    "qqp": (QQP, {"question1": "a", "question2": "b", "label": 0}),
    "mnli": (MNLI, {"premise": "a", "hypothesis": "b", "label": "entailment"}),
    "qnli": ("question\tsentence\tlabel\na\tb\tentailment\n", {"question": "a", "sentence": "b"}),
    "rte": ("sentence1\tsentence2\tlabel\na\tb\tentailment\n", {"label": "entailment"}),
    "wnli": ("sentence1\tsentence2\tlabel\na\tb\t1\n", {"sentence1": "a", "label": 1}),
}
REAL = {
    "cola": ("cola", 1043), "sst2": ("sst2", 872), "mrpc": ("mrpc", 408), "stsb": ("stsb", 1500),
    "qnli": ("qnli", 5463), "rte": ("rte", 277), "wnli": ("wnli", 71),
    "conll2003": ("conll2003", 3250), "swag": ("codah", 556), "squad": ("squad", 10570),
}  # fmt: skip


@pytest.mark.parametrize("name", TSV)
def test_official_tsv_files(tmp_path, name):
    content, columns = TSV[name]
    (tmp_path / "dev.tsv").write_text(content)
    task = make_task(name)
    data = task.read(str(tmp_path / "dev.tsv"))
    assert {column: data.columns[column][0] for column in columns} == columns
    if task.label_names:
        assert set(task.label_names) >= set(data.class_names.get("label", []))


def test_a_file_without_labels(tmp_path):
    (tmp_path / "dev.csv").write_text("sentence,gold\na b,1\nc,0\n")
    task = make_task("sst2")
    with pytest.raises(ValueError, match="has no column 'label'; its columns are: sentence, gold"):
        task.learn(task.read(str(tmp_path / "dev.csv")))


def test_labels_of_glue_have_names(tmp_path):
    (tmp_path / "train.tsv").write_text("sentence\tlabel\na b\t1\nc\t0\n")
    task = make_task("sst2")
    data = task.read(str(tmp_path / "train.tsv"))
    assert task.learn(data).names == ("negative", "positive")


@pytest.mark.parametrize("name", NAMES)
def test_every_task_says_what_it_is(name):
    task = make_task(name)
    assert task.name == name
    assert task.metric in task.scores
    assert task.head in (*KINDS, "Model")


def test_options():
    assert make_task("sst2", text_column="review", stride=None).text_column == "review"
    assert make_task("squad", stride=64).stride == 64
    with pytest.raises(ValueError, match=r"task must be one of classification, .*; got 'cooking'"):
        make_task("cooking")
    with pytest.raises(ValueError, match="squad has no text_column; it has stride"):
        make_task("squad", text_column="a")
    with pytest.raises(ValueError, match="swag has no stride; it has text_column"):
        make_task("swag", stride=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_data(shared_data, perfect, name):
    """A model that is always right scores 1, but where an answer is cut out of a word."""
    folder, rows = REAL[name]
    path = shared_data / folder / "dev.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    vocab = next((shared_data / "vocab").glob("bert-base-uncased*"))
    task = make_task(name)
    data = task.read(str(path))
    assert len(data) == rows
    if name == "squad":
        data = data.take(range(0, rows, 20))
    labels = task.learn(data)
    examples = task.examples(data, labels, DistilBertTokenizerFast(str(vocab)), 384)
    features = examples.features
    if name == "stsb":
        scores = examples.score(features.labels[:, None])
    else:
        width = {"squad": 2, "swag": features.rows}.get(name, len(labels))
        scores = examples.score(perfect(features, width))
    assert scores[task.metric] > (0.98 if name == "squad" else 0.999)

"""A toy language that a tiny model can learn: every sentence has the words of one topic."""

from pathlib import Path

import numpy as np
import pytest

from distilbert.recipes import prepare

# Scripts that test_loop.py starts: they import each other as scripts do.
collect_ignore = ["apart.py", "killed.py", "ranks.py", "terminated.py"]
TOPICS, WORDS = 12, 4
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "bcdfghklmnprstvwxyz"


def word(topic: int, number: int) -> str:
    return f"{LETTERS[topic]}a{LETTERS[number]}o"


def write_corpus(folder: Path, *, sentences: int = 400, seed: int = 0, spare: int = 0) -> Path:
    """Prepare a corpus of 5 + 48 + `spare` entries, sentences of 5 to 16 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word(topic, number) for topic in range(TOPICS) for number in range(WORDS)]
    extra = [f"[unused{number}]" for number in range(spare)]
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *words, *extra]) + "\n")
    generator = np.random.default_rng(seed)
    lines = [
        " ".join(word(topic, n) for n in generator.integers(0, WORDS, generator.integers(3, 15)))
        for topic in generator.integers(0, TOPICS, sentences)
    ]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    return prepare.main(
        prepare.Settings(
            sources=[str(folder / "text.txt")],
            out=str(folder / "corpus"),
            tokenizer=str(folder / "vocab.txt"),
            min_length=3,
            max_length=16,
            validation_fraction=0.2,
            shard_mb=0.005,
            workers=1,
        )
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> str:
    """The toy corpus, of several shards."""
    return str(write_corpus(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def fresh():
    """A process in which accelerate has not been started yet."""
    torch = pytest.importorskip("torch")
    from accelerate.state import AcceleratorState, GradientState

    def reset():
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    reset()
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield reset
    reset()
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory, corpus) -> str:
    """A BERT of four layers that has learned the toy corpus, more or less."""
    torch = pytest.importorskip("torch")
    from accelerate.state import AcceleratorState, GradientState

    from distilbert.recipes import pretrain

    out = tmp_path_factory.mktemp("teacher") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pretrain.main(pretrain.Settings(corpus=corpus, out=str(out), **TEACHER))
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    torch.set_num_threads(threads)
    return str(out / "model")


TEACHER = {
    "layers": 4,
    "dim": 16,
    "heads": 2,
    "hidden_dim": 32,
    "dropout": 0.0,
    "steps": 150,
    "sequences_per_step": 32,
    "micro_tokens": 1024,
    "learning_rate": 1e-2,
    "save_every": 1000,
}


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> dict[str, str]:
    """Files of labelled reviews."""
    from .reviews import write_reviews

    folder = tmp_path_factory.mktemp("reviews")
    return {
        "train": write_reviews(folder / "train.csv", 200, 0),
        "validation": write_reviews(folder / "dev.csv", 60, 1),
    }


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory) -> str:
    """A masked LM of random weights that knows the words of the reviews."""
    pytest.importorskip("torch")
    from .reviews import save_model

    return save_model(tmp_path_factory.mktemp("masked-lm"))


@pytest.fixture
def packages(tmp_path):
    """Four packages of 40 modules, each with its own words and its own name in them."""
    for name, noun in {"alpha": "sea", "beta": "wood", "gamma": "hill", "delta": "town"}.items():
        for number in range(40):
            file = tmp_path / "site" / name / f"m{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                f'"""Module {number} of {name.title()} is for work in the {noun}, it says."""\n'
                f'def f():\n    """Return what {name}.function{number} is for in a {noun}."""\n'
            )
    return tmp_path / "site"


@pytest.fixture
def small(monkeypatch):
    """The quickstart on four packages."""
    from distilbert.recipes import quickstart_text

    for name, value in {"PACKAGES": 4, "CLASSES": 3, "TRAIN_PER_CLASS": 20}.items():
        monkeypatch.setattr(quickstart_text, name, value)


@pytest.fixture
def evaluate(fresh):
    """Return a function that runs `distilbert evaluate` and returns its result."""
    from distilbert.recipes.evaluate import Settings, main

    def run(**settings):
        fresh()
        return main(Settings(**settings))

    return run

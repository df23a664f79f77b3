"""The data of the experiment: a corpus of packed tokens, and the tables of the tasks.

    python runs/data.py --data DATA --out OUT [--tokenizer BASE]

DATA has a folder of Parquet files for each name in `TEXTS`, and one with `train.parquet` and
`dev.parquet` for each in `PARTS`. Where a training set is large, every model gets the same part of
it.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distilbert.recipes import prepare

TEXTS = (
    "text_wikipedia_squad",
    "text_nltk_misc",
    "text_eltec_eng",
    "text_novels100",
    "text_wikitext2",
    "imdb",
)
# Names of `settings.TASKS` and `settings.LARGE`: folder, and which rows train and which test.
PARTS = {
    **{name: (name, slice(None), slice(None)) for name in
       ("cola", "mrpc", "rte", "stsb", "sick", "sst2", "conll2003")},
    "squad": ("squad", slice(0, None, 4), slice(0, None, 4)),
    "squad-whole": ("squad", slice(None), slice(None)),
}  # fmt: skip


def take(table: pa.Table, rows: slice) -> pa.Table:
    """Return some rows of a table, and its metadata."""
    return table.take(list(range(table.num_rows))[rows])


def write_tasks(data: Path, out: Path) -> None:
    """Write `NAME/train.parquet` and `NAME/dev.parquet` for every task."""
    for name, (folder, training, validation) in PARTS.items():
        for split, rows in (("train", training), ("dev", validation)):
            table = take(pq.read_table(data / folder / f"{split}.parquet"), rows)
            write(table, out / name / f"{split}.parquet")
    reviews = pq.read_table(data / "imdb" / "train.parquet")
    every = list(range(reviews.num_rows))
    write(reviews.take([i for i in every if i % 5]), out / "imdb" / "train.parquet")
    write(reviews.take(every[::5]), out / "imdb" / "dev.parquet")


def write(table: pa.Table, path: Path) -> None:
    """Write a table where it may have no folder yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=3)


def main() -> None:
    """Write what is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", default="bert-base-uncased", help="of the teacher")
    options = parser.parse_args()
    if not (options.out / "tasks").exists():
        write_tasks(options.data, options.out / "tasks")
    prepare.main(
        prepare.Settings(
            sources=[str(options.data / name) for name in TEXTS],
            out=str(options.out / "corpus"),
            tokenizer=options.tokenizer,
            mode="pack",
            max_length=128,
        )
    )


if __name__ == "__main__":
    main()

"""The best student's folder as one would publish it: weights, tokenizer, card.

    python runs/publish.py --out OUT --to FOLDER [--row h]

Without a row it is the student, of half the teacher's layers, that keeps most of the teacher.
"""

import argparse
import json
import shutil
from pathlib import Path

import settings as plan
from results import markdown, read, table

CARD = """---
language: en
license: apache-2.0
library_name: distilbert
tags: [distilbert, masked-lm, distillation]
---

# DistilBERT of all-MiniLM-L6-v2, 3 layers

A DistilBERT of 3 layers and width 384, made of a 6-layer teacher: all-MiniLM-L6-v2 whose masked-LM
pre-training was continued on the same text. Made with `distilbert distill`; the recipe is below.

```python
from distilbert import DistilBertForMaskedLM, DistilBertTokenizerFast

model = DistilBertForMaskedLM.from_pretrained("this-folder")
tokenizer = DistilBertTokenizerFast.from_pretrained("this-folder")
```

## Scores

Validation splits, medians over seeds; "kept" is the mean share of the teacher's scores. Training
sets and steps are those of `runs/settings.py`; SQuAD is a quarter of the questions.

{scores}

## Recipe

{what}. Corpus: {sequences:,} packed sequences, {tokens:,} tokens of English (Wikipedia
paragraphs of SQuAD, novels before 1930, news and speeches of NLTK, film reviews), SHA-256 of its
manifest `{corpus}`. SQuAD's paragraphs and the film reviews are the texts of the tasks, without
labels.

```json
{recipe}
```

## Limits

English, lower-cased. Trained on {budget:,.0f} tokens, a small fraction of what BERT saw; novels of
the 19th century make most of its text, with the views of their time.
"""


def best(out: Path) -> str:
    """Return the trained row that keeps most, without being taught again."""
    scores, models, _ = read(out)
    _, shares = table(scores, models)
    labels = {n: f"({n}) {row.what}" for n, row in plan.ROWS.items() if row.tokens}
    whole = [name for name, label in labels.items() if label in shares]
    if not whole:
        raise SystemExit(f"no student in {out} has scores on all tasks yet; say which --row")
    return max(whole, key=lambda name: shares[labels[name]])


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--row", choices=list(plan.ROWS))
    options = parser.parse_args()
    name = options.row or best(options.out)
    scores, models, _ = read(options.out)
    rows, _ = table(scores, models)
    shown = [rows[0], *(r for r in rows[1:] if r[0] == "teacher" or r[0].startswith(f"({name})"))]
    run = options.out / "students" / name
    record = json.loads((run / "run.json").read_text())
    settings = {
        k: v for k, v in record["settings"].items() if k not in ("teacher", "corpus", "out")
    }
    corpus = json.loads((options.out / "corpus.json").read_text())
    shutil.copytree(run / "model", options.to, dirs_exist_ok=True)
    (options.to / "README.md").write_text(
        CARD.format(
            scores=markdown(shown),
            what=plan.ROWS[name].what[:1].upper() + plan.ROWS[name].what[1:],
            sequences=corpus["sequences"],
            tokens=corpus["tokens"],
            corpus=record["fingerprint"]["corpus"],
            recipe=json.dumps(settings, indent=2),
            budget=settings["steps"] * settings["sequences_per_step"] * plan.SEQUENCE,
        )
    )
    print(f"{options.to}: row {name}")


if __name__ == "__main__":
    main()

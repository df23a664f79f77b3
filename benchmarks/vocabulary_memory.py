"""Peak memory of the vocabulary terms, ours in chunks against whole logits.

L_ce and L_mlm over a vocabulary of 30,522 at all tokens, forward and backward, each measurement in
a process of its own: the highest resident memory above that before the step. The last line is one
JSON document.

    python benchmarks/vocabulary_memory.py [--tokens 1024 2048 4096 8192]
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
import torch.nn.functional as F

from distilbert.distillation.vocabulary_terms import Decoder, vocabulary_terms

WIDTH, VOCABULARY, TEMPERATURE = 768, 30_522, 2.0


def ours(student, teacher, labels):
    count = len(labels)
    return vocabulary_terms(student, labels, mlm=2 / count, teacher=teacher, ce=5 / count)[0]


def whole_logits(student, teacher, labels):
    own = F.linear(student.states, student.weight, student.bias)
    with torch.no_grad():
        goal = F.linear(teacher.states, teacher.weight, teacher.bias)
    ce = F.kl_div(
        F.log_softmax(own / TEMPERATURE, -1), F.softmax(goal / TEMPERATURE, -1), reduction="sum"
    )
    return (5 * ce * TEMPERATURE**2 + 2 * F.cross_entropy(own, labels, reduction="sum")) / len(own)


CONTENDERS = {"whole logits": whole_logits, "distilbert": ours}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name, tokens):
    torch.manual_seed(0)
    student, teacher = (
        Decoder(
            torch.randn(tokens, WIDTH, requires_grad=trained),
            torch.randn(VOCABULARY, WIDTH, requires_grad=trained),
            torch.zeros(VOCABULARY, requires_grad=trained),
        )
        for trained in (True, False)
    )
    labels = torch.randint(VOCABULARY, (tokens,))
    before = peak_mb()
    CONTENDERS[name](student, teacher, labels).backward()
    print(peak_mb() - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], int(options.one[1]))
        return
    found = {name: {} for name in CONTENDERS}
    for tokens in options.tokens:
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--one", name, str(tokens)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name][tokens] = round(float(done.stdout))
        print(f"{tokens:6} tokens", *(f"{name}: {found[name][tokens]} MB" for name in found))
    print(json.dumps({"benchmark": "vocabulary_memory", "megabytes": found}))


if __name__ == "__main__":
    main()

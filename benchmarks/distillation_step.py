"""Our distillation step against transformers' models driven as the original trainer drives them.

BERT-base teacher, DistilBERT student, random weights, triple loss over all tokens, AdamW. Both
sides see the same padded batches with the same accumulation; speed is in real tokens per second.
The peer's loss is written from the original's formulas: whole logits of teacher and student,
boolean selection of real tokens, KL, CE, cosine. The last line is one JSON document.

    python benchmarks/distillation_step.py [--sequences 5] [--accumulation 1] [--repeats 5]
"""

import argparse
import json
import platform
import statistics
import time

import torch
import torch.nn.functional as F
import transformers as peer

import distilbert as d
from distilbert.distillation.batches import Counts
from distilbert.distillation.step import DistillationStep, Weights


def batches(count, sequences, vocabulary, longest, seed=0):
    """Right-padded micro-batches: lengths log-normal, 15 % masked."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        lengths = torch.empty(sequences).log_normal_(4.5, 0.5, generator=draw)
        lengths = lengths.long().clamp(8, longest).tolist()
        ids = torch.randint(1000, vocabulary, (sequences, max(lengths)), generator=draw)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        drawn = torch.rand(ids.shape, generator=draw) < 0.15
        labels = ids.masked_fill(~(drawn & mask.bool()), -100)
        made.append((ids.masked_fill(mask == 0, 0), mask, labels, lengths))
    return made


def peer_loss(student, teacher, ids, mask, labels):
    """The triple loss with whole logits, as the original trainer computes it."""
    own = student(ids, attention_mask=mask, output_hidden_states=True)
    with torch.no_grad():
        goal = teacher(ids, attention_mask=mask, output_hidden_states=True)
    keep = mask.bool()
    s, t = own.logits[keep], goal.logits[keep]
    ce = F.kl_div(F.log_softmax(s / 2, -1), F.softmax(t / 2, -1), reduction="batchmean") * 4
    mlm = F.cross_entropy(own.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    s, t = own.hidden_states[-1][keep], goal.hidden_states[-1][keep]
    cos = F.cosine_embedding_loss(s, t, s.new_ones(len(s)))
    return 5 * ce + 2 * mlm + cos


class Peer:
    """transformers' models, padded, with autocast or without."""

    def __init__(self, layers, autocast):
        torch.manual_seed(0)
        attention = {"attn_implementation": "sdpa"}
        config = peer.DistilBertConfig(**attention)
        self.student = peer.DistilBertForMaskedLM(config).train()
        self.teacher = peer.BertForMaskedLM(
            peer.BertConfig(num_hidden_layers=layers, **attention)
        ).eval()
        self.optimizer = torch.optim.AdamW(self.student.parameters(), 5e-4, (0.9, 0.98), 1e-6)
        self.autocast = autocast

    def step(self, micros):
        for ids, mask, labels, _ in micros:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                loss = peer_loss(self.student, self.teacher, ids, mask, labels)
            (loss / len(micros)).backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


class Ours:
    """Our step, unpadded."""

    def __init__(self, layers, bf16):
        torch.manual_seed(0)
        student = d.DistilBertForMaskedLM(d.DistilBertConfig())
        teacher = d.BertForMaskedLM(d.BertConfig(num_hidden_layers=layers))
        self.module = DistillationStep(
            student.train(), teacher.bfloat16() if bf16 else teacher, Weights()
        ).train()
        self.optimizer = torch.optim.AdamW(
            student.parameters(), 5e-4, (0.9, 0.98), 1e-6, fused=True
        )
        self.bf16 = bf16

    def step(self, micros):
        counts = Counts(
            sum(sum(lengths) for *_, lengths in micros),
            sum(int((labels != -100).sum()) for _, _, labels, _ in micros),
        )
        for ids, _, labels, lengths in micros:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss, _ = self.module(ids, labels, lengths, counts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.student.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=5)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--teacher-layers", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", help="contenders to run")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    micros = batches(options.accumulation, options.sequences, 30522, 512)
    tokens = sum(sum(lengths) for *_, lengths in micros)
    makers = {
        "transformers fp32": lambda: Peer(options.teacher_layers, False),
        "transformers bf16": lambda: Peer(options.teacher_layers, True),
        "distilbert fp32": lambda: Ours(options.teacher_layers, False),
        "distilbert bf16": lambda: Ours(options.teacher_layers, True),
    }
    contenders = {
        name: make() for name, make in makers.items() if not options.only or name in options.only
    }
    times = {name: [] for name in contenders}
    for repeat in range(options.repeats + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender.step(micros)
            if repeat:
                times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    for name, value in seconds.items():
        print(f"{name:20} {value:8.3f} s/step {tokens / value:8.0f} real tokens/s")
    result = {
        "benchmark": "distillation_step",
        "real_tokens": tokens,
        "padded_tokens": sum(ids.numel() for ids, *_ in micros),
        "seconds_per_step": seconds,
        "torch": torch.__version__,
        "transformers": peer.__version__,
        "threads": options.threads,
        "machine": platform.machine(),
    }
    ours = min(value for name, value in seconds.items() if name.startswith("distilbert"))
    for name, value in seconds.items():
        if name.startswith("transformers"):
            result[f"times as fast as {name}"] = value / ours
    print(json.dumps(result))


if __name__ == "__main__":
    main()

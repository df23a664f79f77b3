"""Our distillation step against transformers' models driven as the original trainer drives them.

BERT-base teacher, DistilBERT student, random weights, triple loss over all tokens, AdamW. Both
sides see the same sequences; speed is in real tokens per second. On CPU both accumulate the same
padded batches. On CUDA (`--device cuda`) the peer accumulates batches of sequences of like length,
as the original trainer groups them, and we batches of as many tokens as fit (`--micro-tokens`).
The peer's loss is written from the original's formulas: whole logits of teacher and student,
boolean selection of real tokens, KL, CE, cosine. The losses of both are compared before anything
is timed. On CPU the C library keeps freed memory, for the peer too, as in `distilbert distill`;
`--default-memory` leaves it as it is. The last line is one JSON document.

    python benchmarks/distillation_step.py [--sequences 5] [--accumulation 1] [--repeats 5]
    python benchmarks/distillation_step.py --device cuda [--profile]
"""

import argparse
import json
import platform
import statistics
import tempfile
import time

import torch
import torch.nn.functional as F
import transformers as peer

import distilbert as d
from distilbert.distillation.batches import Counts
from distilbert.distillation.step import DistillationStep, Weights
from distilbert.inference.preparing import use_fast_stack
from distilbert.native.memory import keep_freed_memory

# Model FLOPs per token: linear layers (teacher forward, student forward and backward), and the
# vocabulary terms over all tokens.
FLOPS = 425e6 + 187e6


def batches(count, sequences, vocabulary, longest, center=4.5, spread=0.5, seed=0):
    """Right-padded micro-batches: lengths log-normal, 15 % masked, like lengths together."""
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.empty(count * sequences).log_normal_(center, spread, generator=draw)
    lengths = drawn.long().clamp(8, longest).tolist()
    if count > 1:
        lengths.sort()
    rows = []
    for length in lengths:
        ids = torch.randint(1000, vocabulary, (length,), generator=draw)
        labels = ids.masked_fill(torch.rand(length, generator=draw) >= 0.15, -100)
        rows.append((ids, labels))
    return [padded(rows[i : i + sequences]) for i in range(0, len(rows), sequences)]


def padded(rows):
    """Return ids, mask and labels (B, T) and the lengths of some sequences."""
    lengths = [len(ids) for ids, _ in rows]
    ids = torch.nn.utils.rnn.pad_sequence([ids for ids, _ in rows], batch_first=True)
    labels = [labels for _, labels in rows]
    labels = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
    mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
    return ids, mask, labels, lengths


def regrouped(micros, tokens):
    """The same sequences in as few micro-batches of at most so many tokens as there can be."""
    rows = [
        (ids[i, :length], labels[i, :length])
        for ids, _, labels, lengths in micros
        for i, length in enumerate(lengths)
    ]
    groups, size = [[]], 0
    for row in rows:
        if size + len(row[0]) > tokens and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += len(row[0])
    return [padded(group) for group in groups]


def on_device(micros, device):
    """The tensors of micro-batches on the device; lengths stay on the host."""
    return [(*(x.to(device) for x in tensors), lengths) for *tensors, lengths in micros]


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

    def __init__(self, layers, device, autocast=False, tf32=False):
        torch.manual_seed(0)
        attention = {"attn_implementation": "sdpa"}
        with torch.device(device):
            self.student = peer.DistilBertForMaskedLM(peer.DistilBertConfig(**attention))
            self.teacher = peer.BertForMaskedLM(
                peer.BertConfig(num_hidden_layers=layers, **attention)
            )
        self.student.train()
        self.teacher.eval()
        self.optimizer = torch.optim.AdamW(
            self.student.parameters(), 5e-4, (0.9, 0.98), 1e-6, fused=device == "cuda" or None
        )
        self.autocast, self.tf32 = autocast, tf32

    def loss(self, ids, mask, labels):
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.autocast):
            return peer_loss(self.student, self.teacher, ids, mask, labels)

    def step(self, micros):
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        for ids, mask, labels, _ in micros:
            loss = self.loss(ids, mask, labels)
            (loss / len(micros)).backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


class Ours:
    """Our step, unpadded, from the peer's weights."""

    def __init__(self, like, bf16):
        student = d.DistilBertForMaskedLM(d.DistilBertConfig())
        student.load_state_dict(like.student.state_dict())
        with tempfile.TemporaryDirectory() as folder:
            like.teacher.save_pretrained(folder)
            teacher = d.BertForMaskedLM.from_pretrained(folder)
        device = like.student.device
        student.to(device)
        teacher.to(device, torch.bfloat16 if bf16 else torch.float32)
        self.module = DistillationStep(student.train(), teacher, Weights()).train()
        if device.type == "cpu":
            use_fast_stack(teacher, "bf16" if bf16 else "fp32")  # as `distilbert distill` does
        self.optimizer = torch.optim.AdamW(
            student.parameters(), 5e-4, (0.9, 0.98), 1e-6, fused=True
        )
        self.bf16 = bf16

    def loss(self, ids, labels, lengths, counts):
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            return self.module(ids, labels, lengths, counts)[0]

    def step(self, micros):
        counts = counts_of(micros)
        for ids, _, labels, lengths in micros:
            loss = self.loss(ids, labels, lengths, counts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.student.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def counts_of(micros):
    return Counts(
        sum(sum(lengths) for *_, lengths in micros),
        sum(int((labels != -100).sum()) for _, _, labels, _ in micros),
    )


@torch.no_grad()
def compare(contenders, micro):
    """Print the loss of each contender without dropout on one micro-batch, and compare them."""
    ids, mask, labels, lengths = micro
    losses = {}
    for name, contender in contenders.items():
        module = contender.student if isinstance(contender, Peer) else contender.module
        module.eval()
        loss = (
            contender.loss(ids, mask, labels)
            if isinstance(contender, Peer)
            else contender.loss(ids, labels, lengths, counts_of([micro]))
        )
        module.train()
        losses[name] = float(loss)
    print("loss without dropout:", {name: round(loss, 4) for name, loss in losses.items()})
    first = next(iter(losses.values()))
    for name, loss in losses.items():
        assert abs(loss - first) < 0.02 * first, f"{name} computes another loss: {losses}"


def seconds_of(work, device):
    """Run it and return how long it took, by the device's own clock if it has one."""
    if device != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def matmul_rate(device, size=8192):
    """FLOP/s of one large bf16 matrix product of random numbers."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = [seconds_of(lambda: a @ b, device) for _ in range(15)]
    return 2 * size**3 / statistics.median(times[5:])


def profile(contender, micros):
    """Print where the time of one step goes on the device."""
    from torch.profiler import ProfilerActivity

    with torch.profiler.profile(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]
    ) as recorded:
        contender.step(micros)
    table = recorded.key_averages()
    options = {"row_limit": 30, "max_name_column_width": 70}
    print(table.table(sort_by="self_device_time_total", **options))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--sequences", type=int, help="per batch of the peer")
    parser.add_argument("--accumulation", type=int, help="batches of the peer per step")
    parser.add_argument("--micro-tokens", type=int, default=32768, help="CUDA: of our batches")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--teacher-layers", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", help="contenders to run")
    parser.add_argument("--default-memory", action="store_true", help="as the peer's users have it")
    parser.add_argument("--profile", action="store_true", help="CUDA: print our kernels' times")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cuda = options.device == "cuda"
    if not options.default_memory:
        keep_freed_memory()
    count = options.accumulation or (4 if cuda else 1)
    sequences = options.sequences or (64 if cuda else 5)
    shape = {"center": 5.3, "spread": 0.4} if cuda else {}  # some 100 to 400 tokens
    micros = batches(count, sequences, 30522, 512, **shape)
    tokens = sum(sum(lengths) for *_, lengths in micros)
    ours = regrouped(micros, options.micro_tokens) if cuda else micros
    layers = options.teacher_layers
    device = options.device
    base = Peer(layers, device)
    makers = {
        "transformers fp32": lambda: base,
        "transformers tf32": lambda: Peer(layers, device, tf32=True),
        "transformers bf16": lambda: Peer(layers, device, autocast=True),
        "distilbert fp32": lambda: Ours(base, False),
        "distilbert bf16": lambda: Ours(base, True),
    }
    # TF32 is CUDA's; our fp32 is not what one runs there.
    del makers["distilbert fp32" if cuda else "transformers tf32"]
    contenders = {
        name: make() for name, make in makers.items() if not options.only or name in options.only
    }
    micros, ours = on_device(micros, options.device), on_device(ours, options.device)
    compare(contenders, micros[0])
    feeds = {n: ours if isinstance(c, Ours) else micros for n, c in contenders.items()}
    times = {name: [] for name in contenders}
    for repeat in range(options.repeats + 1):
        for name, contender in contenders.items():
            value = seconds_of(lambda c=contender, n=name: c.step(feeds[n]), options.device)
            if repeat:
                times[name].append(value)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "benchmark": "distillation_step",
        "real_tokens": tokens,
        "padded_tokens": sum(ids.numel() for ids, *_ in micros),
        "seconds_per_step": seconds,
        "torch": torch.__version__,
        "transformers": peer.__version__,
        "threads": options.threads,
        "default_memory": options.default_memory,
        "machine": torch.cuda.get_device_name() if cuda else platform.machine(),
    }
    rate = matmul_rate(options.device) if cuda else None
    for name, value in seconds.items():
        used = f"  {FLOPS * tokens / value / rate:6.1%} of the matrix rate" if rate else ""
        print(f"{name:20} {value:8.3f} s/step {tokens / value:8.0f} real tokens/s{used}")
    if rate:
        print(f"bf16 matrix rate {rate / 1e12:.0f} TFLOP/s")
        result["bf16_matmul_flops"] = rate
        result["mfu"] = {name: FLOPS * tokens / value / rate for name, value in seconds.items()}
        result["peak_gigabytes"] = torch.cuda.max_memory_allocated() / 1e9
    ours_seconds = [value for name, value in seconds.items() if name.startswith("distilbert")]
    for name, value in seconds.items():
        if name.startswith("transformers") and ours_seconds:
            result[f"times as fast as {name}"] = value / min(ours_seconds)
    if cuda and options.profile:
        for name, contender in contenders.items():
            if isinstance(contender, Ours):
                profile(contender, feeds[name])
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""`distilbert bench`: how fast a model answers on this machine, prepared and not, and its limit.

Where the native engine computes, a prepared model runs a second time by PyTorch alone.
`benchmarks/inference.py` runs the same with other runtimes beside it.
"""

import json
import logging
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import distilbert
from distilbert.checkpoint import is_bert
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.folders import make_folder
from distilbert.inference.prepared import PreparedModel
from distilbert.inference.preparing import build
from distilbert.modeling.backbone import DistilBertModel
from distilbert.modeling.bert import BertModel
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.native import library, processor
from distilbert.recipes import bench_page
from distilbert.recipes.bench_runs import (
    Contender,
    Start,
    Workload,
    cold_start,
    errors,
    first_output,
    interleaved,
    linear_flop,
    machine_gflops,
    one_pass,
    workloads,
)
from distilbert.runtime.run import commit
from distilbert.tasks.catalog import make_task
from distilbert.tokenization import BasicTokenizer, DistilBertTokenizerFast

_logger = logging.getLogger("distilbert")
REFERENCE = "model"
_REST = 0.25  # seconds between contenders of several runtimes


@dataclass
class Settings:
    """Measure how fast a model answers.

    Args:
        model: folder or hub id of a BERT or DistilBERT; a DistilBERT-base of random weights by
            default. Only its encoder is measured.
        precisions: number formats of the prepared models: fp32, bf16, int8; by default those that
            the processor is fast in.
        workloads: what is measured: lat8 to lat512 (one sequence of so many tokens; left out where
            the model has fewer positions), short (64 sequences of about 25 tokens), long (16 of
            about 300), 512 (four of 512).
        pass_texts: text file whose lines are answered one by one, as the DistilBERT paper does with
            the STS-B pairs, by the model and by a BERT-base of random weights; by default there is
            no such pass.
        pass_lines: number of lines of pass_texts that are answered.
        task: task of `distilbert evaluate` in which the model, which has its head, and its prepared
            copies are also scored; by default none.
        data: labelled examples of the task, in a format that `distilbert finetune` trains on.
        max_length: longest text of an example in tokens, special ones included; longer ones are
            cut. 0 is what the model has positions for.
        repeats: rounds in which every contender runs once; medians are reported.
        max_seconds: largest time in seconds for the rounds of one workload; three rounds are run in
            any case.
        cold_start: also time new processes that open the model and answer once.
        threads: number of threads of PyTorch; by default what it chooses.
        out: folder to write `bench.json` and `bench.html`, a page with plots, to; by default
            nothing is written.
    """

    model: str | None = None
    precisions: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ("lat8", "lat16", "lat32", "lat64", "lat128", "lat256", "lat512",
                                  "short", "long", "512")  # fmt: skip
    pass_texts: str | None = None
    pass_lines: int = 200
    task: str | None = None
    data: str | None = None
    max_length: int = 0
    repeats: int = 15
    max_seconds: float = 60.0
    cold_start: bool = True
    threads: int | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        known = workloads(512)
        for name in self.workloads:
            if name not in known:
                raise ValueError(f"workloads has {name!r}; there are {', '.join(known)}")
        there = [name for name in processor.PRECISIONS if name != "fp16"]  # which is for GPUs
        for name in self.precisions:
            if name not in there:
                raise ValueError(f"precisions has {name!r}; there are {', '.join(there)}")
        for field in ("repeats", "pass_lines"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        if self.task is not None:
            make_task(self.task)  # or there is none of this name
            if self.model is None or self.data is None:
                raise ValueError(f"task={self.task!r} needs a model with its head, and data")
        for field in ("data", "max_length"):
            if self.task is None and getattr(self, field):
                raise ValueError(
                    f"{field}={getattr(self, field)!r} needs a task: say which with task"
                )
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads={self.threads} must be at least 1")


def main(settings: Settings, peers: Mapping[str, Contender] | None = None) -> dict[str, Any]:
    """Measure, print a table and one line of JSON, and return what was measured.

    Args:
        peers: others to run beside ours, for the same weights.

    Raises:
        OSError, ValueError: a model that cannot be opened, or a file that cannot be read.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model, chosen, pass_lengths, score_task = _open(settings)
    precisions = settings.precisions or fast_precisions()
    prepared = by_each_engine(model, precisions)
    contenders: dict[str, Contender] = {REFERENCE: plain(model)}
    contenders |= {name: first_output(one) for name, one in prepared.items()} | dict(peers or {})
    vocabulary = model.config.vocab_size
    checked = workloads(model.config.max_position_embeddings)["short"].inputs(vocabulary)
    result: dict[str, Any] = {
        "benchmark": "inference",
        "model": settings.model or "DistilBERT-base, random weights",
        "error": errors(contenders, contenders[REFERENCE], checked),
        "tokens": {},
        "seconds": {},
    }
    for name, workload in chosen.items():
        _logger.info("%s: %d tokens in %d sequences", name, workload.tokens, len(workload.lengths))
        result["tokens"][name] = workload.tokens
        result["seconds"][name] = interleaved(
            contenders,
            [workload.inputs(vocabulary)],
            repeats=settings.repeats,
            max_seconds=settings.max_seconds,
            rest=_REST if peers else 0.0,
        )
    result["gflops_limit"] = {name: machine_gflops(name, model.config) for name in precisions}
    result["share_of_limit"] = _shares(result, prepared, linear_flop(model.config))
    if score_task is not None:
        result["task"] = score_task(precisions)
    if pass_lengths is not None:
        result["pass"] = _pass(pass_lengths, model, precisions)
    if settings.cold_start:
        result["cold_start"] = _cold_starts(settings.model, precisions)
    result |= {
        "engine": {name: one.engine for name, one in prepared.items()},
        "linear_layers": {name: one.layers for name, one in prepared.items()},
        "distilbert": distilbert.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }
    bench_page.show(result)
    if settings.out is not None:
        bench_page.write(Path(settings.out), result)
    print(json.dumps(result))
    return result


Score = Callable[[tuple[str, ...]], dict[str, Any]]
"""Scores a task, prepared in each of some precisions."""


def _open(
    settings: Settings,
) -> tuple[PreTrainedModel, dict[str, Workload], list[int] | None, Score | None]:
    """Open all that names and files stand for: what is wrong is found before any measurement.

    Returns:
        The model, the workloads, the tokens of the texts of the pass, and what scores the task.
    """
    model = open_encoder(settings.model)
    chosen = _chosen(settings.workloads, model.config.max_position_embeddings)
    pass_lengths = None if settings.pass_texts is None else _pass_lengths(settings, model.config)
    if settings.cold_start and settings.model is not None:
        DistilBertTokenizerFast.from_pretrained(settings.model)
    score_task = None
    if settings.task is not None:
        assert settings.model is not None
        assert settings.data is not None
        from distilbert.recipes import bench_task  # only this needs what training needs

        trial = bench_task.open_trial(
            settings.model, settings.data, settings.task, settings.max_length
        )
        score_task = partial(bench_task.task_results, trial)
    if settings.out is not None:
        make_folder(Path(settings.out))
    return model, chosen, pass_lengths, score_task


def fast_precisions() -> tuple[str, ...]:
    """Return fp32, and the precisions in which this processor multiplies faster."""
    has = {
        "fp32": True,
        "bf16": processor.bf16_is_fast(torch.device("cpu")),
        "int8": library.multiplies_int8() and processor.int8_is_fast(),
    }
    return tuple(name for name, there in has.items() if there)


def open_encoder(name: str | None) -> PreTrainedModel:
    """Open the encoder of a checkpoint, or make a DistilBERT-base of random weights."""
    if name is None:
        torch.manual_seed(0)
        return DistilBertModel(DistilBertConfig()).eval()
    cls = BertModel if is_bert(name) else DistilBertModel
    return cls.from_pretrained(name).eval()


def plain(model: PreTrainedModel) -> Contender:
    """Return a model as a contender: padded, by PyTorch's fused attention."""
    model.set_attn_implementation("sdpa")
    return first_output(model)


def by_each_engine(model: PreTrainedModel, precisions: tuple[str, ...]) -> dict[str, PreparedModel]:
    """Prepare a model in each precision, and again for PyTorch alone where that is not the same."""
    made = {}
    for precision in precisions:
        for number, engine in enumerate(library.engines(precision)):
            name = f"prepared {precision}" + (", PyTorch alone" if number else "")
            made[name] = build(model, precision, engine=engine)
    return made


def _shares(
    result: dict[str, Any], prepared: dict[str, PreparedModel], flop: float
) -> dict[str, dict[str, float]]:
    """Return, per workload, the linear layers' operations per second as a share of the limit."""
    limits = result["gflops_limit"]
    return {
        workload: {
            name: result["tokens"][workload] * flop / times[name] / 1e9 / limits[one.precision]
            for name, one in prepared.items()
        }
        for workload, times in result["seconds"].items()
    }


def _chosen(names: Sequence[str], positions: int) -> dict[str, Workload]:
    """Return the workloads of these names that fit a model.

    Raises:
        ValueError: none does.
    """
    known = workloads(positions)
    longer = [name for name in names if name not in known]
    if longer and len(longer) == len(names):
        raise ValueError(f"workloads {', '.join(longer)}: the model has {positions} positions only")
    if longer:
        _logger.warning("left out %s: the model has %d positions", ", ".join(longer), positions)
    return {name: known[name] for name in names if name in known}


def _pass_lengths(settings: Settings, config: PretrainedConfig) -> list[int]:
    """Return the tokens of each text that is to be answered, by the model and by a BERT-base."""
    assert settings.pass_texts is not None
    lines = Path(settings.pass_texts).read_text(encoding="utf-8").splitlines()
    texts = [line for line in lines if line.strip()][: settings.pass_lines]
    if not texts:
        raise ValueError(f"{settings.pass_texts} has no text")
    most = min(config.max_position_embeddings, BertConfig().max_position_embeddings)
    if settings.model is None:  # no vocabulary: words and marks count
        split = BasicTokenizer().tokenize
        return [min(len(split(text)) + 2, most) for text in texts]
    tokenizer = DistilBertTokenizerFast.from_pretrained(settings.model)
    return [*map(len, tokenizer(texts, truncation=True, max_length=most)["input_ids"])]


def _pass(
    lengths: Sequence[int], model: PreTrainedModel, precisions: tuple[str, ...]
) -> dict[str, Any]:
    """Answer texts of so many tokens one by one, by the model and a BERT-base of random weights."""
    torch.manual_seed(0)
    bert = BertModel(BertConfig()).eval()
    fewer = min(model.config.vocab_size, bert.config.vocab_size)
    inputs = [Workload("pass", (length,)).inputs(fewer) for length in lengths]
    contenders = {"BERT-base": plain(bert), REFERENCE: plain(model)}
    for precision in precisions:
        contenders[f"BERT-base prepared {precision}"] = first_output(build(bert, precision))
        contenders[f"prepared {precision}"] = first_output(build(model, precision))
    seconds = {name: one_pass(contender, inputs) for name, contender in contenders.items()}
    return {"texts": len(lengths), "tokens": sum(lengths), "seconds": seconds}


@contextmanager
def saved(model: PreTrainedModel) -> Iterator[str]:
    """Save a model, with a vocabulary of numbered words, for as long as the block runs."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{number}" for number in range(model.config.vocab_size - len(special))]
    tokens = {token: i for i, token in enumerate([*special, *words])}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        DistilBertTokenizerFast(tokens).save_pretrained(folder)
        yield folder


def _cold_starts(name: str | None, precisions: tuple[str, ...]) -> dict[str, dict[str, float]]:
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        folder = name or stack.enter_context(saved(open_encoder(None)))
        starts: dict[str, Start] = {"import torch": cold_start(None, "", threads)}
        for precision in precisions:
            starts[f"prepared {precision}"] = cold_start(folder, precision, threads)
    return {key: asdict(start) for key, start in starts.items()}

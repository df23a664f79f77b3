"""Prepared models on a GPU against transformers', in turns in one run.

The same weights for all: a DistilBERT-base of random weights, the bare encoder; ids and mask are on
the GPU, lengths are known to the host, as after tokenising. Milliseconds are the median of rounds,
each with a wait for the GPU before and after. Errors are relative to the model in fp32, over real
tokens of the first workload. The last line is one JSON document.

    python benchmarks/inference_gpu.py [--workloads lat16 lat128 short 512 long] [--rounds 30]
"""

import argparse
import json
import statistics
import tempfile
import time

import torch
import transformers as peer

import distilbert as d
from distilbert.recipes.bench_runs import workloads


def of_transformers(folder, dtype, compiled=False):
    model = peer.AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=dtype)
    model = model.eval().cuda()
    run = torch.compile(model, dynamic=True, mode="reduce-overhead") if compiled else model

    def call(ids, mask, _):
        with torch.inference_mode():
            return run(ids, attention_mask=mask).last_hidden_state.float()

    return call


def of_ours(model):
    def call(ids, mask, lengths):
        with torch.no_grad():
            return model(ids, attention_mask=mask, lengths=lengths)[0].float()

    return call


def milliseconds(run, inputs):
    torch.cuda.synchronize()
    began = time.perf_counter()
    run(*inputs)
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ["lat16", "lat128", "short", "512", "long"]
    parser.add_argument("--workloads", nargs="+", default=names)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--compiled", action="store_true", help="transformers compiled as well, with CUDA graphs"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    plain = d.DistilBertModel(d.DistilBertConfig()).eval()
    with tempfile.TemporaryDirectory() as folder:
        plain.save_pretrained(folder)
        contenders = {
            "transformers fp32": of_transformers(folder, torch.float32),
            "transformers bf16": of_transformers(folder, torch.bfloat16),
            "transformers fp16": of_transformers(folder, torch.float16),
        }
        if options.compiled:
            contenders["transformers bf16, compiled with graphs"] = of_transformers(
                folder, torch.bfloat16, compiled=True
            )
    plain.cuda()
    contenders["prepared fp32"] = of_ours(d.prepare(plain, "fp32"))
    contenders["prepared bf16"] = of_ours(d.prepare(plain, "bf16"))
    contenders["prepared fp16"] = of_ours(d.prepare(plain, "fp16"))
    found = {name: {} for name in contenders}
    exact = None
    known = workloads(plain.config.max_position_embeddings)
    for workload in (known[name] for name in options.workloads):
        ids, mask = (x.cuda() for x in workload.inputs(plain.config.vocab_size))
        inputs = ids, mask, list(workload.lengths)
        real = mask.bool()
        if exact is None:
            with torch.no_grad():
                exact = plain(ids, attention_mask=mask)[0][real]
            for name, run in contenders.items():
                error = (run(*inputs)[real] - exact).norm() / exact.norm()
                found[name]["error"] = error.item()
        for run in contenders.values():
            for _ in range(3):
                run(*inputs)
        times = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, run in contenders.items():
                times[name].append(milliseconds(run, inputs))
        for name, each in times.items():
            found[name][workload.name] = statistics.median(each)
    columns = ["error", *options.workloads]
    print("| " + " | ".join(["", *columns]) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, row in found.items():
        print(f"| {name} | {row['error']:.0e} | "
              + " | ".join(f"{row[w]:.2f}" for w in options.workloads) + " |")  # fmt: skip
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                      "transformers": peer.__version__, "ms": found}))  # fmt: skip


if __name__ == "__main__":
    main()

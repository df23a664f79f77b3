"""Our prepared models against every other runtime that is installed, interleaved in one run.

The same weights for all (a DistilBERT-base of random weights unless --model says otherwise; the
bare encoder, ids and mask in, last hidden states out). Ours run by the native engine, where it was
compiled, and by PyTorch alone. Peers, each in its best fair settings:

- transformers, sdpa: fp32; bf16 where the processor multiplies it; compiled with dynamic shapes;
- ONNX Runtime: fp32; int8 dynamic, per channel (7-bit weights without VNNI, which saturates else);
- OpenVINO, latency hint: fp32; bf16 where the processor has it; int8 static by NNCF (transformer
  preset, calibrated on 64 batches) if nncf is installed;
- CTranslate2: float32 and int8; it drops the padding, and wants lists of ids;
- beside them our ONNX file (`distilbert export`), in ONNX Runtime fp32 and int8, in OpenVINO fp32.

`distilbert bench` does the timing, and prints the table and the line of JSON.

    python benchmarks/inference.py [--model FOLDER] [--workloads short long 512 lat16 lat128]

Converting takes minutes: with --files FOLDER it is done once, and what peers read is kept there.
"""

import argparse
import importlib.util
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
import transformers as peer

import distilbert.export.onnx
from distilbert.native import processor
from distilbert.recipes import bench
from distilbert.recipes.bench_runs import workloads


def installed(name):
    return importlib.util.find_spec(name) is not None


def of_transformers(folder, compiled, dtype):
    model = peer.AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=dtype).eval()
    run = torch.compile(model, dynamic=True) if compiled else model

    def call(ids, mask):
        with torch.inference_mode():
            return run(ids, attention_mask=mask).last_hidden_state.float()

    return call


def onnx_file(folder, scratch):
    """Export the encoder with dynamic batch and length."""
    model = peer.AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    path = scratch / "model.onnx"
    if path.exists():
        return path
    ids, mask = torch.full((2, 8), 7), torch.ones(2, 8, dtype=torch.long)  # one tensor is one input
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=512)
    shape = {0: batch, 1: length}
    torch.onnx.export(
        model,
        (),
        str(path),
        kwargs={"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": shape, "attention_mask": shape},
        output_names=["last_hidden_state"],
        dynamo=True,
    )
    return path


def of_onnxruntime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def call(ids, mask):
        feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        return session.run(["last_hidden_state"], feed)[0]

    return call


def our_onnx(folder, scratch, precision):
    target = scratch / f"exported-{precision}"
    if not (target / "model.onnx").exists():
        distilbert.export_onnx(folder, target, precision=precision, head="Model")
    return target / "model.onnx"


def onnx_int8(path, scratch):
    from onnxruntime.quantization import quantize_dynamic

    target = scratch / "model-int8.onnx"
    if not target.exists():
        quantize_dynamic(
            str(path), str(target), per_channel=True, reduce_range=not processor.has_vnni()
        )
    return target


def of_openvino(model, threads, precision):
    import openvino

    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    request = compiled.create_infer_request()

    def call(ids, mask):
        feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        return np.array(request.infer(feed, share_inputs=True, share_outputs=True)[0])

    return call


def openvino_int8(path, vocabulary, scratch):
    import openvino

    target = scratch / "openvino-int8.xml"
    if target.exists():
        return str(target)
    import nncf

    lengths = np.random.default_rng(0).integers(8, 128, 64)
    draw = np.random.default_rng(1)
    feeds = [
        {
            "input_ids": draw.integers(1000, vocabulary, (1, n)),
            "attention_mask": np.ones((1, n), np.int64),
        }
        for n in lengths
    ]
    model = nncf.quantize(
        openvino.Core().read_model(str(path)),
        nncf.Dataset(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(feeds),
    )
    openvino.save_model(model, target)
    return str(target)


def of_ctranslate2(folder, scratch, threads, compute_type):
    import ctranslate2

    target = scratch / f"ctranslate2-{compute_type}"
    if not target.exists():
        converter = ctranslate2.converters.TransformersConverter(folder)
        converter.convert(str(target), quantization=compute_type)
    encoder = ctranslate2.Encoder(str(target), intra_threads=threads, compute_type=compute_type)

    def call(ids, mask):
        lengths = mask.sum(1).tolist()
        rows = [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]
        return np.array(encoder.forward_batch(rows).last_hidden_state)

    return call


def make_peers(folder, scratch, only, threads):
    """Make every peer that is installed and wanted; building may take minutes."""
    fast_bf16 = processor.bf16_is_fast(torch.device("cpu"))
    vocabulary = peer.AutoConfig.from_pretrained(folder).vocab_size
    makers = {
        "transformers fp32": lambda: of_transformers(folder, False, torch.float32),
        "transformers compiled": lambda: of_transformers(folder, True, torch.float32),
    }
    if fast_bf16:
        makers["transformers bf16"] = lambda: of_transformers(folder, False, torch.bfloat16)
    wants_onnx = [name for name in ("onnxruntime", "openvino") if installed(name)]
    path = None
    if wants_onnx and any(not only or n.lower() in " ".join(only).lower() for n in wants_onnx):
        path = onnx_file(folder, scratch)
    if path is not None and installed("onnxruntime"):
        makers["onnxruntime fp32"] = lambda: of_onnxruntime(path, threads)
        for kind in distilbert.export.onnx.PRECISIONS:
            makers[f"our export in onnxruntime {kind}"] = lambda kind=kind: of_onnxruntime(
                our_onnx(folder, scratch, kind), threads
            )
        makers["onnxruntime int8"] = lambda: of_onnxruntime(onnx_int8(path, scratch), threads)
    if path is not None and installed("openvino"):
        makers["openvino fp32"] = lambda: of_openvino(str(path), threads, "f32")
        makers["our export in openvino fp32"] = lambda: of_openvino(
            str(our_onnx(folder, scratch, "fp32")), threads, "f32"
        )
        if fast_bf16:
            makers["openvino bf16"] = lambda: of_openvino(str(path), threads, "bf16")
        if installed("nncf"):
            makers["openvino int8 static"] = lambda: of_openvino(
                openvino_int8(path, vocabulary, scratch), threads, "bf16" if fast_bf16 else "f32"
            )
    if installed("ctranslate2"):
        for kind in ("float32", "int8"):
            makers[f"ctranslate2 {kind}"] = lambda kind=kind: of_ctranslate2(
                folder, scratch, threads, kind
            )
    return {name: make() for name, make in makers.items() if not only or name in only}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="folder; by default a DistilBERT-base, random weights")
    few = ["short", "long", "512", "lat16", "lat128"]
    parser.add_argument("--workloads", nargs="+", default=few, choices=list(workloads(512)))
    parser.add_argument("--peers", nargs="*", help="names; by default all that are installed")
    parser.add_argument("--precisions", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--max-seconds", type=float, default=120.0)
    parser.add_argument("--cold-start", action="store_true")
    parser.add_argument("--files", help="keep converted models here; they are of this --model")
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with ExitStack() as stack:
        scratch = Path(options.files or stack.enter_context(tempfile.TemporaryDirectory()))
        scratch.mkdir(parents=True, exist_ok=True)
        folder = options.model or stack.enter_context(bench.saved(bench.open_encoder(None)))
        settings = bench.Settings(
            model=folder,
            precisions=tuple(options.precisions),
            workloads=tuple(options.workloads),
            repeats=options.repeats,
            max_seconds=options.max_seconds,
            cold_start=options.cold_start,
            threads=options.threads,
            out=options.out,
        )
        bench.main(settings, make_peers(folder, scratch, options.peers, options.threads))


if __name__ == "__main__":
    main()

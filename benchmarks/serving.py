"""Requests per second and latency of `distilbert serve`, beside a server around transformers.

    python benchmarks/serving.py --texts shared/data/sst2/dev.parquet --vocabulary vocab.txt

Every caller sends one text at a time and waits for the answer, over a connection that it keeps. The
model is DistilBERT-base of random weights with two labels. "one by one" is the usual server: a
function of a pipeline, which Starlette (FastAPI does the same) calls in threads. Servers run at
the same time and are asked in turns. The last line is JSON.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from statistics import median

import numpy as np
import pyarrow.parquet
import torch

import distilbert

ONE_BY_ONE = """
import json, sys, uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route
{pipe}
async def predict(request):
    body = await request.json()
    return JSONResponse(await run_in_threadpool(pipe, body["inputs"]))
async def health(request):
    return JSONResponse({{"status": "ok"}})
app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health)])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
PIPES = {
    "transformers, one by one": "from transformers import pipeline; "
    "pipe = pipeline('text-classification', {folder!r}, device='cpu')",
    "int8, one by one": "import distilbert; "
    "pipe = distilbert.pipeline('text-classification', {folder!r}, precision='int8')",
}
SERVED = {"distilbert serve, fp32": "fp32", "distilbert serve, int8": "int8"}


def start(name: str, folder: str, port: int) -> subprocess.Popen:
    """Start a server, and wait until it answers."""
    if name in SERVED:
        words = ["-m", "distilbert", "serve", "--task", "text-classification", "--model", folder,
                 "--precision", SERVED[name], "--port", str(port)]  # fmt: skip
    else:
        words = ["-c", ONE_BY_ONE.format(pipe=PIPES[name].format(folder=folder)), str(port)]
    server = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
            return server
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise SystemExit(f"{name} has not started")


def ask(connection: http.client.HTTPConnection, text: str):
    connection.request("POST", "/predict", json.dumps({"inputs": text}))
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    return answer[0]


def load(port: int, texts: list[str], callers: int, seconds: float) -> list[float]:
    """Return the latencies in seconds of all that callers ask in a time."""
    found: list[list[float]] = [[] for _ in range(callers)]
    end = time.perf_counter() + seconds

    def call(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        i = number
        while (before := time.perf_counter()) < end:
            ask(connection, texts[i % len(texts)])
            found[number].append(time.perf_counter() - before)
            i += callers
        connection.close()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for one in found for each in one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", required=True, help="a Parquet file")
    parser.add_argument("--column", default="sentence")
    parser.add_argument("--vocabulary", required=True, help="a vocab.txt")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[*PIPES, *SERVED])
    options = parser.parse_args()
    texts = pyarrow.parquet.read_table(options.texts)[options.column].to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        tokenizer = distilbert.DistilBertTokenizerFast(options.vocabulary)
        config = distilbert.DistilBertConfig(vocab_size=len(tokenizer))
        distilbert.DistilBertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
        ports = {name: 8700 + i for i, name in enumerate(options.only)}
        servers = [start(name, folder, port) for name, port in ports.items()]
        try:
            result = measure(ports, texts, options)
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait()
    result |= {"benchmark": "serving", "threads": os.cpu_count(), "torch": torch.__version__,
               "tokens_a_text": round(float(np.mean(lengths)), 1)}  # fmt: skip
    print(json.dumps(result))


def measure(ports: dict[str, int], texts: list[str], options: argparse.Namespace) -> dict:
    """Compare the answers, then ask in turns; print a table."""
    scores = {}
    for name, port in ports.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        answers = [ask(connection, text) for text in texts[:50]]
        scores[name] = [a["score"] if a["label"] == "LABEL_1" else 1 - a["score"] for a in answers]
    first = scores[next(iter(scores))]
    errors = {n: float(np.abs(np.subtract(s, first)).max()) for n, s in scores.items()}
    runs: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(options.rounds):
        for callers in options.callers:
            for name, port in ports.items():
                found = load(port, texts, callers, options.seconds)
                runs.setdefault((name, callers), []).append(found)
    print(f"{'':28}{'callers':>8}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'error':>10}")
    rows = []
    for (name, callers), rounds in runs.items():
        rate = median(len(found) / options.seconds for found in rounds)
        p50, p99 = (median(float(np.quantile(f, q)) * 1000 for f in rounds) for q in (0.5, 0.99))
        print(f"{name:28}{callers:8}{rate:12.1f}{p50:9.1f}{p99:9.1f}{errors[name]:10.1e}")
        rows.append({"server": name, "callers": callers, "per_second": round(rate, 1),
                     "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)})  # fmt: skip
    return {"rows": rows, "errors": errors}


if __name__ == "__main__":
    main()

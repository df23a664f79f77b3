"""`distilbert serve`, through the command line."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

import distilbert
from distilbert.cli import main

pytest.importorskip("uvicorn")
LABELS = {0: "no", 1: "yes"}
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it
from distilbert.cli import main
sys.exit(main(sys.argv[1:]))
"""
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx'])); "


@pytest.fixture
def folder(tmp_path, tiny_vocab):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = distilbert.DistilBertConfig(
        vocab_size=len(tiny_vocab), max_position_embeddings=32, dim=16, n_heads=2, n_layers=1,
        hidden_dim=16, id2label=LABELS, initializer_range=0.3,
    )  # fmt: skip
    distilbert.DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    distilbert.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def serve():
    """Start the command on a free port, and return its address."""
    running = []

    def start(model, *flags, code=RUN):
        words = ["serve", "--task", "sentiment-analysis", "--model", model, "--port", "0", *flags]
        server = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE)
        running.append(server)
        lines = []
        while not lines or "http://" not in lines[-1]:
            lines.append(server.stderr.readline().decode())
            assert lines[-1], "".join(lines)
        return server, lines[-1].split()[-1].removesuffix("/predict"), "".join(lines)

    yield start
    for server in running:
        server.kill()
        server.wait()
        server.stderr.close()


def ask(address, content=None):
    body = None if content is None else json.dumps(content).encode()
    path = "/" if content is None else "/predict"
    with urllib.request.urlopen(address + path, body, timeout=20) as response:
        return json.load(response)


def near(one, other):
    assert [each["label"] for each in one] == [each["label"] for each in other]
    assert [each["score"] for each in one] == pytest.approx(
        [each["score"] for each in other], abs=1e-5
    )


def test_it_serves_until_it_is_told_to_end(folder, serve):
    server, address, said = serve(folder, "--parameters", '{"top_k": 2}')
    assert "fp32" in said  # prepared
    assert ask(address) == {
        "task": "text-classification", "model": folder, "version": distilbert.__version__,
        "labels": ["no", "yes"],
    }  # fmt: skip
    pipe = distilbert.pipeline("text-classification", folder)
    near(ask(address, {"inputs": "the small model"}), pipe("the small model", top_k=2))
    one = ask(address, {"inputs": ["the", "model"], "parameters": {"top_k": "best"}})
    near(one, pipe(["the", "model"]))
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == -signal.SIGTERM
    assert server.stderr.read() == b""


def test_interrupted_it_says_so(folder, serve):
    server, address, _ = serve(folder, "--precision", "int8")
    assert ask(address, {"inputs": "the"})[0]["label"] in LABELS.values()
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 130
    assert server.stderr.read() == b"distilbert: interrupted\n"


def test_an_export_without_pytorch(folder, serve, tmp_path):
    pytest.importorskip("onnx")
    distilbert.export_onnx(folder, tmp_path / "export")
    _, address, _ = serve(str(tmp_path / "export"), "--threads", "1", code=WITHOUT + RUN)
    expected = distilbert.pipeline("text-classification", folder)("the model")
    near(ask(address, {"inputs": "the model"}), expected)


def test_an_answer_does_not_wait_for_its_head_to_be_acknowledged():
    from distilbert.recipes.serve import _listening

    with _listening("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_is_wrong_is_said(folder, capsys):
    def fails(*flags, model=folder):
        code = main(["serve", "--task", "text-classification", "--model", model, *flags])
        assert code == 1
        return capsys.readouterr().err

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"cannot listen at 127.0.0.1, port {port}: Address" in fails("--port", port)
    assert "port=70000 must be" in fails("--port", "70000")
    assert "most_bytes=0" in fails("--most_bytes", "0")
    free = ("--port", "0")
    assert "parameters is not JSON" in fails(*free, "--parameters", "top_k=2")
    assert "must be a JSON object, not '[1]'" in fails(*free, "--parameters", "[1]")
    assert "parameters is not JSON" in fails(*free, "--parameters", "[" * 9000)
    for name in ("task", "config", "read_ahead"):
        said = fails(*free, "--parameters", json.dumps({name: 1}))
        assert f"text-classification has no option '{name}'; it has max_length, top_k" in said
    assert "no option 'topk'" in fails(*free, "--parameters", '{"topk": 1}')
    assert "cannot listen at nowhere.invalid" in fails(*free, "--host", "nowhere.invalid")
    assert "most_waiting=0" in fails(*free, "--most_waiting", "0")
    assert "there is no folder" in fails(*free, model=folder + "x")

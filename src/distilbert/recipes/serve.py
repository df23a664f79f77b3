"""`distilbert serve`: a model behind HTTP."""

import json
import logging
import socket
from dataclasses import dataclass
from typing import Any

import uvicorn

import distilbert
from distilbert.pipelines import pipeline
from distilbert.pipelines.models import prepared_options
from distilbert.serving.app import make_app
from distilbert.serving.turns import Turns

_logger = logging.getLogger("distilbert")
_SECONDS_TO_END = 20  # whoever stops containers kills after 30


@dataclass
class Settings:
    """Answer texts over HTTP; texts that arrive together are computed together.

    `POST /predict` takes `{"inputs": …, "parameters": {…}}` and gives what the pipeline of the task
    returns; `GET /` says what is served, `GET /health` that it works.

    Args:
        task: task to answer: fill-mask, text-classification (or sentiment-analysis),
            token-classification (or ner), question-answering, multiple-choice,
            zero-shot-classification, feature-extraction or sentence-embedding.
        model: folder or hub id of a BERT or DistilBERT with the task's head, or of an export.
        host: address to listen at; 0.0.0.0 is all of this machine's. There is no password.
        port: port to listen at; 0 takes one that is free.
        precision: number format in which the model is prepared: fp32, bf16, fp16 (on a GPU), int8
            or auto (the fastest of them); by default fp32. An exported model has its own.
        parameters: options of the task, as a JSON object; those of a request count more.
        batch_tokens: largest number of tokens that are computed at a time, padding included; by
            default 4096, in fill-mask 1024.
        device: device to compute on, such as cuda; by default the CPU.
        threads: number of threads that compute; by default one per core.
        most_waiting: largest number of tokens that may wait to be computed; what comes on top is
            refused with status 503.
        most_bytes: largest request body in bytes.
    """

    task: str
    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    precision: str | None = None
    parameters: str = "{}"
    batch_tokens: int | None = None
    device: str | None = None
    threads: int | None = None
    most_waiting: int = 200_000
    most_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port={self.port} must be from 0 to 65535")
        for name in ("most_waiting", "most_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")


def main(settings: Settings) -> None:
    """Serve until the process is told to end, and answer what has come by then.

    Raises:
        ImportError: the extra `serve` is not installed.
        OSError: the model cannot be found or read, or the address is not free.
        TypeError, ValueError: as `pipeline` raises them.
    """
    with _listening(settings.host, settings.port) as listening:
        parameters = _parameters(settings.parameters)
        pipe = pipeline(settings.task, settings.model, **_of_model(settings))
        pipe.set_options(**parameters)
        about = {"task": pipe.task, "model": settings.model, "version": distilbert.__version__}
        if pipe.task in ("text-classification", "token-classification"):
            about["labels"] = list(pipe.config.id2label.values())
        app = make_app(Turns(pipe, settings.most_waiting), about, settings.most_bytes)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=_SECONDS_TO_END
        )
        host, port = listening.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        _logger.info("%s: http://%s:%d/predict", settings.task, host, port)
        uvicorn.Server(config).run(sockets=[listening])


def _parameters(text: str) -> dict[str, Any]:
    """Return the options that requests begin with."""
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"parameters is not JSON: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(f"parameters must be a JSON object, not {text!r:.60}")
    return options


def _of_model(settings: Settings) -> dict[str, Any]:
    """Return what the model is opened with."""
    names = ("batch_tokens", "precision", "device", "threads")
    given = {name: getattr(settings, name) for name in names}
    said = {name: value for name, value in given.items() if value is not None}
    return prepared_options(settings.model, said)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens: an address in use is found before the model is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None
    # Connections inherit it; asyncio does not see that this socket is TCP. Without it an answer's
    # body waits 40 ms for the caller to acknowledge its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening

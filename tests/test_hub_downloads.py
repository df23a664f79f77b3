"""Downloads, against a hub that runs in this process. Nothing leaves the machine."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlparse

import huggingface_hub
import pytest
from huggingface_hub import constants

from distilbert import DistilBertConfig, DistilBertModel
from distilbert.hub import Source

FIELDS = {"dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 8, "vocab_size": 9}
COMMIT, OTHER_COMMIT = "c" * 40, "d" * 40
ERRORS = {
    "EntryNotFound": 404,
    "RevisionNotFound": 404,
    "RepoNotFound": 401,
    "GatedRepo": 403,
    "Broken": 500,
}


class FakeHub:
    """Enough of the hub's protocol for downloads, in a thread of the test.

    Repositories are in memory: {name: {revision: {path: bytes}}}.

    Attributes:
        requests: (method, path, token) of every request.
        gated, private: names that need the token "good".
        broken: every answer is 500.
        cut: bodies end half-way.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.broken = False
        self.cut = False
        self.endpoint = ""

    def add(self, name: str, files: dict[str, bytes | dict], revision: str = "main") -> None:
        self.repositories.setdefault(name, {})[revision] = {
            path: json.dumps(body).encode() if isinstance(body, dict) else body
            for path, body in files.items()
        }

    def downloads(self) -> list[str]:
        """The files that were sent, by their names."""
        paths = [path for method, path, _ in self.requests if method == "GET"]
        return [path.rpartition("/")[2] for path in paths if "/resolve/" in path]

    def commit(self, path: str) -> str:
        return OTHER_COMMIT if "/resolve/v2/" in path else COMMIT

    def look_up(self, path: str, token: str | None) -> tuple[str, bytes]:
        """Return an error code, or an empty one and the file."""
        name, found, rest = path.strip("/").partition("/resolve/")
        revision, _, filename = rest.partition("/")
        allowed = token == "Bearer good"
        if not found or name not in self.repositories or (name in self.private and not allowed):
            return "RepoNotFound", b""
        if name in self.gated and not allowed:
            return "GatedRepo", b""
        revisions = self.repositories[name]
        if unquote(revision) == COMMIT:
            revision = "main"
        if unquote(revision) not in revisions:
            return "RevisionNotFound", b""
        files = revisions[unquote(revision)]
        return ("", files[filename]) if filename in files else ("EntryNotFound", b"")


@contextmanager
def serve() -> Iterator[FakeHub]:
    """Run a hub until the block ends."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path, token = urlparse(self.path).path, self.headers.get("Authorization")
            hub.requests.append((self.command, path, token))
            error, body = ("Broken", b"") if hub.broken else hub.look_up(path, token)
            self.send_response(ERRORS.get(error, 200))
            if error and error != "Broken":
                self.send_header("X-Error-Code", error)
            if not error:
                self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            if error in ("", "EntryNotFound"):
                self.send_header("X-Repo-Commit", hub.commit(path))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if hub.cut else body)

        do_GET = do_HEAD = answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(monkeypatch):
    with serve() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # it waits between attempts
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        hub.add("me/tiny", {"config.json": {"dim": 24}, "sub/config.json": {"dim": 36}})
        hub.add("me/tiny", {"config.json": {"dim": 48}}, revision="v2")
        hub.add("bare", {"config.json": {"dim": 12}})
        yield hub
    huggingface_hub.close_session()


def read(cache, name="me/tiny", **options):
    return DistilBertConfig.from_pretrained(name, cache_dir=cache, **options)


def test_downloads_once(server, tmp_path):
    assert read(tmp_path).dim == 24
    assert read(tmp_path).dim == 24
    assert server.downloads() == ["config.json"]
    assert read(tmp_path, name="bare").dim == 12
    assert read(tmp_path).name_or_path == "me/tiny"


def test_a_pipeline_fetches_what_is_forced_once(monkeypatch, tmp_path):
    """Looking which kind of model it is downloads nothing anew."""
    from distilbert.pipelines import models

    asked = []
    monkeypatch.setattr(models, "find_weights", lambda source: asked.append(source))
    assert not models.is_exported(models.Source(tmp_path, force_download=True))
    assert [source.force_download for source in asked] == [False]


def test_force_download(server, tmp_path):
    read(tmp_path)
    read(tmp_path, force_download=True)
    assert server.downloads() == ["config.json"] * 2


def test_revision_and_subfolder(server, tmp_path):
    assert read(tmp_path, revision="v2").dim == 48
    assert read(tmp_path, revision=COMMIT).dim == 24
    assert read(tmp_path, subfolder="sub").dim == 36


def test_token_is_sent(server, tmp_path):
    read(tmp_path, token="good")
    assert {token for _, _, token in server.requests} == {"Bearer good"}
    server.requests.clear()
    read(tmp_path / "other", token=False)
    assert {token for _, _, token in server.requests} == {None}


def test_offline_reads_the_cache(server, tmp_path, monkeypatch):
    read(tmp_path)
    server.requests.clear()
    assert read(tmp_path, local_files_only=True).dim == 24
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert read(tmp_path).dim == 24
    assert server.requests == []


def test_offline_without_a_cache(server, tmp_path, monkeypatch):
    message = r"config\.json of me/tiny is not in the local cache.*may not be asked \(offline\)"
    with pytest.raises(OSError, match=message):
        read(tmp_path, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=message + ".*no local folder me/tiny"):
        read(tmp_path)


def test_missing_file_is_known_offline(server, tmp_path):
    source = Source("me/tiny", cache_dir=tmp_path)
    assert source.find("config.json") is not None
    assert source.find("vocab.txt") is None
    assert Source("me/tiny", cache_dir=tmp_path, local_files_only=True).find("vocab.txt") is None
    with pytest.raises(OSError, match=r"me/tiny has no file vocab\.txt"):
        source.require("vocab.txt")


def test_missing_file_is_known_while_the_server_is_down(server, tmp_path, monkeypatch):
    source = Source("me/tiny", cache_dir=tmp_path)
    source.find("config.json")
    source.find("vocab.txt")
    server.broken = True
    assert source.find("vocab.txt") is None
    assert read(tmp_path).dim == 24
    with pytest.raises(OSError, match=r"never\.txt of me/tiny is not in the local cache, and the"):
        source.find("never.txt")


def test_no_such_repository(server, tmp_path):
    with pytest.raises(OSError, match="no folder me/none and no hub repository of that name"):
        read(tmp_path, name="me/none")


def test_private_repository(server, tmp_path):
    server.private.add("me/tiny")
    with pytest.raises(OSError, match="pass token=… for a private one"):
        read(tmp_path)
    assert read(tmp_path, token="good").dim == 24


def test_gated_repository(server, tmp_path):
    server.gated.add("me/tiny")
    with pytest.raises(OSError, match="access to me/tiny must be granted by its owners"):
        read(tmp_path)
    assert read(tmp_path, token="good").dim == 24


def test_no_such_revision(server, tmp_path):
    with pytest.raises(OSError, match="me/tiny has no revision 'v9'"):
        read(tmp_path, revision="v9")


def test_server_is_broken_or_gone(server, tmp_path, monkeypatch):
    server.broken = True
    with pytest.raises(OSError, match=r"config\.json of me/tiny .* the hub cannot be reached"):
        read(tmp_path)
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(OSError, match=r"config\.json of me/tiny .* the hub cannot be reached"):
        read(tmp_path)


def test_download_is_cut_off(server, tmp_path):
    server.cut = True
    with pytest.raises(OSError, match=r"config\.json of me/tiny could not be downloaded"):
        read(tmp_path)
    server.cut = False
    assert read(tmp_path).dim == 24


def test_hub_s_config_is_checked_like_any_other(server, tmp_path):
    server.add("me/odd", {"config.json": b"<html>"})
    with pytest.raises(ValueError, match=r"config\.json is not a valid JSON file"):
        read(tmp_path, name="me/odd")


@pytest.fixture
def model_on_hub(server, tmp_path):
    def put(**save):
        folder = tmp_path / "made"
        model = DistilBertModel(DistilBertConfig(**FIELDS))
        model.save_pretrained(folder, **save)
        server.add("me/model", {p.name: p.read_bytes() for p in folder.iterdir()})
        return model

    return put


@pytest.mark.parametrize("save", [{}, {"max_shard_size": "1KB"}])
def test_model(server, model_on_hub, tmp_path, save):
    import torch

    model = model_on_hub(**save)
    loaded = DistilBertModel.from_pretrained("me/model", cache_dir=tmp_path / "cache")
    assert all(map(torch.equal, loaded.parameters(), model.parameters()))
    server.requests.clear()
    offline = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    again = DistilBertModel.from_pretrained("me/model", **offline)
    assert all(map(torch.equal, again.parameters(), model.parameters()))
    assert server.requests == []


def test_offline_with_a_cached_config_only(server, model_on_hub, tmp_path):
    model_on_hub()
    read(tmp_path, name="me/model")
    with pytest.raises(OSError, match=r"me/model has no weights in the local cache"):
        DistilBertModel.from_pretrained("me/model", cache_dir=tmp_path, local_files_only=True)


def test_shard_missing_on_the_hub(server, model_on_hub, tmp_path):
    model_on_hub(max_shard_size="1KB")
    files = server.repositories["me/model"]["main"]
    shard = sorted(name for name in files if name.startswith("model-"))[1]
    del files[shard]
    with pytest.raises(OSError, match=f"me/model has no file {shard}"):
        DistilBertModel.from_pretrained("me/model", cache_dir=tmp_path)

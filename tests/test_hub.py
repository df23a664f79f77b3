"""Files found in folders, and folders written so that a reader never sees half of them."""

import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from distilbert import hub
from distilbert.hub import Source, find_weights, push_folder, read_json, staged, write_json


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.json").write_text('{"a": 1}')
    (tmp_path / "sub" / "config.json").write_text('{"a": 2}')
    return tmp_path


class TestFolders:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_finds_by_string_and_path(self, folder, kind):
        assert Source(kind(folder)).find("config.json") == folder / "config.json"
        assert Source(kind(folder)).find("other.json") is None
        within = Source(kind(folder), subfolder="sub").require("config.json")
        assert read_json(within) == {"a": 2}

    def test_relative_folder_wins_over_a_hub_id(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        assert Source("sub").find("config.json") == Path("sub/config.json")

    def test_missing_file_and_subfolder(self, folder):
        with pytest.raises(OSError, match=r"has no file other\.json"):
            Source(folder).require("other.json")
        with pytest.raises(OSError, match=r"/nowhere has no file config\.json"):
            Source(folder, subfolder="nowhere").require("config.json")

    def test_file_instead_of_a_folder(self, folder):
        with pytest.raises(OSError, match=r"config\.json is a file; give the folder that holds it"):
            Source(folder / "config.json").find("model.safetensors")

    @pytest.mark.parametrize(
        "name", ["/no/such/folder", "./missing", "../up", "a/b/c", "two words"]
    )
    def test_missing_folder_that_is_no_hub_id(self, name):
        with pytest.raises(OSError, match=f"there is no folder {name}, and this is not a hub id"):
            Source(name).find("config.json")

    def test_folder_named_like_the_file_is_not_a_file(self, tmp_path):
        (tmp_path / "config.json").mkdir()
        assert Source(tmp_path).find("config.json") is None

    @pytest.mark.parametrize("name", [None, 3, b"x", ["x"]])
    def test_name_of_a_wrong_type(self, name):
        with pytest.raises(TypeError, match="expected the path of a folder or a hub id, got"):
            Source(name)

    def test_empty_name_is_not_the_current_folder(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        with pytest.raises(ValueError, match="got an empty string"):
            Source("")


class TestWeights:
    def make(self, folder, *names):
        for name in names:
            (folder / name).touch()

    def index(self, folder, weight_map, name=hub.SAFE_INDEX):
        text = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
        (folder / name).write_text(text)

    def test_order(self, tmp_path):
        self.make(tmp_path, hub.TORCH_WEIGHTS)
        assert find_weights(Source(tmp_path)) == {tmp_path / hub.TORCH_WEIGHTS: frozenset()}
        self.make(tmp_path, hub.SAFE_WEIGHTS)
        assert list(find_weights(Source(tmp_path))) == [tmp_path / hub.SAFE_WEIGHTS]
        old = find_weights(Source(tmp_path), use_safetensors=False)
        assert list(old) == [tmp_path / hub.TORCH_WEIGHTS]

    def test_shards_in_safetensors_come_before_an_old_file(self, tmp_path):
        self.make(tmp_path, hub.TORCH_WEIGHTS, "a.safetensors")
        self.index(tmp_path, {"x": "a.safetensors"})
        assert list(find_weights(Source(tmp_path))) == [tmp_path / "a.safetensors"]

    def test_safetensors_only(self, tmp_path):
        self.make(tmp_path, hub.TORCH_WEIGHTS)
        with pytest.raises(OSError, match=r"no weights \(looked for model\.safetensors, model"):
            find_weights(Source(tmp_path), use_safetensors=True)

    def test_one_file_of_weights_is_itself(self, tmp_path):
        self.make(tmp_path, hub.SAFE_WEIGHTS, "best.pt", "config.json")
        best, safe = tmp_path / "best.pt", tmp_path / hub.SAFE_WEIGHTS
        for given in (best, str(best)):
            assert find_weights(Source(given)) == {best: frozenset()}
        assert find_weights(Source(safe), use_safetensors=True) == {safe: frozenset()}
        for file, asked in ((best, True), (safe, False)):
            with pytest.raises(OSError, match=f"{file.name} is not what use_safetensors={asked}"):
                find_weights(Source(file), use_safetensors=asked)
        assert Source(best).find("config.json") == tmp_path / "config.json"
        with pytest.raises(OSError, match=r"best\.pt is a file; give the folder that holds it"):
            Source(best).find("a.txt")
        (tmp_path / "config.json").unlink()
        with pytest.raises(
            OSError, match=r"best\.pt has no file config\.json beside it: .* config="
        ):
            Source(best).require("config.json")

    def test_shards_say_what_they_hold(self, tmp_path):
        self.make(tmp_path, "a.safetensors", "b.safetensors")
        self.index(tmp_path, {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"})
        assert find_weights(Source(tmp_path)) == {
            tmp_path / "b.safetensors": {"x", "z"},
            tmp_path / "a.safetensors": {"y"},
        }

    def test_missing_shard(self, tmp_path):
        self.index(tmp_path, {"x": "gone.safetensors"})
        with pytest.raises(OSError, match=r"has no file gone\.safetensors"):
            find_weights(Source(tmp_path))

    @pytest.mark.parametrize(
        "shard",
        [
            *("../../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", ".", ""),
            *("..\\x.safetensors", "C:\\x.safetensors", "./x.safetensors", 3, None, ["a"], {}),
        ],
    )
    def test_shard_outside_the_folder(self, tmp_path, shard):
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        self.make(tmp_path, "x.safetensors")
        self.index(inner, {"t": shard})
        with pytest.raises(ValueError, match=r"index\.json names the shard") as caught:
            find_weights(Source(inner))
        assert repr(shard) in str(caught.value)

    def test_index_of_safetensors_may_not_name_a_pickle(self, tmp_path):
        self.make(tmp_path, "x.bin")
        self.index(tmp_path, {"t": "x.bin"})
        with pytest.raises(ValueError, match=r"'x\.bin'; it is not a \.safetensors file"):
            find_weights(Source(tmp_path), use_safetensors=True)

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": []}'])
    def test_malformed_index(self, tmp_path, text):
        self.index(tmp_path, text)
        with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
            find_weights(Source(tmp_path))


class TestStaged:
    def test_replaces_together_and_removes_the_stale(self, tmp_path):
        for name in ("a.json", "old-1.bin", "old-2.bin", "mine.txt"):
            (tmp_path / name).write_text("old")
        with staged(tmp_path, replaces=["old-?.bin"]) as scratch:
            (scratch / "a.json").write_text("new")
            (scratch / "old-2.bin").write_text("new")
            assert (tmp_path / "a.json").read_text() == "old"
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
            "a.json": "new",
            "old-2.bin": "new",
            "mine.txt": "old",
        }

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
    def test_failure_leaves_the_old_files_and_no_scratch(self, tmp_path, error):
        (tmp_path / "a.json").write_text("old")

        def fail():
            with staged(tmp_path, replaces=["*"]) as scratch:
                (scratch / "a.json").write_text("new")
                raise error

        with pytest.raises(type(error)):
            fail()
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.json": "old"}

    def test_failure_to_flush_leaves_the_old_files(self, tmp_path, monkeypatch):
        (tmp_path / "a.json").write_text("old")
        full = OSError(28, "No space left")

        def fsync(number):
            raise full

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"), staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.json": "old"}

    def test_only_what_may_be_written_is_flushed(self, tmp_path, monkeypatch):
        """As Windows requires."""
        modes = []
        flags = fcntl.F_GETFL
        monkeypatch.setattr(
            os, "fsync", lambda number: modes.append(fcntl.fcntl(number, flags) & os.O_ACCMODE)
        )
        with staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert modes == [os.O_RDWR]

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
    def test_files_get_the_usual_permissions(self, tmp_path, umask, mode):
        before = os.umask(umask)
        try:
            with staged(tmp_path) as scratch:
                (scratch / "secret").touch(mode=0o600)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == mode
        assert os.listdir(tmp_path) == ["secret"]

    def test_a_link_is_replaced_and_not_followed(self, tmp_path):
        (tmp_path / "blob").write_text("shared")
        (tmp_path / "a.json").symlink_to("blob")
        with staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert (tmp_path / "blob").read_text() == "shared"
        assert (tmp_path / "a.json").read_text() == "new"


def test_json_is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "x.json", {"b": "é", "a": 1})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n  "a": 1,\n  "b": "é"\n}\n'


def test_json_has_escapes_for_what_utf_8_has_not(tmp_path):
    content = {"a": "\N{SNOWMAN} " + os.fsdecode(b"folder \xff")}
    write_json(tmp_path / "x.json", content)
    assert r"folder \udcff" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "x.json") == content


class TestPush:
    @pytest.fixture
    def calls(self, monkeypatch):
        import huggingface_hub

        calls = []

        class FakeApi:
            def __init__(self, token=None):
                calls.append(("token", token))

            def create_repo(self, repo_id, **options):
                calls.append(("create", repo_id, options))
                return huggingface_hub.RepoUrl(f"https://huggingface.co/me/{repo_id}")

            def upload_folder(self, *, repo_id, folder_path, **options):
                files = {p.name: p.read_bytes() for p in Path(folder_path).iterdir()}
                calls.append(("upload", repo_id, files, options))
                url = "https://huggingface.co/me/x/commit/1"
                return huggingface_hub.CommitInfo(
                    commit_url=url, commit_message="", commit_description="", oid="1"
                )

        monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
        return calls

    def test_folder(self, calls, folder):
        (folder / "sub" / "config.json").unlink()
        (folder / "sub").rmdir()
        url = push_folder(
            *(folder, "mine"),
            commit_message="First",
            private=True,
            token="t",
            revision="dev",
            create_pr=True,
        )
        assert url == "https://huggingface.co/me/x/commit/1"
        push_folder(folder)
        assert calls[4][1] == folder.name
        del calls[3:]
        assert calls == [
            ("token", "t"),
            ("create", "mine", {"private": True, "exist_ok": True}),
            (
                *("upload", "me/mine", {"config.json": b'{"a": 1}'}),
                {"commit_message": "First", "revision": "dev", "create_pr": True},
            ),
        ]

    def test_config(self, calls, tmp_path):
        from distilbert import DistilBertConfig

        config = DistilBertConfig(dim=24)
        config.push_to_hub("mine", private=True)
        assert calls[1] == ("create", "mine", {"private": True, "exist_ok": True})
        assert calls[2][2] == {"config.json": config.to_json_string().encode()}
        config.save_pretrained(tmp_path / "named", push_to_hub=True)
        assert calls[4][1] == "named"
        config.save_pretrained(tmp_path / "named", push_to_hub=True, repo_id="other")
        assert calls[7][1] == "other"

    def test_model(self, calls, tmp_path):
        from safetensors.torch import load

        from distilbert import DistilBertConfig, DistilBertModel

        config = DistilBertConfig(dim=8, n_heads=2, n_layers=1, hidden_dim=8, vocab_size=9)
        model = DistilBertModel(config)
        model.push_to_hub("mine", token="t")
        assert calls[0] == ("token", "t")
        files = calls[2][2]
        assert files.keys() == {"config.json", "model.safetensors"}
        assert load(files["model.safetensors"]).keys() == model.state_dict().keys()
        model.save_pretrained(tmp_path / "named", push_to_hub=True, commit_message="Second")
        assert calls[4][1] == "named"
        assert calls[5][3]["commit_message"] == "Second"

    def test_tokenizer(self, calls, tmp_path, tiny_vocab):
        from distilbert import DistilBertTokenizerFast

        vocab = tmp_path / "vocab.txt"
        vocab.write_text("\n".join(tiny_vocab), encoding="utf-8")
        tokenizer = DistilBertTokenizerFast(vocab_file=str(vocab))
        tokenizer.push_to_hub("mine")
        assert calls[2][2].keys() >= {"vocab.txt", "tokenizer.json", "tokenizer_config.json"}
        tokenizer.save_pretrained(tmp_path / "named", push_to_hub=True)
        assert calls[4][1] == "named"

"""Files found in folders, and folders uploaded."""

from pathlib import Path

import pytest

from distilbert.folders import read_json
from distilbert.hub import Source, push_folder


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

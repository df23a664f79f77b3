"""The files of weights: one or shards, whole or not."""

import json

import pytest

from distilbert.hub import Source
from distilbert.weight_files import SAFE_INDEX, SAFE_WEIGHTS, TORCH_WEIGHTS, find_weights


class TestWeights:
    def make(self, folder, *names):
        for name in names:
            (folder / name).touch()

    def index(self, folder, weight_map, name=SAFE_INDEX):
        text = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
        (folder / name).write_text(text)

    def test_order(self, tmp_path):
        self.make(tmp_path, TORCH_WEIGHTS)
        assert find_weights(Source(tmp_path)) == {tmp_path / TORCH_WEIGHTS: frozenset()}
        self.make(tmp_path, SAFE_WEIGHTS)
        assert list(find_weights(Source(tmp_path))) == [tmp_path / SAFE_WEIGHTS]
        old = find_weights(Source(tmp_path), use_safetensors=False)
        assert list(old) == [tmp_path / TORCH_WEIGHTS]

    def test_shards_in_safetensors_come_before_an_old_file(self, tmp_path):
        self.make(tmp_path, TORCH_WEIGHTS, "a.safetensors")
        self.index(tmp_path, {"x": "a.safetensors"})
        assert list(find_weights(Source(tmp_path))) == [tmp_path / "a.safetensors"]

    def test_safetensors_only(self, tmp_path):
        self.make(tmp_path, TORCH_WEIGHTS)
        with pytest.raises(OSError, match=r"no weights \(looked for model\.safetensors, model"):
            find_weights(Source(tmp_path), use_safetensors=True)

    def test_one_file_of_weights_is_itself(self, tmp_path):
        self.make(tmp_path, SAFE_WEIGHTS, "best.pt", "config.json")
        best, safe = tmp_path / "best.pt", tmp_path / SAFE_WEIGHTS
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

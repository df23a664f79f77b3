"""Where files come from and how they are written: a local folder or a hub repository.

Nothing here reads weights; it finds the files that hold them, checks an index of shards, and writes
files so that old ones are replaced, by renames, when all new ones are whole.
"""

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

CONFIG_FILE = "config.json"
SAFE_WEIGHTS = "model.safetensors"
SAFE_INDEX = "model.safetensors.index.json"
WEIGHTS = (SAFE_WEIGHTS, SAFE_INDEX, "model-?????-of-?????.safetensors")  # patterns
TORCH_WEIGHTS = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
ONNX_WEIGHTS = "model.onnx"
SINGLE_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")  # suffixes of files given by their path


@dataclass(frozen=True)
class Source:
    """A folder or a hub repository, with the options that say how to reach it.

    Args:
        name: path of a local folder, or a hub id such as `distilbert-base-uncased`. A folder
            that exists wins over a hub id of the same name. The path of a file is that file, with
            the `config.json` beside it if it holds weights.
        subfolder: folder inside it that holds the files.
    """

    name: str | os.PathLike[str]
    cache_dir: str | os.PathLike[str] | None = None
    force_download: bool = False
    local_files_only: bool = False
    token: str | bool | None = None
    revision: str | None = None
    subfolder: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str | os.PathLike):
            raise TypeError(
                f"expected the path of a folder or a hub id, got {self.name!r} "
                f"({type(self.name).__name__})"
            )
        if not os.fspath(self.name):
            raise ValueError("expected the path of a folder or a hub id, got an empty string")

    @classmethod
    def reached(cls, name: str | os.PathLike[str], options: Mapping[str, Any]) -> Self:
        """Return where a name is, reached as options of `from_pretrained` say; others stay."""
        return cls(name, **{option: options[option] for option in REACH & options.keys()})

    def __str__(self) -> str:
        place = os.fspath(self.name)
        return f"{place}/{self.subfolder}" if self.subfolder else place

    @property
    def is_offline(self) -> bool:
        """Whether this is a hub repository that may only be read from the local cache."""
        import huggingface_hub as hub

        return not Path(self.name).is_dir() and (
            self.local_files_only or hub.constants.HF_HUB_OFFLINE
        )

    @property
    def _cache(self) -> Path | None:
        return None if self.cache_dir is None else Path(self.cache_dir)

    def find(self, filename: str) -> Path | None:
        """Return the local path of a file, downloaded if need be; None where there is none.

        Raises:
            OSError: the folder or repository does not exist or cannot be reached.
        """
        folder = Path(self.name)
        if folder.is_dir():
            path = folder / self.subfolder / filename
            return path if path.is_file() else None
        if folder.is_file():
            if filename == CONFIG_FILE and folder.suffix == ".json":
                return folder  # the configuration itself, whatever it is called
            if filename == CONFIG_FILE and folder.suffix in SINGLE_WEIGHTS:
                beside = folder.with_name(filename)
                return beside if beside.is_file() else None
            raise OSError(f"{folder} is a file; give the folder that holds it")
        return self._download(filename)

    def require(self, filename: str) -> Path:
        """Return the local path of a file that must be there.

        Raises:
            OSError: it is not, or `find` raised.
        """
        path = self.find(filename)
        if path is None:
            beside = (
                " beside it: from_pretrained takes config=…" if Path(self.name).is_file() else ""
            )
            raise OSError(f"{self} has no file {filename}{beside}")
        return path

    def _download(self, filename: str) -> Path | None:
        import huggingface_hub as hub
        from huggingface_hub import errors

        name = os.fspath(self.name)
        try:
            return Path(
                hub.hf_hub_download(
                    name,
                    filename,
                    subfolder=self.subfolder or None,
                    revision=self.revision,
                    cache_dir=self._cache,
                    force_download=self.force_download,
                    local_files_only=self.local_files_only,
                    token=self.token,
                )
            )
        except errors.HFValidationError:
            raise OSError(
                f"there is no folder {name}, and this is not a hub id (name or owner/name) either"
            ) from None
        except errors.LocalEntryNotFoundError as error:
            if self._known_absent(filename):
                return None
            raise OSError(
                f"{filename} of {self} is not in the local cache, and the hub "
                + ("may not be asked (offline)" if self.is_offline else "cannot be reached")
                + f"; there is no local folder {name} either. "
                "Download it once with a connection, or give the path of a folder."
            ) from error
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError as error:
            raise OSError(
                f"access to {name} must be granted by its owners: ask on its hub page, "
                "then pass token=…"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise OSError(
                f"there is no folder {name} and no hub repository of that name that this token may "
                "read; check the spelling, or pass token=… for a private one"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise OSError(f"{name} has no revision {self.revision!r}") from error
        except _http_error() as error:
            raise OSError(f"{filename} of {self} could not be downloaded: {error}") from error

    def _known_absent(self, filename: str) -> bool:
        """Whether a cached snapshot of the repository is known, or seen, to lack this file."""
        import huggingface_hub as hub

        within = f"{self.subfolder}/{filename}" if self.subfolder else filename
        cached = hub.try_to_load_from_cache(
            os.fspath(self.name), within, cache_dir=self._cache, revision=self.revision
        )
        if cached is not None and not isinstance(cached, str):
            return True
        if not self.is_offline:
            return False
        config = f"{self.subfolder}/{CONFIG_FILE}" if self.subfolder else CONFIG_FILE
        return isinstance(
            hub.try_to_load_from_cache(
                os.fspath(self.name), config, cache_dir=self._cache, revision=self.revision
            ),
            str,
        )


def _http_error() -> type[Exception]:
    """Return the base of what can go wrong in HTTP; the library for it depends on the version."""
    from huggingface_hub import errors

    return errors.HfHubHTTPError.__bases__[0]


# The options that say how to reach a source.
REACH = frozenset(field.name for field in fields(Source)) - {"name"}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top level is an object.

    Raises:
        ValueError: it is not UTF-8, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a valid JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, it holds a {type(content).__name__}")
    return content


def find_weights(
    source: Source, *, use_safetensors: bool | None = None
) -> dict[Path, frozenset[str]]:
    """Return the files that hold a checkpoint's weights, each with what an index says it holds.

    Safetensors come before `pytorch_model.bin`. A single file has no index and so no names. A
    source that is a file of weights itself is that file, whatever lies beside it.

    Args:
        use_safetensors: True allows safetensors only, False the old `.bin` only, None either.

    Raises:
        OSError: no weights, or a shard is missing, or the file is of the other kind.
        ValueError: an index that is malformed or points outside its folder.
    """
    file = Path(source.name)
    if file.is_file() and file.suffix in SINGLE_WEIGHTS:
        if use_safetensors not in (None, file.suffix == ".safetensors"):
            raise OSError(f"{file} is not what use_safetensors={use_safetensors} asks for")
        return {file: frozenset()}
    kinds = []
    if use_safetensors is not False:
        kinds += [(SAFE_WEIGHTS, False), (SAFE_INDEX, True)]
    if use_safetensors is not True:
        kinds += [(TORCH_WEIGHTS, False), (TORCH_INDEX, True)]
    for filename, is_index in kinds:
        path = source.find(filename)
        if path is not None:
            if not is_index:
                return {path: frozenset()}
            shards = _shards(path, Path(filename.removesuffix(".index.json")).suffix)
            return {source.require(shard): frozenset(names) for shard, names in shards.items()}
    names = ", ".join(name for name, _ in kinds)
    where = " in the local cache" if source.is_offline else ""
    export = ""
    if source.find(ONNX_WEIGHTS) is not None:
        export = f"; {ONNX_WEIGHTS} is an export, which pipelines, predict, serve and evaluate open"
    raise OSError(f"{source} has no weights{where} (looked for {names}){export}")


def require_promised(promised: Mapping[Path, Iterable[str]], weights: Iterable[str]) -> None:
    """Check that what the index of `find_weights` says is there is among the weights read.

    Raises:
        ValueError: something is not.
    """
    read = set(weights)
    for path, names in promised.items():
        absent = sorted(set(names) - read)
        if absent:
            raise ValueError(f"{path} does not hold {absent[0]}, which its index says it does")


def _shards(index: Path, suffix: str) -> dict[str, list[str]]:
    """Return the tensors that an index says are in each shard."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map from tensor names to files")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if not is_plain_name(shard):
            raise ValueError(
                f"{index} names the shard {shard!r}; a shard is a plain file name beside its index"
            )
        if Path(shard).suffix != suffix:
            raise ValueError(f"{index} names the shard {shard!r}; it is not a {suffix} file")
        shards.setdefault(shard, []).append(tensor)
    return shards


def is_plain_name(name: Any) -> bool:
    """Whether this, from a file, names something in the same folder, on every system.

    >>> is_plain_name("model.bin"), is_plain_name("../model.bin"), is_plain_name("C:\\\\model.bin")
    (True, False, False)
    """
    return isinstance(name, str) and Path(name).name == name and "\\" not in name


def make_folder(folder: Path) -> None:
    """Make a folder, if it is missing.

    Raises:
        OSError: it is something else, or cannot be made.
    """
    if folder.is_file():
        raise OSError(f"{folder} is a file; give a folder")
    if folder.is_symlink() and not folder.exists():
        raise OSError(f"{folder} is a link to {os.readlink(folder)}, which is not there: make it")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def staged(folder: str | os.PathLike[str], replaces: Iterable[str] = ()) -> Iterator[Path]:
    """Give a scratch folder whose files replace those of `folder` together when the block ends.

    The files are complete and flushed to disk before the first one is moved, so an interrupted
    save leaves the old files alone.

    Args:
        folder: made if missing.
        replaces: patterns of old files that the new ones supersede; removed at the end.

    Raises:
        OSError: `folder` is a file, or cannot be written.
    """
    target = Path(folder)
    make_folder(target)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=target) as scratch:
        yield Path(scratch)
        files = sorted(Path(scratch).iterdir())
        mode = _mode_of_new_files(Path(scratch))
        for file in files:
            with file.open("r+b") as handle:  # Windows flushes only what may be written
                os.fsync(handle.fileno())
            file.chmod(mode)  # safetensors makes its files for their owner alone
        fresh = {file.name for file in files}
        for file in files:
            file.replace(target / file.name)
        for pattern in replaces:
            for old in target.glob(pattern):
                if old.name not in fresh:
                    old.unlink()


def _mode_of_new_files(folder: Path) -> int:
    """Ask by making one: `os.umask` would change it for every thread."""
    probe = folder / ".probe"
    probe.touch()
    return stat.S_IMODE(probe.stat().st_mode)


def json_text(content: dict[str, Any]) -> str:
    """Return a JSON object, sorted and indented, as hub files are.

    What UTF-8 has not, such as a part of a path that is not UTF-8, is written as an escape.
    """
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, sorted and indented, as hub files are."""
    path.write_text(json_text(content), encoding="utf-8")


def write_weights(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    max_shard_size: int | str,
    config: dict[str, Any],
    save_file: Callable[..., None],
) -> None:
    """Write `config.json` and the weights, in one file or in shards with an index.

    Args:
        tensors: by name, none of which shares memory with another.
        max_shard_size: largest file, in bytes or as "5GB".
        save_file: of safetensors, for the kind of the tensors.

    Raises:
        OSError: they cannot be written (disk full); the old files are as they were.
    """
    from huggingface_hub import split_state_dict_into_shards_factory
    from safetensors import SafetensorError

    # Its sister for PyTorch imports torch.distributed, which takes half a second.
    plan = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda tensor: tensor.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_shard_size,
    )
    with staged(folder, replaces=WEIGHTS) as scratch:
        for filename, names in plan.filename_to_tensors.items():
            shard = {name: tensors[name] for name in names}
            try:
                save_file(shard, scratch / filename, metadata={"format": "pt"})
            except SafetensorError as error:
                raise OSError(f"{filename} cannot be written to {folder}: {error}") from error
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            write_json(scratch / SAFE_INDEX, index)
        write_json(scratch / CONFIG_FILE, config)


def push_folder(
    folder: str | os.PathLike[str],
    repo_id: str | None = None,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload a folder to a hub repository, made if missing, and return the commit's address.

    Args:
        repo_id: by default the folder's name.
    """
    import huggingface_hub as hub

    api = hub.HfApi(token=token)
    wanted = repo_id or Path(folder).resolve().name
    repo_id = api.create_repo(wanted, private=private, exist_ok=True).repo_id
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=Path(folder),
        commit_message=commit_message or "Upload",
        revision=revision,
        create_pr=create_pr,
    )
    return commit.commit_url


def refuse_hub_options(push_to_hub: bool, options: Mapping[str, Any]) -> None:
    """Refuse what is left of the arguments of `save_pretrained` where nothing is uploaded.

    Raises:
        TypeError: there is something.
    """
    if options and not push_to_hub:
        first = min(options)
        raise TypeError(
            f"save_pretrained has no option {first!r}; those of push_to_hub need push_to_hub=True"
        )


class Pushable:
    """What is saved into a folder and can be uploaded to a hub repository."""

    save_pretrained: Callable[..., Any]

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the files of `save_pretrained` to a hub repository; return the commit's address.

        Args:
            repo_id: made if missing.
            options: commit_message, private, token, revision, create_pr.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, **options)

"""A folder or a hub repository: its files found and downloaded, a folder uploaded."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

CONFIG_FILE = "config.json"
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

"""Configurations in and out of files: a `config.json` in a folder or a hub repository."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from distilbert.errors import reworded
from distilbert.folders import json_text, read_json, staged, write_json
from distilbert.foreign_options import without_foreign
from distilbert.hub import CONFIG_FILE, REACH, Pushable, Source, push_folder, refuse_hub_options


class ConfigFiles(Pushable, ABC):
    """Reads and writes what a configuration makes of a dict, and a dict of it."""

    name_or_path: str

    @classmethod
    @abstractmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **overrides: Any) -> Self:
        """Build from the content of a file."""

    @abstractmethod
    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Replace fields."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return everything."""

    @abstractmethod
    def to_diff_dict(self) -> dict[str, Any]:
        """Return what a file holds."""

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
        """Build from a JSON file."""
        return cls.from_dict(read_json(Path(json_file)))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        subfolder: str = "",
        **overrides: Any,
    ) -> Self:
        """Read the `config.json` of a local folder or a hub repository.

        Args:
            overrides: fields to replace.

        Raises:
            OSError: the file cannot be found or reached.
            ValueError, TypeError: it is no valid configuration of this model type.
        """
        source = Source(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        return cls.from_source(source, **without_foreign(overrides))

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the content of a `config.json`, unchecked, and the options not used to find it.

        Raises:
            OSError: the file cannot be found or reached.
            ValueError: it is not JSON.
        """
        reach = {name: options.pop(name) for name in REACH & options.keys()}
        source = Source(pretrained_model_name_or_path, **reach)
        return read_json(source.require(CONFIG_FILE)), options

    @classmethod
    def from_source(cls, source: Source, **overrides: Any) -> Self:
        """Read the `config.json` of a `Source`."""
        path = source.require(CONFIG_FILE)
        try:
            config = cls.from_dict(read_json(path))
        except (TypeError, ValueError) as error:
            raise reworded(error, f"{path}: {error}") from error
        config.update(overrides)
        config.name_or_path = os.fspath(source.name)
        return config

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the JSON that a file would hold."""
        return json_text(self.to_diff_dict() if use_diff else self.to_dict())

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write a JSON file."""
        Path(json_file_path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **hub: Any
    ) -> None:
        """Write `config.json` into a folder, made if missing; `hub` goes to `push_to_hub`."""
        refuse_hub_options(push_to_hub, hub)
        with staged(save_directory) as scratch:
            write_json(scratch / CONFIG_FILE, self.to_diff_dict())
        if push_to_hub:
            push_folder(save_directory, **hub)

"""A missing package is named with the line that installs it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from distilbert.extras import DISTRIBUTION_OF, EXTRA_OF, missing, require

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_present():
    assert require("json").__name__ == "json"
    assert require("os.path") is sys.modules["os.path"]


def test_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    line = r"^accelerate is .*: pip install accelerate \(or '\.\[train\]' in the project's folder\)"
    with pytest.raises(ImportError, match=line):
        require("accelerate")
    assert missing("sklearn.metrics").startswith("scikit-learn is not installed: pip install scik")
    assert missing("rich") == "rich is not installed: pip install rich"
    assert missing("other.part") == "other is not installed: pip install other"


def test_what_is_missing_inside_another_package_is_not_blamed_on_it(tmp_path, monkeypatch):
    (tmp_path / "outer_of_test.py").write_text("import inner_of_test_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="inner_of_test_that_is_not_there"):
        require("outer_of_test")


@pytest.mark.parametrize(
    ("name", "absent"),
    [("DistilBertModel", "torch"), ("load", "torch"), ("AutoModel", "torch"),
     ("TFDistilBertModel", "keras"), ("TFDistilBertModel", "tensorflow"), ("tf", "keras")],
)  # fmt: skip
def test_a_class_of_a_framework_that_is_not_installed(name, absent):
    code = f"import sys; sys.modules[{absent!r}] = None; from distilbert import {name}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )  # fmt: skip
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: {absent} is not installed: pip install {absent} (or"
    )


def test_an_extra_brings_what_is_said_to_come_with_it():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"]} | project["optional-dependencies"]
    for module, extra in EXTRA_OF.items():
        brought = [re.split(r"[^\w-]", line)[0] for line in lists[extra]]
        assert DISTRIBUTION_OF.get(module, module) in brought, module

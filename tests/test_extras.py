"""A missing package is named with the line that installs it."""

import sys

import pytest

from distilbert.extras import missing, require


def test_present():
    assert require("json").__name__ == "json"
    assert require("os.path") is sys.modules["os.path"]


def test_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    line = r"^accelerate is .*: pip install accelerate \(or '\.\[train\]' in the project's folder\)"
    with pytest.raises(ImportError, match=line):
        require("accelerate")
    with pytest.raises(ImportError, match=r"pip install no_such_module_here \(or '\.\[mine\]' in"):
        require("no_such_module_here", extra="mine")
    assert missing("sklearn.metrics").startswith("scikit-learn is not installed: pip install scik")
    assert missing("rich") == "rich is not installed: pip install rich"
    assert missing("other.part") == "other is not installed: pip install other"


def test_what_is_missing_inside_another_package_is_not_blamed_on_it(tmp_path, monkeypatch):
    (tmp_path / "outer_of_test.py").write_text("import inner_of_test_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="inner_of_test_that_is_not_there"):
        require("outer_of_test")

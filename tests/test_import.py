"""`import distilbert` costs nothing, and every public name is where it says."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import distilbert
from distilbert.extras import EXTRA_OF


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return result.stdout.decode()


def test_importing_loads_one_module_and_a_few_of_python_s_own():
    code = "import sys; old = {*sys.modules}; import distilbert; print(*{*sys.modules} - old)"
    loaded = set(run(code).split())
    others = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {"distilbert"}
    assert not loaded & {"asyncio", "inspect", "json", "logging", "pathlib", "subprocess"}


@pytest.mark.parametrize(
    "name", ["AutoConfig", "AutoTokenizer", "DistilBertConfig", "DistilBertTokenizerFast"]
)
def test_configuration_and_tokenizer_need_no_framework(name):
    code = f"import sys, distilbert; distilbert.{name}; print(*sorted(sys.modules))"
    roots = {module.partition(".")[0] for module in run(code).split()}
    assert not roots & {"torch", "tensorflow", "keras", "transformers"}


@pytest.mark.parametrize("recipe", ["bench", "predict"])
def test_these_recipes_need_nothing_that_only_training_needs(recipe):
    pytest.importorskip("torch")
    of_training = [name for name, extra in EXTRA_OF.items() if extra == "train"]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({of_training!r}))"
    run(f"{blocked}; import distilbert.recipes.{recipe}")


@pytest.mark.parametrize("name", distilbert.__all__)
def test_public_name_resolves(name):
    value = getattr(distilbert, name)
    assert value.__name__ == name
    assert value.__module__.startswith(f"distilbert.{distilbert._HOME[name]}")
    assert value.__doc__


@pytest.mark.parametrize("module", distilbert._NAMES)
def test_type_checkers_see_the_same_names(module):
    source = Path(distilbert.__file__).read_text(encoding="utf-8")
    seen = re.findall(r"^    from distilbert\.(\w+) import \*", source, flags=re.MULTILINE)
    assert sorted(seen) == sorted(distilbert._NAMES)
    home = importlib.import_module(f"distilbert.{module}")
    assert set(home.__all__) == set(distilbert._NAMES[module])


def test_no_name_has_two_homes():
    assert len(distilbert.__all__) == sum(len(names) for names in distilbert._NAMES.values())


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"module 'distilbert' has no attribute 'Distilbert'"):
        _ = distilbert.Distilbert
    with pytest.raises(ImportError):
        from distilbert import TFNothing  # noqa: F401


def test_dir_lists_names_before_they_are_loaded():
    listed = run("import distilbert; print(*dir(distilbert))").split()
    assert set(distilbert.__all__) <= set(listed)
    assert "__version__" in listed


def test_version_is_the_package_s():
    from importlib.metadata import version

    assert distilbert.__version__ == version("distilbert")

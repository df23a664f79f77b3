"""Documentation strings of installed packages: read, never run."""

import pytest

from distilbert.distillation.docstrings import Module, documented_modules

LONG = "This sentence is long enough to be kept as a text of the corpus."


@pytest.fixture
def packages(tmp_path):
    def write(path, *texts, before=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        functions = [f'def f{i}():\n    """{text}"""\n' for i, text in enumerate(texts)]
        file.write_text(before + "".join(functions), encoding="utf-8")

    write("large/__init__.py", LONG + " One.", LONG + " Two.", before=f'"""{LONG}"""\n')
    write(
        "large/deep/part.py", LONG + " Three.", "Too short.", before="class A:\n    '''Short'''\n"
    )
    write("large/tests/test_part.py", LONG + " Not of a test.")
    write("small/__init__.py", LONG + " One.", LONG + " Four.")
    write("runs/__init__.py", LONG + " Five.", before="raise SystemExit('I was imported')\n")
    write("not-a-package/x.py", LONG + " Six.")
    (tmp_path / "large" / "broken.py").write_text("def (:", encoding="utf-8")
    (tmp_path / "large" / "binary.py").write_bytes(b"\x00\xff\xfe")
    return tmp_path


def test_reads_modules_classes_and_functions_once_each_without_running_them(packages):
    modules = documented_modules(packages, packages=3, characters=10_000)
    texts = {}
    for module in modules:
        texts.setdefault(module.package, set()).update(module.texts)
    assert texts == {
        "large": {LONG, LONG + " One.", LONG + " Two.", LONG + " Three."},
        "small": {LONG + " Four."},  # the other is in large already
        "runs": {LONG + " Five."},
    }
    assert {module.path for module in modules if module.package == "large"} == {
        "large/__init__.py",
        "large/deep/part.py",
    }


def test_the_order_is_a_function_of_names_and_the_amount_is_limited(packages):
    once = documented_modules(packages, packages=1, characters=1)
    assert once == documented_modules(packages, packages=1, characters=1)
    assert len(once) == 1
    assert isinstance(once[0], Module)


def test_too_few_packages_is_an_error_that_counts_them(packages):
    with pytest.raises(ValueError, match=r"has 3 packages with documentation strings, 4 are"):
        documented_modules(packages, packages=4, characters=1000)

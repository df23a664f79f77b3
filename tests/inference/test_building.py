"""Compiling the engine in C++, and choosing among what was compiled."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import distilbert as d
from distilbert.native import building, library, processor

from .conftest import NAMES


def has_compiler():
    try:
        return bool(building.compiler())
    except OSError:
        return False


@pytest.fixture
def unopened():
    """No engine has been looked for."""
    library.engine.cache_clear()
    yield
    library.engine.cache_clear()


@pytest.mark.skipif(not NAMES, reason="not compiled")
def test_a_library_of_other_sources_is_left_out(unopened, monkeypatch, make):
    monkeypatch.setattr(library, "digest", lambda: "another")
    with pytest.warns(UserWarning, match="left out: .* other sources; install the package again"):
        assert d.prepare(make()).engine == "torch"


def test_what_is_no_library_is_left_out(unopened, monkeypatch, make, tmp_path):
    broken = tmp_path / "engine.so"
    broken.write_text("nothing")
    monkeypatch.setattr(library, "path_of", lambda name: broken)
    monkeypatch.setattr(processor, "has_instructions", lambda name: True)
    with pytest.warns(UserWarning, match="engine.so is left out"):
        assert d.prepare(make()).engine == "torch"


@pytest.mark.skipif(not NAMES or sys.platform != "linux", reason="no ELF file was compiled")
def test_a_library_that_was_not_copied_to_its_end_is_left_out(
    unopened, monkeypatch, make, tmp_path
):
    whole = building.path_of(NAMES[0]).read_bytes()
    cut = tmp_path / "engine.so"
    monkeypatch.setattr(library, "path_of", lambda name: cut)
    monkeypatch.setattr(processor, "has_instructions", lambda name: True)
    for size in (len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:size])
        with pytest.warns(UserWarning, match="engine.so is left out: .* is not whole"):
            assert d.prepare(make()).engine == "torch"
        library.engine.cache_clear()


@pytest.mark.skipif(len(NAMES) < 2, reason="no two are compiled")
def test_the_best_that_the_processor_can_run(unopened, monkeypatch):
    assert library.engine()._name == str(building.path_of(NAMES[0]))
    library.engine.cache_clear()
    monkeypatch.setattr(processor, "has_instructions", lambda name: name != NAMES[0])
    assert library.engine()._name == str(building.path_of(NAMES[1]))


@pytest.mark.filterwarnings("ignore:bf16 is slow on this processor")
def test_engines_that_cannot_be(make, monkeypatch):
    with pytest.raises(ValueError, match="one of auto, native, torch; got 'gpu'"):
        d.prepare(make(), engine="gpu")
    with pytest.raises(ValueError, match="fp32 and int8 on a CPU, not bf16 on cpu; use engine="):
        d.prepare(make(), "bf16", engine="native")
    monkeypatch.setattr(library, "engine", lambda: None)
    with pytest.raises(ValueError, match=r"was not compiled .* install it again"):
        d.prepare(make(), engine="native")
    assert d.prepare(make(), engine="auto").engine == "torch"


def test_torch_s_operators_can_be_asked_for(best, make):
    assert d.prepare(make(), engine="torch").engine == "torch"
    assert d.prepare(make(), engine="auto").engine == "native"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Compile something small, for one instruction set that there is and one that there is not."""
    for source in building.SOURCES:
        (tmp_path / source).write_text(
            'extern "C" __attribute__((visibility("default"))) '
            "const char *sources() { return SOURCES; }"
        )
    monkeypatch.setattr(building, "FOLDER", tmp_path)
    monkeypatch.setattr(
        building, "instruction_sets", lambda: {"none": ("-mno-such-thing",), "usual": ()}
    )
    building.digest.cache_clear()
    yield tmp_path
    building.digest.cache_clear()


@pytest.mark.skipif(not has_compiler(), reason="no compiler")
def test_compiling_leaves_out_what_does_not_compile(folder):
    made = building.compile_all()
    assert [path.name for path in made] == ["engine-usual.so"]
    sources = library.ctypes.CDLL(str(made[0])).sources
    sources.restype = library.c_char_p
    assert sources().decode() == building.digest()
    left = {path.name for path in folder.iterdir()}
    assert left == {*building.SOURCES, "engine-usual.so"}
    before = made[0].stat()
    assert building.compile_all() == made
    assert made[0].stat() == before  # it was not compiled again
    made[0].write_bytes(made[0].read_bytes()[:-100])
    assert building.compile_all() == made
    assert made[0].stat().st_size == before.st_size
    building.digest.cache_clear()
    (folder / "stack.cpp").write_text("nonsense")
    with pytest.raises(OSError, match=r"(?s)compiles the engine for nothing here:.*nonsense"):
        building.compile_all()
    assert {path.name for path in folder.iterdir()} == {*building.SOURCES}  # no old one stays


def test_without_a_compiler(folder, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OSError, match=r"no C\+\+ compiler .*\$CXX"):
        building.compile_all()
    monkeypatch.setenv("CXX", "ccache mine -m64")
    with pytest.raises(OSError, match=r"\$CXX is 'ccache', which cannot be found"):
        building.compile_all()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert building.compiler() == ["ccache", "mine", "-m64"]


def test_not_for_windows(folder, monkeypatch):
    monkeypatch.setattr(building, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(OSError, match=r"dlfcn\.h, which Windows does not have"):
        building.compile_all()


def test_the_package_is_built_without_a_compiler_too(monkeypatch):
    name = "hatchling.builders.hooks.plugin.interface"
    monkeypatch.setitem(sys.modules, name, interface := ModuleType(name))
    interface.BuildHookInterface = object
    path = Path(__file__).parents[2] / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    spec.loader.exec_module(hook := importlib.util.module_from_spec(spec))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said, data = [], {}
    build = hook.EngineHook()
    build.app = SimpleNamespace(display_warning=said.append)
    build.initialize("standard", data)
    assert said == [f"without the engine in C++: {building_error()}"]
    assert data == {}


def building_error():
    with pytest.raises(OSError, match="compiler") as error:
        building.compile_all()
    return error.value

"""Compiling the engine, once for each instruction set; nothing here needs more than Python itself.

The build of the package runs this file alone: `hatch_build.py`.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = ("stack.cpp", "attention.h", "products.h", "tiles.h", "team.h", "vectors.h")
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = (
    "-mavx512f",
    "-mavx512bw",
    "-mavx512dq",
    "-mavx512vl",
    "-mfma",
    "-mprefer-vector-width=512",
)
# Instructions reordered before registers are shared out need more of them than there are.
_NEON = ("-fno-schedule-insns",)
INSTRUCTION_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx512vnni": (*_AVX512, "-mavx512vnni"),
        "avx512": _AVX512,
        "avxvnni": (*_AVX2, "-mavxvnni"),
        "avx2": _AVX2,
    },
    "aarch64": {
        "i8mm": (*_NEON, "-march=armv8.2-a+dotprod+i8mm"),
        "dotprod": (*_NEON, "-march=armv8.2-a+dotprod"),
        "neon": _NEON,
    },
}
"""For each kind of processor names, the best first, and what the compiler is told for them."""
_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-exceptions",
          "-fno-rtti", "-pthread")  # fmt: skip


def instruction_sets() -> dict[str, tuple[str, ...]]:
    """Return those of this kind of processor."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return INSTRUCTION_SETS.get(machine, {})


@cache
def digest() -> str:
    """Return a hash of the sources, which the library also knows of those that it was made from."""
    total = hashlib.sha256()
    for name in SOURCES:
        total.update((FOLDER / name).read_bytes())
    return total.hexdigest()[:16]


def path_of(instruction_set: str) -> Path:
    """Return where the library for an instruction set is."""
    return FOLDER / f"engine-{instruction_set}.so"


def compiler() -> str | None:
    """Return the C++ compiler: $CXX, or the first of the usual names that is there."""
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((name for name in names if name and shutil.which(name)), None)


def compile_all() -> list[Path]:
    """Compile a library for every instruction set and return those that compiled.

    Raises:
        OSError: no compiler, or none that compiles for anything; with what it says.
    """
    name = compiler()
    if name is None:
        raise OSError("there is no C++ compiler (c++, g++, clang++ or $CXX)")
    runs = {}
    for instruction_set, flags in instruction_sets().items():
        path = path_of(instruction_set)
        # Under another name until it is whole; a process may have the old one open.
        draft = path.with_suffix(f".{os.getpid()}.so")
        command = [name, *_FLAGS, *flags, f'-DSOURCES="{digest()}"', str(FOLDER / SOURCES[0]),
                   "-o", str(draft)]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        runs[path] = (draft, process)
    made, said = [], ""
    for path, (draft, process) in runs.items():
        said += process.communicate()[0]
        if process.returncode == 0:
            draft.replace(path)
            made.append(path)
        else:
            draft.unlink(missing_ok=True)
    if not made:
        raise OSError(f"{name} compiles the engine for nothing here:\n{said}")
    return made


if __name__ == "__main__":
    for made in compile_all():
        print(made.name)

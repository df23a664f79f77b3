"""Compiling the engine, once for each instruction set; nothing here needs more than Python itself.

The build of the package runs this file alone: `hatch_build.py`.
"""

import hashlib
import os
import platform
import shlex
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = (
    "stack.cpp", "embedding.h", "slice.h", "gradients.h", "attention.h", "dropout.h", "products.h",
    "tiles.h", "team.h", "vectors.h",
)  # fmt: skip
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
    is_64_bit = sys.maxsize > 2**32  # a 32-bit Python may run on such a machine, too
    return INSTRUCTION_SETS.get(machine, {}) if is_64_bit else {}


@cache
def digest() -> str:
    """Return a hash of sources and flags; each library knows the one that it was compiled with."""
    total = hashlib.sha256(repr((INSTRUCTION_SETS, _FLAGS)).encode())
    for name in SOURCES:
        total.update((FOLDER / name).read_bytes())
    return total.hexdigest()[:16]


def path_of(instruction_set: str) -> Path:
    """Return where the library for an instruction set is."""
    return FOLDER / f"engine-{instruction_set}.so"


def is_whole(path: Path) -> bool:
    """Return False for an ELF file whose end, the table of sections, is missing."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head.startswith(b"\x7fELF\2") or len(head) < 64:
        return True
    (table,) = struct.unpack_from("=Q", head, 40)
    size, count = struct.unpack_from("=HH", head, 58)
    return bool(table + size * count <= path.stat().st_size)


def is_current(path: Path) -> bool:
    """Whether a library is there, whole and compiled from these sources."""
    return path.exists() and is_whole(path) and digest().encode() in path.read_bytes()


def compiler() -> list[str]:
    """Return the command of the C++ compiler: $CXX, or the first of the usual names there is.

    Raises:
        OSError: there is none.
    """
    own = shlex.split(os.environ.get("CXX", ""))
    names = [own] if own else [["c++"], ["g++"], ["clang++"]]
    for words in names:
        if shutil.which(words[0]):
            return words
    raise OSError(
        f"$CXX is {own[0]!r}, which cannot be found"
        if own
        else "there is no C++ compiler (c++, g++, clang++ or $CXX)"
    )


def compile_all(again: bool = False) -> list[Path]:
    """Compile a library for every instruction set and return those that there are.

    Args:
        again: compile also what is there already, of these sources.

    Raises:
        OSError: on Windows; no compiler, or none that compiles for anything, with what it says.
    """
    if sys.platform == "win32":
        raise OSError("the engine needs dlfcn.h, which Windows does not have")
    words = compiler()
    runs = {}
    for instruction_set, flags in instruction_sets().items():
        path = path_of(instruction_set)
        if is_current(path) and not again:
            continue
        # Under another name until it is whole; a process may have the old one open.
        draft = path.with_suffix(f".{os.getpid()}.so")
        command = [*words, *_FLAGS, *flags, f'-DSOURCES="{digest()}"', str(FOLDER / SOURCES[0]),
                   "-o", str(draft)]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        runs[path] = (draft, process)
    said = {path: process.communicate()[0] for path, (_, process) in runs.items()}
    for path, (draft, process) in runs.items():
        if process.returncode == 0:
            draft.replace(path)
        else:  # an old one would be of other sources
            draft.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            print(f"{path.name} could not be compiled:\n{said[path]}", file=sys.stderr)
    made = [path for path in map(path_of, instruction_sets()) if path.exists()]
    if not made:
        everything = "\n".join(said.values())
        raise OSError(f"{words[0]} compiles the engine for nothing here:\n{everything}")
    return made


if __name__ == "__main__":
    for made in compile_all(again=True):
        print(made.name)

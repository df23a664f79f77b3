"""Compile the engine (src/distilbert/native) when the package is built or installed.

Where there is no compiler the package is built without it, and PyTorch's operators do its work.
"""

import importlib.util
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

BUILDING = Path(__file__).parent / "src/distilbert/native/building.py"


class EngineHook(BuildHookInterface):
    """Put the compiled libraries into the wheel."""

    def initialize(self, version, build_data):
        """Compile; a wheel with libraries in it is for this system, but for any Python."""
        spec = importlib.util.spec_from_file_location("building", BUILDING)
        building = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(building)
        try:
            made = building.compile_all()
        except (OSError, ValueError) as error:
            self.app.display_warning(f"without the engine in C++: {error}")
            return
        names = (tag.platform for tag in sys_tags())
        system = next(x for x in names if "manylinux" not in x and "musllinux" not in x)
        root = Path(self.root)  # libraries that lie there from before are left out
        build_data["artifacts"] += [path.relative_to(root).as_posix() for path in made]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{system}"

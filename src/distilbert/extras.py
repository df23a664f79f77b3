"""Packages that only some jobs need, and the line that installs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

EXTRA_OF = {  # "": the core needs it
    "accelerate": "train",
    "datasets": "train",
    "jsonargparse": "",
    "keras": "tf",
    "matplotlib": "train",
    "onnx": "onnx",
    "onnxruntime": "edge",
    "pyarrow": "train",
    "rich": "",
    "scipy": "train",
    "sklearn": "train",
    "starlette": "serve",
    "tensorboard": "train",
    "tensorflow": "tf",
    "torch": "torch",
    "uvicorn": "serve",
}
_FRAMEWORKS = ("torch", "keras", "tensorflow", "jax")
DISTRIBUTION_OF = {"sklearn": "scikit-learn"}  # what pip calls it, where that is another name


def require(name: str, extra: str | None = None) -> ModuleType:
    """Import a module that comes with an extra of this package.

    Args:
        extra: the extra that brings it; by default what `EXTRA_OF` says.

    Raises:
        ImportError: it is not installed; the message has the pip line that installs it.

    >>> require("json").__name__
    'json'
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        raise ImportError(missing(name, extra), name=name) from None


@contextmanager
def said_how() -> Iterator[None]:
    """Say of a framework that an import lacks, none of which has to be there, how to install it.

    Raises:
        ImportError: it is not installed; the message has the pip line that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if absent not in _FRAMEWORKS:
            raise
        raise ImportError(missing(absent), name=absent) from None


def missing(name: str, extra: str | None = None) -> str:
    """Return what to do about a module that is not installed.

    >>> missing("accelerate")
    "accelerate is not installed: pip install accelerate (or '.[train]' in the project's folder)"
    """
    package = name.partition(".")[0]
    extra = EXTRA_OF.get(package, "") if extra is None else extra
    whole = f" (or '.[{extra}]' in the project's folder)" if extra else ""
    package = DISTRIBUTION_OF.get(package, package)
    return f"{package} is not installed: pip install {package}{whole}"

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
DISTRIBUTION_OF = {"sklearn": "scikit-learn"}  # what pip calls it, where that is another name


def require(name: str) -> ModuleType:
    """Import a module that comes with an extra of this package.

    Raises:
        ImportError: it is not installed; the message has the pip line that installs it.

    >>> require("json").__name__
    'json'
    """
    with said_how():
        return import_module(name)


@contextmanager
def said_how() -> Iterator[None]:
    """Say of a package that an import lacks, none of which has to be there, how to install it.

    Raises:
        ImportError: it is not installed; the message has the pip line that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if absent not in {*EXTRA_OF, "jax"}:  # which no extra brings
            raise
        raise ImportError(missing(absent), name=absent) from None


def missing(name: str) -> str:
    """Return what to do about a module that is not installed.

    >>> missing("accelerate")
    "accelerate is not installed: pip install accelerate (or '.[train]' in the project's folder)"
    """
    package = name.partition(".")[0]
    extra = EXTRA_OF.get(package, "")
    whole = f" (or '.[{extra}]' in the project's folder)" if extra else ""
    package = DISTRIBUTION_OF.get(package, package)
    return f"{package} is not installed: pip install {package}{whole}"

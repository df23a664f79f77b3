"""What pytest leaves out where a module cannot be imported: doctests import every module."""

from importlib.util import find_spec

if find_spec("triton"):
    import triton  # noqa: F401  # imported after TensorFlow it crashes

collect_ignore = [] if find_spec("triton") else ["src/distilbert/distillation/vocabulary_kernel.py"]

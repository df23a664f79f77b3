"""What pytest leaves out where a module cannot be imported: doctests import every module."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("triton") else ["src/distilbert/distillation/vocabulary_kernel.py"]

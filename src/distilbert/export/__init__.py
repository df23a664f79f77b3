"""Models as files that other runtimes execute."""

from distilbert.export.onnx import export_onnx
from distilbert.export.session import OnnxModel

__all__ = ["OnnxModel", "export_onnx"]

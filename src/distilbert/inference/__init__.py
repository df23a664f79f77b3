"""Prepared models: made once from a model to compute answers, fast, and nothing else."""

from distilbert.inference.opening import load
from distilbert.inference.prepared import PreparedModel
from distilbert.inference.preparing import prepare

__all__ = ["PreparedModel", "load", "prepare"]

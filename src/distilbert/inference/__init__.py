"""The fast engine: a model prepared once to compute answers and nothing else."""

from distilbert.inference.opening import load
from distilbert.inference.prepared import PreparedModel, prepare

__all__ = ["PreparedModel", "load", "prepare"]

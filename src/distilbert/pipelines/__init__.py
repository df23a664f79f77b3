"""Text in, answers out: what a model with a head is used for. NumPy only, over any callable."""

from distilbert.pipelines.feature_extraction import (
    FeatureExtractionPipeline,
    SentenceEmbeddingPipeline,
)
from distilbert.pipelines.fill_mask import FillMaskPipeline
from distilbert.pipelines.multiple_choice import MultipleChoicePipeline
from distilbert.pipelines.opening import pipeline
from distilbert.pipelines.question_answering import QuestionAnsweringPipeline
from distilbert.pipelines.text_classification import TextClassificationPipeline
from distilbert.pipelines.token_classification import TokenClassificationPipeline
from distilbert.pipelines.zero_shot import ZeroShotClassificationPipeline

__all__ = [
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "MultipleChoicePipeline",
    "QuestionAnsweringPipeline",
    "SentenceEmbeddingPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
]

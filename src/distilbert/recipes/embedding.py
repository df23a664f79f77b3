"""How well an encoder's mean-pooled embeddings tell similar texts: STS (SemEval), Spearman."""

import numpy as np
import torch

from distilbert.modeling.backbone import Backbone
from distilbert.runtime.launch import Launch
from distilbert.tasks import metrics
from distilbert.tasks.batches import in_order
from distilbert.tasks.features import encode
from distilbert.tasks.step import mean_pooled
from distilbert.tokenization import DistilBertTokenizerFast


@torch.no_grad()
def embeddings(
    launch: Launch,
    model: Backbone,
    tokenizer: DistilBertTokenizerFast,
    texts: list[str],
    max_length: int,
    batch_tokens: int,
) -> tuple[np.ndarray, int]:
    """Return the mean of each text's last hidden states, (texts, C), and how many were cut.

    The mean is over all tokens, [CLS] and [SEP] included, as sentence-transformers takes it.
    """
    none = np.zeros(len(texts), np.int64)
    features, cut = encode(tokenizer, texts, None, max_length, none)
    result = torch.zeros((len(texts), model.config.dim), device=model.device)
    model.eval()
    for batch in in_order(features, batch_tokens, rank=launch.rank, ranks=launch.ranks):
        ids = torch.from_numpy(batch.input_ids).to(model.device)
        with launch.autocast():
            states = model(ids, lengths=batch.lengths, return_dict=True).last_hidden_state.float()
        places = torch.from_numpy(batch.places).to(model.device)
        result[places] = mean_pooled(states, batch.lengths)
    if launch.ranks > 1:
        result = launch.reduce_sum(result)
    return result.cpu().numpy(), cut


def sts_scores(first: np.ndarray, second: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the correlations of the cosines of pairs, (n, C) each, with their similarity (n,)."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1) / np.maximum(norms, 1e-12)
    return {"spearman": metrics.spearman(cosines, true), "pearson": metrics.pearson(cosines, true)}

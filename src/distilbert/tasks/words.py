"""The words that some data use, instead of the whole vocabulary.

Half of a small model's weights are vectors of words, and most of them occur in no training text: no
gradient reaches them, but zeroing it, its norm, AdamW's moments and checkpoints cost the same.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UsedWords(nn.Embedding):
    """The vectors of the words that some data use, in place of a whole embedding.

    The outputs are those of the whole one. Training leaves the vectors of all other words as they
    are (AdamW's weight decay alone would have changed them).

    Args:
        whole: what it stands for.
        ids: all words that will be looked up, in any shape.

    >>> whole = nn.Embedding(100, 4)
    >>> used = UsedWords(whole, np.array([7, 9, 7]))
    >>> len(used.weight), torch.equal(used(torch.tensor([9])), whole(torch.tensor([9])))
    (2, True)
    """

    def __init__(self, whole: nn.Embedding, ids: np.ndarray) -> None:
        padding = [] if whole.padding_idx is None else [whole.padding_idx]
        rows = torch.from_numpy(np.union1d(np.unique(ids), padding).astype(np.int64))
        places = torch.full((whole.num_embeddings,), -1)
        places[rows] = torch.arange(len(rows))
        super().__init__(
            len(rows),
            whole.embedding_dim,
            padding_idx=int(places[padding[0]]) if padding else None,
            _weight=whole.weight.detach()[rows],
        )
        self.register_buffer("places", places, persistent=False)
        self.places: Tensor
        self._rows, self._whole = rows, (whole,)  # not a submodule: neither trained nor saved

    def forward(self, ids: Tensor) -> Tensor:
        """Ids of the vocabulary, (…), to vectors, (…, C)."""
        return F.embedding(self.places[ids], self.weight, self.padding_idx)

    @torch.no_grad()
    def whole(self) -> nn.Embedding:
        """Return the embedding it stands for, with the vectors as they are now."""
        [whole] = self._whole
        device = self.weight.device
        whole.to(device).weight[self._rows.to(device)] = self.weight
        return whole

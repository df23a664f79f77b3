"""One network twice: transformers' and ours, opened from the files that transformers wrote."""

import random
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

import distilbert
from distilbert.keymap import to_bert_file

B, T, CHOICES = 3, 6, 2
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
ACTIVATIONS = ("gelu", "relu", "gelu_new", "silu")
KEEP = {  # (B, T); no row is masked entirely: transformers' kernels disagree about those
    "absent": None,
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
    "left": [[0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]],
    "holed": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 0, 1]],
}


def random_settings(class_name, seed):
    """A configuration by `seed`: what has few values takes turns, widths are drawn."""
    draw = random.Random(seed)
    heads, head_size = draw.choice([1, 2, 3, 4]), draw.choice([2, 4, 6, 8])
    bert = class_name.startswith("Bert")
    names = {
        "hidden_size" if bert else "dim": heads * head_size,
        "num_attention_heads" if bert else "n_heads": heads,
        "num_hidden_layers" if bert else "n_layers": 1 + seed % 3,
        "intermediate_size" if bert else "hidden_dim": draw.randint(5, 40),
        "hidden_act" if bert else "activation": ACTIVATIONS[seed % len(ACTIVATIONS)],
    }
    own = (
        {"type_vocab_size": 2 + seed % 2, "layer_norm_eps": [1e-12, 1e-5][seed % 2]}
        if bert
        else {"sinusoidal_pos_embds": seed % 2 == 1}
    )
    return {
        **names,
        **own,
        "vocab_size": draw.randint(10, 60),
        "max_position_embeddings": draw.randint(T, 20),
        "tie_word_embeddings": seed % 4 < 2,
        "num_labels": 2 if class_name.endswith("QuestionAnswering") else 1 + seed % 4,
        "chunk_size_feed_forward": [0, 2, 3][seed % 3],
    }


@torch.no_grad()
def shake(model, seed=0):
    """Draw all weights anew, large enough for every one to matter; sinusoids stay."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "position" in name and getattr(model.config, "sinusoidal_pos_embds", False):
            continue
        mean = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(mean + (0.3 if parameter.dim() > 1 else 0.2) * noise)


class Pair:
    """`theirs` and `ours`, both in evaluation mode, and what to ask of both."""

    def __init__(self, transformers, class_name, seed, folder, attention="eager", **settings):
        self.class_name, self.seed, self.folder = class_name, seed, folder
        self.bert = class_name.startswith("Bert")
        peer = getattr(transformers, class_name)
        config = peer.config_class(**{**random_settings(class_name, seed), **settings})
        source = peer(config)
        shake(source, seed)
        source.save_pretrained(folder)
        self.theirs = peer.from_pretrained(folder, attn_implementation=attention).eval()
        self.ours, self.info = getattr(distilbert, class_name).from_pretrained(
            folder, output_loading_info=True
        )

    def inputs(self, mask="absent", labels=False, segments=True):
        """Random inputs for one call; labels leave something out, as a batch in training does."""
        config, draw = self.theirs.config, torch.Generator().manual_seed(self.seed)
        choices = self.class_name.endswith("MultipleChoice")
        shape = (B, CHOICES, T) if choices else (B, T)
        given = {"input_ids": torch.randint(0, config.vocab_size, shape, generator=draw)}
        if KEEP[mask] is not None:
            keep = torch.tensor(KEEP[mask])
            given["attention_mask"] = keep[:, None].expand(shape).clone() if choices else keep
        if self.bert and segments:
            given["token_type_ids"] = torch.randint(
                0, config.type_vocab_size, shape, generator=draw
            )
        if labels:
            given |= self.labels(draw, given.get("attention_mask"))
        return given

    def labels(self, draw, keep):
        """Random labels of the class's kind, -100 (or a position outside) among them."""
        config, head = self.theirs.config, self.class_name
        if head.endswith("Model"):
            return {}
        if head.endswith("QuestionAnswering"):
            start, end = torch.tensor([2, 0, T + 3]), torch.tensor([3, T, 1])
            return {"start_positions": start, "end_positions": end}
        if head.endswith("SequenceClassification") and config.num_labels == 1:
            return {"labels": torch.randn(B, generator=draw)}
        classes = {"ForMaskedLM": config.vocab_size, "ForMultipleChoice": CHOICES}
        count = classes.get(head[head.index("For") :], config.num_labels)
        by_token = head.endswith(("MaskedLM", "TokenClassification"))
        labels = torch.randint(0, count, (B, T) if by_token else (B,), generator=draw)
        labels[-1] = -100
        if by_token and keep is not None:
            labels[keep == 0] = -100
        return {"labels": labels}

    def their_name(self, name):
        """The name of our parameter in transformers."""
        return to_bert_file(name) if self.bert else name

    def check(self, given, *, gradients=False, peer_given=None, where=None, **options):
        """Both give the same for the same: every output, and gradients of every parameter."""
        theirs = without_cross_attentions(self.theirs(**(peer_given or given), **options))
        ours = self.ours(**given, **options)
        assert list(ours) == list(theirs)
        for name in ours:
            assert_close(ours[name], theirs[name], name, where)
        if gradients:
            results = []
            for model, output in ((self.theirs, theirs), (self.ours, ours)):
                model.zero_grad()
                objective(output, where).backward()
                results.append({n: p.grad for n, p in model.named_parameters()})
            self._check_gradients(*results)

    def _check_gradients(self, theirs, ours):
        unshared = "cls.predictions.decoder.bias"  # 5.23, untied: the other bias is then idle
        if unshared in theirs:
            assert theirs["cls.predictions.bias"] is None
            theirs["cls.predictions.bias"] = theirs.pop(unshared)
        assert {self.their_name(name) for name in ours} == set(theirs)
        for name, parameter in self.ours.named_parameters():
            if parameter.requires_grad:  # 5.23 trains sinusoidal positions, 4.57 and ours do not
                expected = theirs[self.their_name(name)]
                assert (ours[name] is None) == (expected is None), name
                if expected is not None:
                    torch.testing.assert_close(
                        ours[name],
                        expected,
                        rtol=1e-4,
                        atol=1e-5,
                        msg=lambda m, n=name: f"{n}: {m}",
                    )


def without_cross_attentions(output):
    """A dict of transformers' output; 5.23's BertModel has empty cross-attentions in it."""
    return {name: value for name, value in output.items() if name != "cross_attentions"}


def objective(output, where=None):
    """A number that every value of an output has its own part in, and the loss."""
    total = output.get("loss", 0)
    for name, value in output.items():
        if isinstance(value, torch.Tensor) and value.dim():
            value = value if where is None or value.shape[:2] != where.shape else value[where]
            draw = torch.Generator().manual_seed(len(name))
            total = total + (value * torch.randn(value.shape, generator=draw)).sum() / 10
    return total


def assert_close(ours, theirs, name="", where=None):
    """Equal to 1e-5: a tensor, or a tuple of them; at the tokens `where` (rows, T) if given."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs), name
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_close(one, other, f"{name}[{number}]", where)
        return
    if where is not None and theirs.shape[:2] == where.shape:
        ours, theirs = ours[where], theirs[where]
    torch.testing.assert_close(
        ours, theirs, rtol=1e-5, atol=1e-5, msg=lambda message: f"{name}: {message}"
    )


@pytest.fixture(scope="session")
def transformers():
    """The peer, quiet."""
    peer = pytest.importorskip("transformers")
    peer.logging.set_verbosity_error()
    peer.logging.disable_progress_bar()
    return peer


@pytest.fixture(scope="session")
def peer_version():
    """The peer's version, as (major, minor)."""
    major, minor, *_ = version("transformers").split(".")
    return int(major), int(minor)


@pytest.fixture(scope="session")
def tools():
    """What tests use of this file besides `Pair`."""
    return SimpleNamespace(
        assert_close=assert_close, shake=shake, random_settings=random_settings, keep=KEEP
    )


@pytest.fixture(scope="module")
def make_pair(transformers, tmp_path_factory):
    """Make a `Pair`: class name, seed, and settings that replace the random ones."""

    def make(class_name, seed=0, **options):
        return Pair(transformers, class_name, seed, tmp_path_factory.mktemp("peer"), **options)

    return make


@pytest.fixture(scope="module", params=[k + h for k in ("DistilBert", "Bert") for h in HEADS])
def class_name(request):
    """Each class in turn."""
    return request.param


@pytest.fixture(scope="module", params=range(6), ids=lambda seed: f"seed{seed}")
def pair(request, make_pair, class_name):
    """Each class with several random configurations and weights."""
    return make_pair(class_name, request.param)


@pytest.fixture(params=KEEP)
def mask(request):
    """Each kind of 2-D mask in turn."""
    return request.param

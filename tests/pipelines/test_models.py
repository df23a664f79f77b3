import subprocess
import sys

import pytest

import distilbert


def test_another_head(task, head, make_model, tokenizer, folder):
    other = "ForTokenClassification" if head == "ForMaskedLM" else "ForMaskedLM"
    with pytest.raises(ValueError, match=f"{task} needs .* and DistilBert{other} has a "):
        distilbert.pipeline(task, make_model(other), tokenizer)
    if head != "Model":
        with pytest.raises(ValueError, match=f"is a DistilBert{other}, not a DistilBert{head}"):
            distilbert.pipeline(task, folder(other))


def test_what_is_no_model(tokenizer, make_model, tmp_path):
    with pytest.raises(ValueError, match="needs its tokenizer"):
        distilbert.pipeline("fill-mask", make_model("ForMaskedLM"))
    with pytest.raises(TypeError, match="or a callable in its place, not of type str"):
        distilbert.FillMaskPipeline("folder", tokenizer)
    with pytest.raises(OSError, match="nowhere"):
        distilbert.pipeline("fill-mask", str(tmp_path / "nowhere"), local_files_only=True)


def test_a_folder_needs_torch_and_says_so(folder):
    code = f"""
import sys, distilbert
sys.modules["torch"] = None
distilbert.pipeline("fill-mask", {str(folder("ForMaskedLM"))!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "torch is not installed: pip install torch (or" in done.stderr


def test_devices(folder):
    torch = pytest.importorskip("torch")
    place = str(folder("ForMaskedLM"))
    for precision in ({}, {"precision": "fp32"}):
        for device in ("cpu", -1, torch.device("cpu")):
            fill = distilbert.pipeline("fill-mask", place, device=device, **precision)
            assert fill.device.type == "cpu"
        for device in ("cuda:99", "gpu", -2):
            with pytest.raises(ValueError, match=f"device={device!r} cannot be used"):
                distilbert.pipeline("fill-mask", place, device=device, **precision)


def test_a_loaded_model_is_moved(make_model, tokenizer):
    torch = pytest.importorskip("torch")
    model = make_model("ForMaskedLM")
    for device in ("cpu", -1, torch.device("cpu"), model.device):
        for fill in (
            distilbert.pipeline("fill-mask", model, tokenizer, device=device),
            distilbert.FillMaskPipeline(model, tokenizer, device=device),
        ):
            assert fill.model is model
            assert fill.device == torch.device("cpu")
    with pytest.raises(ValueError, match="device='cuda:99' cannot be used"):
        distilbert.pipeline("fill-mask", model, tokenizer, device="cuda:99")
    prepared = distilbert.prepare(model)
    fill = distilbert.pipeline("fill-mask", prepared, tokenizer, device="cpu")
    assert fill.device == torch.device("cpu")
    with pytest.raises(AttributeError, match="a prepared model has no 'to'"):
        distilbert.pipeline("fill-mask", prepared, tokenizer, device="meta")
    fill = distilbert.pipeline("fill-mask", model, tokenizer, device="meta")
    assert fill.device == model.device == torch.device("meta")


def test_a_function_has_no_device(tokenizer):
    config = distilbert.DistilBertConfig(vocab_size=200)
    with pytest.raises(TypeError, match="device=-1 is for models of PyTorch, and function says"):
        distilbert.pipeline("fill-mask", lambda **_: None, tokenizer, config=config, device=-1)


def test_a_configuration_elsewhere(folder, make_model, tokenizer):
    labels = {0: "bad", 1: "so-so", 2: "good"}
    head, task = "ForSequenceClassification", "text-classification"
    other = folder(head, id2label=labels)
    for classify in (
        distilbert.pipeline(task, folder(head), config=str(other)),
        distilbert.pipeline(task, make_model(head), tokenizer, config=other, local_files_only=True),
        distilbert.pipeline(
            task, make_model(head), tokenizer, config=other.parent, subfolder=other.name
        ),
    ):
        assert classify("the small model")[0]["label"] in labels.values()
    for config in ({"id2label": labels}, 3, [other]):
        with pytest.raises(TypeError, match=r"^config must be a configuration, not "):
            distilbert.pipeline(task, make_model(head), tokenizer, config=config)
    with pytest.raises(TypeError, match=r"^config must be .* \(str\); .*from_pretrained opens"):
        distilbert.TextClassificationPipeline(make_model(head), tokenizer, config="folder")


def test_one_file_of_weights(folder):
    """Its tokenizer is beside it."""
    place = folder("ForMaskedLM")
    fill = distilbert.pipeline("fill-mask", f"{place}/model.safetensors")
    assert fill("the [MASK]") == distilbert.pipeline("fill-mask", place)("the [MASK]")


def test_a_tokenizer_with_options(folder, make_model, tokenizer):
    place, model = folder("ForMaskedLM"), make_model("ForMaskedLM")
    options = {"use_fast": False, "model_max_length": 7}
    for fill in (
        distilbert.pipeline("fill-mask", model, (place, options)),
        distilbert.pipeline("fill-mask", place, tokenizer=(str(place), options)),
    ):
        assert fill.tokenizer.model_max_length == 7
    for pair in ((place,), (place, "use_fast"), (tokenizer, options), ()):
        with pytest.raises(TypeError, match=r"must be \(folder, options\), got \("):
            distilbert.pipeline("fill-mask", model, pair)
    with pytest.raises(TypeError, match=r"^expected a tokenizer, not 3 \(int\)"):
        distilbert.pipeline("fill-mask", model, 3)


def test_a_tokenizer_elsewhere(folder, make_model, tokenizer, tmp_path):
    model, own = folder("ForMaskedLM"), tmp_path / "tokenizer"
    tokenizer.save_pretrained(own)
    parent, name = model.parent, model.name
    fill = distilbert.pipeline("fill-mask", str(parent), str(own), subfolder=name)
    assert fill(f"the {tokenizer.mask_token}")
    fill = distilbert.pipeline(
        "fill-mask", make_model("ForMaskedLM"), str(own), local_files_only=True
    )
    assert fill(f"the {tokenizer.mask_token}")

"""PyTorch looks into outputs: trees, export, compile, data-parallel training."""

import io
import os
import subprocess
import sys

import pytest
import torch
from torch.utils import _pytree as pytree

import distilbert as d
import distilbert.modeling  # registers the outputs
from distilbert.outputs import ALL_OUTPUTS, BaseModelOutput, MaskedLMOutput

IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    tiny.output_hidden_states = True
    return d.DistilBertForMaskedLM(tiny).eval()


@pytest.mark.parametrize("cls", ALL_OUTPUTS)
def test_tree_map_gives_the_class_back(cls):
    output = cls(hidden_states=(torch.ones(2), torch.zeros(2)), attentions=(torch.ones(1),))
    doubled = pytree.tree_map(lambda x: x * 2, output)
    assert type(doubled) is cls
    assert list(doubled) == ["hidden_states", "attentions"]
    assert doubled.hidden_states[0].tolist() == [2, 2]
    assert len(pytree.tree_leaves(output)) == 3


def test_tree_keeps_its_shape_whatever_its_leaves_are():
    output = MaskedLMOutput(loss=torch.ones(()), logits=torch.ones(2))
    leaves, spec = pytree.tree_flatten(output)
    for kind in (lambda x: None, lambda x: 0, lambda x: "name"):
        changed = pytree.tree_unflatten([kind(leaf) for leaf in leaves], spec)
        assert pytree.tree_structure(changed) == spec


def test_paths_are_field_names():
    output = BaseModelOutput(last_hidden_state=1, hidden_states=(2, 3))
    paths = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(output)[0]]
    assert paths == ["['last_hidden_state']", "['hidden_states'][0]", "['hidden_states'][1]"]


def test_spec_can_be_written_and_read():
    spec = pytree.tree_structure(MaskedLMOutput(logits=1, attentions=(2, 3)))
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec


def test_export_and_serialization(model):
    with torch.no_grad():
        expected = model(IDS)
        program = torch.export.export(model, (IDS,))
        written = io.BytesIO()
        torch.export.save(program, written)
        written.seek(0)
        output = torch.export.load(written).module()(IDS)
    assert type(output) is MaskedLMOutput
    assert len(output.hidden_states) == 3
    torch.testing.assert_close(output.logits, expected.logits)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_without_a_break(model, backend):
    torch.compiler.reset()
    with torch.no_grad():
        output = torch.compile(model, fullgraph=True, backend=backend)(IDS, labels=IDS)
        expected = model(IDS, labels=IDS)
    assert type(output) is MaskedLMOutput
    assert list(output) == ["loss", "logits", "hidden_states"]
    torch.testing.assert_close(output.to_tuple(), expected.to_tuple())


def test_functional_call_and_grad(model):
    def loss(parameters):
        output = torch.func.functional_call(model, parameters, (IDS,), {"labels": IDS})
        return output.loss, output

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    gradients, output = torch.func.grad(loss, has_aux=True)(parameters)
    assert type(output) is MaskedLMOutput
    assert gradients["vocab_transform.weight"].abs().sum() > 0


@pytest.mark.skipif(os.name == "nt", reason="file rendezvous")
@pytest.mark.parametrize("static_graph", [False, True])
def test_data_parallel_gives_the_class_back(model, tmp_path, static_graph):
    """In a process of its own: leaving a gloo group can block the interpreter for good."""
    model.save_pretrained(tmp_path / "model")
    script = f"""
import os, sys, torch
from distilbert import DistilBertForMaskedLM
torch.distributed.init_process_group(
    "gloo", init_method="file://{tmp_path}/rendezvous", rank=0, world_size=1
)
model = DistilBertForMaskedLM.from_pretrained("{tmp_path}/model").train()
parallel = torch.nn.parallel.DistributedDataParallel(model, static_graph={static_graph})
ids = torch.tensor([[2, 7, 9, 3]])
output = parallel(ids, labels=ids, output_hidden_states=True)
output.loss.backward()
assert type(output).__name__ == "MaskedLMOutput", type(output)
assert len(output.hidden_states) == model.config.n_layers + 1
assert all(p.grad is not None for p in model.parameters())
print("done", flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "done\n", done.stderr

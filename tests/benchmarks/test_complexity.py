"""Parameters and FLOPs of every row of the reference table, computed."""

import pytest

from litematting_deploy.benchmarks.complexity import FULL, VARIANTS, count

# REFERENCE.md: parameters and GFLOPs at 1024x1024 of the published network and its ablations
REFERENCE = {
    "backbone": (3_523_717, 52.810),
    "backbone, batch norm": (3_523_717, 51.715),
    "backbone + LSRPPM": (3_770_917, 52.978),
    FULL: (4_336_757, 101.507),
    "full, common non-local": (4_336_757, 144.271),
    "full, max pooling": (4_336_757, 101.358),
    "full, average pooling": (4_336_757, 101.400),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.filterwarnings("ignore")  # of the tracer that fvcore uses
def test_row_of_the_reference_table(variant: str) -> None:
    counted = count(variant)
    parameters, gflops = REFERENCE[variant]
    assert counted.parameters == parameters
    assert round(counted.flops / 1e9, 3) == gflops
    published = VARIANTS[variant].published_flops
    assert abs(counted.flops / 1e9 - float(published.rstrip("G"))) < 0.1

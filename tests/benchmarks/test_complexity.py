"""Parameters and FLOPs of every row of the reference table, computed."""

from fractions import Fraction

import pytest

from litematting_deploy.benchmarks.complexity import FULL, TABLES, VARIANTS, count

# REFERENCE.md: parameters and GFLOPs at 1024x1024 of the published network and its ablations
REFERENCE = {
    "backbone": (3_523_717, "52.810"),
    "backbone, batch norm": (3_523_717, "51.715"),
    "backbone + LSRPPM": (3_770_917, "52.978"),
    FULL: (4_336_757, "101.507"),
    "full, common non-local": (4_336_757, "144.271"),
    "full, max pooling": (4_336_757, "101.358"),
    "full, average pooling": (4_336_757, "101.400"),
}
SIDE = 1024
pytestmark = pytest.mark.filterwarnings("ignore")  # of the tracer that fvcore uses


def degree(variant: str) -> int:
    """Return the degree of the FLOPs as a polynomial in the side.

    Every position of a map costs the same, whatever their number; in the common non-local block each meets every other.
    """
    return 4 if VARIANTS[variant].get("enb_pooling") == "none" else 2


def at_full_size(variant: str) -> tuple[int, Fraction]:
    """Parameters, and the FLOPs at 1024² through as many small counts as their polynomial takes: exact, in a second."""
    sides = range(32, 32 * (degree(variant) + 2), 32)
    counted = [count([variant], side)[0] for side in sides]
    flops = Fraction(0)
    for here, item in zip(sides, counted, strict=True):
        term = Fraction(item.flops)
        for other in sides:
            if other != here:
                term *= Fraction(SIDE - other, here - other)
        flops += term
    return counted[0].parameters, flops


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[] if name == FULL else [pytest.mark.heavy]) for name in VARIANTS]
)
def test_row_of_the_reference_table(variant: str) -> None:
    parameters, flops = at_full_size(variant)
    assert (parameters, f"{float(flops) / 1e9:.3f}") == REFERENCE[variant]
    published = {row["flops"] for rows in TABLES.values() for row in rows if row["variant"] == variant}
    assert published
    assert all(abs(float(flops) / 1e9 - float(text.rstrip("G"))) < 0.1 for text in published)


def test_every_network_of_the_published_tables_is_another_ones_or_a_variant() -> None:
    rows = [row for table in TABLES.values() for row in table]
    assert (len(TABLES), len(rows)) == (4, 22)
    assert {row["variant"] for row in rows} == {"", *VARIANTS}
    ours = {row["variant"] for row in rows if "LiteMatting" in row["method"]}
    assert ours <= {FULL, "backbone", "backbone, batch norm"}


@pytest.mark.slow
@pytest.mark.heavy
def test_counted_at_full_size_as_from_small_ones() -> None:
    (counted,) = count([FULL], SIDE)
    assert (counted.parameters, Fraction(counted.flops)) == at_full_size(FULL)

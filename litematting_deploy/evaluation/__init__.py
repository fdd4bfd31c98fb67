"""How good mattes are: metrics, data sets, PyMatting's methods to compare with, and a report."""

from . import metrics

__all__ = ["metrics"]

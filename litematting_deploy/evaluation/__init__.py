"""How good mattes are: metrics, data sets, methods to compare with, and a report.

`runner.evaluate_dataset` does what `ltm-eval` does.
"""

from . import metrics

__all__ = ["metrics"]

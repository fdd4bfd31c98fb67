"""What runs on this machine and what does not, and why: checks that cannot take each other down.

`registry` says which checks there are, `patient` runs each in a process of its own, which is `__main__`; the checks
themselves are in `files`, `host` and `gpu`.
"""

from .patient import Outcome, examine
from .registry import CHECKS, Check

__all__ = ["CHECKS", "Check", "Outcome", "examine"]

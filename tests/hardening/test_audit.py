"""What the audit makes of pip-audit's answer: nothing passes silently."""

from tests.hardening.audit import NOT_CHECKED, judge

_GOOD = {"name": "a", "version": "1", "vulns": []}
_BAD = {"name": "b", "version": "2", "vulns": [{"id": "X-1"}]}
_UNKNOWN = {"name": "c", "skip_reason": "not found"}


def test_verdicts() -> None:
    assert judge({"dependencies": [_GOOD]}) == (0, ["audit: 1 packages checked, 0 flaws, 0 not checked"])
    assert judge({"dependencies": [_GOOD, _BAD, _UNKNOWN]})[0] == 1
    assert judge({"dependencies": [_GOOD, _UNKNOWN]})[0] == NOT_CHECKED
    assert judge({"dependencies": []})[0] == NOT_CHECKED

"""Known vulnerabilities of the installed packages, by pip-audit. Exits with 1 for any, 3 where it cannot be told.

pip-audit itself exits with 0 where the service knows nothing of a package; here that is not checked, and told.
"""

import json
import subprocess
import sys
from typing import Any

NOT_CHECKED = 3


def judge(said: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit code and the lines to print, of what pip-audit says as JSON."""
    packages = [item for item in said["dependencies"] if item["name"] != "litematting-deploy"]
    found = [f"{item['name']} {item['version']}: {flaw['id']}" for item in packages for flaw in item.get("vulns", [])]
    skipped = [item for item in packages if "skip_reason" in item]
    checked = len(packages) - len(skipped)
    reasons = [f"not checked: {', '.join(item['name'] for item in skipped)}"] if skipped else []
    lines = [*found, *reasons, f"audit: {checked} packages checked, {len(found)} flaws, {len(skipped)} not checked"]
    return 1 if found else NOT_CHECKED if skipped or not checked else 0, lines


def main() -> int:
    """Ask about this environment."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        code, lines = judge(json.loads(done.stdout))
    except ValueError:
        code, lines = NOT_CHECKED, [f"audit: pip-audit did not answer: {done.stderr.strip()[-300:]}"]
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())

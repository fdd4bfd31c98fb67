"""Run the tests marked `gpu` and write their outcome, with the hardware's name, beside the other results.

python benchmarks/gpu_tests.py          # -> benchmarks/results/nvidia-h200-tests.json
"""

import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from litematting_deploy.benchmarks import environment

ROOT = Path(__file__).parents[1]


def outcomes(report: Path) -> list[dict[str, str]]:
    """Name, outcome and, where it did not pass, the reason of each test in a JUnit report."""
    found = []
    for case in ET.parse(report).iter("testcase"):
        item = {
            "test": f"{case.get('classname')}::{case.get('name')}",
            "outcome": "passed",
            "seconds": case.get("time", ""),
        }
        for kind, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
            child = case.find(kind)
            if child is not None:
                item |= {"outcome": outcome, "reason": " ".join((child.get("message") or "").split())[:300]}
        found.append(item)
    return found


def main() -> int:
    described = environment.describe()
    if not described["gpus"]:
        print("gpu_tests: nvidia-smi shows no GPU here; nothing was run")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", f"--junitxml={report}", *sys.argv[1:]]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if not report.exists():
            print(f"gpu_tests: pytest ended with {code} before it wrote a report; nothing was kept")
            return code
        tests = outcomes(report)
    name = re.sub(r"[^a-z0-9]+", "-", described["gpus"][0]["name"].lower()).strip("-")
    output = ROOT / "benchmarks" / "results" / f"{name}-tests.json"
    output.write_text(json.dumps({"environment": described, "tests": tests}, indent=2) + "\n")
    counts = {outcome: sum(item["outcome"] == outcome for item in tests) for outcome in ("passed", "failed", "skipped")}
    print(f"{output}: {counts}")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""The audit of what is installed says when it could not be had, and fails on a finding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# As pip-audit answers: of the vulnerable package what is known, of the others whether there is a finding.
FAKE = """
import json, sys
if "json" in sys.argv:
    print(json.dumps({"dependencies": [{"name": "django", "vulns": %s}]}))
    sys.exit(1)
print("torch 2.13.0 PYSEC-1")
sys.exit(%d)
"""


def audit(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.audit"], cwd=ROOT, env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=60)


def test_without_the_service_it_says_that_nothing_was_audited():
    nowhere = "http://127.0.0.1:9"  # the port that discards: nobody listens
    result = audit(https_proxy=nowhere, HTTPS_PROXY=nowhere, no_proxy="", NO_PROXY="")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Nothing was audited: ")


@pytest.mark.parametrize("known,found,code,said", [
    ([], 0, 0, "Nothing was audited"),  # a mirror that knows of no vulnerability, and passes everything
    (["PYSEC-0"], 0, 0, "packages audited"),
    (["PYSEC-0"], 1, 1, "torch 2.13.0 PYSEC-1"),
])
def test_a_finding_fails_where_the_service_is_there(tmp_path, known, found, code, said):
    (tmp_path / "pip_audit.py").write_text(FAKE % (known, found))
    result = audit(PYTHONPATH=str(tmp_path))
    assert result.returncode == code, result.stderr
    assert said in result.stdout

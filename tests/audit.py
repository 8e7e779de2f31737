"""Known vulnerabilities in what is installed: ``.venv/bin/python -m tests.audit``.

pip-audit asks PyPI about every package of the environment: those that the requirements pin, and those that they pull
in. A finding fails, and so does a package that PyPI does not know. Where PyPI's vulnerability service does not answer
(no network, a mirror without it), nothing is audited: that is said, and is no failure.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.version import Version

# Identifiers of findings that do no harm here, each with the reason.
IGNORED: dict[str, str] = {}
VULNERABLE = "django==1.11"  # has dozens of known vulnerabilities: a service that does not say so is none
SECONDS = 5  # for an answer about one package


def pip_audit(packages: list[str], *options: str, limit: int) -> subprocess.CompletedProcess[str]:
    """Run pip-audit on these versions as they are: nothing is resolved or downloaded."""
    with tempfile.TemporaryDirectory(prefix="mvit-audit-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(packages))
        return subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", requirements, "--no-deps", "--disable-pip",
             "--progress-spinner", "off", "--timeout", str(SECONDS), *options],
            capture_output=True, text=True, timeout=limit)


def service_answers() -> bool:
    """Whether PyPI's vulnerability service can be reached. pip-audit passes whatever a mirror does not know."""
    try:
        answer = json.loads(pip_audit([VULNERABLE], "--format", "json", limit=6 * SECONDS).stdout)
    except (subprocess.TimeoutExpired, ValueError):  # ValueError: it ended with an error, on stderr
        return False
    return any(package.get("vulns") for package in answer["dependencies"])


def installed() -> list[str]:
    """The environment's packages as ``name==version``; not pip, which a virtual environment brings.

    PyPI does not know the local part of a version, as in 2.13.0+cpu.
    """
    return sorted({f"{package.name}=={Version(package.version).public}" for package in distributions()
                   if package.name != "pip"})


def main() -> int:
    packages = installed()
    if not service_answers():
        print(f"Nothing was audited: PyPI's vulnerability service, which knows of {VULNERABLE}, did not answer.")
        return 0
    ignored = [option for identifier in IGNORED for option in ("--ignore-vuln", identifier)]
    result = pip_audit(packages, "--strict", *ignored, limit=120)
    print(result.stdout + result.stderr)
    if result.returncode == 0:
        print(f"{len(packages)} packages audited.")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())

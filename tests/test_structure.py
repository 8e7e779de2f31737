"""The house's plan: which package may use which. Who reads a package need only know those before it in this list."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up: each may import those before it, and itself.
ORDER = ("compat", "storage", "model", "networks", "data", "inference", "evaluation", "explain", "benchmark", "export",
         "documents", "training", "page", "commands")
FILES = sorted((ROOT / "mvit").rglob("*.py"))


def package(file: Path) -> str:
    """Of mvit/data/images.py: data; of mvit/model.py: model."""
    return file.relative_to(ROOT / "mvit").parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """The packages of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports say the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {_owner(name) for name in names if name.split(".")[0] == "mvit"}
    return found


def _owner(name: str) -> str:
    """Of mvit.data.images.Split: data. The package itself offers the names of the model."""
    part = name.split(".")[1] if "." in name else ""
    return part if part in ORDER else "model"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file):
    own = package(file)
    if own == "__init__":
        assert imported(file) <= {"model"}
        return
    assert own in ORDER, "a new package: give it its place in ORDER"
    assert imported(file) <= set(ORDER[: ORDER.index(own) + 1])


def test_the_top_is_for_who_reads_the_paper():
    assert {path.name for path in (ROOT / "mvit").glob("*.py")} == {"__init__.py", "model.py"}
    kept = {"demo.py", "mvit", "train.py", "checkpoints", "tests", "requirements.txt", "README.md", "LICENSE"}
    listed = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert listed - {"data", "runs"} == kept  # what git ignores is the user's


@pytest.mark.parametrize("name,lines", [("demo.py", 60), ("train.py", 120)])
def test_the_two_commands_only_parse_build_and_launch(name, lines):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) < lines

"""The house keeps its rooms apart: the engine names no paper and no tool, and papers do not know each other."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

import flows
import tools

PAPERS = sorted(found.name for found in pkgutil.iter_modules(flows.__path__) if found.name != "engine")
TOOLS = sorted(found.name for found in pkgutil.iter_modules(tools.__path__) if found.name != "__main__")
SHARED = ("base", "running", "judging", "sources", "learning", "language", "mail", "encyclopedia", "timing")
"""What papers share of `tasks`; every other folder there is a paper's."""

OWN = sorted(path.name for path in (ROOT / "tasks").iterdir() if (path / "__init__.py").exists())
OWN = [name for name in OWN if name not in SHARED]


def names_of(code: str) -> list[str]:
    """Where a text names a paper, a tool or a paper's tasks, as a module or as a string."""
    modules = [("flows", PAPERS), ("tools", TOOLS), ("tasks", OWN)]
    found = [
        match.group()
        for room, names in modules
        for match in re.finditer(rf"\b{room}(\.|/| import )({'|'.join(names)})\b", code)
    ]
    return found + [match.group() for match in re.finditer(rf"(['\"])({'|'.join(PAPERS + TOOLS)})\1", code)]


def without_docstrings(code: str) -> str:
    """A module's code as Python reads it: the examples of a command's help stand in its docstring."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def imports(folder: Path) -> Iterator[tuple[str, str]]:
    """Every module that a file below the folder imports from `tasks`, with the file."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: an import names its module in full"
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            else:
                continue
            yield from ((path.relative_to(ROOT).as_posix(), name) for name in imported if name.startswith("tasks."))


def test_the_search_finds_what_it_looks_for() -> None:
    """Otherwise the tests below would pass on anything."""
    assert {"btx", "altogether"} <= set(PAPERS)
    assert {"ask", "caption"} <= set(TOOLS)
    assert {"btx", "hardware"} <= set(OWN)
    for code in ("import flows.btx", "from flows import btx", 'paper == "btx"', "from tools.ask import x", "x = 'ask'"):
        assert names_of(without_docstrings(code)), code
    assert not names_of(without_docstrings('"""tenfold reproduce "btx"."""\nasked = "btxy"'))


def test_the_engine_names_no_paper_and_no_tool() -> None:
    """Such a name would have to be edited for the next paper."""
    for path in sorted((ROOT / "flows/engine").rglob("*")):
        if path.suffix in (".py", ".jinja", ".css", ".js", ".txt"):
            text = path.read_text()
            assert not names_of(without_docstrings(text) if path.suffix == ".py" else text), path


def test_no_setting_of_the_project_lists_a_module_of_a_paper_or_tool() -> None:
    modules = [f"flows.{name}" for name in PAPERS] + [f"tools.{name}" for name in TOOLS] + [f"tasks.{n}" for n in OWN]
    text = (ROOT / "pyproject.toml").read_text().replace("/", ".")
    assert [module for module in modules if re.search(rf"\b{re.escape(module)}\b", text)] == []


@pytest.mark.parametrize("name", OWN)
def test_a_papers_tasks_import_no_other_papers(name: str) -> None:
    """An edit for one paper would run another one again."""
    others = tuple(f"tasks.{other}." for other in OWN if other != name)
    assert [found for found in imports(ROOT / "tasks" / name) if f"{found[1]}.".startswith(others)] == []


@pytest.mark.parametrize("name", SHARED)
def test_what_papers_share_imports_no_papers_tasks(name: str) -> None:
    papers = tuple(f"tasks.{own}." for own in OWN)
    assert [found for found in imports(ROOT / "tasks" / name) if f"{found[1]}.".startswith(papers)] == []


def test_the_base_imports_no_sibling() -> None:
    """What everything rests on would otherwise rest on everything."""
    assert [found for found in imports(ROOT / "tasks/base") if not found[1].startswith("tasks.base")] == []


def test_the_tree_in_contributing_is_the_tree() -> None:
    """Every folder and file that it names is there, and it leaves out no room that papers share."""
    tree = (ROOT / "CONTRIBUTING.md").read_text().split("```")[1]
    named: set[str] = set()
    rooms: list[str] = []  # the rooms around a line, outermost first
    for line in tree.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders = re.match(r" *((?:\w+/ ?)+)", line)
        if folders:
            around, found = "".join(rooms[:depth]), folders[1].split()
            named |= {around + folder for folder in found}
            rooms = [*rooms[:depth], found[-1]]
        places = ["".join(rooms[:length]) for length in range(1, len(rooms) + 1)]
        files = re.findall(r"\b(\w+\.py)\b", line)
        missing = [file for file in files if not any((ROOT / place / file).exists() for place in places)]
        assert not missing, line
    assert [folder for folder in sorted(named) if not (ROOT / folder).is_dir()] == []
    assert [name for name in SHARED if f"tasks/{name}/" not in named] == []

"""Which files of this repository a module's code consists of: its import closure.

A stage's identity includes the code that can run in it. That is the file of its function and every
repository file it imports, directly or not, wherever in the file the import stands.
"""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("flows", "models", "tasks")


def import_closure(module: str) -> list[str]:
    """The repository files that `module` may load, as sorted paths relative to the root.

    Raises:
        ModuleNotFoundError: `module` is not a file of this repository.
    """
    start = _file_of(module)
    if start is None:
        raise ModuleNotFoundError(f"There is no module {module} in this repository.")
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(_imports_of(path, _modified(path)))
    return sorted(seen)


def imports_library(files: list[str], library: str) -> bool:
    """Whether one of `files` imports the third-party `library` anywhere."""
    return any(library in _libraries_of(path, _modified(path)) for path in files)


def _modified(path: str) -> int:
    return (ROOT / path).stat().st_mtime_ns


@cache
def _tree(path: str, modified: int) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes(), filename=path)


@cache
def _imports_of(path: str, modified: int) -> tuple[str, ...]:
    found = set()
    for name in _imported_names(path, modified):
        if name.split(".")[0] in PACKAGES:
            # Importing a.b.c runs a/__init__.py and a/b/__init__.py too.
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                file = _file_of(".".join(parts[:end]))
                if file:
                    found.add(file)
    return tuple(sorted(found))


@cache
def _libraries_of(path: str, modified: int) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in _imported_names(path, modified))


def _imported_names(path: str, modified: int) -> list[str]:
    names = []
    for node in ast.walk(_tree(path, modified)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = list(Path(path).parent.parts)
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, base] if base else package)
            # `from a.b import c`: c may be a module a/b/c.py or a name inside a/b.py.
            names += [base] + [f"{base}.{alias.name}" for alias in node.names]
    return names


def _file_of(module: str) -> str | None:
    stem = Path(*module.split("."))
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate.as_posix()
    return None

"""What a stage's code is: the code manifest of each task module, which every stage depends on.

A manifest holds what can change the bytes that the module's stages write: for every file that the module imports,
directly or not, a digest of each definition as Python reads it (without comments, docstrings and formatting); the
templates and tables that those files name; and the versions of just the libraries that they import. It is read off the
text: an import counts wherever it stands, unless only type checkers see it.
"""

import ast
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.config import config
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, file_digest
from tasks.base.remembered import remember, remembered

PACKAGES = ("flows", "models", "tasks", "tools")
EVERY_STAGE = "tasks.base.determinism"
"""What runs before every stage, so that its code is part of all of them."""

FOLDER = "data/code"
REMEMBERED = STATE / "code.json"
"""What was read in each file, for as long as its size and its time of change stay."""

DISTRIBUTIONS = {"PIL": ("pillow",), "faiss": ("faiss-cpu", "faiss-gpu"), "yaml": ("pyyaml",)}
"""Libraries whose package has another name."""

Manifest = dict[str, Any]
"""{"code": {file: {definition: digest}}, "files": {file: MD5}, "libraries": {name: version}}"""

LeadsTo = dict[str, list[str]]
"""The files that importing each file runs."""


@config
class Modules:
    """The task modules whose functions are stages of some paper."""

    modules: tuple[str, ...]


def write(*, config: Modules, out: Path) -> None:
    """Write `MODULE.json`, the manifest of each module. Raises UserError for a module that cannot be read."""
    leads_to: LeadsTo = {}
    for module in config.modules:
        (out / f"{module}.json").write_text(text_of(module, leads_to))


def file_of(module: str) -> str:
    """Where the manifest of a module lies."""
    return f"{FOLDER}/{module}.json"


def text_of(module: str, leads_to: LeadsTo | None = None) -> str:
    """The manifest as its file holds it."""
    return json.dumps(manifest(module, leads_to), sort_keys=True) + "\n"


def manifest(module: str, leads_to: LeadsTo | None = None) -> Manifest:
    """What the code of a module's stages consists of, now; `leads_to` is kept from module to module of one moment.

    Raises:
        UserError: there is no such module, or Python cannot read one of its files.
    """
    files = import_closure(module, leads_to)
    named = sorted({name for file in files for name in _read(file)["names_files"]})
    # What runs before every stage seeds the libraries that a stage imports; it brings none of its own.
    own = [file for file in files if file != _file_of(EVERY_STAGE)]
    libraries = sorted({library for file in own for library in _read(file)["libraries"]})
    return {
        "code": {file: _read(file)["definitions"] for file in files},
        "files": {name: file_digest(ROOT / name) for name in named},
        "libraries": {library: library_version(library) for library in libraries},
    }


def changes(before: Manifest, now: Manifest) -> list[str]:
    """What differs between two manifests, in words: "fit in tasks/learning/lm.py", "numpy 2.2 → 2.3"."""
    found = []
    for file in sorted({*before["code"], *now["code"]}):
        old, new = before["code"].get(file), now["code"].get(file)
        if old is None or new is None:
            found.append(f"{file} ({'new' if old is None else 'gone'})")
        elif old != new:
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            found.append(f"{', '.join(names)} in {file}")
    found += [
        name
        for name in sorted({*before["files"], *now["files"]})
        if before["files"].get(name) != now["files"].get(name)
    ]
    old, new = before["libraries"], now["libraries"]
    found += [
        f"{name} {old.get(name, 'not used')} → {new.get(name, 'not used')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    return found


def import_closure(module: str, leads_to: LeadsTo | None = None) -> list[str]:
    """The files of this repository that a stage of `module` may load, sorted, relative to the root.

    Raises:
        UserError: there is no such module, or Python cannot read one of its files.
    """
    if _file_of(module) is None:
        raise UserError(f"There is no module {module} in this repository.")
    leads_to = {} if leads_to is None else leads_to
    seen: set[str] = set()
    waiting = [file for name in (module, EVERY_STAGE) for file in _files_of(name)]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            if file not in leads_to:
                leads_to[file] = [each for name in _read(file)["imports"] for each in _files_of(name)]
            waiting += leads_to[file]
    _remember()
    return sorted(seen)


@cache
def library_version(library: str) -> str:
    """The installed version of a library by the name it is imported by; "absent" where it is not installed."""
    for name in DISTRIBUTIONS.get(library, (library,)):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "absent"


# What one file says


def _files_of(module: str) -> Iterable[str]:
    """The files that importing a.b.c runs: a/__init__.py, a/b/__init__.py and a/b/c.py, as far as they are here."""
    parts = module.split(".")
    return filter(None, (_file_of(".".join(parts[:end])) for end in range(1, len(parts) + 1)))


def _file_of(module: str) -> str | None:
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if os.path.isfile(f"{ROOT}/{file}")), None)


def _read(file: str) -> dict[str, Any]:
    """What is to be known of a file: its imports, libraries, definitions and the files that it names."""
    status = os.stat(f"{ROOT}/{file}")
    stamp = [status.st_mtime_ns, status.st_size]
    known = _remembered()
    if known.get(file, {}).get("stamp") != stamp:
        known[file] = {"stamp": stamp, **_parsed(file)}
        _unsaved.append(file)
    found: dict[str, Any] = known[file]
    return found


_unsaved: list[str] = []


@cache
def _remembered() -> dict[str, Any]:
    known = remembered(REMEMBERED)
    # What is remembered was read by this code, on this Python: else it is read anew.
    return known["files"] if known.get("by") == _reader() else {}


@cache
def _reader() -> str:
    return f"{sys.version} {file_digest(Path(__file__))}"


def _remember() -> None:
    if _unsaved:
        _unsaved.clear()
        remember(REMEMBERED, {"by": _reader(), "files": _remembered()})


def _parsed(file: str) -> dict[str, Any]:
    try:
        tree = ast.parse((ROOT / file).read_bytes(), filename=file)
    except SyntaxError as problem:
        raise UserError(f"{file}, line {problem.lineno}: Python cannot read it ({problem.msg}).") from problem
    tree = _Stripped().visit(tree)
    names = sorted(set(_imported(tree, file)))
    own = [name for name in names if name.split(".")[0] in PACKAGES]
    foreign = {name.split(".")[0] for name in names} - set(PACKAGES) - sys.stdlib_module_names
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    definitions: dict[str, list[str]] = {}
    for statement in tree.body:
        definitions.setdefault(_name(statement), []).append(ast.dump(statement))
    return {
        "imports": own,
        "libraries": sorted(foreign),
        "names_files": sorted(filter(None, (_named_file(text, file) for text in strings))),
        "definitions": {name: sha256("\n".join(own).encode()).hexdigest()[:16] for name, own in definitions.items()},
    }


class _Stripped(ast.NodeTransformer):
    """The tree without what no run can see: docstrings, and what only type checkers import."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def _imported(tree: ast.Module, file: str) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = Path(file).parts[: -node.level]
                base = ".".join([*package, base] if base else package)
            yield base
            # `from a.b import c`: c may be a module a/b/c.py or a name inside a/b.py.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _name(statement: ast.stmt) -> str:
    """What a statement of a module defines, as `changes` names it."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=targets):
            return ", ".join(ast.unparse(target) for target in targets)
        case ast.AnnAssign(target=target):
            return ast.unparse(target)
        case ast.Import() | ast.ImportFrom():
            return "imports"
    return "statements"


def _named_file(text: str, file: str) -> str | None:
    """The template or table that a string names: a file beside the code, or one of the tables in data/."""
    if "." not in text or "\n" in text or len(text) > 200:
        return None
    for path in ([text] if text.startswith("data/") else []) + [f"{Path(file).parent.as_posix()}/{text}"]:
        if not path.endswith(".py") and (ROOT / path).is_file():
            return path
    return None

"""`tenfold new`: the skeleton of a paper, a small experiment that runs and is judged as it stands."""

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from flows.engine.console import console
from flows.engine.errors import did_you_mean
from tasks.base.errors import UserError
from tasks.base.files import ROOT

TEMPLATES = Path(__file__).parent
RESERVED = ("all", "report")
"""What Prefect's deployment of all papers is called, and the report over them."""


def new(
    name: Annotated[str, typer.Argument(help="The paper's short name: a-z, 0-9 and _.")],
    source: Annotated[
        str, typer.Option(help="The source of data/sources.yaml that it reads: a folder of texts.")
    ] = "python-stdlib",
) -> None:
    """Write the skeleton of a paper: a small experiment that runs and is judged, to be replaced bit by bit.

    Examples:

        tenfold new vowels

        tenfold new vowels --source wikipedia-summaries
    """
    for path in write(name, source):
        console.print(f"wrote {path}")
    console.print(f"Next: tenfold reproduce {name}, tenfold claims {name}, pytest tests/{name}.")
    console.print(f"Then put the paper's own citation, stages and claims into flows/{name}.py.")


def write(name: str, source: str) -> list[str]:
    """Write a paper's files, and return their paths.

    Raises:
        UserError: the name cannot be a paper's or is taken, or there is no such source; nothing is written.
    """
    from flows.engine.catalogue import catalogue

    _check(name)
    if source not in catalogue():
        raise UserError(f"There is no source {source} in data/sources.yaml.{did_you_mean(source, catalogue())}")
    # In the order that ruff wants, which depends on the name.
    imports = sorted([f"from tasks.{name} import letters", "from tasks.judging.results import Table"])
    files = {
        f"flows/{name}.py": _filled("paper.txt", source=source, imports="\n".join(imports)),
        f"tasks/{name}/__init__.py": f'"""What the stages of `flows/{name}.py` do."""\n',
        f"tasks/{name}/letters.py": _filled("tasks.txt"),
        f"tests/{name}/test_{name}_letters.py": _filled("tests.txt", name=name),
    }
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
    return list(files)


def _filled(template: str, **words: str) -> str:
    return Template((TEMPLATES / template).read_text()).substitute(words)


def _check(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name} cannot be a paper's name: use at most 40 of a-z, 0-9 and _, a letter first, and no word of Python."
        )
    places = (f"flows/{name}", f"flows/{name}.py", f"tasks/{name}", f"tasks/{name}.py", f"tests/{name}")
    taken = next((place for place in places if (ROOT / place).exists()), None)
    if taken:
        raise UserError(f"The name {name} is taken: there is {taken} already, so choose another name.")
    if name in RESERVED or name in sys.stdlib_module_names or (ROOT / name).exists() or find_spec(name):
        raise UserError(f"The name {name} means something else here, a package or a folder: choose another name.")

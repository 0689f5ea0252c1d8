"""The `tenfold` command: what the engine can do, and every tool of this folder."""

import importlib
import pkgutil
import sys

import typer

import tools
from flows.engine import cli
from flows.engine.errors import why


def command_line() -> typer.Typer:
    """The engine's commands and those of the tools, each called as its module is; a tool may be a group of them.

    A tool that cannot be read is named, and stops no other command.
    """
    for found in pkgutil.iter_modules(tools.__path__):
        if found.name == "__main__":
            continue
        try:
            command = importlib.import_module(f"tools.{found.name}").command
        except Exception as problem:
            print(f"tenfold: The tool {found.name} cannot be read and is left out: {why(problem)}", file=sys.stderr)
            continue
        name = found.name.replace("_", "-")
        if isinstance(command, typer.Typer):
            cli.app.add_typer(command, name=name)
        else:
            cli.app.command(name)(command)
    return cli.app


def main() -> None:
    """Run the command line."""
    command_line()
    cli.main()


if __name__ == "__main__":
    main()

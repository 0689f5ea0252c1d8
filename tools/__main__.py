"""The `tenfold` command: what the engine can do, and every tool of this folder."""

import importlib
import pkgutil
import sys

import typer

import tools
from flows.engine import cli
from flows.engine.discover import why


def command_line() -> typer.Typer:
    """The engine's commands and those of the tools, each of which is called as its module is.

    A tool that cannot be read is named, and stops no other command.
    """
    for found in pkgutil.iter_modules(tools.__path__):
        if found.name != "__main__":
            try:
                command = importlib.import_module(f"tools.{found.name}").command
            except Exception as problem:
                print(f"tenfold: The tool {found.name} cannot be read and is left out: {why(problem)}", file=sys.stderr)
            else:
                cli.app.command(found.name.replace("_", "-"))(command)
    return cli.app


def main() -> None:
    """Run the command line."""
    command_line()
    cli.main()


if __name__ == "__main__":
    main()

"""The `tenfold` command: what the engine can do, and every tool of this folder."""

import importlib
import pkgutil

import typer

import tools
from flows.engine import cli


def command_line() -> typer.Typer:
    """The engine's commands and those of the tools, each of which is called as its module is."""
    for found in pkgutil.iter_modules(tools.__path__):
        if found.name != "__main__":
            tool = importlib.import_module(f"tools.{found.name}")
            cli.app.command(found.name.replace("_", "-"))(tool.command)
    return cli.app


def main() -> None:
    """Run the command line."""
    command_line()
    cli.main()


if __name__ == "__main__":
    main()

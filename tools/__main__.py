"""The `tenfold` command: what the engine can do, and every tool of this folder."""

import importlib
import pkgutil

import typer

import tools
from flows.engine import cli


def command_line() -> typer.Typer:
    """The engine's commands and those of the tools, each called as its module is; a tool may be a group of them."""
    for found in pkgutil.iter_modules(tools.__path__):
        if found.name != "__main__":
            tool = importlib.import_module(f"tools.{found.name}")
            name = found.name.replace("_", "-")
            if isinstance(tool.command, typer.Typer):
                cli.app.add_typer(tool.command, name=name)
            else:
                cli.app.command(name)(tool.command)
    return cli.app


def main() -> None:
    """Run the command line."""
    command_line()
    cli.main()


if __name__ == "__main__":
    main()

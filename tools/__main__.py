"""The `tenfold` command: what the engine can do, and every tool of this folder."""

import importlib
import pkgutil

import tools
from flows.engine import cli


def main() -> None:
    """Run the command line; a tool's command is called as its module is, and described by its docstring."""
    for found in pkgutil.iter_modules(tools.__path__):
        if found.name != "__main__":
            tool = importlib.import_module(f"tools.{found.name}")
            cli.app.command(found.name.replace("_", "-"))(tool.command)
    cli.main()


if __name__ == "__main__":
    main()

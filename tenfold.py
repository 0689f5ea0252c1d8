"""What a shell starts: the `tenfold` command of this checkout, whatever other `tools` PYTHONPATH names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    """Run the command line."""
    from tools import __main__

    __main__.main()

"""The terminal that commands write to, and the cores that they may use: all that their command lines need.

What a command does is imported when it runs, so that `tenfold --help` waits for none of it.
"""

import os

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 160  # a file or a log has no edge at which to cut a table


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))

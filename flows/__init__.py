"""The papers, one a file; `engine` is what they share."""

import tasks.running  # noqa: F401  it lets the imports after it get over bytecode that is not whole

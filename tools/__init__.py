"""The tools that papers give their users: each is a module or package here that has a `command`."""

import tasks.running  # noqa: F401  it lets the imports after it get over bytecode that is not whole

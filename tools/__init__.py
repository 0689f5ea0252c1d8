"""The tools that papers give their users: each is a module or package here that has a `command`."""

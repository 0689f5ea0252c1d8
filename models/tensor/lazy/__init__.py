"""A backend that puts off what is computed value by value, and runs whole chains as one compiled kernel."""

from models.tensor.lazy.lazy_backend import LazyBackend

__all__ = ["LazyBackend"]

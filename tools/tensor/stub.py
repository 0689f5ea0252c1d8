"""A skeleton of a backend, out of the protocol itself."""

import inspect

HEAD = '''"""A backend of my own: `tenfold tensor bench my_backend:Backend` tries it."""

from typing import Any

from models.tensor.backend import Array, Axes, Shape, TensorBackend


class Backend(TensorBackend):
    """Arrays have `shape` (a tuple) and `dtype` (numpy's)."""
'''


def skeleton() -> str:
    """A module with all required methods, each of which says that it is not there yet."""
    from models.tensor.backend import REQUIRED, TensorBackend

    parts = [HEAD]
    for name in REQUIRED:
        method = getattr(TensorBackend, name)
        taken = ", ".join(
            f"{p.name}: {_written(p.annotation)}" if p.name != "self" else "self"
            for p in inspect.signature(method).parameters.values()
        )
        back = _written(inspect.signature(method).return_annotation)
        parts.append(f'    def {name}({taken}) -> {back}:\n        """{inspect.getdoc(method)}"""')
        parts.append(f'        raise NotImplementedError("{name}")\n')
    return "\n".join(parts)


def _written(annotation: object) -> str:
    """A type as the protocol writes it."""
    from models.tensor.backend import Shape

    if annotation is None:
        return "None"
    text = "Shape" if annotation == Shape else getattr(annotation, "__name__", str(annotation))
    return str(annotation).replace("typing.", "") if "[" in str(annotation) and text != "Shape" else text

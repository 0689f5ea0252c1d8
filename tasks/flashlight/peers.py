"""The same passes by libraries that compile: torch.compile and JAX, from torch's weights, on one thread."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.flashlight.networks import own, passes, torchs, with_weights_of

if TYPE_CHECKING:
    from models.tensor.zoo import Sample

Pass = Callable[[], Any]

ONE_CORE = 1.1
"""Core seconds a second up to which a library counts as one on one thread."""


class CannotRun(Exception):
    """A library that cannot run here, or not this network; the text is a sentence's end."""


@contextmanager
def one_core() -> Iterator[None]:
    """Libraries that start a thread for each core that they may use start one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores_used(run: Callable[[], Any], times: int = 5, least: float = 0.5) -> float:
    """Core seconds a second that passes take, in all threads of this process.

    Passes go on for `least` seconds, for a few short ones would be timed with the threads' waking.
    """
    began, before = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    while time.perf_counter() - began < least:
        run()
    return (time.process_time() - before) / (time.perf_counter() - began)


def torch_compile(name: str, reference: "Sample") -> Pass:
    """The loss as one compiled function, backward with it; images lie as the compiler likes.

    It needs a compiler of C++.
    """
    import torch
    import torch._inductor.config

    torch._inductor.config.compile_threads = 1  # its workers would outlive the stage
    theirs = torchs(name)
    theirs.model.load_state_dict(reference.model.state_dict())

    @torch.compile
    def loss_of(inputs: Any, targets: Any) -> Any:
        return theirs.loss(theirs.model(inputs), targets)

    parameters = list(theirs.model.parameters())

    def step() -> Any:
        for parameter in parameters:
            parameter.grad = None
        loss = loss_of(theirs.inputs, theirs.targets)
        loss.backward()
        return loss

    return step


def jax_jit(name: str, reference: "Sample") -> Pass:
    """Loss and gradients as one function, differentiated by JAX, compiled by XLA.

    Networks are written once, for torch.nn's names, and ours have them: on JAX's arrays, without our tape, a network
    is the function that JAX is given. Tokens and targets are constants in it, images and weights are not.
    """
    try:
        import jax
        import jax.numpy as jnp
        from jax import lax

        from models.tensor.jax_backend import JaxBackend
    except ImportError as problem:
        raise CannotRun("it is not installed") from problem
    import numpy as np

    from models.tensor import no_gradients, using
    from models.tensor.numpy_backend import NumpyBackend

    class AsJaxHasThem(JaxBackend):
        """What JAX brings itself, where ours is a primitive of another kind; constants stay numpy's while it traces."""

        def from_numpy(self, x: Any) -> Any:
            return np.asarray(x)

        def softmax(self, x: Any, axis: int) -> Any:
            return jax.nn.softmax(x, axis)

        def log_softmax(self, x: Any, axis: int) -> Any:
            return jax.nn.log_softmax(x, axis)

        def gelu(self, x: Any) -> Any:
            return jax.nn.gelu(x, approximate=False)

        def max_pool2d(self, x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
            sides = ((0, 0), (0, 0), *((p, p) for p in padding))
            y = lax.reduce_window(x, -float("inf"), lax.max, (1, 1, *kernel), (1, 1, *stride), sides)
            return y, y

    backend = AsJaxHasThem()
    with using(NumpyBackend()):  # weights are torch's: none has to be drawn by a compiled function
        made = with_weights_of(own(name), reference)
    parameters = made.model.parameters()
    buffers = [one for _, one in made.model.named_tensors() if not one.requires_grad]
    images = made.inputs.dtype.kind == "f"
    values, kept, inputs = jax.tree.map(
        jnp.asarray, ([one.data for one in parameters], [one.data for one in buffers], made.inputs.data)
    )

    def loss_of(values: Any, kept: Any, inputs: Any) -> Any:
        with using(backend), no_gradients():
            for one, value in zip([*parameters, *buffers], [*values, *kept], strict=True):
                one.data = value
            if images:
                made.inputs.data = inputs
            loss = made.loss(made.model(made.inputs), made.targets)
        return loss.data, [one.data for one in buffers]

    compiled = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    return lambda: jax.block_until_ready(compiled(values, kept, inputs))[0][0]


PEERS: dict[str, Callable[[str, "Sample"], Pass]] = {
    "torch.compile": torch_compile,
    "JAX": jax_jit,
}
"""Comparisons beside torch eager, on which claims rest."""


def peer(label: str, name: str) -> tuple[Pass, float]:
    """A pass of the network by this library, compiled, and how far its loss is from torch's.

    Raises:
        CannotRun: what it needs is not here; the text says what.
    """
    reference = torchs(name)
    try:
        with one_core():
            run = PEERS[label](name, reference)
            loss = run()
        loss = float(loss.detach() if hasattr(loss, "detach") else loss)
    except CannotRun:
        raise
    except Exception as problem:  # a foreign compiler's: whatever it lacks is told, and the others are still timed
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise CannotRun(f"{type(problem).__name__}: {lines[0][:200]}") from problem
    if (cores := cores_used(run)) > ONE_CORE:
        raise CannotRun(f"it keeps {cores:.1f} cores busy, where the others have one thread")
    return run, abs(loss - passes(reference)().item())

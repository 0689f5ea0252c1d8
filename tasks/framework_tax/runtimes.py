"""One runtime in this process: it loads a network, binds inputs, and calls; torch is imported by those that need it.

Every library is told how many threads it has and not to spin while it waits; none reports home.
"""

import importlib.util
import json
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tasks.base.errors import UserError
from tasks.base.instructions import hold_mkl_to_one_vendor
from tasks.framework_tax.arms import Arm
from tasks.framework_tax.networks import Wanted

Array = Any
"""A numpy array."""

Call = Callable[[], Any]
"""One forward pass; gives what the runtime gives."""


class Runtime(Protocol):
    """What a process of a runtime does."""

    facts: dict[str, Any]
    """Version, threads and precision as the library itself says them, not as they were asked for."""

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        """Load a network for a batch, from what was exported or compiled into a folder."""

    def bind(self, inputs: "Sequence[Array]") -> Call:
        """A call on these inputs, which are in place beforehand."""

    def arrays(self, outputs: Any) -> "list[Array]":
        """The outputs of a call as float arrays."""

    def operators(self) -> dict[str, int]:
        """How many operators of each kind the loaded graph has, so that a fall-back to eager shows."""


def missing(runtime: str) -> str:
    """Why a runtime cannot run here; empty where it can."""
    libraries = {"onnxruntime": "onnxruntime", "openvino": "openvino", "jax": "jax"}
    library = libraries.get(runtime, "torch")
    if importlib.util.find_spec(library) is None:
        return f"{library} is not installed"
    if runtime in ("compile", "aotinductor") and not compiler():
        return f"{runtime} needs a C++ compiler, and there is no g++ or clang++"
    return ""


SLOW_TO_COMPILE = ("mobilenet_v2", "efficientnet-lite0", "wav2vec2-like")
"""Networks of very many kernels, which inductor takes minutes to compile: they are not timed on it."""


def tried(runtime: str, asked: Wanted) -> bool:
    """Whether a network is timed on a runtime: for JAX it has to be written anew, as some templates are."""
    if asked.kind != "named":
        return runtime != "jax"
    if runtime == "jax":
        return asked.name.split("-")[0] in ("ffn", "encoder")
    return runtime not in ("compile", "aotinductor") or asked.name not in SLOW_TO_COMPILE


def compiler() -> str | None:
    """The C++ compiler that inductor would take."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


def start(arm: Arm, threads: int) -> Runtime:
    """The runtime of an arm in this process.

    Raises:
        UserError: it cannot run here.
    """
    if reason := missing(arm.runtime):
        raise UserError(f"{reason}.")
    kinds: dict[str, Callable[[Arm, int], Runtime]] = {
        "eager": Eager,
        "torchscript": TorchScript,
        "compile": Compiled,
        "aotinductor": AOTInductor,
        "onnxruntime": ONNXRuntime,
        "openvino": OpenVINO,
        "jax": JAX,
    }
    return kinds[arm.runtime](arm, threads)


class Eager:
    """PyTorch, operator by operator; also in bfloat16, with int8 products, or with planted delays."""

    def __init__(self, arm: Arm, threads: int) -> None:
        import torch

        if arm.intel:
            hold_mkl_to_one_vendor(Path(torch.__file__).parent)
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.arm = arm
        self.facts: dict[str, Any] = {"version": f"torch {torch.__version__}", "threads": torch.get_num_threads()}
        self.module: Any = None
        self._made: dict[Wanted, Any] = {}

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        if wanted not in self._made:
            self._made[wanted] = self._build(wanted, folder)
        self.module = self._made[wanted]
        self.facts["precision"] = self._precision()

    def _build(self, wanted: Wanted, folder: Path | None) -> Any:
        from tasks.framework_tax.networks import network

        module = network(wanted).module
        if self.arm.precision == "bfloat16":
            import torch

            module = module.to(torch.bfloat16)
        if self.arm.precision == "int8":
            import torch

            quantise: Any = torch.ao.quantization.quantize_dynamic
            module = quantise(module, {torch.nn.Linear}, dtype=torch.qint8)
        if self.arm.delay_us is not None:
            self.facts["planted_us"] = _plant(module, self.arm.delay_us)
        return module

    def _precision(self) -> str:
        """What the matrices of the loaded module hold."""
        if any("quantized" in type(one).__module__ for one in self.module.modules()):
            return "int8"
        return precision_of(self.module.parameters())

    def bind(self, inputs: "Sequence[Array]") -> Call:
        import torch

        tensors = tuple(torch.from_numpy(one) for one in inputs)
        if self.arm.precision == "bfloat16":
            tensors = tuple(one.to(torch.bfloat16) if one.is_floating_point() else one for one in tensors)
        module = self.module

        def call() -> Any:
            with torch.inference_mode():
                return module(*tensors)

        return call

    def arrays(self, outputs: Any) -> "list[Array]":
        import torch
        from torch.utils import _pytree

        found = _pytree.tree_leaves(outputs)
        if not found or not all(isinstance(one, torch.Tensor) for one in found):
            names = ", ".join(sorted({type(one).__name__ for one in found})) or "nothing"
            raise UserError(f"The model gives {names}: outputs are to be tensors.")
        return [one.detach().float().numpy() for one in found]

    def operators(self) -> dict[str, int]:
        """Eager has no graph: its modules, by kind."""
        return Counter(type(one).__name__ for one in self.module.modules() if not list(one.children()))


def precision_of(tensors: Iterable[Any]) -> str:
    """The kinds of floating-point numbers in torch's tensors; torch's own kind where there are none."""
    import torch

    kinds = {str(one.dtype).removeprefix("torch.") for one in tensors if one.is_floating_point()}
    return "+".join(sorted(kinds)) or str(torch.get_default_dtype()).removeprefix("torch.")


def _plant(module: Any, delay_us: int) -> int:
    """Let every leaf spin before it runs; gives microseconds of processor time a call."""
    leaves = [one for one in module.modules() if not list(one.children())]

    def spin(*_: Any) -> None:
        end = time.thread_time_ns() + 1000 * delay_us
        while time.thread_time_ns() < end:
            pass

    for leaf in leaves:
        leaf.register_forward_pre_hook(spin)
    return delay_us * len(leaves)


class TorchScript(Eager):
    """The traced and frozen module, loaded anew for each batch, for it specialises itself on shapes that it sees."""

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        import torch

        load: Any = torch.jit.load
        self.module = load(str(_artifact(folder, "model.ts")))
        constants = self.module.graph.findAllNodes("prim::Constant")  # freezing made constants of all weights
        values = [one for one in constants if one.hasAttribute("value") and one.kindOf("value") == "t"]
        tensors = (one.t("value") for one in values)
        self.facts["precision"] = precision_of(one for one in tensors if one.numel() > 1)  # numbers are no weights

    def operators(self) -> dict[str, int]:
        import torch

        graph = torch._C._last_executed_optimized_graph()  # what torch.jit.last_executed_optimized_graph is
        return Counter(node.kind() for node in graph.nodes())


class Compiled(Eager):
    """torch.compile with inductor, from the compiled stage's cache; a batch above 1 is dynamic."""

    def _build(self, wanted: Wanted, folder: Path | None) -> Any:
        import torch

        return torch.compile(super()._build(wanted, folder))

    def bind(self, inputs: "Sequence[Array]") -> Call:
        import torch

        tensors = tuple(torch.from_numpy(one) for one in inputs)
        for one in tensors:
            if one.shape[0] > 1:
                torch._dynamo.mark_dynamic(one, 0)
        module = self.module

        def call() -> Any:
            with torch.no_grad():
                return module(*tensors)

        return call

    def operators(self) -> dict[str, int]:
        """Graphs that were compiled, and breaks between them."""
        from torch._dynamo.utils import counters

        breaks = sum(counters["graph_break"].values())
        found = {"graphs": counters["stats"]["unique_graphs"], "graph breaks": breaks}
        return found | {"inductor cache misses": counters["inductor"]["fxgraph_cache_miss"]}


class AOTInductor(Eager):
    """The package that was compiled ahead of time; no Python of the model runs."""

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        import torch

        if wanted not in self._made:
            self._made[wanted] = torch._inductor.aoti_load_package(str(_artifact(folder, "model.pt2")))
        self.module = self._made[wanted]
        self._compiled = json.loads(_artifact(folder, "compiled.json").read_text())
        self.facts["precision"] = self._compiled["precision"]

    def operators(self) -> dict[str, int]:
        found: dict[str, int] = self._compiled["kernels"]
        return found


class ONNXRuntime:
    """ONNX Runtime at its highest level of graph optimisation, inputs and outputs bound."""

    def __init__(self, arm: Arm, threads: int) -> None:
        import onnxruntime

        self._threads = threads
        self.facts: dict[str, Any] = {"version": f"onnxruntime {onnxruntime.__version__}"}
        self._sessions: dict[Wanted, tuple[Any, str, dict[str, int]]] = {}
        self._session: Any = None
        self._operators: dict[str, int] = {}
        self._optimised = Path(os.environ["TENFOLD_LATENCY_FOLDER"])

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        import onnxruntime

        if wanted not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self._threads
            options.inter_op_num_threads = 1
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.add_session_config_entry("session.inter_op.allow_spinning", "0")
            options.optimized_model_filepath = str(self._optimised / f"optimised-{len(self._sessions)}.onnx")
            options.log_severity_level = 3
            made = onnxruntime.InferenceSession(_onnx(wanted, folder), options, providers=["CPUExecutionProvider"])
            self._sessions[wanted] = (made, *_read_graph(options.optimized_model_filepath))
        self._session, self.facts["precision"], self._operators = self._sessions[wanted]
        self.facts["threads"] = self._session.get_session_options().intra_op_num_threads

    def bind(self, inputs: "Sequence[Array]") -> Call:
        import onnxruntime

        binding = self._session.io_binding()
        for place, one in zip(self._session.get_inputs(), inputs, strict=True):
            binding.bind_ortvalue_input(place.name, onnxruntime.OrtValue.ortvalue_from_numpy(one))
        for place in self._session.get_outputs():
            binding.bind_output(place.name)
        session = self._session

        def call() -> Any:
            session.run_with_iobinding(binding)
            return binding

        return call

    def arrays(self, outputs: Any) -> "list[Array]":
        return [one.astype("float32") for one in outputs.copy_outputs_to_cpu()]

    def operators(self) -> dict[str, int]:
        return self._operators


def _read_graph(path: str) -> tuple[str, dict[str, int]]:
    """In which numbers a graph's weights are, and its operators."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    names = {"FLOAT": "float32", "FLOAT16": "half", "BFLOAT16": "bfloat16", "DOUBLE": "float64"}
    names |= {"INT8": "int8", "UINT8": "int8"}
    kinds = {onnx.TensorProto.DataType.Name(one.data_type) for one in graph.initializer if math.prod(one.dims) > 1}
    precision = "+".join(sorted(names[kind] for kind in kinds & set(names))) or "float32"
    return precision, Counter(node.op_type for node in graph.node)


class OpenVINO:
    """OpenVINO on the same ONNX file, for the latency of one request, in float32, its telemetry off."""

    def __init__(self, arm: Arm, threads: int) -> None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import would report home
        import openvino

        self.arm, self._threads = arm, threads
        self._core = openvino.Core()
        self.facts: dict[str, Any] = {"version": f"openvino {openvino.__version__.split('-')[0]}"}
        self._compiled: dict[Any, Any] = {}
        self._model: Any = None

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        key = (wanted, batch if self.arm.static else 0)
        if key not in self._compiled:
            model = self._core.read_model(_onnx(wanted, folder))
            if self.arm.static:
                model.reshape({one: [batch, *list(one.partial_shape)[1:]] for one in model.inputs})
            wishes = {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": "1",
                "INFERENCE_NUM_THREADS": self._threads,
                "INFERENCE_PRECISION_HINT": "f32",
            }
            self._compiled[key] = self._core.compile_model(model, "CPU", wishes)
        self._model = self._compiled[key]
        self.facts["threads"] = int(self._model.get_property("INFERENCE_NUM_THREADS"))
        hint = str(self._model.get_property("INFERENCE_PRECISION_HINT"))
        self.facts["precision"] = "float32" if "f32" in hint or "float32" in hint or "'float'" in hint else hint

    def bind(self, inputs: "Sequence[Array]") -> Call:
        import openvino

        request = self._model.create_infer_request()
        for place, one in enumerate(inputs):
            request.set_input_tensor(place, openvino.Tensor(one))

        def call() -> Any:
            request.infer()
            return request

        return call

    def arrays(self, outputs: Any) -> "list[Array]":
        return [outputs.get_output_tensor(place).data.astype("float32") for place in range(len(self._model.outputs))]

    def operators(self) -> dict[str, int]:
        kinds = (one.get_rt_info()["layerType"] for one in self._model.get_runtime_model().get_ops())
        return Counter(str(kind) for kind in kinds)


class JAX:
    """JAX and XLA, for which a network has to be written anew: the feed-forward and encoder templates are."""

    def __init__(self, arm: Arm, threads: int) -> None:
        import jax

        self.facts: dict[str, Any] = {"version": f"jax {jax.__version__}"}
        self._function: Any = None
        self._weights: Any = None

    def load(self, wanted: Wanted, folder: Path | None, batch: int) -> None:
        import jax

        from models.framework_tax import jax_templates

        kind = wanted.name.split("-")[0]
        self.facts["threads"] = len(os.sched_getaffinity(0))  # it says nothing of them, and all keep to these cores
        self._weights = jax_templates.weights(_artifact(folder, "weights.safetensors"))
        self._function = jax.jit(jax_templates.FORWARDS[kind])
        self.facts["precision"] = str(next(iter(self._weights.values())).dtype)

    def bind(self, inputs: "Sequence[Array]") -> Call:
        import jax

        placed = [jax.device_put(one) for one in inputs]
        compiled = self._function.lower(self._weights, *placed).compile()
        weights = self._weights
        self._text = compiled.as_text()
        return lambda: compiled(weights, *placed).block_until_ready()

    def arrays(self, outputs: Any) -> "list[Array]":
        import numpy as np

        return [np.asarray(outputs)]

    def operators(self) -> dict[str, int]:
        """Instructions of the compiled program, by kind."""
        lines = (line.split(" = ", 1)[1] for line in self._text.splitlines() if " = " in line)
        return Counter(line.split("(")[0].split()[-1] for line in lines)


def _artifact(folder: Path | None, name: str) -> Path:
    """A file that a stage before made.

    Raises:
        UserError: it is not there; with the reason that the export left, where it left one.
    """
    if folder is None or not (folder / name).is_file():
        reason = folder / f"{name}.failed" if folder else None
        said = reason.read_text() if reason and reason.is_file() else f"{name} was not made"
        raise UserError(said)
    return folder / name


def _onnx(wanted: Wanted, folder: Path | None) -> Path:
    return Path(wanted.where) if wanted.kind == "onnx" else _artifact(folder, "model.onnx")

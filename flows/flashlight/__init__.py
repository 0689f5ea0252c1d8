"""Flashlight: enabling innovation in tools for machine learning (Kahn et al., ICML 2022).

Attempted here: the paper's claim that a researcher can change one internal of a tensor library (a primitive, the
memory manager, the tape, the collective) and have every network use it, in a library of our own (`models/tensor`), and
what that costs against torch. Not attempted: its C++, its GPUs, its applications.
"""

from flows.engine.paper import Paper, Plot, Profiles, Scale
from flows.flashlight.claims import CLAIMS, CONTROLS
from tasks.judging.results import Table

paper = Paper(
    title="Flashlight: Enabling Innovation in Tools for Machine Learning",
    authors="Kahn et al.",
    year=2022,
    arxiv="2201.12465",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale("library", paper="C++, 27,000 lines, ArrayFire", here="Python on numpy and numba, about 4,150 lines"),
        Scale(
            "networks that are timed",
            paper="AlexNet, VGG16, ResNet-50, BERT-like, ASR transformer, ViT; V100s",
            here=Profiles(
                "5 of them and a perceptron, tiny", "all 6 and a perceptron, in small", "the same as for cpu"
            ),
        ),
        Scale("compared with", paper="PyTorch 1.x and TensorFlow 2", here="torch 2.13 eager, one thread"),
        Scale(
            "trainings whose memory is recorded",
            paper="not read",
            here=Profiles("4 tiny ones", "7 small ones", "7 small ones"),
        ),
        Scale("processes", paper="8 GPUs", here=Profiles("2, on one machine", "2 and 4, there", "2 and 4, there")),
    ],
    tables=[
        Table(title="As installed", rows="library", quantities=("lines", "mib", "operators", "import_seconds")),
        Table(title="How many times larger torch is", rows="counted", quantities=("times_smaller",)),
        Table(title="Operators that do it, by name", rows="library", quantities=("does",), columns="doing"),
        Table(title="Calls of a swapped add", rows="network", quantities=("adds",), columns="phase"),
        Table(
            title="Of networks and phases, changed by a swap",
            rows="library",
            quantities=("share_reached", "swap_lines"),
        ),
        Table(title="Cases that differ from torch", rows="backend", quantities=("failures", "cases", "backend_lines")),
        Table(title="A chain of tiny nodes", rows="library", quantities=("forward_us", "backward_us")),
        Table(title="Nodes of a beam that are walked", rows="variant", quantities=("walked",)),
        Table(title="MiB reserved by manager", rows="network", quantities=("reserved_mib",), columns="manager"),
        Table(
            title="Share of reserved bytes that is not live at their peak",
            rows="network",
            quantities=("fragmentation",),
            columns="manager",
        ),
        Table(title="Split limits", rows="network", quantities=("requests", "live_mib", "limit_mib", "reduction")),
        Table(
            title="Seconds of 100 passes, forward and backward",
            rows="sized",
            quantities=("hundred_passes",),
            columns="library",
        ),
        Table(title="Not timed, and why", rows="untimed", quantities=("not_timed",), columns="sized"),
        Table(title="The same with Adam's update", rows="sized", quantities=("hundred_steps",), columns="library"),
        Table(title="Seconds of a pass at best", rows="sized", quantities=("torch_seconds", "our_seconds")),
        Table(title="Our passes over torch's", rows="sized", quantities=("passes_ratio",), columns="backend"),
        Table(title="Our steps over torch's", rows="sized", quantities=("step_ratio",), columns="backend"),
        Table(title="numpy's matrix product over torch's", rows="product", quantities=("product_ratio",)),
        Table(title="Microseconds of a call", rows="operation", quantities=("call_us",), columns="library"),
        Table(title="Ten operations over torch's", rows="values", quantities=("chain_ratio",), columns="backend"),
        Table(title="Kernels run", rows="chain", quantities=("launches",), columns="backend"),
        Table(title="MiB made", rows="chain", quantities=("made_mib",), columns="backend"),
        Table(title="What putting off saves", rows="chain", quantities=("fewer_launches", "less_made", "apart")),
        Table(title="Reductions of a step", rows="ring", quantities=("reductions",), columns="reducer"),
        Table(title="Seconds of a reduced step", rows="ring", quantities=("reduce_seconds",), columns="reducer"),
    ],
    caveats=[
        "Lines are those of installed Python that are neither blank nor only a comment; torch's compiled code, most of "
        "it, is not among them, so that its ratio is too low.",
        "Our files rest on numpy, scipy and numba, which are counted apart; the paper's binary holds what it needs.",
        "Operators of ours are primitives, those of torch composites as well, so that their numbers are of two kinds.",
        "Times are of one thread on a CPU, against torch eager in the better of two layouts and with the better of its "
        "two Adams; every claim is against these. Our lazy backend compiles its kernels and keeps its memory, for "
        "which torch.compile and JAX are the peers: on four of the networks they are timed in the same turns, "
        "where they run; another table says which have no time, and why. tinygrad 0.14 was tried and "
        "is left out: its CPU device compiles by clang, which no package of Python brings. JAX is given our networks "
        "as functions, whose convolutions it lays out itself.",
        "numpy's OpenBLAS and torch's MKL and oneDNN are other kernels, MKL may be slow on another maker's processors, "
        "and another processor may turn their order round; the stage notes which they were, and matrix products alone "
        "are timed, too.",
        "Student's t over turns says how repeatable a time is in one process, on one machine, at one size; of other "
        "machines and sizes it says nothing. Inputs are random numbers.",
        "Sums within matrix products, convolutions and reductions are other primitives than add, here and in torch; in "
        "torch the bias of a layer is among them.",
        "numpy computes where it likes and results are copied into a manager's memory, so that managers are compared "
        "by bytes, never by time. What it computes in between is in no trace.",
        "The caching manager follows the published rules of PyTorch's allocator for CUDA, which refuses limits up to "
        "20 MiB, and these networks ask for less: for the limit all of its sizes and limits are divided by 16, the "
        "rounding to 512 bytes excepted. Limit and arena are chosen on the first two steps and judged on the next two, "
        "which repeat the same requests, so that the choice is tested on little that is new.",
        "Processes of a ring share one machine's cores, so that their times say nothing of a network.",
        "Measured four times at cpu: beside another job; with JAX on two threads, where all others have one; with "
        "Winograd's convolutions in the lazy backend, which gained 10 % on VGG-16 and nothing on the other two, cost "
        "176 lines and made gradients of ResNet-50 differ by 9 %; and without them. What is told is the last.",
    ],
    findings=["competitive-in-most-networks", "backends-agree-with-torch"],
    plots=[
        Plot(
            "Does a pass take as long as torch's?",
            "agreement",
            x="torch_seconds",
            y="our_seconds",
            y_is_better="lower",
        ),
        Plot(
            "How many times as long as torch does a pass take?",
            "dots",
            y="passes_ratio",
            y_is_better="lower",
            at=1,
        ),
        Plot(
            "How much of what a memory manager reserves lies idle?",
            "dots",
            y="fragmentation",
            y_is_better="lower",
        ),
    ],
)

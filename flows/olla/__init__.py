"""OLLA: optimizing the lifetime and location of arrays (Steiner et al. 2022; MODeL at ICML 2023).

Attempted here: the paper's planning of real training graphs (forward, backward and update, traced anew with today's
PyTorch), its integer programs and prunings, and around them what the paper does not have: bounds that prove orders
without a solver, a simulator that shares nothing with the planners, and the plan run for real, in one arena, bit for
bit. Not attempted: its GPUs. What a caching allocator would reserve comes from a model of the allocator's rules.
"""

from flows.engine.paper import Paper, Plot, Profiles, Scale
from flows.olla.claims import CLAIMS, CONTROLS
from flows.olla.stages import ZOO
from tasks.judging.results import Table

paper = Paper(
    title="OLLA: Optimizing the Lifetime and Location of Arrays to Reduce the Memory Usage of Neural Networks",
    authors="Steiner et al.",
    year=2022,
    arxiv="2210.12924",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale(
            "training graphs",
            paper="17 networks at batch 1 and 32",
            here=Profiles(
                "2 networks at batch 1 and 32",
                "18 networks at batch 1 and 32, with SGD and Adam: 72",
                "18 networks at batch 1 and 32, with SGD and Adam: 72",
            ),
        ),
        Scale("tracing", paper="torch 1.13", here="torch 2.13, on fake tensors"),
        Scale("solver", paper="Gurobi 9, half an hour a program", here="HiGHS and CBC, 1 to 60 s a program"),
        Scale("memory that was measured", paper="A100, 40 GB", here="storages of real steps on a CPU, smaller ones"),
        Scale(
            "plans that were run",
            paper="not read",
            here=Profiles("1 network", "11 networks", "11 networks"),
        ),
    ],
    tables=[
        Table(
            title="Peak of what the step creates, MiB, by order",
            rows="graph",
            quantities=("peak_mib",),
            columns="order",
        ),
        Table(
            title="MiB below which no order's peak can be, by bound",
            rows="graph",
            quantities=("bound_mib",),
            columns="bound",
        ),
        Table(
            title="Share of all bytes that each part saves against PyTorch's order",
            rows="graph",
            quantities=("saved",),
            columns="part",
        ),
        Table(
            title="The same of the bytes that the step creates alone",
            rows="graph",
            quantities=("saved_of_created",),
            columns="part",
        ),
        Table(
            title="Share saved by order and addresses together, against what an allocator reserves",
            rows="graph",
            quantities=("combined",),
            columns="against",
        ),
        Table(title="Means over graphs, by batch", rows="share", quantities=("mean_share",), columns="at_batch"),
        Table(
            title="Share of the allocator's reserved bytes that is wasted",
            rows="allocated",
            quantities=("fragmented",),
            columns="definition",
        ),
        Table(
            title="Arena above the bytes live at once, by rule of placement",
            rows="graph",
            quantities=("arena_excess",),
            columns="placement",
        ),
        Table(title="Memory over a step, MiB", rows="curve", quantities=("live_mib",), columns="percent"),
        Table(
            title="Graphs",
            rows="graph",
            quantities=("nodes", "operators", "weights_mib", "resident_mib", "gap", "plan_seconds"),
        ),
        Table(title="Orders that forget overwrites", rows="graph", quantities=("forgetful", "refused")),
        Table(
            title="Integer programs, mean over graphs",
            rows="program",
            quantities=("variables", "constraints", "build_seconds", "solve_seconds", "optimal", "above_plan"),
        ),
        Table(
            title="Objective of the programs after so many seconds, MiB",
            rows="run",
            quantities=("course_mib",),
            columns="second",
        ),
        Table(title="A small step below a limit", rows="limit", quantities=("again_share", "moved_share")),
        Table(
            title="Planted packings: excess over the optimum by blocks",
            rows="method",
            quantities=("pack_excess",),
            columns="blocks",
        ),
        Table(
            title="Planted packings: seconds by blocks", rows="method", quantities=("pack_seconds",), columns="blocks"
        ),
        Table(title="Real runs: error of the foretold peak", rows="graph", quantities=("peak_error",), columns="run"),
        Table(
            title="Real runs in the arena",
            rows="graph",
            quantities=("run_arena_mib", "outside_share", "outside_peak_mib"),
        ),
        Table(title="MiB computed outside of the arena, by operator", rows="operator", quantities=("outside_mib",)),
        Table(title="Seconds of a step", rows="graph", quantities=("step_seconds",), columns="in_order"),
    ],
    caveats=[
        "A peak counts the storages that the step creates and, where that is said, weights, buffers, optimiser state "
        "and inputs. Kernels' own workspaces are in neither.",
        "PyTorch's order is that in which eager PyTorch runs forward, backward and then the optimiser, weight by "
        "weight; each storage is freed after its last use.",
        "The caching allocator is a model of its published rules (sizes of segments, best fit, splitting, joining), "
        "never measured here; it never gives segments back. Weights and state are allocated first.",
        "Programs with fewer time steps than operators count all operators of a step at once: neither their optimum "
        "nor their bound is that of the real peak, and none is told as such.",
        "What the released code's control edges are was built anew from a description of it.",
        "On a CPU, operators without a kernel that writes where it is told to compute elsewhere and are copied into "
        "the arena; the tables say how much that is.",
        "The packings are planted by us, in the size class of MiniMalloc's published ones, which were not at hand. "
        "From a hundred blocks on, the plan's addresses are far from the optimum, and CP-SAT mostly does better.",
        "Our networks are not all the authors' in every input: language models and the transformer read 128 tokens, "
        "with embeddings and heads over the vocabulary, R3D-18 reads 16 frames, MNASNet has its full width. Those of "
        "128 tokens save little at batch 32, and pull the average down.",
        "The eighteen networks were chosen, some of one family: no random sample of networks. Shares of graphs count a "
        "network's graph with SGD and that with Adam as two.",
        "On most graphs the plan is an order that a rule gives, and the beam search adds next to nothing to it.",
        "What is said of integer programs holds for three small graphs, which they can solve; their seconds are single "
        "timings. By lower bounds no program could have found much better on any of the three.",
        "The allocator pays for rounding of weights and state, the plan does not. Its waste at the peak of reserved "
        "bytes, the other definition, varies much from graph to graph.",
        "Steps were timed on four networks at small sizes, over turns; peaks and bits were compared on eleven, at "
        "small sizes.",
        "The bounds by which orders are proved need no integer solver, but the better one is a minimum cut.",
        "The figure of MobileNetV2 is from a later pull request of the authors, not from the paper.",
    ],
    findings=["mobilenet-saves-as-published", "early-updates-are-most-of-it"],
    plots=[
        Plot(
            "How much less does the planned order need, and could any order need less?",
            "bounded",
            x="bound_mib",
            x_column="minimum cuts",
            y="peak_mib",
            column="planned",
            of="pytorch",
            without=[graph for graph in ZOO if graph.endswith("-adam")],  # which look like those with SGD
        ),
        Plot(
            "Which program comes how near to the plan, in which time?",
            "frontier",
            x="solve_seconds",
            y="above_plan",
            y_is_better="lower",
        ),
        Plot(
            "How does memory rise and fall over a step?",
            "curves",
            x="percent",
            y="live_mib",
            y_is_better="lower",
        ),
        Plot(
            "Which program comes down how fast?",
            "curves",
            x="second",
            y="course_mib",
            y_is_better="lower",
        ),
        Plot(
            "How far above the optimum do packings end?",
            "curves",
            x="blocks",
            y="pack_excess",
            y_is_better="lower",
        ),
        Plot(
            "How long do packings take?",
            "curves",
            x="blocks",
            y="pack_seconds",
            y_is_better="lower",
            log=True,
        ),
    ],
)

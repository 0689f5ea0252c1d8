"""The stages in the order of the experiment: plan every graph, run plans, sum up, then what is against the clock."""

from flows.engine.paper import Profiles, Stage
from models.olla.zoo import NETWORKS
from tasks.olla import packing as packings
from tasks.olla import planning, running, solving, timing
from tasks.olla import summary as summaries

ZOO = tuple(
    f"{network}-{batch}-{optimizer}" for network in NETWORKS for batch in (1, 32) for optimizer in ("sgd", "adam")
)
FEW = ("alexnet-1-sgd", "alexnet-32-sgd", "mobilenet_v2-1-sgd", "mobilenet_v2-32-sgd")

# 1. Each graph: traced, planned, replayed, and every part of the saving accounted for.
planned = Stage(planning.plan_network, config=planning.Planning(), each={"graph": Profiles(FEW, ZOO, ZOO)})

# 2. Plans run for real, at smaller sizes (the last number: pixels a side, or tokens).
RUN = (
    "alexnet-2-sgd-64",
    "resnet18-8-sgd-64",
    "mobilenet_v2-4-adam-64",
    "efficientnet_b0-4-sgd-64",
    "googlenet-4-sgd-64",
    "squeezenet-4-adam-64",
    "r3d_18-2-sgd-32",
    "vit_b_16-2-sgd-64",
    "bert-1-sgd-64",
    "gpt2-1-sgd-64",
    "transformer-2-adam-32",
)
ran = Stage(running.run_network, config=running.Running(), each={"graph": Profiles(("resnet18-4-sgd-32",), RUN, RUN)})

# 3. What holds over all of them, and optima that were put in.
summary = Stage(summaries.summarise, inputs={"planned": planned, "ran": ran}, config=summaries.Summary())

# 4. Against the clock: the paper's programs, plans, steps, and packings of known optimum.
SOLVED = ("alexnet-32-sgd", "vgg11-32-sgd", "resnet18-1-sgd")
solved = Stage(
    solving.solve_programs,
    inputs={"planned": planned},
    config=Profiles(
        quick=solving.Solving(graphs=("alexnet-32-sgd",), seconds=1.0, limits=(0.9,)),
        cpu=solving.Solving(graphs=SOLVED),
        gpu=solving.Solving(graphs=SOLVED, seconds=60.0),
    ),
    kind="measure",
)
TIMED = ("resnet18-8-sgd-64", "mobilenet_v2-8-sgd-64", "squeezenet-8-adam-64", "bert-1-sgd-64")
timed = Stage(
    timing.time_plans,
    inputs={"planned": planned},
    config=Profiles(
        quick=timing.Timing(graphs=("resnet18-4-sgd-32",), repetitions=8),
        cpu=timing.Timing(graphs=TIMED),
        gpu=timing.Timing(graphs=TIMED),
    ),
    kind="measure",
)
packed = Stage(
    packings.pack_instances,
    config=Profiles(
        quick=packings.Packing(counts=(30,), seeds=(0,), seconds=1.0, program_up_to=30),
        cpu=packings.Packing(counts=(30, 100, 250)),
        gpu=packings.Packing(counts=(30, 100, 250), seconds=60.0),
    ),
    kind="measure",
)

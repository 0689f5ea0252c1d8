"""Hardware scaling trends in large-scale training: parallelisation against scale (Fernandez et al. 2024).

The paper measured 8 to 2,048 GPUs. Here they are simulated: step time, communication, memory and power of a
transformer on a cluster, from formulas whose free parameters are fitted to public figures of other people's runs,
tested on figures of sources that were never fitted, and only then applied to the paper's runs. What this machine can
measure, it does: the volumes and the times of real distributed training by PyTorch on two processes.

Not attempted: a measurement on GPUs. Verdicts on the paper's own claims say that a simulation is consistent or
inconsistent with them, no more; their intervals hold what the calibration leaves open and the simulator's own error on
figures held out.
"""

from flows.engine.paper import Paper, Plot, Scale
from flows.hardware_scaling.claims import CLAIMS, CONTROLS
from flows.hardware_scaling.stages import HISTORY
from tasks.judging.results import Table

paper = Paper(
    title="Hardware Scaling Trends and Diminishing Returns in Large-Scale Distributed Training",
    authors="Fernandez et al.",
    year=2024,
    arxiv="2411.13055",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale("GPUs", paper="8 to 2,048, measured", here="8 to 2,048, simulated"),
        Scale("models", paper="Llama-2 1B to 70B", here="Llama-2 7B and 13B"),
        Scale("processes on which PyTorch was measured", paper="up to 2,048", here="2 (volumes: up to 8)"),
    ],
    tables=[
        Table(title="Step time of two processes: error by arm", rows="arm", quantities=("mape",), columns="split"),
        Table(
            title="Error on held-out step times",
            rows="arm",
            quantities=("mean_error", "worst_error", "covered", "figures"),
        ),
        Table(
            title="Error on each calibration source, fitted and left out",
            rows="arm",
            quantities=("fit_error", "left_out_error"),
        ),
        Table(
            title="Held-out step times, figure by figure",
            rows="figure",
            quantities=("observed_seconds", "predicted_seconds", "signed_error", "term_factor"),
        ),
        Table(title="What the fall from 128 to 2,048 H100 depends on", rows="arm", quantities=("change_correlation",)),
        Table(
            title="Tokens a second on each GPU", rows="arm", quantities=("tokens_per_second_per_gpu",), columns="gpus"
        ),
        Table(title="MFU", rows="arm", quantities=("mfu",), columns="gpus"),
        Table(title="Watts of one GPU", rows="arm", quantities=("watts",), columns="gpus"),
        Table(
            title="Gain of model parallelism over FSDP alone",
            rows="arm",
            quantities=("model_parallel_gain",),
            columns="gpus",
        ),
        Table(title="Where a step's milliseconds go", rows="arm", quantities=("spent_milliseconds",), columns="gpus"),
        Table(title="From 128 to 2,048 H100", rows="arm", quantities=("throughput_change", "power_change")),
    ],
    caveats=[
        "No GPU was used: what concerns the paper's own runs is simulated.",
        "Intervals hold what the calibration leaves open and the simulator's own error on held-out step times. What "
        "errors of one source share cancels in a ratio and is left out. No watt was held out: for power the same error "
        "is taken.",
        "The number of GPUs at which the paper compares A100 and H100 is not in our sources; 256 is assumed.",
        "Delays are imposed by a relay in user space, which is itself busy at high rates: on two cores, links with a "
        "delay are met worse than those without.",
        "The claims on this machine's own runs name goals of ours, not figures of the paper. The grid of shapes is "
        "that of trial runs whose errors on it were seen (8.9 %) before the recorded ones, and the claim on volumes "
        "compared arm by arm, not in total, when it was first seen to hold.",
        "The claims on the paper's runs were seen at the quick profile, with the same calibration, before the cpu "
        "profile ran; they were not changed in between.",
        *HISTORY,
    ],
    findings=["other-held-out-steps", "throughput-falls-with-scale"],
    plots=[
        Plot(
            "Are step times foretold that were never fitted?",
            "agreement",
            x="observed_seconds",
            y="predicted_seconds",
        ),
        Plot(
            "How many tokens a second does a GPU give among so many?",
            "curves",
            x="gpus",
            y="tokens_per_second_per_gpu",
            y_is_better="higher",
        ),
        Plot(
            "How much of what a GPU can compute is used?",
            "curves",
            x="gpus",
            y="mfu",
            y_is_better="higher",
        ),
        Plot(
            "How much power does a GPU draw?",
            "curves",
            x="gpus",
            y="watts",
            y_is_better="lower",
        ),
        Plot(
            "From how many GPUs on does model parallelism pay?",
            "curves",
            x="gpus",
            y="model_parallel_gain",
            y_is_better="higher",
        ),
        Plot(
            "Where do a step's milliseconds go?",
            "curves",
            x="gpus",
            y="spent_milliseconds",
            y_is_better="lower",
        ),
    ],
)

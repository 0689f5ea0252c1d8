"""Claims about volumes, the simulator and the runs of the paper, with the error of the simulator, and the controls."""

from itertools import pairwise
from math import hypot, sqrt

from flows.engine.paper import (
    Claim,
    Control,
    Discrepancy,
    Measurement,
    all_of,
    equivalent,
    greater,
    less,
)
from flows.hardware_scaling.stages import (
    foretold,
    held_out,
    memory,
    permuted,
    predictions,
    shaped,
    volumes,
)

change = predictions["throughput_change"]
speed = predictions["tokens_per_second_per_gpu"].where(gpus="2048")
gain = predictions["model_parallel_gain"].where(arm="7b")
marginal = predictions["marginal_tokens"].where(arm="7b")
per_joule = predictions["tokens_per_joule"].where(arm="7b")
power = predictions["power_change"]
DOUBLINGS = (("128", "256"), ("256", "512"), ("512", "1024"), ("1024", "2048"))

# How the simulator's own error enters: with a relative error e of one prediction, a ratio r of two is off by r e
# times the root of 2, and the difference of two such ratios by that of both. Each is taken where the paper's figures
# are. The errors are of step times; no watt was held out, so those of power are taken to be as large.
RATIO = sqrt(2)
TWO_FALLS = RATIO * hypot(1 - 0.3722, 1 - 0.3722)


def own_error(times: float, of: Measurement | None = None) -> Discrepancy:
    """The simulator's error on sources that were never fitted, within a source."""
    return Discrepancy(held_out["signed_error"], "arm", times, of)


def of_three_speeds(gpus: str) -> Discrepancy:
    """Of two successive gains by doubling, (2 s[4n] - s[2n]) - (2 s[2n] - s[n]), where all three speeds are alike."""
    return own_error(sqrt(4 + 9 + 1), predictions["tokens_per_second_per_gpu"].where(arm="7b", gpus=gpus))


SEEN = "the quick profile's predictions, with the same calibration"
FORMER = " (then: {}); the claim was cut to what the paper states after the cpu profile had been seen"

CLAIMS = [
    Claim(
        "volumes-are-exact",
        says="What PyTorch sends under DDP, FSDP, tensor and pipeline parallelism equals the formulas, byte for byte",
        source="the paper's account of collectives",
        evidence="M✓",
        paper_value="formulas",
        whose="ours",
        test=equivalent(volumes["mismatched_bytes"].where(arm="all"), 0.0, margin=0.0, paired=""),
        expected="holds",
    ),
    Claim(
        "two-processes-are-foretold",
        says="Step times of unseen model shapes on two processes are met within 20 % on average",
        source="our goal, not the paper's",
        evidence="M✓",
        paper_value="none",
        whose="ours",
        test=less(foretold["mape"].where(arm="all", split="held-out"), 0.20, paired=""),
        expected="holds",
    ),
    Claim(
        "imposed-links-are-followed",
        says="On unseen links of imposed bandwidth and latency the predicted times are within 20 % on average",
        source="our goal, not the paper's",
        evidence="M✓",
        paper_value="none",
        whose="ours",
        test=all_of(
            (
                greater(shaped["links"].where(arm="shaped"), 0.0, paired=""),
                equivalent(
                    shaped["followed"].where(arm="shaped"), shaped["links"].where(arm="shaped"), margin=0.0, paired=""
                ),
            )
        ),
        expected="holds",
    ),
    Claim(
        "eight-megatron-iterations",
        says="Eight iteration times of Megatron, held out, are met within 3.65 % on average and 8.9 % at worst",
        source="our goal, not the paper's: Calculon's published errors, which had them in view",
        evidence="SRC",
        paper_value="3.65 % and 8.87 % (Calculon)",
        whose="ours",
        test=all_of(
            (
                less(held_out["mean_error"].where(arm="eight"), 0.0365, paired=""),
                less(held_out["worst_error"].where(arm="eight"), 0.089, paired=""),
            )
        ),
        expected="does not hold at this scale",
        method="computed",
    ),
    Claim(
        "other-held-out-steps",
        says="All other held-out step times are met within 10 % on average",
        source="our goal, not the paper's",
        evidence="SRC",
        paper_value="none",
        whose="ours",
        test=less(held_out["mean_error"].where(arm="others"), 0.10, paired=""),
        expected="does not hold at this scale",
        method="computed",
    ),
    Claim(
        "memory",
        says="Memory figures of Megatron are met within 3 %",
        source="our goal, not the paper's",
        evidence="SRC",
        paper_value="2.08 % on average (Calculon)",
        whose="ours",
        test=less(memory["worst_memory_error"].where(arm="all"), 0.03, paired=""),
        expected="holds",
        method="computed",
    ),
    Claim(
        "throughput-falls-with-scale",
        says="From 128 to 2,048 H100 the tokens a second on each GPU fall",
        source="one public post about the paper (not the abstract)",
        evidence="WEB",
        paper_value="-37.22 % throughput (per GPU is not stated there)",
        whose="paper, with a number",
        test=less(
            change.where(arm="7b"), 0.0, size=-0.3722, paired="draw", discrepancy=own_error(RATIO * (1 - 0.3722))
        ),
        expected="does not hold at this scale",
        method="simulated",
        seen=SEEN + FORMER.format("that the fall is 37.2 %, give or take 12.5 points"),
    ),
    Claim(
        "power-barely-falls",
        says="From 128 to 2,048 H100 the power of each GPU falls, by far less than the throughput",
        source="one public post about the paper (not the abstract)",
        evidence="WEB",
        paper_value="-5.87 %",
        whose="paper, with a number",
        test=all_of(
            (
                less(power.where(arm="7b"), 0.0, size=-0.0587, paired="draw", discrepancy=own_error(RATIO * 0.9413)),
                greater(
                    power.where(arm="7b"),
                    change.where(arm="7b"),
                    size=0.3135,
                    paired="draw",
                    discrepancy=own_error(RATIO * hypot(0.9413, 0.6278)),
                ),
            )
        ),
        expected="holds",
        method="simulated",
        seen=SEEN + FORMER.format("that the change is -5.9 %, give or take 5 points"),
    ),
    Claim(
        "faster-gpus-are-used-less",
        says="The MFU on A100 is above that on H100",
        source="one public post about the paper (not the abstract)",
        evidence="WEB",
        paper_value="59.67 % against 40.77 %",
        whose="paper, with a number",
        test=greater(
            predictions["mfu_gap"].where(arm="7b"),
            0.0,
            size=0.189,
            paired="draw",
            discrepancy=own_error(hypot(0.5967, 0.4077)),
        ),
        expected="holds",
        method="simulated",
        seen=SEEN + FORMER.format("that the gap is 18.9 points, give or take 6.5"),
    ),
    Claim(
        "model-parallelism-wins-at-scale",
        says="Tensor or pipeline parallelism of 2 or 4 beats FSDP alone at 2,048 H100",
        source="abstract (strategies thought sub-optimal become preferable); a summary names 2,048, a post the degrees",
        evidence="WEB",
        paper_value="degrees of 2 to 4 become preferable",
        whose="paper, direction only",
        test=greater(gain.where(gpus="2048"), 0.0, paired="draw", discrepancy=own_error(RATIO)),
        expected="does not hold at this scale",
        method="simulated",
        seen=SEEN + FORMER.format("of 512, 1,024 and 2,048 GPUs together"),
    ),
    Claim(
        "model-parallelism-wins-earlier",
        says="It does so at 512 and at 1,024 H100 already",
        source="our question: the paper states no other number of GPUs",
        evidence="WEB",
        paper_value="not printed",
        whose="ours",
        test=all_of(
            greater(gain.where(gpus=gpus), 0.0, paired="draw", discrepancy=own_error(RATIO)) for gpus in ("512", "1024")
        ),
        expected="does not hold at this scale",
        method="simulated",
        seen=SEEN + FORMER.format("of 512, 1,024 and 2,048 GPUs together"),
    ),
    Claim(
        "fsdp-alone-wins-when-small",
        says="FSDP alone beats tensor and pipeline parallelism of 2 or 4 at 64 H100 and below",
        source="the same, the other way round",
        evidence="WEB",
        paper_value="not printed",
        whose="ours",
        test=all_of(
            less(gain.where(gpus=gpus), 0.0, paired="draw", discrepancy=own_error(RATIO))
            for gpus in ("8", "16", "32", "64")
        ),
        expected="holds",
        method="simulated",
        seen=SEEN,
    ),
    Claim(
        "more-work-a-gpu-scales-further",
        says="A larger model, a longer context and a larger batch a GPU each lose less throughput from 128 to 2,048",
        source="sections on model size, context and batch",
        evidence="WEB",
        paper_value="not printed as numbers",
        whose="paper, direction only",
        test=all_of(
            greater(change.where(arm=arm), change.where(arm="7b"), paired="draw", discrepancy=own_error(TWO_FALLS))
            for arm in ("13b", "7b-long", "7b-batch-4")
        ),
        expected="holds",
        method="simulated",
        seen=SEEN,
    ),
    Claim(
        "marginal-throughput-falls",
        says="Each doubling from 128 to 2,048 H100 brings fewer tokens a second for each added GPU than the one before",
        source="title and abstract",
        evidence="WEB",
        paper_value="diminishing returns",
        whose="foregone",
        test=all_of(
            less(
                marginal.where(gpus=after),
                marginal.where(gpus=before),
                paired="draw",
                discrepancy=of_three_speeds(before),
            )
            for (_, before), (_, after) in pairwise(DOUBLINGS)
        ),
        expected="holds",
        method="simulated",
        seen=SEEN,
    ),
    Claim(
        "tokens-a-joule-fall",
        says="Each doubling from 128 to 2,048 H100 gives fewer tokens a joule",
        source="abstract",
        evidence="WEB",
        paper_value="poor marginal performance per additional unit of power",
        whose="foregone",
        test=all_of(
            less(
                per_joule.where(gpus=after),
                per_joule.where(gpus=before),
                paired="draw",
                discrepancy=own_error(RATIO, per_joule.where(gpus=before)),
            )
            for before, after in DOUBLINGS
        ),
        expected="holds",
        method="simulated",
        seen=SEEN,
    ),
    Claim(
        "ring-latency-explains-the-fall",
        says="With the latency of a tree in FSDP's collectives, throughput falls less",
        source="section 2.2, as its reviewers quote it: all-gather and reduce-scatter run on rings; pytorch/tutorials, "
        "pull request 2829, says so from 128 or 256 GPUs on",
        evidence="WEB",
        paper_value="not printed",
        whose="paper, direction only",
        test=greater(
            change.where(arm="7b-tree"),
            change.where(arm="7b"),
            paired="draw",
            discrepancy=own_error(TWO_FALLS),
        ),
        expected="does not hold at this scale",
        method="simulated",
        seen=f"{SEEN}; at cpu +0.29 [−0.08, 1.02], judged against a margin of ours of 0.10, which is gone since",
    ),
]

CONTROLS = [
    Control(
        "a-slow-network-slows-training",
        "planted",
        says="With a tenth of the network's bandwidth, 2,048 H100 do at least 500 tokens a second less on each",
        test=less(speed.where(arm="7b-slow-network"), speed.where(arm="7b"), margin=500.0, paired="draw"),
    ),
    Control(
        "shuffled-figures-teach-nothing",
        "shuffled",
        says="Fitted to figures with their efficiencies shuffled, the held-out errors are larger",
        test=greater(
            permuted["shuffled_error"].where(arm="others"), held_out["mean_error"].where(arm="others"), paired=""
        ),
    ),
]

"""The Framework Tax: inference efficiency in research and in deployment (Fernandez et al., EMNLP 2023).

Attempted here: the paper's question, where the time of inference goes, with today's runtimes on a CPU: each in a
process of its own, in blocks of random order, outputs compared at every point, by processor and wall clock. Not
attempted: its GPUs; what it says of them is fitted to its own published curves, and called so.
"""

from flows.engine.paper import Paper, Plot, Profiles, Scale
from flows.framework_tax.claims import CLAIMS, CONTROLS
from flows.framework_tax.stages import ZOO
from tasks.framework_tax.arms import RUNTIMES
from tasks.judging.results import Table

SHAPED = [
    f"{template}, {method}"
    for template in ("encoder", "attention", "ffn", "conv", "norm")
    for method in ("profile", "profile, its cost left in", "replay")
]
"""The rows of templates of several widths, in the order in which a figure shows them."""
PLANTED = [
    f"{network}, {how}"
    for network in ("encoder-64-4", "conv-64-4")
    for how in (
        *(f"eager, {one}" for one in ("again", "hooked", "delayed", "little delayed")),
        "onnxruntime, again",
    )
]
"""The rows of controls."""

paper = Paper(
    title="The Framework Tax: Disparities Between Inference Efficiency in NLP Research and Deployment",
    authors="Fernandez et al.",
    year=2023,
    arxiv="2302.06117",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale(
            "runtimes",
            paper="PyTorch, TorchScript, CUDA graphs, ONNX Runtime, TensorRT and others",
            here=Profiles(
                "eager, TorchScript, ONNX Runtime",
                "these, OpenVINO; torch.compile, AOTInductor on nine networks; JAX on one",
                "the same as for cpu: CUDA graphs and TensorRT are not run",
            ),
        ),
        Scale(
            "networks",
            paper="BERT, GPT-2, ResNet, speech encoders and others at their size",
            here=Profiles("2 templates", "12 small ones, two of them trained", "12 small ones, two of them trained"),
        ),
        Scale("hardware", paper="six GPUs from Titan X to A6000, and CPUs", here="one thread of a CPU, and two"),
        Scale("batches", paper="1 to 512", here=Profiles("1, 4, 16, 64", "1 to 128, 8 of them", "1 to 128, 8 of them")),
        Scale(
            "inputs",
            paper="16 tokens, 224 pixels, 2 s of speech",
            here="16 tokens (4 to 256 for one template), 64 pixels, a quarter of a second",
        ),
        Scale(
            "a time",
            paper="the mean of 20 to 100 calls in a row",
            here=Profiles("the median of 8 blocks", "the median of 10 to 20 blocks, of 20 for templates", "as for cpu"),
        ),
    ],
    tables=[
        Table(title="Milliseconds of processor time by batch", rows="series", quantities=("cpu_ms",), columns="batch"),
        Table(title="Milliseconds by the wall clock by batch", rows="series", quantities=("wall_ms",), columns="batch"),
        Table(title="Speed-up over eager by batch", rows="series", quantities=("speedup",), columns="batch"),
        Table(
            title="Knee: examples at which what grows with them takes as long as what does not, by runtime",
            rows="network",
            quantities=("knee",),
            columns="runtime",
        ),
        Table(
            title="Share outside kernels, or fixed, by batch and method",
            rows="taxed",
            quantities=("tax",),
            columns="batch",
        ),
        Table(
            title="At batch 1, times as fast as eager: without all that is outside kernels, and seen",
            rows="network",
            quantities=("ceiling",),
            columns="by",
        ),
        Table(title="Share outside kernels over width at batch 1", rows="shaped", quantities=("tax",), columns="width"),
        Table(
            title="Speed-up over eager by tokens, encoder of width 64 at batch 1",
            rows="runtime",
            quantities=("length_speedup",),
            columns="length",
        ),
        Table(title="Latency against operations", rows="call", quantities=("mflops_at", "at_best_rate", "latency_at")),
        Table(
            title="Latency over operations, slope by regime",
            rows="network",
            quantities=("elasticity",),
            columns="regime",
        ),
        Table(
            title="How far operations at one rate miss latency",
            rows="runtime",
            quantities=("flops_rank",),
            columns="batch",
        ),
        Table(
            title="Networks that a comparison does without",
            rows="compared",
            quantities=("left_out",),
            columns="missing",
        ),
        Table(title="Of a planted delay, found as fixed", rows="planted", quantities=("attributed", "kernel_change")),
        Table(title="Eager with MKL's kernels for Intel, times as long", rows="product", quantities=("intel_ratio",)),
        Table(title="Share beyond a large batch's, by threads", rows="spread", quantities=("thread_tax",)),
        Table(title="Fewer bits, against float32", rows="reduced", quantities=("fixed_share_change", "each_change_ms")),
        Table(title="Correlation of blocks in a row", rows="timed", quantities=("lag",)),
        Table(title="Operations", rows="network", quantities=("mflops", "missed", "apart_by_batch")),
        Table(title="Seconds to build, cold", rows="network", quantities=("build_seconds",), columns="runtime"),
        Table(title="Points whose interval is at most 5 %", rows="clock", quantities=("precise_points",)),
        Table(title="Timed points", rows="over", quantities=("equal_points", "void_points", "failed_points")),
        Table(
            title="By the methods, tax less the replay's", rows="network", quantities=("from_replay",), columns="method"
        ),
        Table(title="Published curves, as digitised, ms", rows="curve", quantities=("published_ms",), columns="batch"),
        Table(title="Fits of both regimes to them", rows="curve", quantities=("fit_error", "fitted_knee", "flat_to")),
        Table(
            title="Speed-up over PyTorch, as digitised",
            rows="sped_up",
            quantities=("published_speedup",),
            columns="batch",
        ),
        Table(
            title="Tax of eager PyTorch, as digitised", rows="overhead", quantities=("published_tax",), columns="batch"
        ),
        Table(
            title="Tax by those fits, were kernels faster",
            rows="faster",
            quantities=("predicted_tax",),
            columns="batch",
        ),
    ],
    caveats=[
        "On a CPU nothing runs beside the host: total time is the framework's plus the kernels', so that latency is "
        "never flat in the batch as on a GPU. What is tested is the additive form of the paper's picture.",
        "Medians and intervals are over blocks in one process a runtime, on one machine: they say how repeatable a "
        "time is there. Claims over networks generalise to small networks of these kinds, which were chosen, not "
        "drawn.",
        "Claims are about processor time, which company on the machine disturbs less than the wall clock; on one "
        "thread and a quiet machine both are the same. Times by the wall clock stand beside.",
        "What a runtime starts with stays its default but for threads, waiting and precision; ONNX Runtime and "
        "OpenVINO read one exported file with a batch of any size, AOTInductor has one package for any batch, "
        "torch.compile compiles batch 1 and any other batch apart. TorchScript is traced and frozen, not optimised "
        "further; eager's times of library networks hold transformers' own Python.",
        "The affine fit counts all that does not grow with the batch, what a kernel costs by itself among it; the "
        "profile counts as kernel all self time of the listed operators, and the replay less the same operator on "
        "nothing. So they need not agree.",
        "The replay runs a kernel again and again on the same values, which lie in the caches: it finds kernels too "
        "quick where weights are large.",
        "SmolLM2 is left out: each of its exported files alone has 540 MB. Weights are random but for MiniLM and "
        "EfficientNet-lite0, whose batch normalisation is folded; networks are smaller than the paper's.",
        "JAX runs networks that were written for it: the encoder template.",
        "int8 and a second thread stand for half precision and faster hardware as proxies, and are none of the "
        "paper's.",
        "The GPU of the published curves is not named in the figure. Fits to them are no measurement, and the error "
        "of reading them off is in no interval.",
        "Every runtime has one process for all blocks: claims over blocks are about that process alone. Eager in two "
        "processes says how far processes differ.",
        "Seven of the twelve networks are transformer encoders at 16 tokens: claims over networks are about these "
        "twelve.",
        "Matrix products in eager, TorchScript and inductor are MKL's, which picks kernels by the processor's maker; "
        "ONNX Runtime, OpenVINO and XLA bring their own. Above small batches speed-ups compare those libraries; a "
        "table says how long eager takes with MKL's kernels for the other maker.",
        "What is fixed in the affine fit are the host's work, weights read from memory, and kernels too small to be "
        "quick. It is withheld where the fit is off by more than 10 %.",
        "The controls' limits were widened after a trial (to 1.75 and 50 %), and put back before any run at cpu.",
        "Precision is read off the weights of the loaded graph (OpenVINO's is what it says of itself), and threads "
        "are what each library says. All threads of a runtime keep to its cores, JAX's among them, which says "
        "nothing.",
        "Python's garbage collection is off while a call is timed, torch.compile runs without gradients and the "
        "others in inference mode. No part of a fit is below zero, so that shares near 0 come out too large.",
        "Claims about precision and threads were changed after trials and before any run at cpu: the knee's ratio is "
        "not finite where a fit has no fixed part, and two threads were timed apart from one.",
        "Seconds to build and to load are of one time each, on two cores, and no measure with an interval.",
        "Lengths of texts are varied for one template at batch 1 alone. Not attempted: the tax of runtimes other "
        "than eager, ONNX Runtime and OpenVINO on two threads, TensorRT and CUDA graphs.",
        "ONNX Runtime's lead at batch 1 is more than the framework's share: by the profile, taking off all that is "
        "outside kernels would make eager 1.10 to 2.6 times as fast, and ONNX Runtime is 1.8 to 11.6 times; by the "
        "replay it suffices, or nearly, for the encoders, and not for ResNet-18, MobileNetV2 and the LSTM. By the "
        "profile two of nine networks spend half of a call or more outside kernels at batch 1 (BERT-tiny 61 %, the "
        "encoder template 51 %; the paper's one 82 %).",
        "On one thread PyTorch takes other convolution kernels at batch 1, and for 1 × 1 ones below batch 16: "
        "ResNet-18 takes 16.8 ms for one picture and 12.8 for two. Over the seven encoders the gap shrinks by "
        "0.79 [0.66, 0.93], about as over all twelve (0.75).",
        "Over twelve networks operations order latency as well at batch 1 (rank correlation 0.87 in eager, 0.99 in "
        "ONNX Runtime) as at 128 (0.85, 0.99): what the paper found is seen within one template alone, where additive "
        "times give no other sign.",
        "The fit finds 0.65 to 0.82 of a call fixed where the profile finds 0.05 to 0.62 outside kernels. Six "
        "networks, five of them encoders, are too few for a verdict: three of nine fits are off by more than 10 %.",
        "A first run at cpu left out GPT-2-like and SqueezeBERT-like by a false alarm of a check, which took one "
        "number in double precision in their TorchScript for computing in it. With it mended everything was measured "
        "anew, in more blocks. The claims are those of the first run. What two of ours would be with both networks "
        "had been computed from that run and said (torch.compile +0.74, AOTInductor +0.21): their SUPPORTED was no "
        "surprise.",
        "MobileNetV2's outputs, of random weights, are about 4e-22. Errors are relative to outputs' own size: its "
        "largest is 1e-5. The largest of all is EfficientNet's on ONNX Runtime, 9.8e-5 of the 1e-4 that are allowed.",
        "From batch 64 to 128 eager slows by up to 61 % an example, in one trial with five times the page faults: so "
        "rank correlations of the gap with the batch stop at −0.79 on average; to batch 64 none is above −0.78.",
        "94 % of the medians are certain to 5 %; at batch 1 of the networks 76 %, for BERT-mini 17 %. The worst is at "
        "13 %. Networks have 10 to 20 blocks, as many as make nine medians of ten certain to 5 %: it is certainty that "
        "stops, and no sign.",
        "Two processes of eager differ by at most 1.4 % on average over blocks, two of ONNX Runtime by 0.8 %.",
        "int8 has no verdict, for its fit is off by more than 10 %. bfloat16's outputs differ by up to 6.6 % of their "
        "root mean square.",
        "Deep and thin takes 8.7 times as long in eager, for it has 32 operators against 2, and 2.1 times in ONNX "
        "Runtime, whose calls of 5 and 11 µs hold what the Python binding costs.",
        "Most margins of ours had been seen to hold in trials, by far; of the predictions only that on lengths was "
        "of something that nobody had looked at. Small and large gap, lengths and widening say of one thing in four "
        "ways that ONNX Runtime's fixed part is smaller.",
        "From the FLOP counter and by hand: normalisation, activations and softmax count as nothing.",
    ],
    findings=["order-at-batch-1", "gap-shrinks-with-batch"],
    plots=[
        Plot(
            "Do operations tell how long a call takes? On the line the machine is used as well as it ever is.",
            "agreement",
            x="at_best_rate",
            y="latency_at",
            y_is_better="lower",
        ),
        Plot(
            "From which batch on does a call take longer?",
            "curves",
            x="batch",
            y="cpu_ms",
            y_is_better="lower",
            log=True,
            without=PLANTED,
        ),
        Plot(
            "Which runtime is the fastest, where?",
            "best",
            x="batch",
            y="cpu_ms",
            y_is_better="lower",
            only=[f"{network}, {runtime}" for network in ZOO for runtime in RUNTIMES],
        ),
        Plot(
            "From how many examples on does work that grows with them outweigh what does not?",
            "dots",
            y="knee",
            log=True,
        ),
        Plot(
            "Up to which batch is another runtime faster than eager PyTorch?",
            "curves",
            x="batch",
            y="speedup",
            y_is_better="higher",
            at=1,
        ),
        Plot(
            "Do other runtimes gain less on longer texts?",
            "curves",
            x="length",
            y="length_speedup",
            y_is_better="higher",
            at=1,
        ),
        Plot(
            "What share of a call is the framework's, by which method?",
            "curves",
            x="batch",
            y="tax",
            without=SHAPED,
        ),
        Plot(
            "How does that share fall as a template becomes wider?",
            "curves",
            x="width",
            y="tax",
            only=SHAPED,
        ),
        Plot(
            "What did the paper measure on GPUs?",
            "curves",
            x="batch",
            y="published_ms",
            y_is_better="lower",
            log=True,
        ),
        Plot(
            "What share would be the framework's, by the paper's curves, were kernels faster?",
            "curves",
            x="batch",
            y="predicted_tax",
            only=[
                f"{network}, PyTorch, {times} × as fast"
                for network in ("ResNet-50 fp32", "ResNet-50 fp16", "BERT fp32")
                for times in (1, 2, 4, 8)
            ],
        ),
    ],
)

"""Claims about what images need from a language model's transformer, and the controls that must pass before them."""

from typing import Any

from flows.engine.paper import Claim, Control, Measurement, NotTested, Stage, all_of, at_most, equivalent, greater, less
from flows.transfusion.stages import (
    MORE,
    contrasts,
    evaluated,
    evaluated_more,
    evaluated_twins,
    judge,
    parity,
)
from tasks.transfusion.arms import (
    CAUSAL,
    CODES,
    FLOW,
    LATENTS,
    LINEAR,
    NO_CAP,
    SHUFFLED,
    TEXT,
    UNET,
)

PILOT = (
    "a pilot of one seed on another set of digits (600 and 1,800 steps, other settings): its signs; of this run "
    "nothing but its smallest profile"
)
NOT_PILOTED = "nothing of it in the pilot; of this run nothing but its smallest profile"
SEEDS: dict[str, Any] = {"fixed": "items"}
"""Over new seeds, each with samples of its own; the real images that they are compared with are these very ones."""
IMAGES: dict[str, Any] = {"items": "image"}
"""Over new seeds and new images."""
DOCUMENTS: dict[str, Any] = {"items": "document", "weight": "bytes"}
"""Over new seeds and new documents, which weigh by their bytes."""
DRAWS: dict[str, Any] = {"paired": "draw"}
"""Over what the seeds leave open of a fitted line."""


def _stage(arm: str) -> Stage:
    if arm in (LATENTS, CODES):
        return evaluated_twins
    return evaluated_more if any(arm in MORE.at(profile) for profile in ("quick", "cpu", "gpu")) else evaluated


def of(quantity: str, arm: str, **labels: Any) -> Measurement:
    """A quantity of an arm."""
    return _stage(arm)[quantity].where(arm=arm, **labels)


def gap(quantity: str, adapter: str) -> Measurement:
    """A difference between two arms with this adapter."""
    return contrasts[quantity].where(contrast=adapter)


def twins(quantity: str) -> Measurement:
    """A difference between latents and codes at the full budget."""
    return parity[quantity].where(contrast="latents less codes")


def ratio(metric: str) -> Measurement:
    """Draws of the logarithm of a parity ratio."""
    return parity["log_ratio"].where(metric=metric)


CLAIMS = [
    Claim(
        "bidirectional-attention-helps-images",
        says="C1: with linear patches, attention in both directions within an image gives images that are nearer to "
        "real ones than causal attention; log Fréchet distance",
        source="Table 5, linear rows (FID)",
        evidence="P",
        paper_value="61.3 → 20.3: log ratio 1.105",
        whose="paper, with a number",
        test=greater(of("log_fd", CAUSAL), of("log_fd", LINEAR), size=1.105, **SEEDS),
        expected="holds",
        seen=PILOT + "; ratio 1.67 and 1.18 at 1,800 steps, reversed at 600",
    ),
    Claim(
        "bidirectional-attention-foretells-noise",
        says="C1, our primary measure: held-out images' noise is foretold with less error with attention in both "
        "directions; log mean squared error",
        source="Table 5; the error is not in the paper",
        evidence="P",
        paper_value="not printed in this form",
        whose="ours",
        test=greater(of("log_mse", CAUSAL, region="all"), of("log_mse", LINEAR, region="all"), **IMAGES),
        expected="holds",
        seen=PILOT + "; +4 and +8 %",
    ),
    Claim(
        "early-patches-lose-most",
        says="C1's signature: causal attention costs an image's first row of patches more than its last row, and its "
        "very last patch, which sees all others in either arm, less than 2 %",
        source="follows from the mask; not in the paper",
        evidence="P",
        paper_value="not measured there",
        whose="ours",
        test=all_of(
            [
                greater(of("first_over_last", CAUSAL), of("first_over_last", LINEAR), **IMAGES),
                at_most(
                    of("log_mse", CAUSAL, region="last patch"),
                    of("log_mse", LINEAR, region="last patch"),
                    margin=0.02,
                    margin_of="ours",
                    **IMAGES,
                ),
            ]
        ),
        expected="holds",
        seen=PILOT + "; ratio .999 at the last patch",
    ),
    Claim(
        "unet-needs-it-less",
        says="C2: with a U-Net's down and up blocks the gap between causal and bidirectional attention is smaller than "
        "with linear patches, in log Fréchet distance",
        source="Table 5, U-Net rows",
        evidence="P",
        paper_value="16.8 → 16.7: log ratio 0.006 against 1.105",
        whose="paper, with a number",
        test=greater(gap("log_fd_gap", "linear"), gap("log_fd_gap", "U-Net"), size=1.099, **SEEDS),
        expected="holds",
        seen=PILOT + "; consistent at 600 steps, where the linear gap was reversed at one guidance",
    ),
    Claim(
        "unet-foretells-noise-without-it",
        says="C2 in our primary measure: the gap in the error of the foretold noise is smaller with a U-Net",
        source="Table 5; the error is not in the paper",
        evidence="P",
        paper_value="not printed in this form",
        whose="ours",
        test=greater(gap("log_mse_gap", "linear"), gap("log_mse_gap", "U-Net"), **IMAGES),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "unet-is-better",
        says="The U-Net's images are nearer to real ones than those of linear patches, with more parameters",
        source="Table 7, 0.16B (where the U-Net adds 106 % parameters)",
        evidence="P",
        paper_value="FID 37.6 → 18.8: log ratio 0.693",
        whose="paper, with a number",
        test=greater(of("log_fd", LINEAR), of("log_fd", UNET), size=0.693, **SEEDS),
        expected="holds",
        seen=PILOT + "; 111 against 42 at 600 steps",
    ),
    Claim(
        "large-linear-patches-hurt",
        says="C3: with linear patches, the larger the patch, the farther the images from real ones (4 × 4 against "
        "2 × 2, 8 × 8 against 4 × 4)",
        source="Table 6, linear rows (FID)",
        evidence="P",
        paper_value="20.3, 25.6, 43.5: log ratios 0.232 and 0.530",
        whose="paper, with a number",
        test=all_of(
            [
                greater(of("log_fd", "linear, patch 4"), of("log_fd", LINEAR), size=0.232, **SEEDS),
                greater(of("log_fd", "linear, patch 8"), of("log_fd", "linear, patch 4"), size=0.530, **SEEDS),
            ]
        ),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "unet-resists-large-patches",
        says="C3: going from 2 × 2 to 4 × 4 costs the U-Net less than linear patches",
        source="Table 6 (FID: U-Net 16.7 → 16.0, linear 20.3 → 25.6)",
        evidence="P",
        paper_value="log ratios −0.043 and 0.232",
        whose="paper, with a number",
        test=greater(gap("patch_cost", "linear"), gap("patch_cost", "U-Net"), size=0.275, **SEEDS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "large-patches-cost-text",
        says="C3: with the whole image as one patch the model spends more bits a byte on text than with 2 × 2",
        source="Table 6, linear rows (C4 perplexity 10.4 → 11.7); there with more images for the same tokens, not here",
        evidence="P",
        paper_value="log ratio of perplexities 0.118",
        whose="paper, direction only",
        test=greater(of("bits_per_byte", "linear, patch 8"), of("bits_per_byte", LINEAR), **DOCUMENTS),
        expected="does not hold at this scale",
        seen=NOT_PILOTED,
    ),
    Claim(
        "diffusion-beats-codes",
        says="C4: at the same operations, diffusion over an autoencoder's latents gives images nearer to real ones "
        "than the next token over the codes of its twin",
        source="Table 3 (7B: FID 16.8 against 29.6)",
        evidence="P",
        paper_value="log ratio −0.566",
        whose="paper, with a number",
        test=less(twins("log_fd_gap"), 0.0, size=0.566, **SEEDS),
        expected="holds",
        seen=PILOT + "; 11.8 against 17.8 without guidance, 26.5 against 25.3 with",
    ),
    Claim(
        "diffusion-needs-less-for-images",
        says="C4: for the Fréchet distance that the twin reaches, Transfusion needs fewer operations",
        source="Table 3 (parity FLOP ratio, FID)",
        evidence="P",
        paper_value="0.029: log ratio −3.54",
        whose="paper, with a number",
        test=less(ratio("fd"), 0.0, size=3.54, **DRAWS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "diffusion-needs-less-for-text",
        says="C4: for the bits a byte of text that the twin reaches, Transfusion needs fewer operations",
        source="Table 3 (parity FLOP ratio, C4 perplexity)",
        evidence="P",
        paper_value="0.489: log ratio −0.715",
        whose="paper, with a number",
        test=less(ratio("bits_per_byte"), 0.0, size=0.715, **DRAWS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "diffusion-captions-better-than-codes",
        says="C4: at the same operations, captions of clean latents are right more often than captions of codes",
        source="Table 3 (CIDEr 27.2 against 18.0)",
        evidence="P",
        paper_value="another metric: only its direction",
        whose="paper, direction only",
        test=greater(of("caption_right", LATENTS), of("caption_right", CODES), **IMAGES),
        expected="does not hold at this scale",
        seen=PILOT + "; .96 against .75, in pixels and not latents",
    ),
    Claim(
        "less-noise-before-captions-helps",
        says="C5: with noise up to t = 500 alone on images before their captions, captions of clean images are right "
        "more often",
        source="Table 8 (0.76B with a U-Net: CIDEr 25.4 → 29.4); ours with linear patches",
        evidence="P",
        paper_value="another metric: only its direction",
        whose="paper, direction only",
        test=greater(of("caption_right", LINEAR), of("caption_right", NO_CAP), **IMAGES),
        expected="holds",
        seen=PILOT + "; +40 points at 600 steps, +5.6 at 1,800",
    ),
    Claim(
        "less-noise-before-captions-costs-no-image",
        says="C5: that changes the Fréchet distance of images by less than 5 %",
        source="Table 8 (FID 16.7 → 16.5, 1.2 %)",
        evidence="P",
        paper_value="−1.2 %",
        whose="paper, direction only",
        test=equivalent(of("log_fd", LINEAR), of("log_fd", NO_CAP), margin=0.05, margin_of="ours", **SEEDS),
        expected="does not hold at this scale",
        seen=PILOT + "; 111 against 91 at 600 steps",
    ),
    Claim(
        "images-cost-text",
        says="C6: a model that learns images, too, spends more bits a byte on text than one that learns as much text "
        "alone",
        source="Table 4 (C4 perplexity 10.1 → 10.4)",
        evidence="P",
        paper_value="log ratio of perplexities 0.029",
        whose="paper, direction only",
        test=greater(of("bits_per_byte", LINEAR), of("bits_per_byte", TEXT), **DOCUMENTS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "codes-cost-text-more",
        says="C6: codes of images cost text more than diffusion does",
        source="Table 4 (10.4 with diffusion, 11.8 with discrete image tokens, of which 0.6 is the stability recipe)",
        evidence="P",
        paper_value="log ratio of perplexities 0.126",
        whose="paper, direction only",
        test=greater(of("bits_per_byte", CODES), of("bits_per_byte", LATENTS), **DOCUMENTS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "five-is-the-best-weight",
        says="C7: λ = 5 gives images nearer to real ones than 0.5, 1 and 20",
        source="section 4.1 (λ = 5 by preliminary experiments that are not shown)",
        evidence="P",
        paper_value="not printed",
        whose="ours",
        test=all_of(less(of("log_fd", LINEAR), of("log_fd", f"weight {weight}"), **SEEDS) for weight in (0.5, 1, 20)),
        expected="does not hold at this scale",
        seen=NOT_PILOTED,
    ),
    Claim(
        "more-weight-costs-text",
        says="C7: λ = 20 costs text more than λ = 0.5",
        source="section 4.1; not in the paper",
        evidence="P",
        paper_value="not printed",
        whose="ours",
        test=greater(of("bits_per_byte", "weight 20"), of("bits_per_byte", "weight 0.5"), **DOCUMENTS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "flow-matching-is-better",
        says="Flow matching in the place of DDPM gives images nearer to real ones, with the same sampling steps",
        source="not in the paper; later work uses it",
        evidence="P",
        paper_value="not measured there",
        whose="ours",
        test=less(of("log_fd", FLOW), of("log_fd", LINEAR), **SEEDS),
        expected="holds",
        seen=NOT_PILOTED,
    ),
    Claim(
        "equals-diffusion-models",
        says="A 7B model trained on 2T tokens draws as well as diffusion models of its time, and writes as Llama does",
        source="Table 9",
        evidence="P",
        paper_value="GenEval 0.63 against 0.61 (DeepFloyd) and 0.68 (SD3); FID 6.78",
        whose="paper, with a number",
        test=NotTested("Neither 7 billion parameters nor photographs with captions are at hand."),
        expected="not tested",
    ),
    Claim(
        "edits-images-after-finetuning",
        says="Finetuned on 8,000 pairs of images, it edits an image as told",
        source="section 4.5",
        evidence="P",
        paper_value="examples only",
        whose="paper, direction only",
        test=NotTested("There are no pairs of images with edits here."),
        expected="not tested",
    ),
]

CONTROLS = [
    Control(
        "judge-knows-real-images",
        "planted",
        says="The judge says what 0.95 or more of real images of validation and test show, which it has not been "
        "trained on, and of noise as often as chance",
        test=all_of(
            [
                *(
                    greater(judge["alignment"].where(arm=f"real {split} images"), 0.95, paired="")
                    for split in ("validation", "test")
                ),
                equivalent(judge["alignment"].where(arm="noise"), 0.1, margin=0.05, margin_of="ours", paired=""),
            ]
        ),
    ),
    Control(
        "prompts-are-followed",
        "planted",
        says="Images of the main arm are what the prompt says in 0.5 or more, so that there is something to lose",
        test=greater(of("alignment", LINEAR), 0.5, **SEEDS),
    ),
    Control(
        "shuffled-captions-align-nothing",
        "shuffled",
        says="Trained on captions of other images, images are as prompted, and captions right, by chance alone",
        test=all_of(
            [
                at_most(of("alignment", SHUFFLED), 0.1, margin=0.05, margin_of="ours", **SEEDS),
                at_most(of("caption_right", SHUFFLED), 0.1, margin=0.05, margin_of="ours", **IMAGES),
            ]
        ),
    ),
]

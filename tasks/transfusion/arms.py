"""The arms of the experiment: what each one changes, everything else being equal."""

from typing import Literal

from models.config import Count, NotNegative, config
from models.transfusion.settings import TIMES, Adapter, Attention, Process

Reads = Literal["pixels", "latents", "codes", "nothing"]


@config
class Arm:
    """One way to build or train the generator; the defaults are the paper's.

    `reads` is what it gets of an image: patches of its pixels, patches of an autoencoder's latents, the codes of its
    twin with a codebook, or nothing (text alone). `cap` is the latest time at which an image that comes before its
    caption is noised (section 4.3.4; T: no cap), `weight` is λ. With `shuffled` captions belong to other images.
    """

    reads: Reads = "pixels"
    adapter: Adapter = "linear"
    attention: Attention = "bidirectional"
    patch: Count = 2
    cap: Count = TIMES // 2
    weight: NotNegative = 5.0
    process: Process = "diffusion"
    shuffled: bool = False

    @property
    def family(self) -> str:
        """The arm at whose learning rate it is trained, and whose rehearsal says what may be claimed of it."""
        drawn = {"linear": LINEAR, "unet": UNET}[self.adapter]
        return {"pixels": drawn, "latents": LATENTS, "codes": CODES, "nothing": TEXT}[self.reads]


LINEAR, CAUSAL, UNET, UNET_CAUSAL = "linear", "linear, causal", "U-Net", "U-Net, causal"
LARGE, UNET_LARGE = "linear, patch 4", "U-Net, patch 4"
NO_CAP, TEXT, SHUFFLED, FLOW = "no cap", "text alone", "captions shuffled", "flow matching"
LATENTS, CODES, PICTURES = "latents", "codes", "latents, U-Net"

ARMS: dict[str, Arm] = {
    LINEAR: Arm(),
    CAUSAL: Arm(attention="causal"),
    UNET: Arm(adapter="unet"),
    UNET_CAUSAL: Arm(adapter="unet", attention="causal"),
    NO_CAP: Arm(cap=TIMES),
    TEXT: Arm(reads="nothing"),
    SHUFFLED: Arm(shuffled=True),
    "linear, patch 1": Arm(patch=1),
    LARGE: Arm(patch=4),
    "linear, patch 8": Arm(patch=8),
    UNET_LARGE: Arm(adapter="unet", patch=4),
    "U-Net, patch 8": Arm(adapter="unet", patch=8),
    "weight 0.5": Arm(weight=0.5),
    "weight 1": Arm(weight=1.0),
    "weight 20": Arm(weight=20.0),
    FLOW: Arm(process="flow"),
    LATENTS: Arm(reads="latents", patch=1),
    CODES: Arm(reads="codes", attention="causal", patch=1),
    PICTURES: Arm(reads="latents", adapter="unet"),
}
"""By name. Latents and codes have one position for each place of the autoencoder's grid."""

REHEARSED = (LINEAR, UNET, LATENTS, CODES, TEXT)
"""One arm of each family, whose name is the family's."""

"""What captioners are trained on, of made pictures: their texts as subwords, and features without a network.

The features are the colours of a picture's parts, which is enough to tell made pictures apart.
"""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import torch
from made_emoji import build, write_sources
from safetensors.torch import save_file
from torch.nn import functional

from tasks.altogether.arrays import read_pictures
from tasks.altogether.captioner.encoder import palette
from tasks.altogether.captioner.subwords import Subwording, train_subwords


def prepare(root: Path) -> dict[str, Path]:
    """The folders of the data stages, and of the features and subwords that are made of them, by name."""
    out = build(write_sources(root / "sources"), root)
    write_features(out, root / "features")
    (root / "subwords").mkdir()
    train_subwords(levels=out["levels"], titled=out["titled"], config=Subwording(vocabulary=400), out=root / "subwords")
    return {**out, "features": root / "features", "subwords": root / "subwords"}


def write_features(folders: dict[str, Path], out: Path) -> None:
    """Write what `encode` would of the pictures that `build` drew, with the mean colours of 16 places as tokens."""
    out.mkdir(parents=True)
    read = [read_pictures(folders[name]) for name in ("pictures", "titled")]
    seen = torch.cat([torch.from_numpy(pixels) for pixels, _ in read]).permute(0, 3, 1, 2).float()
    tokens = functional.adaptive_avg_pool2d(seen / 255, 4).flatten(2).transpose(1, 2)
    save_file(
        {"tokens": tokens.half().contiguous(), "palette": palette(seen, 2).half().contiguous()},
        out / "features.safetensors",
    )
    index = [{"img_path": row["img_path"], "style": row["style"]} for _, rows in read for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(index), out / "index.parquet")

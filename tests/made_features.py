"""Features of made pictures without a network: colours of their parts, which is enough to tell them apart."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import save_file
from torch.nn import functional

from tasks.altogether.encoder import palette
from tasks.altogether.pictures import read_pictures


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

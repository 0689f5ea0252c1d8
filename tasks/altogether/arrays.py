"""Drawn pictures as files: arrays of one size, with an index that tells about each."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import spool
from tasks.base.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_pictures(folder: Path) -> tuple["NDArray[np.uint8]", list[dict[str, Any]]]:
    """The pictures (n, size, size, 3) and the rows of their index."""
    import pyarrow.parquet
    from safetensors.numpy import load_file

    rows = pyarrow.parquet.read_table(folder / "index.parquet").to_pylist()
    return load_file(folder / "pictures.safetensors")["pictures"], rows


def write_pictures(
    out: Path,
    pixels: list[Any],
    index: list[dict[str, Any]],
    broken: list[dict[str, str]],
    rows: list[dict[str, Any]],
) -> None:
    """Write pictures (size, size, 3) with their index, what gave none, and the counts."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from safetensors.numpy import save_file

    stacked = np.stack(pixels) if pixels else np.zeros((0, 1, 1, 3), np.uint8)
    save_file({"pictures": stacked}, out / "pictures.safetensors")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(index), out / "index.parquet")
    write_json(out / "broken.json", broken)
    write_json(out / "metrics.json", rows)
    spool.table("pictures", rows)
    reasons = Counter(row["reason"] for row in broken)
    if reasons:
        spool.table("broken files", [{"reason": r, "files": n} for r, n in sorted(reasons.items())])

"""SmolLM2, unpacked once: to read its GGUF file takes `transformers` longer than to answer from it."""

import os
import shutil
from pathlib import Path

from tasks.base.errors import UserError
from tools.rag.store import STORES


def unpacked(packed: Path) -> Path:
    """The model of the one GGUF file in `packed` in Hugging Face's layout, as it is kept for all tools."""
    from tasks.radit.language_models import Conversion, convert_model

    files = sorted(packed.glob("*.gguf"))
    if len(files) != 1:
        raise UserError(f"{packed} has {len(files)} .gguf files: point the source at a folder with exactly one.")
    kept = STORES / f"{files[0].stem}-{files[0].stat().st_size}"
    if not kept.is_dir():
        fresh = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        convert_model(smollm2=packed, config=Conversion(), out=fresh)
        fresh.rename(kept)
    return kept

"""What the control's model hears, told apart from what the others do."""

import json
from pathlib import Path

from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.speech.decoding import QUANTITIES, Decoding, decode

MISLED = ", misled"
"""What the control's rows are called after their decoder, lest a table take its model for one of the others."""


@measures(**QUANTITIES)
def decode_misled(*, prompts: Path, spectra: Path, model: Path, config: Decoding, out: Path) -> None:
    """Write what `decode` does, each decoder named as one of a model that learned from other prompts' transcripts."""
    import pyarrow.compute
    import pyarrow.parquet

    decode(prompts=prompts, spectra=spectra, model=model, config=config, out=out)
    rows = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    write_json(out / "metrics.json", [row | {"decoder": f"{row['decoder']}{MISLED}"} for row in rows])
    examples = pyarrow.parquet.read_table(out / "examples.parquet")
    named = pyarrow.compute.binary_join_element_wise(examples["decoder"], MISLED, "")
    place = examples.column_names.index("decoder")
    pyarrow.parquet.write_table(examples.set_column(place, "decoder", named), out / "examples.parquet")

"""What `tenfold caption` does to pictures by kind, among them the stamps, most of which are photographs.

python -m bench.stamps [--profile cpu]

What is sure enough is chosen on validation drawings and half of the stamps; the others are counted here. A wrong
statement is one attribute of an alt-text with another value; the alt-texts of stamps are the words of their file names.
"""

import argparse
import tempfile
from pathlib import Path

from tasks.base.determinism import set_process_environment
from tools.caption.cli import captioner
from tools.caption.trust import trust_in


def main() -> None:
    """Print a line for each kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile")
    asked = parser.parse_args()
    set_process_environment()
    with tempfile.TemporaryDirectory() as kept:
        trust = trust_in(captioner(asked.profile), Path(kept), lambda done, total: None)
    print(f"sure enough to change: {trust.least or 'nothing'}; to write a caption: {trust.least_caption:.3f}")
    for kind, tallies in trust.mending.items():
        wrong, mended, right, broken = (
            sum(getattr(each, what) for each in tallies.values()) for what in ("wrong", "mended", "right", "broken")
        )
        each = trust.writing[kind]
        print(
            f"{kind}: mended {mended} of {wrong}, broke {broken} of {right}; F1 of alt-texts {each.copies:.3f}, of all "
            f"captions {each.captions:.3f}, with {each.taken} of {each.pictures} {each.chosen:.3f}"
        )


if __name__ == "__main__":
    main()

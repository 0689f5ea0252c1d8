"""What code and machine are now: the cheap stages that always run, brought up to date before a plan is made."""

import os
import shlex
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from flows.engine.stages import ConcreteStage
from tasks.base import manifest
from tasks.base.files import ROOT, STATE, slug
from tasks.running.run import exclusive, load, parse, remove


def refresh(stages: Iterable[ConcreteStage]) -> None:
    """Run the stages here, and replace the files that differ, one by one: others may be reading them."""
    for stage in stages:
        fresh, out = STATE / "scratch" / f"{slug(stage.out)}-{os.getpid()}", ROOT / stage.out
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _, *command = shlex.split(stage.command)
        with exclusive(stage.out):
            function, settings = load(parse(command[2:]))
            function(config=settings, out=fresh)
            made = {path.name: path.read_text() for path in fresh.iterdir()}
            if out.is_symlink() or not out.is_dir():
                remove(out)  # the link, not what lies behind it
            with suppress(FileNotFoundError):
                for path in out.iterdir():
                    if path.name not in made or not path.is_file():
                        remove(path)
            for name, text in made.items():
                _put(out / name, text)
        shutil.rmtree(fresh)


def refresh_code(stage: ConcreteStage) -> None:
    """Describe the code of one stage as it is at this moment, for it may have been edited since the plan was made."""
    if stage.code is not None:
        _put(ROOT / stage.code, manifest.text_of(stage.module))


def _put(path: Path, text: str) -> None:
    """Let a file hold a text, in one step, and leave it alone where it does already."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == text.encode():
            return
    # Not beside it, where `refresh` of another process removes what it did not make.
    fresh = STATE / "scratch" / f"{slug(os.path.relpath(path, ROOT))}-{os.getpid()}-{threading.get_ident()}"
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text(text)
    while fresh.exists():
        # A `dvc repro` beside us removes the folder before it describes the code anew.
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(path)

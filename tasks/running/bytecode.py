"""Bytecode that is not whole: on a full disk Python writes what fits of it without a word, and cannot import that."""

import importlib.machinery
import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from types import CodeType


class Loader(importlib.machinery.SourceFileLoader):
    """Python's own loader of sources, to which bytecode that cannot be read is none."""

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code; its source is compiled where the bytecode beside it breaks off or holds anything else."""
        try:
            return super().get_code(fullname)
        except (EOFError, ValueError, TypeError):
            with suppress(OSError):
                os.unlink(cache_from_source(self.path))
            return self.source_to_code(self.get_data(self.path), self.path)


def mend() -> None:
    """From here on in this process, let every import get over such bytecode; the next process finds it whole again."""
    kinds = (
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (Loader, importlib.machinery.SOURCE_SUFFIXES),
        (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )
    sys.path_hooks.insert(0, importlib.machinery.FileFinder.path_hook(*kinds))
    sys.path_importer_cache.clear()

"""What the machine lacks when a library or Python says so in its own words, as the sentence that a user reads."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_MEMORY = ("cannot allocate memory", "failed to map segment from shared object", "unable to allocate", "alloc_cpu")
"""How libraries that are written in C say it."""
TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
FORBIDDEN = (errno.EACCES, errno.EROFS)
IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST)
DISK_IS_FULL = "the disk is full or a file may not grow: free some room, and run the same command again"
MEMORY_RAN_OUT = "memory ran out: free some, or run fewer stages at once with --jobs"


def is_full_disk(problem: BaseException) -> bool:
    """Whether a disk is full, or what a user may write."""
    return isinstance(problem, OSError) and problem.errno in FULL


def is_no_memory(problem: BaseException) -> bool:
    """Whether there is no memory left; a library that cannot be loaded for want of it raises an ImportError."""
    if isinstance(problem, MemoryError) or (isinstance(problem, OSError) and problem.errno == errno.ENOMEM):
        return True
    said = str(problem).lower()
    return any(words in said for words in NO_MEMORY)


def sentence(problem: BaseException) -> str | None:
    """What to tell a user whose machine lacks room, memory or a right; None where that is not what went wrong."""
    if is_full_disk(problem):
        where = getattr(problem, "filename", None)
        return f"{DISK_IS_FULL[0].upper()}{DISK_IS_FULL[1:]}{f' ({where} could not be written)' if where else ''}."
    if is_no_memory(problem):
        return f"{MEMORY_RAN_OUT[0].upper()}{MEMORY_RAN_OUT[1:]}."
    if isinstance(problem, OSError) and problem.errno in TOO_MANY_OPEN:
        return "This shell lets a program open too few files: ulimit -n 4096, and run the same command again."
    if isinstance(problem, OSError) and problem.errno in FORBIDDEN and problem.filename:
        return f"This user may not read or write {problem.filename} ({problem.strerror}): see whose it is."
    if isinstance(problem, IsADirectoryError):
        return f"{problem.filename2 or problem.filename} is a folder where a file should be: move it away."
    if isinstance(problem, OSError) and problem.errno in IN_THE_WAY and problem.filename:
        return f"{problem.filename}, or what is above it, should be a folder and is none: move away what stands there."
    return None

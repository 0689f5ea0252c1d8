"""Which of the processor's instructions a stage's libraries may use: the same on every x86-64 machine with AVX2.

Libraries choose their kernels by the processor, and kernels differ in the last bit. So a stage's process tells each of
them to take the kernels of one level, x86-64-v3 (AVX2 and FMA), which processors have had since 2013 (Intel) and 2017
(AMD). `docs/same-bytes.md` says how each setting was found to be needed, and what it costs.
"""

import ctypes
import mmap
import os
import platform
from collections.abc import Iterable
from pathlib import Path

PORTABLE = "x86-64-v3"
"""The level that stages are held to, by its name in the x86-64 psABI."""
NATIVE = "native"
"""What the processor offers: for stages that measure time, by the user's wish, and where there is no AVX2."""
WISH = "TENFOLD_NATIVE"
"""The environment variable by which a user asks for speed instead of the same bytes."""

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_CBWR": "AVX2",  # matrix products, factorisations and Fourier transforms of torch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions and recurrent layers of torch
    "OPENBLAS_CORETYPE": "Haswell",  # numpy, scipy and FAISS
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's exponentials, sums and sorts
    "FAISS_SIMD_LEVEL": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",  # JAX
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt",
}
"""What each library reads when it is imported, or at its first call."""

_RETURN_ONE = b"\xb8\x01\x00\x00\x00\xc3"
"""mov eax, 1; ret"""

_FLAGS = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"}
"""What /proc/cpuinfo calls the instructions of x86-64-v3 beyond those of every x86-64."""


def allowed(processor: str, hardware: bool = False) -> str:
    """The level that this machine's stages are held to; `hardware` for those that measure time.

    A native record names the processor's model, as other processors give other bytes.
    """
    if hardware:
        return NATIVE
    return PORTABLE if has_portable() and not os.environ.get(WISH) else f"{NATIVE} on {processor}"


def hold_to(level: str) -> None:
    """Tell the libraries of this process, before they are imported, which instructions they may use."""
    for name, value in SETTINGS.items():
        if level == PORTABLE:
            os.environ[name] = value
        elif os.environ.get(name) == value:
            del os.environ[name]


def hold_mkl_to_one_vendor(torch_folder: Path) -> None:
    """Let MKL, which is part of torch, take the kernels for Intel's processors with AVX2 on AMD's processors, too.

    MKL knows reproducible kernels (`MKL_CBWR`) on Intel's processors alone; on others it knows those of SSE2, at a
    quarter of the speed, and else chooses by the maker. The function by which it asks for the maker is overwritten in
    this process's memory, before MKL's first call, by one that says Intel.

    Raises:
        OSError: the system does not allow to change a library's code in memory.
    """
    library = torch_folder / "lib/libtorch_cpu.so"
    asked = getattr(ctypes.CDLL(str(library)), "mkl_serv_intel_cpu_true", None) if library.exists() else None
    if asked is None:
        return  # a build of torch without MKL, which has nothing to choose
    address = ctypes.cast(asked, ctypes.c_void_p).value or 0
    system, page = ctypes.CDLL(None, use_errno=True), os.sysconf("SC_PAGESIZE")
    start = address // page * page
    length = address + len(_RETURN_ONE) - start
    for protection in (mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        if system.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(length), protection):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if protection & mmap.PROT_WRITE:
            ctypes.memmove(address, _RETURN_ONE, len(_RETURN_ONE))


def has_portable(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has the instructions of the common level."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return flags(cpuinfo.read_text().splitlines()) >= _FLAGS


def flags(lines: Iterable[str]) -> set[str]:
    """The first processor's instructions, of the lines of /proc/cpuinfo."""
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())

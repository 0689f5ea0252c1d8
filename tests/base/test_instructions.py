"""The same instructions on every machine: what libraries are told, who is told otherwise, and that it is enough.

`pytest -m slow tests/base/test_instructions.py` compares this processor with the Intel one (Haswell) that valgrind
plays, where it is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from flows.engine.discover import papers
from flows.engine.expand import expand
from flows.engine.stages import path
from flows.engine.variant import Variant
from tasks.base import instructions
from tasks.base.errors import UserError
from tasks.base.instructions import NATIVE, PORTABLE, SETTINGS, allowed, flags, hold_to
from tasks.running.run import instructions_of

CPUINFO = "processor : 0\nflags : fpu sse2 {} movbe f16c bmi1 fma abm bmi2\n\nprocessor : 1\nflags : fpu\n"

OPERATIONS = """
import hashlib, json, sys
level = sys.argv[1]
from tasks.base.determinism import seed, set_process_environment
set_process_environment(level)
seed(None, ["numpy", "torch"], level)
import faiss, numpy, torch
from torch.nn import functional as F

random = numpy.random.default_rng(0)
x, y = (random.standard_normal((129, 384)).astype("f4") for _ in range(2))
a, b = torch.from_numpy(x), torch.from_numpy(y)
index = faiss.IndexFlatIP(384)
index.add(x)
torch.manual_seed(1)
layer = torch.nn.TransformerEncoderLayer(48, 4, 96, batch_first=True, dropout=0.0)
model = torch.nn.Sequential(torch.nn.Embedding(64, 48), layer, torch.nn.Linear(48, 64))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(4):
    tokens = torch.randint(64, (4, 33))
    loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
picture = torch.randn(2, 3, 17, 17)
found = {
    "numpy product": x @ y.T, "numpy exp": numpy.exp(x), "numpy arcsinh": numpy.arcsinh(x), "numpy sum": x.sum(1),
    "torch product": a @ b.T, "torch product, doubles": a.double() @ b.double().T, "torch vector": a[0] @ b.T,
    "torch exp": a.exp(), "torch erf": a.erf(), "torch gelu": F.gelu(a), "torch softmax": a.softmax(1),
    "torch norm": F.layer_norm(a, (384,)), "torch convolution": torch.nn.Conv2d(3, 8, 3)(picture),
    "torch lstm": torch.nn.LSTM(384, 24)(a)[0], "torch half": (a.bfloat16() @ b.bfloat16().T).float(),
    "faiss": index.search(y, 5)[0], "training": torch.cat([w.flatten() for w in model.parameters()]),
}
arrays = {name: torch.as_tensor(value).detach().contiguous().numpy() for name, value in found.items()}
print(json.dumps({name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in arrays.items()}))
"""


def operations(level: str, *under: str, **environment: str) -> dict[str, str]:
    """Digests of what libraries compute when they are held to a level, in a process that runs `under` another."""
    said = subprocess.run(
        [*under, sys.executable, "-c", OPERATIONS, level],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(said.stdout)
    return found


@pytest.mark.parametrize(("has", "expected"), [("avx2", True), ("avx2 avx512f", True), ("avx", False)])
def test_a_machine_has_the_level_or_has_it_not(has: str, expected: bool, tmp_path: Path) -> None:
    """A machine without AVX2 that records the common level would claim bytes which it cannot make."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(has))
    assert instructions.has_portable(cpuinfo) is expected


def test_another_level_is_another_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of one processor under the name of all would be confirmed by nobody."""
    monkeypatch.delenv(instructions.WISH, raising=False)
    monkeypatch.setattr(instructions, "has_portable", lambda: True)
    assert allowed("Xeon × 2") == PORTABLE
    assert allowed("Xeon × 2", hardware=True) == NATIVE
    monkeypatch.setenv(instructions.WISH, "1")
    assert allowed("Xeon × 2") == "native on Xeon × 2"
    monkeypatch.delenv(instructions.WISH)
    monkeypatch.setattr(instructions, "has_portable", lambda: False)
    assert allowed("Pentium × 1") == "native on Pentium × 1"


def test_libraries_are_told_and_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that measures time under the settings of the others would measure half of its processor."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    hold_to(PORTABLE)
    assert {name: os.environ[name] for name in SETTINGS} == SETTINGS
    hold_to(NATIVE)
    assert not SETTINGS.keys() & os.environ.keys()
    monkeypatch.setenv("XLA_FLAGS", "--of=a-user")
    hold_to(NATIVE)
    assert os.environ["XLA_FLAGS"] == "--of=a-user"


def test_a_stage_does_as_its_machine_is_described(tmp_path: Path) -> None:
    for level in (PORTABLE, NATIVE):
        (tmp_path / "environment.json").write_text(json.dumps({"instructions": level}))
        assert instructions_of(str(tmp_path)) == level
    (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(UserError, match="tenfold reproduce"):
        instructions_of(str(tmp_path))


def test_what_uses_one_processors_instructions_is_recorded_with_its_model() -> None:
    """Bytes of one processor that are recorded as those of all would be confirmed by nobody."""
    for paper in papers().values():
        native = {stage.function for stage in paper.stages.values() if stage.native or stage.kind == "measure"}
        for stage in expand(paper, Variant("cpu")):
            named = stage.environment == "data/machine"
            assert named == any(stage.function == path(function) for function in native), stage.title


@pytest.mark.skipif(not instructions.has_portable(), reason="this processor has no AVX2")
def test_the_level_holds_what_it_should() -> None:
    """A setting that no library reads (as `FAISS_OPT_LEVEL` since FAISS 1.14) would look like one that works.

    On a processor that has more than AVX2, each of the libraries gives other bytes when it is not held.
    """
    held, native = operations(PORTABLE), operations(NATIVE)
    assert held == operations(PORTABLE)
    if "avx512f" in flags(Path("/proc/cpuinfo").read_text().splitlines()):
        changed = {name.split()[0] for name in held if held[name] != native[name]}
        assert {"numpy", "torch", "faiss", "training"} <= changed


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind, which plays an Intel processor, is not installed")
def test_an_intel_processor_gives_the_same_bytes() -> None:
    assert operations(PORTABLE, "valgrind", "--tool=none", "-q") == operations(PORTABLE)

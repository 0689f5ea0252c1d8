"""Papers compile to files that say exactly what a stage depends on."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Clone

from flows.engine.compile import compiled, stale
from flows.engine.discover import papers, read
from flows.engine.expand import expand
from flows.engine.paper import Claim, Discrepancy, Paper, Stage, less
from flows.engine.variant import Variant, variant
from tasks.base.errors import UserError
from tasks.base.manifest import import_closure
from tasks.judging.results import Table

EVERY_STAGE = "tasks/base/determinism.py"


def test_the_compiled_files_are_current() -> None:
    assert stale(compiled(papers())) == []


def test_papers_load_without_heavy_libraries() -> None:
    code = (
        "import sys; from flows.engine.discover import papers; papers()\n"
        "print(sorted({'torch', 'numpy', 'datasets', 'prefect', 'mlflow', 'dvc'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_no_python_file_shadows_mlflow() -> None:
    assert not list((ROOT / "mlflow").rglob("*.py"))
    assert not (ROOT / "mlflow.py").exists()


LOADED = """
import importlib, os, pathlib, sys
import numpy, pydantic, yaml  # which most of them load: once, before the forks
for module in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(module)
        files = [pathlib.Path(file) for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))]
        own = [file.relative_to(os.getcwd()) for file in files if file.is_relative_to(os.getcwd())]
        print(module, *[file for file in own if ".venv" not in file.parts], flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, module
"""
"""What importing each module loads of this repository, in a process of its own that has loaded none of it before."""


@pytest.mark.parametrize("name", sorted(papers()))
def test_the_closure_holds_every_module_that_loading_a_stage_loads(name: str) -> None:
    """Against the interpreter itself: what import really loads must be in the list that was read from the text."""
    modules = {stage.function.__module__ for stage in papers()[name].stages.values()}
    command = [sys.executable, "-c", LOADED, *sorted(modules)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {line.split()[0]: set(line.split()[1:]) for line in ended.stdout.splitlines()}
    assert set(loaded) == modules
    for module, files in loaded.items():
        assert files, f"{module} is a file itself"
        assert files <= set(import_closure(module))


def test_an_edit_reruns_exactly_the_stages_that_import_the_module(done: Clone) -> None:
    """For each module of the tiny paper's world: the stages to run are those whose text reaches it by imports."""
    pipeline = yaml.safe_load((done.root / "pipelines/quick/tiny/dvc.yaml").read_text())["stages"]
    for module in (
        "tasks/tiny.py",
        "tasks/learning/train.py",
        "tasks/judging/results.py",
        "models/config.py",
        EVERY_STAGE,
    ):
        before = (done.root / module).read_text()
        (done.root / module).write_text(before + "\nEDITED = True\n")
        status = done.tenfold("status").stdout
        must_run = {line.split()[1] for line in status.splitlines() if line.startswith("●")}
        importers = {f"tiny/{name}" for name, stage in pipeline.items() if reaches(done, stage["cmd"], module)}
        assert {title for title in must_run if title.startswith("tiny/")} == importers, module
        (done.root / module).write_text(before)


def reaches(clone: Clone, command: str, wanted: str) -> bool:
    """Whether the command's function, or what makes runs deterministic, imports a file, by a search of its own."""
    waiting, seen = [command.split()[3].split(":")[0], "tasks.base.determinism"], set()
    while waiting:
        module = waiting.pop()
        path = clone.root / (module.replace(".", "/") + ".py")
        if module in seen or not path.exists():
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
    return wanted.removesuffix(".py").replace("/", ".") in seen


def test_an_undeclared_import_fails_the_stage(done: Clone) -> None:
    (done.root / "tasks/hidden.py").write_text('"""A module that no import statement names."""\n')
    hidden = '    import importlib\n\n    importlib.import_module("tasks." + "hidden")'
    said = '    spool.note("The texts are clean.")'
    done.edit("tasks/tiny.py", lambda code: code.replace(said, hidden))
    ended = done.tenfold("reproduce", check=False)
    assert ended.returncode == 1
    assert "used tasks/hidden.py" in ended.stdout
    assert "data/code/tasks.tiny.json does not list" in ended.stdout


def test_a_variant_holds_only_what_the_change_reaches() -> None:
    btx = papers()["btx"]
    plain = {stage.name for stage in expand(btx, Variant("quick"))}
    changed = {stage.name: stage for stage in expand(btx, variant("quick", ["finetuned.balance=0.0"]))}
    assert set(changed) == {"finetuned-0", "evaluation-0", "results", "verdicts"}
    assert set(changed) < plain
    assert changed["finetuned-0"].inputs["mixture"] == "data/quick/btx/merged-0"
    assert changed["finetuned-0"].out == "data/quick+finetuned.balance=0.0/btx/finetuned-0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("finetuned.balanse=0", "Did you mean balance?"),
        ("finetund.balance=0", "Did you mean finetuned?"),
        ("finetuned.balance=-1", "greater than or equal to 0"),
        ("finetuned.balance=NaN", "balance"),
        ("finetuned.optimisation.steps=0", "greater than 0"),
        ("finetuned.optimisation.steps=ten", "valid integer"),
        ("finetuned.optimisation=3", "a group of settings"),
        ("expert.domain=code", "runs once for each domain"),
        ("finetuned", "not of the form"),
        ("finetuned.balance=$(rm)", "must be a number"),
    ],
)
def test_a_wrong_setting_is_one_sentence(change: str, said: str) -> None:
    with pytest.raises(UserError, match=r"(?s).") as caught:
        expand(papers()["btx"], variant("quick", [change]))
    assert said in str(caught.value)


def refused(test: Any, said: str, tables: Sequence[Table] = ()) -> None:
    """BTX with this one claim and these tables does not compile, and says why."""
    import flows.btx as module

    before = module.paper
    try:
        claim = Claim("x", "x", "Table 1", "P", "1", "ours", test, "holds")
        module.paper = Paper("t", "a", 2024, "1", [claim], [], [], list(tables))
        with pytest.raises(UserError, match=said):
            expand(read(module), Variant("quick"))
    finally:
        module.paper = before


def test_a_claim_on_a_quantity_that_nobody_measures_does_not_compile() -> None:
    from flows.btx import stages

    bits = stages.evaluation["bits_per_bite"]
    refused(less(bits, bits), "Did you mean bits_per_byte")


def test_a_table_of_a_quantity_that_nobody_declares_does_not_compile() -> None:
    """It went unseen at quick, where nothing measured it, and after an hour at cpu no page could be drawn."""
    from flows.btx import stages

    bits = stages.evaluation["bits_per_byte"]
    wrong = Table(title="Bits", rows="arm", quantities=("bits_per_byte", "bits_per_bite"))
    refused(less(bits, bits), "table 'Bits': no stage declares bits_per_bite.*Did you mean bits_per_byte", [wrong])


def test_a_test_that_cannot_be_meant_does_not_compile() -> None:
    from flows.btx import stages

    bits = stages.evaluation["bits_per_byte"]
    refused(less(bits, 1.0, margin=0.1), "a margin says whose it is")
    refused(less(bits, 1.0, items="document", cluster="seed"), "are no clusters")
    refused(less(bits, 1.0, items="document", paired=""), "are crossed with what pairs")
    refused(less(bits, 1.0, fixed="seeds"), "there is no interval, unless it is over items")
    refused(less(bits, 1.0, discrepancy=Discrepancy(bits, "arm", 1.0)), "a discrepancy is that of a simulator")


def test_a_stage_with_a_wrong_input_does_not_compile() -> None:
    from flows import btx
    from flows.btx import stages

    before = stages.merged
    try:
        stages.merged = Stage(before.function, before.config, {"expert": stages.expert}, before.each)
        with pytest.raises(UserError, match="also needs the input experts"):
            expand(read(btx), Variant("quick"))
        stages.merged = Stage(before.function, before.config, {**before.inputs, "experts": stages.tokens}, before.each)
        with pytest.raises(UserError, match="the input experts is one stage"):
            expand(read(btx), Variant("quick"))
    finally:
        stages.merged = before


def test_an_input_can_depend_on_the_profile() -> None:
    """As settings can: a small decoder of our own on two cores, a pretrained one on a GPU."""
    found = {}
    for profile in ("quick", "gpu"):
        stages = {stage.name: stage for stage in expand(papers()["altogether"], Variant(profile))}
        found[profile] = stages["pretrained-1"].inputs["language"]
    assert found == {"quick": "data/quick/altogether/subwords", "gpu": "data/sources/smollm2"}


def test_commands_run_without_tenfold(done: Clone) -> None:
    """A compiled command is all that is needed to make a stage's output."""
    pipeline = yaml.safe_load((done.root / "pipelines/quick/tiny/dvc.yaml").read_text())["stages"]
    command = pipeline["cleaned"]["cmd"].split()
    before = {path.name: path.read_bytes() for path in (done.root / "data/quick/tiny/cleaned").iterdir()}
    for path in (done.root / "data/quick/tiny/cleaned").iterdir():
        path.unlink()
    done.run(*command[1:])
    assert {path.name: path.read_bytes() for path in Path(done.root / "data/quick/tiny/cleaned").iterdir()} == before


def test_a_variant_is_compiled_for_the_named_papers_alone() -> None:
    """The other papers do not have the stage that it changes: for them it would be an error."""
    known, chosen = papers(), variant("quick", ["expert.general=0.2"])
    added = set(compiled(known, [chosen], ["btx"])) - set(compiled(known))
    assert {path.split("/")[2] for path in added} == {"btx"}
    with pytest.raises(UserError, match="has no stage expert"):
        compiled(known, [chosen], ["hardware_scaling"])

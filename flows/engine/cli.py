"""The `tenfold` command."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flows.engine.cluster.commands import add_to as add_cluster_commands_to
from flows.engine.cluster.commands import require_dask
from flows.engine.console import console, cores
from flows.engine.errors import Interrupted
from flows.engine.new import new
from flows.engine.server import configure, prefect_server, wait_until_up
from flows.engine.verdict_commands import INDEX, REPORT_FOLDER, add_to
from tasks.base.errors import UserError
from tasks.base.files import ROOT, STATE, slug
from tasks.running import failures

if TYPE_CHECKING:
    from flows.engine.evidence import Evidence
    from flows.engine.plan import Plan
    from flows.engine.stages import ConcreteStage
    from flows.engine.store import Store
    from flows.engine.variant import Variant

app = typer.Typer(
    name="tenfold",
    help="Reproduce machine-learning papers as pipelines, down to a verdict on each claim.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(invoke_without_command=True)
app.add_typer(data_app, name="data")
add_to(app)
add_cluster_commands_to(app)
app.command()(new)

Papers = Annotated[list[str] | None, typer.Argument(metavar="[PAPER]...", help="Short names; all by default.")]
Profile = Annotated[str, typer.Option("--profile", "-p", help="quick, cpu or gpu.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="A setting, as in expert.steps=500.")
]
ClusterOption = Annotated[
    str, typer.Option("--cluster", metavar="FILE|ADDRESS", help="Run on other machines: docs/cluster.md.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Stages at once; by default one a core.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """Reproduce machine-learning papers as pipelines, down to a verdict on each claim."""
    if debug:
        os.environ["TENFOLD_DEBUG"] = "1"


@app.command()
def reproduce(
    papers: Papers = None,
    profile: Profile = "quick",
    settings: Settings = None,
    jobs: Jobs = None,
    cluster: ClusterOption = "",
    plain: Annotated[bool, typer.Option("--plain", help="Without Prefect and MLflow: the record alone.")] = False,
) -> None:
    """Run what is not up to date, and say what came of each paper.

    Examples:

        tenfold reproduce

        tenfold reproduce btx --profile cpu

        tenfold reproduce btx -S expert.general=0.05 --jobs 1

        tenfold reproduce btx --cluster tls://10.0.0.5:8786
    """
    from flows.engine.evidence import gather, judged_in, of_plan
    from flows.engine.plain import reproduce as run_plainly
    from flows.engine.terminal import show_plan
    from flows.engine.variant import variant

    chosen = variant(profile, settings or [])
    store, planned = _plan(papers, chosen, record=True)
    if not planned.work:
        console.print(f"Nothing to do: {len(planned.stages)} stages are up to date.")
        _show_summary(of_plan(planned, chosen, store), ran=False)
        return
    show_plan(planned, jobs or cores(), elsewhere=bool(cluster))
    if plain:
        run_plainly(papers or [], profile, settings or [], jobs, cluster)
    else:
        with prefect_server() as address:
            # The server comes up in its own process while this one imports prefect.
            from flows.engine import reproduce as engine

            wait_until_up(address)
            engine.reproduce(papers or [], profile, settings or [], jobs, cluster)
    # What has just been brought up to date is read anew.
    names = [stage.paper for stage in judged_in(planned, chosen)]
    _show_summary(gather(names, chosen.base, [f"{key}={value}" for key, value in chosen.changes]), ran=True)


@app.command("list")
def list_papers() -> None:
    """List the papers, with their claims and stages.

    Example:

        tenfold list
    """
    from rich.table import Table

    from flows.engine.discover import papers as all_papers
    from flows.engine.plan import select
    from flows.engine.variant import Variant

    table = Table("paper", "title", "arXiv", "claims", "stages (quick)")
    for name, experiment in all_papers().items():
        paper = experiment.paper
        stages = [stage for stage in select([name], Variant("quick"), {name: experiment}) if stage.paper == name]
        table.add_row(name, paper.title, paper.arxiv, str(len(paper.claims)), str(len(stages)))
    console.print(table)


@app.command()
def status(papers: Papers = None, profile: Profile = "quick", settings: Settings = None) -> None:
    """Show each stage: up to date, to run and why, or after one that must run.

    Example:

        tenfold status btx --profile cpu
    """
    from flows.engine.terminal import show_status
    from flows.engine.variant import variant

    _, planned = _plan(papers, variant(profile, settings or []))
    show_status(planned)


@app.command()
def why(
    stage: Annotated[str, typer.Argument(help="A stage's name, as `tenfold status` shows it.")],
    profile: Profile = "quick",
    settings: Settings = None,
) -> None:
    """Say why a stage would run: which code, setting, input or part of the environment changed.

    Example:

        tenfold why btx/finetuned-0
    """
    from flows.engine.plan import find_stage
    from flows.engine.variant import variant

    _, planned = _plan(None, variant(profile, settings or []))
    chosen = find_stage(stage, planned.stages)
    reasons = planned.reasons[chosen.out]
    for reason in reasons:
        console.print(f"{chosen.title}: {reason}", markup=False)
    if not reasons:
        console.print(f"{chosen.title} is up to date.")
    if chosen.out in planned.waiting:
        earlier = [s.title for s in planned.work if s.out in chosen.input_folders]
        console.print(f"It comes after {', '.join(earlier)}, which may run first.")


@app.command("compile")
def compile_command(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file is not current.")] = False,
) -> None:
    """Write `pipelines/`, `dvc.yaml`, `prefect.yaml` and the experiments' descriptions from the papers.

    Example:

        tenfold compile --check
    """
    from flows.engine.compile import compiled, stale, write
    from flows.engine.discover import broken
    from flows.engine.discover import papers as all_papers

    files = compiled(all_papers())
    if unread := broken():
        raise UserError(f"{', '.join(unread)}: cannot be compiled as long as it cannot be read; see above for why.")
    changed = stale(files) if check else write(files)
    if check and changed:
        raise UserError(f"{', '.join(changed)}: not what the papers compile to. Run tenfold compile.")
    for path in changed:
        console.print(f"wrote {path}")
    console.print(f"{len(files)} compiled files are current.")


@app.command()
def verify(
    papers: Papers = None,
    profile: Profile = "quick",
    rerun: Annotated[str | None, typer.Option(help="Recompute this stage in a scratch folder and compare.")] = None,
) -> None:
    """Re-hash every output and cached object against the record.

    Examples:

        tenfold verify btx

        tenfold verify --rerun btx/tokens
    """
    from flows.engine.discover import papers as all_papers
    from flows.engine.plan import find_stage, select
    from flows.engine.store import Store
    from flows.engine.surroundings import refresh
    from flows.engine.variant import Variant, variant

    stages = select(papers or [], Variant(variant(profile, []).base), all_papers())
    if rerun:
        refresh([stage for stage in stages if stage.kind == "environment"])
        _rerun(find_stage(rerun, stages))
        return
    store = Store()
    there = [stage for stage in stages if stage.kind != "environment"]
    known = [stage for stage in there if store.digest(stage)]
    if not known:
        raise UserError(f"None of these {len(there)} stages is on record at {profile}, so there is nothing to verify.")
    damages = store.verify(known)
    for damage in damages:
        again = f"tenfold reproduce {damage.stage.paper} --profile {profile}"
        console.print(f"{damage.path} ({damage.stage.title}): {damage.problem}.", markup=False)
        console.print(f"  To mend it: {damage.remove} && {again}", markup=False)
    if damages:
        raise UserError(f"{len(damages)} damaged or missing files.")
    console.print(f"The outputs and cached objects of {len(known)} stages are what the record says.")
    if left := [stage.title for stage in there if stage not in known]:
        console.print(f"Of {len(left)} others nothing is on record: {', '.join(left[:3])}{', …' if left[3:] else ''}.")


@data_app.callback()
def data(context: typer.Context) -> None:
    """Show the data sources: what they are, under which licence, and whether they are here.

    Example:

        tenfold data
    """
    if context.invoked_subcommand:
        return
    from rich.table import Table

    from flows.engine.catalogue import catalogue
    from flows.engine.stages import source_folder

    table = Table("source", "kind", "package", "licence", "here")
    for name, entry in catalogue().items():
        folder = ROOT / source_folder(name)
        here = "no"
        if (folder / "unavailable.json").exists():
            try:
                here = json.loads((folder / "unavailable.json").read_text())["reason"]
            except (ValueError, KeyError, TypeError):
                here = "damaged, until the next tenfold reproduce"
        elif folder.exists():
            here = f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.1f} MB"
        source = entry.source
        table.add_row(name, source.kind, f"{source.package} {source.version}".strip(), entry.licence, here)
    console.print(table)
    console.print("To use a paper's own data, see `replaces` in data/sources.yaml.")


@data_app.command()
def push(remote: Annotated[str | None, typer.Argument(help="A DVC remote; the default one otherwise.")] = None) -> None:
    """Copy the cache, with its record of runs, to a DVC remote.

    Example:

        dvc remote add -d store /mnt/store && tenfold data push
    """
    from flows.engine.store import Store

    console.print(f"{Store().push(remote)} files pushed.")


@data_app.command()
def pull(remote: Annotated[str | None, typer.Argument(help="A DVC remote; the default one otherwise.")] = None) -> None:
    """Fetch the recorded outputs from a DVC remote, so that nothing has to run.

    Example:

        tenfold data pull
    """
    from flows.engine.store import Store

    fetched, missing = Store().pull(remote)
    console.print(f"{fetched} files fetched.")
    if missing:
        few = ", ".join(missing[:3]) + (", …" if missing[3:] else "")
        console.print(f"{len(missing)} recorded outputs are not here, for the remote does not have them: {few}")


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = 4200,
) -> None:
    """Open the MLflow and Prefect pages on this machine until Ctrl-C.

    Example:

        tenfold ui --mlflow-port 5001
    """
    from flows.engine.ui import serve

    serve(mlflow_port, prefect_port)


@app.command()
def doctor(cluster: ClusterOption = "") -> None:
    """Check that this machine, and the cluster if one is named, has what the pipelines need.

    Examples:

        tenfold doctor

        tenfold doctor --cluster cluster.yaml
    """
    from flows.engine import doctor as examination

    checks = examination.examine()
    if cluster:
        require_dask()
        from flows.engine.cluster.examine import examine

        checks += examine(cluster)
    for check in checks:
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]" if check.needed else "[yellow]–[/]"
        console.print(f"{mark} {check.name}: {check.found}")
    broken = [check for check in checks if check.needed and not check.passed]
    if broken:
        raise UserError(f"{len(broken)} of {len(checks)} checks failed: {'; '.join(check.advice for check in broken)}.")


def _plan(papers: list[str] | None, chosen: "Variant", *, record: bool = False) -> "tuple[Store, Plan]":
    """The record, and the stages of these papers as compared with it."""
    from flows.engine.plan import current
    from flows.engine.store import Store

    store = Store()
    planned, changed = current(papers or [], chosen, store, record=record)
    if changed:
        console.print(f"Compiled {len(changed)} files: {', '.join(changed[:3])}{', …' if len(changed) > 3 else ''}")
    return store, planned


def _show_summary(found: "list[Evidence]", *, ran: bool) -> None:
    """Say what came of the papers, and write the report, unless nothing ran and it is current."""
    from flows.engine.summary import is_current, show_page, show_summary

    show_summary(found)
    if not ran and is_current(REPORT_FOLDER / INDEX):
        show_page(REPORT_FOLDER / INDEX)
        return
    from flows.engine.discover import papers as all_papers
    from flows.engine.evidence import gather
    from flows.engine.report import write_report

    others = sorted(set(all_papers()) - {evidence.name for evidence in found})
    every = [*found, *(gather(others, None, []) if others else [])]
    show_page(write_report(sorted(every, key=lambda evidence: evidence.name), REPORT_FOLDER))


def _rerun(stage: "ConcreteStage") -> None:
    """Recompute one stage into a scratch folder and compare its digest with the record's."""
    from flows.engine.store import Store
    from tasks.running.digests import Digests

    if stage.kind == "measure":
        raise UserError(f"{stage.title} measures time, so its bytes differ each time: choose another stage.")
    scratch = STATE / "scratch" / f"{slug(stage.out)}-{os.getpid()}"
    command = stage.command.split()[1:]
    command[command.index("--out") + 1] = str(scratch.relative_to(ROOT))
    try:
        ended = subprocess.run([sys.executable, *command], cwd=ROOT)
        if ended.returncode:
            raise UserError(f"{stage.title} failed when it ran again; its last lines are above.")
        recorded, computed = Store().digest(stage), Digests(fresh=True).digest(str(scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if recorded != computed:
        raise UserError(f"{stage.title} gave {computed}, but the record says {recorded}: it is not reproducible here.")
    console.print(f"{stage.title} gave the same bytes again: {computed}.")


def main() -> None:
    """Run the command; a failure is one plain sentence and a non-zero exit."""
    _open_standard_streams()
    configure()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no dash shows another letter for it
            stream.reconfigure(errors="replace")
    try:
        if sys.flags.optimize > 1:
            raise UserError("PYTHONOPTIMIZE=2 takes away the papers' descriptions, which are compiled: unset it.")
        # Typer returns the code of what ended early, as by Ctrl-C before a stage has begun.
        if code := app(standalone_mode=False):
            sys.exit(code)
    except Interrupted as problem:
        _fail(problem, 128 + signal.SIGINT)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(128 + signal.SIGINT)
    except UserError as problem:
        _fail(problem, 1)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except typer._click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except Exception as problem:
        if os.environ.get("TENFOLD_DEBUG"):
            raise
        if lacks := failures.sentence(problem):
            _fail(UserError(lacks), 1)
        _fail(problem, 1, "Run the same command with tenfold --debug … to see where.")


def _open_standard_streams() -> None:
    """Where who starts us has closed one of them, as a daemon may, the next file would be taken for it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free; the processes that we start have it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _fail(problem: Exception, code: int, more: str = "") -> None:
    if os.environ.get("TENFOLD_DEBUG"):
        raise problem
    # Some libraries write a page; its first line has to do.
    sentence = next(iter(str(problem).strip().splitlines()), "") if more else str(problem)
    print(f"tenfold: {sentence or type(problem).__name__} {more}".strip(), file=sys.stderr)
    sys.exit(code)

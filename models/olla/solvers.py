"""Integer programs written with PuLP, solved by HiGHS or CBC, with the solver's own status and bound.

PuLP reports a solve that ran out of time as "Optimal", and its interface to HiGHS ignores a warm start. Here HiGHS's
model is asked itself, CBC's log is read, and "optimal" is said of nothing that was not proved. Each solve runs in a
process of its own, which is ended when it overruns its limit by far, as HiGHS does.
"""

import multiprocessing
import os
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import pulp

Solver = Literal["HiGHS", "CBC"]
Status = Literal["optimal", "feasible", "infeasible", "unknown"]

GRACE = 15.0
"""Seconds beyond its limit after which a solve is ended."""


@dataclass(frozen=True)
class Solved:
    """What a solver found, in the objective's units.

    `optimal` is said only where the solver proved it to within its gap; `bound` is its dual bound, -inf where it has
    none. `values` are by variable name; `seconds` are by the clock, with building left out. `course` has the seconds at
    which HiGHS found a better solution, with its objective.
    """

    status: Status
    objective: float
    bound: float
    values: Mapping[str, float]
    variables: int
    constraints: int
    seconds: float
    course: tuple[tuple[float, float], ...] = ()


def solve(
    model: pulp.LpProblem,
    solver: Solver = "HiGHS",
    seconds: float = 60.0,
    gap: float = 0.0,
    start: Mapping[str, float] | None = None,
) -> Solved:
    """Minimise a model.

    Args:
        model: the integer program.
        solver: which solver.
        seconds: a limit by the clock.
        gap: relative gap at which a solution counts as optimal; 0 asks for the proof.
        start: values by variable name from which the solver starts; all integer variables must have one.
    """
    counts = len(model.variables()), len(model.constraints)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    began = time.perf_counter()
    child = context.Process(target=_in_child, args=(theirs, model, solver, seconds, gap, start))
    child.start()
    theirs.close()
    found: dict[str, Any] = {"status": "unknown", "objective": float("inf"), "bound": float("-inf"), "values": {}}
    try:
        if ours.poll(seconds + GRACE):
            found = ours.recv()
    except EOFError:
        pass
    finally:
        if child.is_alive() and child.pid:
            os.killpg(child.pid, signal.SIGKILL)  # its own group, CBC with it
        child.join()
        ours.close()
    return Solved(**found, variables=counts[0], constraints=counts[1], seconds=time.perf_counter() - began)


def _in_child(
    pipe: Connection,
    model: pulp.LpProblem,
    solver: Solver,
    seconds: float,
    gap: float,
    start: Mapping[str, float] | None,
) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # HiGHS prints its name whatever it is told
    run = _highs if solver == "HiGHS" else _cbc
    pipe.send(run(model, seconds, gap, start))
    pipe.close()


class _WarmHighs(pulp.HiGHS):  # type: ignore[misc]
    """PuLP's interface to HiGHS with its warm start: values in the order of the model's variables."""

    def __init__(self, start: Mapping[str, float] | None, **options: Any) -> None:
        super().__init__(msg=False, **options)
        self.start = start
        self.course: list[tuple[float, float]] = []

    def callSolver(self, lp: pulp.LpProblem) -> None:  # noqa: N802 - PuLP's name
        import highspy

        if self.start:
            solution = highspy.HighsSolution()
            solution.col_value = [float(self.start.get(variable.name, 0.0)) for variable in lp.variables()]
            lp.solverModel.setSolution(solution)
        lp.solverModel.cbMipImprovingSolution.subscribe(self._improved)
        lp.solverModel.run()

    def _improved(self, event: Any) -> None:
        said = event.data_out
        self.course.append((float(said.running_time), float(said.objective_function_value)))


def _highs(model: pulp.LpProblem, seconds: float, gap: float, start: Mapping[str, float] | None) -> dict[str, Any]:
    import highspy

    run = _WarmHighs(start, timeLimit=seconds, gapRel=gap, threads=1)
    model.solve(run)
    highs = model.solverModel
    info, said = highs.getInfo(), highs.getModelStatus()
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    status: Status = "feasible" if feasible else "unknown"
    if said == highspy.HighsModelStatus.kOptimal:
        status = "optimal"
    elif said == highspy.HighsModelStatus.kInfeasible:
        status = "infeasible"
    values = {variable.name: variable.value() for variable in model.variables()} if feasible else {}
    objective = float(info.objective_function_value) if feasible else float("inf")
    bound = float(info.mip_dual_bound) if info.mip_node_count >= 0 else objective
    course = tuple(run.course)
    return {"status": status, "objective": objective, "bound": bound, "values": values, "course": course}


def _cbc(model: pulp.LpProblem, seconds: float, gap: float, start: Mapping[str, float] | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        if start:
            for variable in model.variables():
                variable.setInitialValue(start.get(variable.name, 0.0))
        model.solve(
            pulp.PULP_CBC_CMD(
                msg=False, timeLimit=seconds, gapRel=gap, threads=1, warmStart=bool(start), logPath=str(log)
            )
        )
        text = log.read_text() if log.exists() else ""
    proved = "Result - Optimal solution found" in text and "within gap tolerance" not in text
    said = re.search(r"Lower bound:\s+(\S+)", text)
    known = re.search(r"Objective value:\s+(\S+)", text)
    if "infeasible" in text and not known:
        return {"status": "infeasible", "objective": float("inf"), "bound": float("inf"), "values": {}}
    if known is None or any(variable.value() is None for variable in model.variables()):
        return {"status": "unknown", "objective": float("inf"), "bound": float("-inf"), "values": {}}
    objective = float(known[1])
    status: Status = "optimal" if proved or "Result - Optimal" in text else "feasible"
    bound = objective if proved else float(said[1]) if said else float("-inf")
    values = {variable.name: variable.value() for variable in model.variables()}
    return {"status": status, "objective": objective, "bound": bound, "values": values}

"""A paper with a stage of every kind, for the engine's own tests."""

from flows.engine.paper import Paper, Source, Stage
from models.config import Optimisation
from tasks import tiny, tiny_fitting
from tasks.report import Table

cleaned = Stage(tiny.clean, inputs={"texts": Source("texts")}, config=tiny.Letters(milliseconds=400))
line = Stage(
    tiny_fitting.fit,
    inputs={"cleaned": cleaned},
    config=tiny_fitting.Line(
        seed=0, optimisation=Optimisation(steps=400, batch=8, learning_rate=0.01), milliseconds=1500
    ),
    each={"seed": (0, 1)},
)
clocked = Stage(tiny.clock, inputs={"cleaned": cleaned}, config=tiny.Counting(), kind="measure")
counted = Stage(tiny.count, inputs={"cleaned": cleaned, "lines": line}, config=tiny.Counting())
letters = counted["letters"]

paper = Paper(
    title="Counting letters",
    authors="the tests",
    year=2026,
    arxiv="0000.00000",
    claims=[],
    scales=[],
    tables=[Table(title="Letters", rows="arm", quantities=("letters",), columns="domain")],
)

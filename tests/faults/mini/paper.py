"""A paper whose stages write a few bytes, so that a whole reproduction costs little: for the tests of faults."""

from flows.engine.paper import Claim, Control, Paper, Scale, Source, Stage, equivalent, greater
from tasks import mini
from tasks.judging.results import Table

cleaned = Stage(mini.clean, inputs={"texts": Source("texts")}, config=mini.Letters(keep=10))
drawn = Stage(
    mini.draw,
    inputs={"cleaned": cleaned},
    config=mini.Drawing(seed=0, length=1000),
    each={"seed": (0, 1)},
)
clocked = Stage(mini.clock, inputs={"cleaned": cleaned}, config=mini.Counting(), kind="measure")
counted = Stage(mini.count, inputs={"cleaned": cleaned, "drawn": drawn}, config=mini.Counting())
half = counted["share"].where(arm="half")
third = counted["share"].where(arm="third")
other_half = counted["share"].where(arm="other-half")

paper = Paper(
    title="Drawing numbers",
    authors="the tests",
    year=2026,
    arxiv="0000.00000",
    claims=[
        Claim(
            "half-is-more",
            says="A half is more than a third",
            source="Table 1",
            evidence="P",
            paper_value="0.5 against 0.33",
            whose="paper, direction only",
            test=greater(half, third),
            expected="holds",
        ),
    ],
    controls=[
        Control("planted", "planted", says="A half and a third differ", test=greater(half, third)),
        Control("shuffled", "shuffled", says="Halves agree", test=equivalent(half, other_half, margin=0.05)),
    ],
    scales=[Scale("texts", paper="1000", here="2")],
    tables=[Table(title="Shares", rows="arm", quantities=("share",), columns="domain")],
)

"""A paper with a stage of every kind, for the engine's own tests."""

from flows.engine.paper import Claim, Control, NotTested, Paper, Scale, Source, Stage, equivalent, greater
from models.config import Optimisation
from tasks import tiny, tiny_fitting
from tasks.judging.results import Table

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
half = counted["share"].where(arm="half")
third = counted["share"].where(arm="third")
other_half = counted["share"].where(arm="other-half")

paper = Paper(
    title="Counting letters",
    authors="the tests",
    year=2026,
    arxiv="0000.00000",
    claims=[
        Claim(
            "half-is-more",
            says="A half is more than a third <b>& bold</b>",
            source="Table 1",
            evidence="P",
            paper_value="0.5 against 0.33",
            whose="paper, with a number",
            test=greater(half, third, margin=0.1, margin_of="ours"),
            expected="holds",
        ),
        Claim(
            "third-is-more",
            says="A third is more than a half",
            source="Table 2",
            evidence="P",
            paper_value="0.33 against 0.5",
            whose="paper, with a number",
            test=greater(third, half),
            expected="does not hold at this scale",
        ),
        Claim(
            "halves-agree",
            says="Two halves agree within 0.05",
            source="Table 3",
            evidence="P",
            paper_value="0.5 and 0.5",
            whose="paper, with a number",
            test=equivalent(half, other_half, margin=0.05, margin_of="ours"),
            expected="holds",
        ),
        Claim(
            "one-half-is-more",
            says="One half is more than another",
            source="Table 4",
            evidence="P",
            paper_value="0.5 and 0.5",
            whose="paper, direction only",
            test=greater(half, other_half),
            expected="does not hold at this scale",
        ),
        Claim(
            "lines-count-alike",
            says="Both lines count the same letters",
            source="section 1",
            evidence="P",
            paper_value="equal",
            whose="foregone",
            test=equivalent(
                counted["letters"].where(arm="line-0"), counted["letters"].where(arm="line-1"), margin=0.0, paired=""
            ),
            expected="holds",
            method="computed",
        ),
        Claim(
            "all-languages",
            says="It is so in all languages",
            source="section 2",
            evidence="P",
            paper_value="7,000 languages",
            whose="paper, with a number",
            test=NotTested("There are only two texts."),
            expected="not tested",
        ),
    ],
    controls=[
        Control("planted", "planted", says="A half and a third differ", test=greater(half, third)),
        Control("shuffled", "shuffled", says="Halves agree", test=equivalent(half, other_half, margin=0.05)),
    ],
    scales=[Scale("texts", paper="1000", here="2")],
    tables=[Table(title="Letters", rows="arm", quantities=("letters",), columns="domain")],
    caveats=["The letters are few."],
)

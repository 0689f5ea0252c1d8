"""The controls that must pass before any claim of ConcurrentQA is judged."""

from flows.concurrentqa.claims import caught
from flows.concurrentqa.stages import scored
from flows.engine.paper import Control, all_of, at_most, greater

CONTROLS = [
    Control(
        "gold-chains-are-found",
        "planted",
        says="With the gold chain put among those retrieved, more questions have both passages",
        test=greater(
            scored["p_em"].where(arm="planted", policy="none", domain="all"),
            scored["p_em"].where(arm="mdr-mixed", policy="none", domain="all"),
        ),
    ),
    Control(
        "masking-afterwards-is-caught",
        "planted",
        says="A search that asks first and masks afterwards is seen to leak, in text and as vectors, under each policy",
        test=all_of(
            greater(caught("leaks", policy, domain, "masked-afterwards"), 0.0, paired="")
            for policy in ("document", "query")
            for domain in ("text", "vectors")
        ),
    ),
    Control(
        "missing-passages-are-missed",
        "shuffled",
        says="With every second gold passage taken out of the index, no question has both",
        test=at_most(
            scored["p_em"].where(arm="mdr-mixed-without-gold", policy="none", domain="all"), 0.0, margin=0.001
        ),
    ),
    Control(
        "other-questions-gold-is-not-found",
        "shuffled",
        says="Judged by another question's gold passages, at most 2 % of the questions have both",
        test=at_most(scored["p_em"].where(arm="shuffled", policy="none", domain="all"), 0.0, margin=0.02),
    ),
]

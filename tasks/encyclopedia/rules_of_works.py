"""How sentences state facts about works, organisations and events."""

from tasks.encyclopedia.names import NAME
from tasks.encyclopedia.rules import CONTAINER, DATE, ROLE, THE, YEAR, Rule, V, rule

WORK_RULES: tuple[Rule, ...] = (
    rule(
        "creator",
        "person",
        "work organisation concept other technology deity sport event",
        "led",
        (
            r"\b(?:written|authored|composed|painted|directed|created|sculpted|co-written|compiled|"
            r"written and directed|written and illustrated|produced and directed|directed and produced|"
            rf"designed|developed|invented|devised|drawn)(?: and [a-z]+)? by {ROLE}{V}"
        ),
        (
            r"(?:films|works|those|others|books|novels|plays|music|operas|be|screenplay|libretto|theme|"
            r"song|songs) (?:\w+ )?$"
        ),
        "person organisation",
        reach=60,
    ),
    rule(
        "creator",
        "person",
        "work other concept",
        "first",
        (
            r"\b(?:novel|novella|poem|play|tragedy|comedy|painting|film|opera|ballet|symphony|song|album|"
            r"book|treatise|epic|fresco|sculpture|story|memoir|musical|concerto|cycle|dialogue|text|work|"
            r"tale|statue|essay|mural|composition|autobiography|collection|bildungsroman|satire|singspiel|"
            rf"series) (?:in \w+ acts? |from \d+ (?:\w+ )?|of \d+ |in \d{{4}} )?by {ROLE}{V}"
        ),
        "",
        "person organisation",
        reach=60,
    ),
    rule("year", "year", "work other", "first", r"\bis an? (?:[\w-]+ )?(?P<v>1[4-9]\d\d|20[0-2]\d) (?!in\b)[\w-]+"),
    rule(
        "year",
        "year",
        "work",
        "led",
        (
            r"\b(?:[Pp]ublished|[Rr]eleased|premiered|[Pp]ainted|composed|[Ww]ritten|completed|"
            rf"first performed|debuted|finished)\b[^.;0-9]{{0,35}}? (?:in|on) {DATE}{YEAR}"
        ),
        r"(?:not|un|re|posthumously) ?$",
    ),
    rule(
        "based_on",
        "work",
        "work other",
        "led",
        rf"\b(?:based on|adaptation of|adapted from)(?: the)?(?: \d{{4}})?(?: [a-z]+)* [“\"]?{V}",
        "",
        "work",
    ),
    rule(
        "set_in",
        "place",
        "work",
        "led",
        rf"\b[Ss]et (?:primarily |mainly |mostly |largely )?in {CONTAINER}(?:[a-z]+ )*{V}",
        "",
        "place realm",
    ),
    rule(
        "kept_in",
        "place",
        "work",
        "led",
        (
            r"\b(?:housed|held|displayed|exhibited|on display|hangs|kept|[Cc]ollection)(?: permanently)? "
            rf"(?:in|at|of) (?:the )?(?:[a-z]+ of the )*{V}"
        ),
        r"was first |was $",
        "place organisation",
    ),
    rule(
        "founder",
        "person",
        "organisation place realm event discipline concept language work",
        "led",
        (
            rf"\b(?:founded|co-founded|established|formed|created|started)(?: (?:in|on) {DATE}\d{{3,4}}(?: "
            rf"(?:BC|AD|BCE|CE))?)?(?: in [A-Z][\w ]+,? ?[\w ]*?| as [\w ]+?)?,? by {ROLE}{V}"
        ),
        r"(?:cities|that was|which was|city) (?:\w+ )?$",
        "person",
        reach=40,
    ),
    rule(
        "founded_year",
        "year",
        "organisation place realm event",
        "led",
        (
            r"\b(?:[Ff]ounded|[Ee]stablished|[Ii]ncorporated|[Ff]ormed|[Cc]reated)\b"
            rf"(?: [^.;,0-9]{{0,45}}?)?? (?:in|on) {DATE}{YEAR}"
        ),
        r"(?:was not|re|re-|university|church|companies|cities|which was|who) ?$",
        reach=40,
    ),
    rule(
        "headquarters",
        "place",
        "organisation",
        "led",
        (
            r"\b(?:[Hh]eadquartered|[Hh]eadquarters (?:is|are)?(?: located)?|[Bb]ased|[Hh]ead office"
            rf"(?:s)? (?:is|are)?(?: located)?|main office)(?: is| are)? (?:in|at) {CONTAINER}"
            rf"(?:the city of )?{V}"
        ),
        r"(?:non-|faith-|those |company )$",
        "place",
    ),
    rule(
        "parent",
        "organisation",
        "organisation technology",
        "led",
        (
            rf"\b(?:subsidiary|division|brand|unit|part|agency)(?: \w+)? of {THE}(?:[A-Z][a-z]+ company |"
            rf"[a-z]+ )*{V}|\bowned by {ROLE}(?P<w>{NAME})"
        ),
        "",
        "organisation",
    ),
    rule(
        "developer",
        "organisation",
        "technology work sport organisation",
        "led",
        rf"\b(?:developed|manufactured|maintained|operated)(?: and [a-z]+)? by {ROLE}{V}",
        r"(?:software|languages|those|be) $",
        "organisation person",
        reach=60,
    ),
    rule(
        "members",
        "number",
        "organisation",
        "led",
        r"\b(?P<v>\d{2,3}) (?:sovereign |full )?member (?:states|countries|nations|associations)",
    ),
    rule(
        "start_year",
        "year",
        "event realm",
        "led",
        (
            r"\b(?:from|between|lasted from|fought from|ruled from|in power from|began in|beginning in|"
            rf"started in|broke out in|existed from|reigned from|lasting from|dating from) {DATE}{YEAR}"
        ),
        r"(?:born|century) $",
    ),
    rule(
        "end_year",
        "year",
        "event realm",
        "first",
        rf"\b(?:from|between) {DATE}\d{{2,4}}(?: (?:BC|AD|BCE|CE))? (?:to|until|and|through) {DATE}{YEAR}",
    ),
    rule(
        "end_year",
        "year",
        "event realm",
        "led",
        (
            r"\b(?:ended|ending|collapsed|concluded|dissolved|surrendered|until its (?:end|dissolution|"
            rf"collapse|fall|conquest))\b[^.;0-9]{{0,40}}? (?:in|on) {DATE}{YEAR}"
        ),
    ),
    rule(
        "winner",
        "term",
        "event",
        "led",
        rf"\b(?:victory (?:for|of|by)|won by) (?:the )?(?:forces of )?(?:the )?{V}",
        "",
        "place realm people organisation person",
    ),
    rule(
        "led_by",
        "person",
        "event organisation",
        "led",
        (
            r"\b(?:led by|under the (?:command|leadership) of|commanded by|instigated by|headed by|"
            rf"initiated by|launched by) {ROLE}{V}"
        ),
        "",
        "person",
    ),
)

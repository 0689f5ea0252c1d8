"""How sentences state facts about living things, substances, languages and ideas."""

from tasks.encyclopedia.rules import ABOUT, CONTAINER, DATE, NUMBER, ROLE, YEAR, Rule, V, rule

NATURE_RULES: tuple[Rule, ...] = (
    rule(
        "family",
        "taxon",
        "organism substance other",
        "led",
        (
            r"\b(?:in|of|to|from|within|comprising|make up|forming|form) the (?:[a-z]+(?:-[a-z]+)? )*?"
            r"(?:subfamily \w+ (?:of|in|within) the )?family (?P<v>[A-Z][a-z]+)\b|\b(?:in|of) the "
            r"(?P<w>[a-z-]+ family)\b"
        ),
        r"sub$|includes? [\w ]+$",
        "organism other",
    ),
    rule(
        "order",
        "taxon",
        "organism other",
        "led",
        r"\b(?:in|of|to|within|comprising|make up|forming|form) the (?:[a-z]+ )*?order (?P<v>[A-Z][a-z]+)\b",
        "",
        "organism other",
    ),
    rule(
        "class",
        "taxon",
        "organism other",
        "led",
        r"\b(?:in|of|to|within|comprising|make up|forming|form) the (?:[a-z]+ )*?(?:class|phylum) (?P<v>[A-Z][a-z]+)\b",
        "sub|super",
        "organism other",
    ),
    rule(
        "genus",
        "taxon",
        "organism",
        "first",
        r"\b(?:in|of|to|within|make up) the (?:[a-z]+ )*?genus (?P<v>[A-Z][a-z]+)\b",
        "",
        "organism",
    ),
    rule(
        "native_to",
        "place",
        "organism",
        "led",
        rf"\b(?:native|endemic|indigenous) to (?:the )?(?:[a-z]+(?:,| and)? )*?{V}",
        r"not $",
        "place",
    ),
    rule(
        "species",
        "number",
        "organism",
        "led",
        (
            r"\b(?:contains?|containing|includes?|including|has|have|with|of|comprises?|comprising|"
            r"There are|consists of|are|and) (?:about|around|approximately|over|some|almost|nearly|"
            r"roughly|more than|only|the|at least|up to)? ?(?P<v>\d[\d,.]*) (?:living |extant |known |"
            r"described |recognized |recognised |accepted |named |currently accepted |"
            r"different )*species\b(?! out of)"
        ),
        r"\d $|one of the|other|genus[\w ]*families|\d to |subfamily|subgenus",
    ),
    rule("symbol", "text", "substance", "led", r"\bsymbol (?P<v>[A-Z][a-z]?)\b"),
    rule("atomic_number", "number", "substance", "led", r"\batomic number (?P<v>\d{1,3})\b"),
    rule(
        "formula",
        "text",
        "substance",
        "first",
        r"\b(?:chemical|molecular) formula (?P<v>(?:[A-Z][a-z]?\d*|\([A-Za-z0-9]+\)\d*){2,})(?![\w(\[=·])",
    ),
    rule(
        "discoverer",
        "person",
        "substance place organism concept disease organ",
        "led",
        rf"\b(?:discovered|identified|isolated|first observed)(?: (?:in|on) {DATE}\d{{4}})? by {ROLE}{V}",
        r"(?:those|were|fossils) (?:\w+ )?$",
        "person",
        reach=40,
    ),
    rule(
        "discovery_year",
        "year",
        "substance place organism concept disease organ",
        "led",
        (
            r"\b(?:discovered|first isolated|isolated|first synthesi[sz]ed|synthesi[sz]ed|"
            rf"identified)\b[^.;,0-9]{{0,40}}? (?:in|on) {DATE}{YEAR}"
        ),
        reach=40,
    ),
    rule(
        "named_after",
        "term",
        "",
        "led",
        (
            r"\b(?:[Nn]amed(?: \w+)? (?:after|for|in honou?r of)|eponymously named after|"
            rf"takes its name from|named by [^.;,]{{3,40}} after) {ROLE}{V}"
        ),
        r"(?:are|were|been) (?:\w+ )?$",
        "",
    ),
    rule(
        "proposer",
        "person",
        "concept discipline other technology substance event disease organism",
        "led",
        (
            r"\b(?:introduced|proposed|formulated|developed|coined|stated|discovered|invented|devised|"
            r"published|conceived|pioneered|popularized|popularised|formalized|put forward|presented|"
            rf"proved|originated|designed|created|patented)(?: (?:in|on|around) (?:the )?{DATE}\d{{4}}s?)?"
            rf"(?: in [A-Z]\w+)?,? by {ROLE}{V}"
        ),
        r"(?:those|were|be|that was|others|music|been|methods|was further) (?:\w+ )?$",
        "person",
        reach=40,
    ),
    rule(
        "term_coiner",
        "person",
        "",
        "led",
        rf"\bterm[^.;]{{0,50}}? coined (?:in \d{{4}} )?by {ROLE}{V}",
        "",
        "person",
        reach=40,
    ),
    rule(
        "proposed_year",
        "year",
        "concept discipline technology substance sport other",
        "led",
        (
            r"\b(?:introduced|proposed|formulated|invented|devised|coined|patented|launched|discovered|"
            r"developed|first published|first released|first built|"
            rf"first flew)\b[^.;,0-9]{{0,40}}? in {DATE}{YEAR}"
        ),
        reach=40,
    ),
    rule(
        "branch_of",
        "discipline",
        "discipline",
        "first",
        (
            r"\b(?:branch|subfield|field|sub-discipline|subdiscipline|subset|specialty|area|division|"
            r"part) of (?:the )?(?P<v>[a-zA-Z][\w-]+(?: [a-z][\w-]+){0,2})"
        ),
        "",
        "discipline",
    ),
    rule(
        "originated_in",
        "place",
        "sport discipline concept organism technology substance",
        "led",
        (
            r"\b(?:originated|originating|originates|was developed|was invented|first developed)(?: \w+)? "
            rf"(?:in|from) {CONTAINER}(?:[a-z-]+ )*{V}"
        ),
        "",
        "place realm",
    ),
    rule(
        "language_family",
        "text",
        "language",
        "first",
        (
            r"\b(?:member of|branch of|belonging to|of) the (?P<v>[A-Z][\w–-]+(?: [A-Z][\w–-]+)?) "
            r"(?:language )?(?:family|languages|branch|group|language family)"
        ),
        "",
    ),
    rule(
        "speakers",
        "number",
        "language",
        "led",
        rf"(?:{ABOUT})?{NUMBER} (?:native |total |first-language |mother-tongue |L1 )?speakers",
        "second",
    ),
    rule(
        "script",
        "text",
        "language",
        "led",
        r"\bwritten (?:\w+ )*?(?:in|with|using) (?:the )?(?P<v>[A-Z][\w'-]+ (?:script|alphabet|abjad|syllabary))",
    ),
    rule("spoken_in", "place", "language", "first", rf"\bspoken (?:[a-z]+ )*?in {CONTAINER}{V}", "", "place realm"),
)

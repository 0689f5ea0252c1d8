"""How sentences state facts about places."""

from tasks.encyclopedia.names import NAME
from tasks.encyclopedia.nouns import words
from tasks.encyclopedia.rules import (
    ABOUT,
    CONTAINER,
    FORMER,
    HIGH,
    KM,
    LONG,
    METRES,
    NUMBER,
    SETTLEMENTS,
    SQUARE,
    STATES,
    THE,
    Rule,
    V,
    rule,
)

PLACE_RULES: tuple[Rule, ...] = (
    rule(
        "capital_of",
        "place",
        "place",
        "first",
        (
            r"\bcapital(?: city)?(?:,? and (?:the )?(?:most populous|largest|most-populous|\w+-largest|"
            r"\w+-most populous|second largest|main|chief)(?: city| town| urban area)?)?"
            rf"(?: and largest city)? of {CONTAINER}{V}"
        ),
        FORMER + r"|was the $|was $",
        "place realm",
    ),
    rule(
        "largest_city_of",
        "place",
        "place",
        "first",
        rf"(?<!second-)(?<!second )\b(?:largest|most populous|most-populous) city (?:of|in) {CONTAINER}{V}",
        r"(?:capital|-|one of the|second|third|fourth|fifth|sixth|th) (?:and (?:the )?)?$|-$|and $",
        "place realm",
    ),
    *(
        rule("capital", "place", "place realm", "any", pattern, FORMER + r"|whose $|of $", "place", kinds=STATES)
        for pattern in (
            (
                rf"{V}(?: \([^()]*\))?(?:, [^,.;]{{3,40}},)? (?:is|being|serving as) (?:both )?(?:its|"
                r"their|the|[A-Z]\w+(?: [A-Z]\w+)?'s|the [a-z]+'s) (?:national )?(?:(?:largest|"
                r"most populous) city and )?(?:the )?capital\b(?! of|-| city of| and [\w -]{3,30} of)"
            ),
            rf"{V}, (?:the|its) (?:national )?capital(?: city)?(?: and (?:the )?(?:largest|most populous) city)?,",
            (
                r"(?:[Ii]ts|[Tt]he|'s) (?:national )?capital(?: city)?(?:,? (?:and )?(?:the )?(?:its )?"
                r"(?:largest|most populous|most-populous)(?: [a-z]+)*)?(?: and [a-z, ]{3,45})?"
                rf"(?: of [A-Z]\w+| of the country)? (?:is|being) {V}"
            ),
            (
                r"(?:[Ii]ts|[Tt]he|'s) (?:national )?capital(?: city)?(?: and (?:largest|"
                rf"most populous) city)?(?: of|,)? (?:the city of )?{V}(?=[,. ])(?! (?:Region|District|"
                r"Territory))"
            ),
            rf"{V} as (?:its|the|their) (?:national )?capital\b(?! of)",
        )
    ),
    *(
        rule("largest_city", "place", "place", "any", pattern, r"second-|of $|-$", "place", kinds=STATES)
        for pattern in (
            (
                rf"{V}(?: \([^()]*\))? is (?:both )?(?:its|their|[A-Z]\w+(?: [A-Z]\w+)?'s|the [a-z]+'s) "
                r"(?:capital and )?(?:its )?(?:largest|most populous) city\b(?! (?:of|in))"
            ),
            (
                r"(?:[Ii]ts|[Tt]he|'s) (?:(?:national )?capital(?: city)?(?: and|,) (?:the |its )?)?"
                r"(?:largest|most populous|most-populous) city(?: and (?:national )?capital|"
                rf" and [a-z, ]{{3,45}})?(?: of [A-Z]\w+| of the country)?(?:,| is) {V}"
            ),
        )
    ),
    rule(
        "population",
        "number",
        "place realm",
        "led",
        (
            r"\bpopulation (?:of|was|is|at|reached|totall?ed|estimated at|exceeds|exceeding)(?: (?:was|is|"
            rf"of|estimated to be|estimated at|to be|at))? (?:{ABOUT})*{NUMBER}"
        ),
        r"(?:metropolitan|urban|metro|combined|agglomeration|greater|native|indigenous|student|rural)[\w ]*$",
    ),
    rule(
        "population",
        "number",
        "place realm",
        "led",
        rf"\b(?:home to|has|had|have|with) (?:{ABOUT})*{NUMBER} (?:inhabitants|residents|people)\b",
        r"(?:metropolitan|urban|metro|combined|agglomeration|greater)[\w ]*$",
    ),
    rule(
        "area",
        "measure",
        "place realm",
        "led",
        (
            r"(?:\barea of|\b[Cc]overs?|\b[Cc]overing|\bspans?|\bspanning|\boccup(?:ies|ying)|\bencompass"
            r"(?:es|ing)|\barea is)(?: (?:a|an|the))?(?: (?:total|land|surface))*(?: area of)?"
            rf"(?: {ABOUT.strip()})? (?P<v>\d[\d,.]*(?: million| thousand)?(?: |-)?{SQUARE})"
        ),
        r"(?:metropolitan|metro|urban|drainage|basin|park)[\w ]*$",
    ),
    rule(
        "height",
        "measure",
        "place",
        "led",
        (
            r"(?:elevation|height|altitude|high|rising|rises|summit|stands|peak|reaching|reaches|"
            rf"standing)[^.;0-9]{{0,45}}(?P<v>\d[\d,.]*(?: |-)?{METRES})"
        ),
        r"(?:prominence)",
        kinds=HIGH,
    ),
    rule(
        "height",
        "measure",
        "place",
        "led",
        rf"(?P<v>\d[\d,.]*(?: |-)?{METRES})(?: \([^()]*\))? (?:tall|high|above)",
        "",
        kinds=HIGH,
    ),
    rule(
        "elevation",
        "measure",
        "place",
        "led",
        (
            rf"(?:elevation|altitude|situated at|located at|lies at)(?: of| at)?(?: {ABOUT.strip()})? "
            rf"(?P<v>\d[\d,.]*(?: |-)?{METRES})"
        ),
        r"average|peak",
        kinds=SETTLEMENTS,
    ),
    rule(
        "length",
        "measure",
        "place technology",
        "led",
        rf"(?P<v>\d[\d,.]*(?: |-){KM})(?: \([^()]*\))?(?:-| )?(?:long|in length)",
        r"coastline|coast |border",
        kinds=LONG,
    ),
    rule(
        "length",
        "measure",
        "place",
        "led",
        (
            r"(?:length of|flows|flowing|flow of|runs|course of)(?: (?:for|of|southeast|northwest|"
            rf"generally|{ABOUT.strip()}))* (?P<v>\d[\d,.]* {KM})"
        ),
        r"coastline|border|then",
        kinds=LONG,
    ),
    rule(
        "depth",
        "measure",
        "place",
        "led",
        rf"(?:depth of|deep as)(?: {ABOUT.strip()})? (?P<v>\d[\d,.]* {METRES})",
        "average|mean|from",
    ),
    rule(
        "flows_into",
        "place",
        "place",
        "led",
        (
            r"\b(?:flows|flowing|empties|emptying|drains|draining|discharges|discharging|debouches|flow)"
            rf"(?: \w+ly| itself)?(?: \w+)? into {THE}{V}"
        ),
        "",
        "place",
        kinds=words("river tributary lake canal waterway watercourse stream creek channel"),
    ),
    rule(
        "tributary_of",
        "place",
        "place",
        "first",
        rf"\b(?:left |right |main |largest |longest |chief |major |biggest )*tributar(?:y|ies)(?: river)? of {THE}{V}",
        "",
        "place",
    ),
    rule(
        "on_river",
        "place",
        "place",
        "led",
        rf"\bon (?:the )?(?:[a-z-]+ )*(?:banks?|shores?|side) of (?:the )?(?:river |River )?(?P<v>(?:River )?{NAME})",
        "",
        "place",
    ),
    rule(
        "highest_of",
        "place",
        "place",
        "led",
        rf"\bhighest (?:mountain|peak|point|volcano|summit)(?: peak)?(?: both)? (?:in|of|on) {CONTAINER}{V}",
        r"(?:-|second |third )$",
        "place realm",
    ),
    rule(
        "official_language",
        "language",
        "place realm",
        "led",
        rf"\bofficial language(?: of \w+)?(?: is|:) {V}",
        r"(?:co-|an? )$",
        "language",
    ),
    rule(
        "official_language",
        "language",
        "place realm",
        "led",
        rf"{V} (?:is|being) the (?:country's |sole |only )?official language",
        "",
        "language",
    ),
    *(
        rule(
            f"border_{side}",
            "place",
            "place realm",
            "led",
            (
                rf"(?:\bby |, |; |\band |\bborders |with |[Bb]ordering )(?:the )?{V} (?:to|in|on|at) "
                rf"(?:the |its )?{side}(?:ern (?:side|border))?(?=[,;.]| and)"
            ),
            r"(?:[A-Z][\w-]*,? |coast|river)$",
            "place realm",
        )
        for side in ("north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest")
    ),
    rule(
        "government",
        "text",
        "place",
        "led",
        (
            r"\b(?:is|as) an? (?:\w+ )?(?P<v>(?:(?:federal|unitary|parliamentary|presidential|"
            r"constitutional|semi-presidential|semi-constitutional|democratic|absolute|hereditary|"
            r"socialist|one-party|Islamic|sovereign|liberal|representative|executive|dominant-party|"
            r"secular|multi-party)[ ,]+){1,4}(?:republic|monarchy|democracy|state|federation))\b"
        ),
        "",
        kinds=STATES,
    ),
    rule(
        "currency",
        "text",
        "place",
        "led",
        (
            r"\b(?:[Ii]ts|[Tt]he|official|national) currency(?: of \w+)? is (?:the )?(?P<v>[\w-]+"
            r"(?: [\w-]+){0,2})(?=[.,;]| and| which)"
        ),
    ),
    rule("moon_of", "place", "place", "first", rf"\b(?:moon|satellite)s? of (?:the planet )?(?:the )?{V}", "", "place"),
    rule(
        "in_constellation",
        "place",
        "place",
        "led",
        rf"\b(?:in|within) the (?:\w+ )*constellation (?:of )?{V}",
        "",
        "place",
    ),
)

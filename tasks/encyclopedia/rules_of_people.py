"""How sentences state facts about people."""

from tasks.encyclopedia.names import NAME
from tasks.encyclopedia.rules import CONTAINER, DATE, ROLE, WORDS, YEAR, Rule, V, rule

PEOPLE_RULES: tuple[Rule, ...] = (
    rule(
        "birth_place",
        "place",
        "person",
        "led",
        (
            r"(?:^Born|\bwas born|, born|[Hh]e was born)(?: and raised)?(?:,? [A-Z][\w ]*?)?(?:(?: on|"
            rf" in)? {DATE}\d{{4}})?(?: to [a-z][\w ,-]*?| into [\w ,-]+?)?,? (?:in|at) {CONTAINER}"
            rf"(?:the (?:village|town|city) of )?{V}"
        ),
        r"(?:was the first|who was|were|whose) $",
        "place realm",
    ),
    rule(
        "death_year",
        "year",
        "person",
        "led",
        (
            r"\b(?:until|before) (?:his|her) (?:own )?(?:death|assassination|execution|suicide|murder|"
            rf"abdication and death) (?:in|on) {DATE}{YEAR}"
        ),
    ),
    rule(
        "death_year",
        "year",
        "person",
        "led",
        (
            r"\b(?:[Hh]e|[Ss]he|who) (?:was (?:killed|assassinated|executed|murdered|beheaded)|"
            rf"died)\b[^.;,0-9]{{0,50}}? (?:in|on) {DATE}{YEAR}"
        ),
    ),
    rule(
        "reign_start",
        "year",
        "person",
        "first",
        (
            rf"\b(?:from|reigned|ruled|reigning from|between) {DATE}{YEAR} ?(?:to|until|till|–|-|and|up to)"
            r"(?![^.]*\b(?:again|previously|and from|and then|then as)\b)"
        ),
        r"active |lived |Period |period |dynasty |career |work |works |produced |published ",
    ),
    rule(
        "reign_end",
        "year",
        "person",
        "first",
        (
            rf"\b(?:from|reigned|ruled|between) {DATE}(?:\d{{1,4}})(?: AD| BC)? ?(?:to|until|till|–|-|and|"
            r"up to) ?(?:his |her )?(?:own )?(?:death|assassination|abdication|execution|deposition|"
            rf"suicide|overthrow)?(?: in| on)? ?{DATE}{YEAR}(?![^.]*\b(?:again|previously|and from|"
            r"and then|then as)\b)"
        ),
        r"active |lived |Period |period |dynasty |career |work |works |produced |published ",
    ),
    rule(
        "ruled",
        "place",
        "person",
        "first",
        (
            r"\b(?:[Kk]ing|[Qq]ueen|[Ee]mperor|[Ee]mpress|[Ss]ultan|[Pp]rime [Mm]inister|[Pp]resident|"
            r"[Cc]hancellor|[Tt]sar|[Kk]han|[Ss]hah|[Rr]uler|[Mm]onarch|[Pp]haraoh|[Dd]ictator|[Ee]mir|"
            rf"[Cc]aliph) of {CONTAINER}{V}"
        ),
        (
            r"(?:consort|mother|wife|[Vv]ice|[Dd]eputy|acting|son|daughter|House|service|to the|under|"
            r"the former|by|for) $|[Vv]ice[ -]$"
        ),
        "place realm",
    ),
    rule(
        "office_number",
        "ordinal",
        "person",
        "first",
        (
            r"\bthe (?P<v>first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|"
            r"twelfth|\d{1,2}(?:st|nd|rd|th)) (?:and (?:last|current) )?(?:[Pp]rime [Mm]inister|"
            r"[Pp]resident|[Cc]hancellor|[Ee]mperor|[Kk]ing|[Ss]ultan|[Ss]hah|[Cc]aliph|[Ss]hogun|"
            r"[Pp]haraoh|ruler|monarch|secretary-general|[A-Z][a-z]+ (?:emperor|sultan|ruler|king))\b"
            r"(?! to)"
        ),
    ),
    rule(
        "dynasty",
        "term",
        "person",
        "led",
        r"\bof (?:the )?(?:Chinese |Egyptian |Byzantine |Iranian |imperial )?(?P<v>(?:[\w'-]+ ){1,2}dynasty)",
        "",
        "event realm organisation",
    ),
    rule(
        "award",
        "text",
        "person",
        "led",
        (
            r"\b(?:won|received|receiving|awarded|shared|recipient of|laureate of|winner of|winning|"
            r"sharing|earned)[^.;]{0,40}?\b(?P<v>Nobel (?:Memorial |Peace )?Prize(?: in (?:Physics|"
            r"Chemistry|Literature|Physiology or Medicine|Economic Sciences|Economics))|Nobel Peace Prize|"
            r"Turing Award|Fields Medal|Pulitzer Prize(?: for [A-Z]\w+)?|Abel Prize|Wolf Prize"
            r"(?: in [A-Z]\w+)?|Booker Prize|Pritzker(?: Architecture)? Prize|Bharat Ratna)"
        ),
        r"(?:not|never|nominated)[\w ]*$",
    ),
    rule(
        "award_year",
        "year",
        "person",
        "led",
        (
            r"\b(?:won|received|awarded|shared|recipient of|laureate|winner of|winning|"
            r"sharing)\b[^.;]{0,30}?\bthe (?P<v>1[89]\d\d|20[0-2]\d) (?:Nobel|Turing|Pulitzer|Abel)"
        ),
        r"(?:not|never|nominated)[\w ]*$",
    ),
    rule(
        "award_year",
        "year",
        "person",
        "led",
        (
            r"\b(?:Nobel (?:Memorial )?(?:Peace )?Prize(?: (?:in|for) (?:Physics|Chemistry|Literature|"
            r"Physiology or Medicine|Economic Sciences|Economics))?|Turing Award|"
            rf"Pulitzer Prize[\w ]{{0,20}}) in {YEAR}"
        ),
        r"(?:not|never|nominated)[\w ]*$",
    ),
    rule(
        "child_of",
        "person",
        "person deity",
        "led",
        (
            r"(?:(?:\bwas|\bis|[Hh]e was|^The|, the|^As the|, and|, a|, an) (?:the |a )?(?:[a-z]+,? "
            rf"(?:and )?){{0,3}}|^)(?:[Ss]on|[Dd]aughter)(?: and (?:successor|heir))? of {ROLE}{V}"
        ),
        r"(?:grand|adopted|adoptive|step)$|[A-Z][\w-]+$",
        "person deity",
    ),
    rule(
        "spouse",
        "person",
        "person deity",
        "led",
        (
            r"\b(?:(?:wife|husband|consort|widow|sister and wife|wife and sister) of|married to|"
            rf"[Ss]he married|[Hh]e married) {ROLE}{V}"
        ),
        r"(?:ex-|former |queen |\w's )$",
        "person deity",
    ),
    rule("successor", "person", "person", "led", rf"\bsucceeded by {ROLE}(?:his (?:[a-z]+ )+)?{V}", "", "person"),
    rule(
        "predecessor",
        "person",
        "person",
        "led",
        rf"\b(?:succeeded|succeeding|successor (?:of|to)) {ROLE}(?:his (?:[a-z]+ )+)?{V}",
        "and ",
        "person",
    ),
    rule(
        "student_of",
        "person",
        "person",
        "led",
        rf"\b(?:student|pupil|disciple|protégé|studied under|tutored by|mentored by)(?: of)? {ROLE}{V}",
        r"(?:whose|his|her|was a) $",
        "person",
    ),
    rule(
        "founded",
        "organisation",
        "person",
        "led",
        rf"\b(?:[Ff]ounded|[Cc]o-founded|founder of|co-founder of|founder and \w+ (?:\w+ )?of|cofounded) {ROLE}{V}",
        r"(?:was|were|company|organization) $",
        "organisation place realm",
    ),
    rule(
        "wrote",
        "work",
        "person",
        "led",
        (
            r"\b(?:author of|wrote|[Bb]est known for|known for|famous for|known primarily for|"
            r"remembered for)(?: (?:his|her|the|writing|directing|composing|painting|[a-z-]+))* [“\"]?"
            rf"(?P<v>{NAME})"
        ),
        "",
        "work",
    ),
    rule(
        "discovered",
        "term",
        "person",
        "led",
        (
            r"\b(?:discovered|discoverer of|discovery of|discovering|isolated) (?:the )?"
            r"(?P<v>[a-zA-Z][\w-]+(?: [a-zA-Z][\w-]+){0,2})"
        ),
        r"(?:was|were) $",
        "substance place concept organ organism disease discipline",
    ),
    rule(
        "invented",
        "term",
        "person",
        "led",
        (
            r"\b(?:invented|inventor of|invention of|inventing|invents) (?:an? |the |an early )?"
            r"(?P<v>[a-zA-Z][\w-]+(?: [a-zA-Z][\w-]+){0,2})"
        ),
        r"(?:was|were) $",
        "technology substance concept discipline sport language",
    ),
    rule(
        "father_of",
        "discipline",
        "person",
        "led",
        r"\b(?:father|mother|founder) of (?:the )?(?:modern |field of )?(?P<v>[a-z][\w-]+(?: [a-z][\w-]+){0,2})",
        "founding $",
        "discipline concept",
    ),
    rule(
        "dynasty",
        "event",
        "person",
        "led",
        r"\bmember of the (?P<v>(?:[A-Z][\w'-]+ ){1,2}dynasty)",
        "",
        "event realm organisation",
    ),
    rule(
        "era",
        "event",
        "person",
        "first",
        rf"\b(?:of|during|in) the (?:early |late |Chinese |Italian |High |northern )?{V}",
        r"(?:after|before|end|aftermath|outbreak|historian|scholar|study|studies|start) (?:\w+ )?$",
        "event",
    ),
    rule(
        "known_for",
        "text",
        "person",
        "led",
        (
            r"\b(?:best|mainly|primarily|most|perhaps best|chiefly|widely) (?:known|remembered|noted) for "
            rf"(?:(?:his|her|the) )?(?!works?\b|being\b)(?P<v>{WORDS})(?=[.,;]| which | that | in \d| who |"
            r"$)"
        ),
    ),
    rule(
        "nickname",
        "text",
        "person place",
        "led",
        (
            r"\b(?:nicknamed|(?:is|was|been|often|sometimes|also|widely|popularly|commonly) (?:known as|"
            r"dubbed|referred to as|called|nicknamed)|nickname|sobriquet)(?: of| is)?(?: the)? [“\"]"
            r"(?P<v>[^“”\"()]{3,40})[”\"]"
        ),
        (
            r"(?:inhabitants|years|which|works?|period|style|films?|age|policy|poems?|books?|who|people|"
            r"residents|followers|theory)\b[\w ]*$"
        ),
    ),
)

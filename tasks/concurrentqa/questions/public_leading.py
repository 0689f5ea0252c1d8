"""How a first hop leads to the bridge, in hand-written phrases: "the birthplace of {a}"."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Leading:
    """How a relation leads from an article {a} to the bridge, which is of kind {kind} ("city").

    `group` is the first half of a family's name. Other slots are {verb}, the text's own verb, and {role}, what the
    maker of such a work is called. `that` takes up the bridge after one of the `clauses`.
    """

    group: str
    phrases: tuple[str, ...]
    clauses: tuple[str, ...]
    that: str


LEADING: dict[str, Leading] = {
    "nationality": Leading(
        "homeland",
        (
            "the home country of {a}",
            "{a}'s home country",
            "the country that {a} came from",
            "the native country of {a}",
        ),
        ("{a} came from a certain country", "A particular country was home to {a}"),
        "that country",
    ),
    "ruled": Leading(
        "homeland",
        ("the {kind} once governed by {a}", "the {kind} that {a} ruled", "the {kind} of which {a} was at the head"),
        ("{a} was once at the head of a certain {kind}", "A certain {kind} was ruled by {a}"),
        "that {kind}",
    ),
    "birth_place": Leading(
        "birthplace",
        ("the birthplace of {a}", "the place where {a} was born", "{a}'s place of birth"),
        ("{a} was born in a certain {kind}", "A certain {kind} is the birthplace of {a}"),
        "that {kind}",
    ),
    "country": Leading(
        "location",
        ("the country where {a} is found", "the country in which {a} lies", "the country that is home to {a}"),
        ("{a} lies in a certain country", "A visitor to {a} is in a certain country"),
        "that country",
    ),
    "country of organisation": Leading(
        "location",
        ("the home country of {a}", "the country where {a} is based", "the country to which {a} belongs"),
        ("{a} is based in a certain country", "A certain country is the home of {a}"),
        "that country",
    ),
    "country of event": Leading(
        "location",
        (
            "the country whose history includes {a}",
            "the country in whose past {a} belongs",
            "the country associated with {a}",
        ),
        ("{a} belongs to the history of a certain country", "The history of a certain country includes {a}"),
        "that country",
    ),
    "located_in": Leading(
        "location",
        ("the {kind} where {a} is found", "the {kind} in which {a} lies", "the {kind} that includes {a}"),
        ("{a} lies in a certain {kind}", "A certain {kind} is where {a} is found"),
        "that {kind}",
    ),
    "capital_of": Leading(
        "location",
        ("the {kind} whose capital is {a}", "the {kind} governed from {a}", "the {kind} that has {a} as its capital"),
        ("{a} is the capital of a certain {kind}", "A certain {kind} has its capital at {a}"),
        "that {kind}",
    ),
    "largest_city_of": Leading(
        "location",
        ("the {kind} whose most populous city is {a}", "the {kind} that has {a} as its largest city"),
        ("{a} is the most populous city of a certain {kind}", "No city of a certain {kind} is larger than {a}"),
        "that {kind}",
    ),
    "highest_of": Leading(
        "location",
        ("the {kind} whose highest mountain is {a}", "the {kind} that has {a} as its highest point"),
        ("{a} is the highest mountain of a certain {kind}", "No mountain of a certain {kind} is higher than {a}"),
        "that {kind}",
    ),
    "capital": Leading(
        "city",
        ("the capital of {a}", "{a}'s capital", "the city that is the capital of {a}"),
        ("{a} has its capital in a certain city", "A certain city is the capital of {a}"),
        "that city",
    ),
    "largest_city": Leading(
        "city",
        ("the largest city of {a}", "{a}'s largest city", "the most populous city in {a}"),
        ("No city in {a} is larger than a certain one", "One city is the most populous of {a}"),
        "that city",
    ),
    "headquarters": Leading(
        "city",
        ("the city where {a} has its headquarters", "the city in which {a} is based", "the home city of {a}"),
        ("{a} is based in a certain city", "A certain city houses the headquarters of {a}"),
        "that city",
    ),
    **{
        f"border_{side}": Leading(
            "neighbour",
            (
                f"the {side}ern neighbour of {{a}}",
                f"the {{kind}} on the other side of the {side}ern border of {{a}}",
                f"the {{kind}} immediately {side} of {{a}}",
                f"the {{kind}} on the {side}ern border of {{a}}",
            ),
            (
                f"{{a}} borders a certain {{kind}} to the {side}",
                f"To the {side}, {{a}} shares a border with one {{kind}}",
            ),
            "that {kind}",
        )
        for side in ("north", "south", "east", "west")
    },
    "creator": Leading(
        "maker",
        ("the {role} of {a}", "{a}'s {role}", "the {role} behind {a}"),
        ("{a} was the work of one {role}", "One {role} is responsible for {a}"),
        "that {role}",
    ),
    "founder": Leading(
        "maker",
        ("the founder of {a}", "the person who founded {a}", "{a}'s founder"),
        ("{a} was founded by one person", "One person founded {a}"),
        "that person",
    ),
    "proposer": Leading(
        "maker",
        ("the person by whom {a} was {verb}", "the person who {verb} {a}"),
        ("{a} was {verb} by one person", "One person {verb} {a}"),
        "that person",
    ),
    "named_after": Leading(
        "namesake",
        (
            "the {kind} after which {a} is named",
            "the {kind} that {a} is named after",
            "the {kind} that gave {a} its name",
        ),
        ("{a} is named after a certain {kind}", "The name of {a} honours a certain {kind}"),
        "that {kind}",
    ),
    "spouse": Leading(
        "relative",
        ("the spouse of {a}", "the person married to {a}", "{a}'s spouse"),
        ("{a} was married to someone also well known", "One well-known person was the spouse of {a}"),
        "that person",
    ),
    "founded": Leading(
        "foundation",
        ("the {kind} founded by {a}", "the {kind} that {a} founded", "the {kind} of which {a} was a founder"),
        ("{a} founded a certain {kind}", "A certain {kind} was founded by {a}"),
        "that {kind}",
    ),
    "dynasty": Leading(
        "foundation",
        ("the dynasty of {a}", "the dynasty with which {a} is associated", "{a}'s dynasty"),
        ("{a} is associated with one dynasty", "One dynasty is linked with {a}"),
        "that dynasty",
    ),
    "era": Leading(
        "era",
        ("the {kind} to which {a} belongs", "the {kind} with which {a} is associated", "the {kind} linked with {a}"),
        ("{a} is associated with a certain {kind}", "A certain {kind} is linked with {a}"),
        "that {kind}",
    ),
    "family": Leading(
        "taxon",
        ("the family that includes {a}", "the biological family of {a}", "the family in which one finds {a}"),
        ("A certain family of living things includes {a}", "Biologists count {a} in a certain family"),
        "that family",
    ),
    "native_to": Leading(
        "origin",
        ("the native region of {a}", "the part of the world that {a} came from", "the natural home of {a}"),
        ("The natural home of {a} is a certain place", "A certain place is the native region of {a}"),
        "that place",
    ),
    "originated_in": Leading(
        "origin",
        ("the place where {a} originated", "the place of origin of {a}", "the {kind} in which {a} has its origin"),
        ("{a} originated in a certain {kind}", "A certain {kind} is where {a} originated"),
        "that {kind}",
    ),
    "spoken_in": Leading(
        "origin",
        ("the {kind} where {a} is spoken", "the {kind} in which speakers of {a} live"),
        ("{a} is spoken in a certain {kind}", "A certain {kind} is home to {a}"),
        "that {kind}",
    ),
    "set_in": Leading(
        "origin",
        ("the {kind} in which {a} is set", "the {kind} that is the setting of {a}"),
        ("{a} is set in a certain {kind}", "A certain {kind} is the setting of {a}"),
        "that {kind}",
    ),
    "branch_of": Leading(
        "field",
        (
            "the field of which {a} is a branch",
            "the wider field that {a} belongs to",
            "the discipline that includes {a}",
        ),
        ("{a} is a branch of a wider field", "One wider field counts {a} among its branches"),
        "that wider field",
    ),
    "father_of": Leading(
        "field",
        ("the field of which {a} is called the father", "the subject said to have been founded by {a}"),
        ("{a} has been called the founder of one subject", "One subject is said to go back to {a}"),
        "that subject",
    ),
    "on_river": Leading(
        "water",
        ("the river on which {a} lies", "the river that runs past {a}", "{a}'s river"),
        ("{a} lies on a certain river", "A certain river runs past {a}"),
        "that river",
    ),
    "flows_into": Leading(
        "water",
        ("the body of water into which {a} flows", "the water that receives {a}", "the body of water fed by {a}"),
        ("{a} flows into a certain body of water", "A certain body of water receives {a}"),
        "that body of water",
    ),
    "tributary_of": Leading(
        "water",
        ("the river of which {a} is a tributary", "the river that {a} joins"),
        ("{a} is a tributary of a certain river", "A certain river has {a} as a tributary"),
        "that river",
    ),
    "moon_of": Leading(
        "water",
        ("the planet that {a} orbits", "the planet of which {a} is a moon"),
        ("{a} orbits a certain planet", "A certain planet has {a} as a moon"),
        "that planet",
    ),
    "wrote": Leading(
        "achievement",
        ("the work for which {a} is known", "the work that made the name of {a}"),
        ("{a} is known for one work in particular", "One work in particular made the name of {a}"),
        "that work",
    ),
    "invented": Leading(
        "achievement",
        ("the invention of {a}", "the thing that {a} invented"),
        ("{a} invented something of importance", "Something of importance was invented by {a}"),
        "that invention",
    ),
    "discovered": Leading(
        "achievement",
        ("the discovery of {a}", "what {a} discovered"),
        ("{a} made an important discovery", "An important discovery was made by {a}"),
        "that discovery",
    ),
    "mentions": Leading(
        "mention",
        (
            "the {kind} mentioned in the article on {a}",
            "the {kind} who comes up in an account of {a}",
            "the {kind} named in a short article about {a}",
        ),
        ("An article on {a} mentions one {kind}", "One {kind} is named in a short account of {a}"),
        "that {kind}",
    ),
}
"""The relations of first hops; "mentions" is only that the article names one person of a kind."""

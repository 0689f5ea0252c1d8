"""The hand-written wordings of questions over e-mails, family by family.

`{what}` is what is asked for ("which company"), `{theme}` and `{key}` are words of the mails (“firewall code”).
"""

import re

NAMED_SENDER = (
    "The author of the mail that mentions {key} has also written about {theme}; {what} is named there?",
    "{what} comes up where whoever wrote about {key} discusses {theme}?",
    "{what} is mentioned by the sender who brought up {key}, in another mail that is about {theme}?",
    "Somebody wrote about {key}. {what} is named when the same sender writes about {theme}?",
    "In the mail about {theme} whose sender elsewhere mentions {key}, {what} is given?",
    "Find the person whose mail mentions {key}: {what} appears in what they wrote about {theme}?",
    "When the writer who talks of {key} turns to {theme}, {what} is mentioned?",
    "{what} is named in a message on {theme}, sent by the person who in another refers to {key}?",
    "Whoever told the readers about {key} also sent a mail on {theme}. {what} does one find in it?",
    "{what} can be read in the mail on {theme} that comes from the one who mentioned {key}?",
)
"""EE: a name without an article in mail 1 → its sender → a detail of the sender's mail 2."""

THEMED_SENDER = (
    "The person who wrote about {key} also sent a mail about {theme}. {what} is mentioned in that one?",
    "{what} is mentioned in the mail on {theme} by the author of the one on {key}?",
    "One sender discusses both {key} and, in a different mail, {theme}: {what} is named in the latter?",
    "In connection with {theme}, {what} is brought up by the sender whose other mail deals with {key}?",
    "Someone wrote about {key}; {what} does that person mention when it comes to {theme}?",
    "{what} stands in the message about {theme} from the same hand as the message about {key}?",
    "Take the sender of the mail on {key}: {what} occurs in their mail on {theme}?",
    "I remember somebody's mail about {key}; {what} did they mention in another one, about {theme}?",
    "{what} does the writer of the message on {key} name while discussing {theme} elsewhere?",
    "Besides {key}, the same author wrote about {theme}. {what} is found in the second mail?",
)
"""EE: what mail 1 is about → its sender → a detail of the sender's mail 2."""

THREAD_DETAIL = (
    "In the thread in which {sender} writes about {theme}, {what} is mentioned by somebody else?",
    "{sender} wrote about {theme}: {what} does another participant of that discussion bring up?",
    "Among the other mails of the thread in which {sender} writes about {theme}, {what} is named?",
    "{what} do the others mention in the discussion where {sender} speaks of {theme}?",
    "Writing in the same thread as {sender} on {theme}, {what} does another subscriber name?",
    "Look at the exchange in which {sender} raises {theme}; {what} is given by another participant?",
    "{what} turns up in what others wrote in the same thread as {sender}'s remarks on {theme}?",
    "{sender} mentions {theme} in a discussion. {what} is named there by someone else?",
)
"""EE: a mail of a named sender → its thread → a detail of somebody else's mail there."""

WHO_ANSWERED = (
    "Who answered {sender}'s mail about {theme}?",
    "Which subscriber replied when {sender} wrote about {theme}?",
    "{sender} sent a mail about {theme}. Who wrote back?",
    "From whom did {sender} get an answer to the message on {theme}?",
    "Whose reply did {sender}'s mail on {theme} receive?",
    "Who responded to what {sender} had to say about {theme}?",
    "With whom did {sender} discuss {theme} on the list?",
    "When {sender} brought up {theme}, who was it that replied?",
)
"""EE: a mail of a named sender → the only other one in its thread → its sender."""

EARLIER_MAIL = (
    "Which mail is older, the one about {one} or the one about {other}?",
    "What was written about first, {one} or {other}?",
    "Was it {one} or {other} that a mail dealt with earlier?",
    "Of the mails on {one} and on {other}, which subject came first?",
    "Two mails deal with {one} and {other}; which of the two topics was raised earlier?",
    "Which topic reached the mailbox first: {one} or {other}?",
    "Judging by the dates of the mails, did {one} or {other} come up earlier?",
    "Which did people mention at the earlier date, {one} or {other}?",
)
"""EE, comparison: two mails by what they are about."""

LATER_WRITER = (
    "Who wrote later, {sender} about {one} or {second} about {other}?",
    "Whose mail is more recent: {sender}'s on {one} or {second}'s on {other}?",
    "{sender} wrote about {one} and {second} about {other}. Who was the later of the two?",
    "Between {sender}, who mentions {one}, and {second}, who mentions {other}, who wrote last?",
    "{second} wrote about {other} and {sender} about {one}: which of them did so later?",
    "One mail is by {sender} on {one}, one by {second} on {other}; who wrote the later one?",
    "Of {sender} (on {one}) and {second} (on {other}), who sent the newer mail?",
    "Who has the newer message, {second} with the one about {other} or {sender} with the one about {one}?",
)
"""EE, comparison: two senders by the date of one mail each."""

DESCRIBED_WRITER = (
    "Which subscriber wrote about {entity} in a mail on {theme}?",
    "Who mentions {entity} when writing about {theme}?",
    "Whose mail speaks of {entity} in connection with {theme}?",
    "In a discussion of {theme}, somebody refers to {entity}. Who is it?",
    "Who brought {entity} into a mail that deals with {theme}?",
    "A mail about {theme} names {entity}; who sent it?",
    "By whom was {entity} mentioned together with {theme}?",
    "Who is the author of the message that names both {theme} and {entity}?",
    "From which sender comes the mail on {theme} in which {entity} is named?",
    "Find the mail that talks about {theme} and {entity}: who wrote it?",
)
"""WE: a description → the article → a mail that names it → the sender."""

DESCRIBED_ON_LIST = (
    "Which subscriber of the list “{list}” wrote about {entity}?",
    "On the mailing list “{list}”, who mentions {entity}?",
    "Who brought up {entity} on “{list}”?",
    "Which member of “{list}” refers to {entity}?",
    "{entity} was mentioned once on “{list}”. By whom?",
    "Whose mail to “{list}” names {entity}?",
    "Who on the list “{list}” had something to say that involves {entity}?",
    "Among the writers on “{list}”, who speaks of {entity}?",
)
"""WE: a description → the article → the only mail of a list that names it → the sender."""

DESCRIBED_DETAIL = (
    "{what} is given in the mail on {theme} that also names {entity}?",
    "A mail about {theme} mentions {entity}; {what} does it name besides?",
    "{what} comes up in the mail that speaks of {entity} and {theme}?",
    "Somebody writes about {theme} and refers to {entity}. {what} is mentioned there, too?",
    "In the message where {entity} and {theme} come up, {what} is named?",
    "{what} can be found in the mail in which {entity} is mentioned along with {theme}?",
    "Where a mail on {theme} brings up {entity}, {what} does the writer mention?",
    "Look for the mail with {theme} and {entity} in it: {what} is stated?",
    "Together with {entity} and {theme}, {what} is mentioned in the same mail?",
    "The mail that discusses {theme} and names {entity} also contains something else: {what} is it?",
)
"""WE: a description → the article → a mail that names it → another detail of the mail."""

DESCRIBED_SUBJECT = (
    "Under which subject did somebody write about {theme} and mention {entity}?",
    "What is the subject line of the mail that names {entity} in connection with {theme}?",
    "A mail on {theme} mentions {entity}. What is its subject?",
    "Which subject does the mail have in which {theme} and {entity} come up?",
    "{entity} comes up in a mail about {theme}: what does the subject line say?",
    "What is the title of the message in which the writer, on {theme}, refers to {entity}?",
    "In which discussion, by its subject, was {entity} named along with {theme}?",
    "A mail deals with {theme} and brings in {entity}; under what subject was it sent?",
)
"""WE: a description → the article → a mail that names it → its subject."""

BY_SUBJECT = (
    ("the {kind} that {sender} mentions in the mail “{subject}”", "{sender} mentions {a_kind} in the mail “{subject}”"),
    (
        "the {kind} that {sender} names under the subject “{subject}”",
        "Under the subject “{subject}” {sender} names {a_kind}",
    ),
    ("the {kind} that comes up in {sender}'s mail “{subject}”", "{a_kind} comes up in {sender}'s mail “{subject}”"),
)
"""EW: the one thing of its kind that a mail names, the mail by its sender and subject; as a phrase and as a clause."""

BY_LIST = (
    (
        "the {kind} named in {sender}'s mail to “{list}” about {theme}",
        "{sender}'s mail to “{list}” about {theme} names {a_kind}",
    ),
    (
        "the {kind} that {sender}, writing to “{list}”, mentions along with {theme}",
        "Writing to “{list}”, {sender} mentions {a_kind} along with {theme}",
    ),
    (
        "the {kind} that {sender} brings up on “{list}” when it comes to {theme}",
        "{sender} brings up {a_kind} on “{list}” when it comes to {theme}",
    ),
)
"""The same by its sender, list and theme."""

BY_THEME = (
    ("the {kind} named in {sender}'s mail about {theme}", "{sender}'s mail about {theme} names {a_kind}"),
    ("the {kind} that {sender} mentions along with {theme}", "{sender} mentions {a_kind} along with {theme}"),
    (
        "the {kind} that {sender} brings up when it comes to {theme}",
        "{sender} brings up {a_kind} when it comes to {theme}",
    ),
)
"""The same where the mail went to no list."""

ARTICLE_DETAIL = (
    "In its article on {b}, {what} does the encyclopedia mention?",
    "{what} is named in the encyclopedia's entry on {b}?",
    "{clause}; {what} does the encyclopedia mention in its article on {that}?",
    "In the encyclopedia, look up {b}: {what} is mentioned there?",
    "{clause}. {what} stands in the encyclopedia's entry on {that}?",
    "{what} does one come across in the encyclopedia's entry on {b}?",
    "Reading the encyclopedia's article on {b}, {what} does one find?",
    "{clause}. In the encyclopedia, {what} comes up under {that}?",
)
"""EW: the only such thing that an article names."""

EARLIER_YEAR = (
    "Which year is earlier, the one that {sender} mentions along with {theme} or the one in which {event}?",
    "{event} in one year, and {sender}'s mail about {theme} mentions another. Which of the two is the earlier?",
    "Put the year from {sender}'s mail on {theme} beside the one in which {event}; which comes first?",
    "Of the year named by {sender} when writing about {theme} and that in which {event}, which comes first?",
    "Compare the year that {sender} gives in the mail about {theme} with the year in which {event}: which is earlier?",
    "What is the earlier year, that in which {event} or that which {sender} names in connection with {theme}?",
)
"""EW, comparison: a year in a mail and one in an article."""

EVENTS: dict[str, str] = {
    "founded_year": "{title} was founded",
    "death_year": "{title} died",
    "birth_year": "{title} was born",
    "start_year": "{title} began",
    "end_year": "{title} ended",
    "discovery_year": "{title} was discovered",
}
"""What happened in the year that an article states."""

PATHS: dict[str, str] = {
    "country": "the country in which {a} lies",
    "nationality": "the home country of {a}",
    "located_in": "the {kind} in which {a} is situated",
    "capital_of": "the {kind} that has {a} as its capital",
    "largest_city_of": "the {kind} whose largest city is {a}",
    "creator": "the creator of {a}",
    "developer": "the developer of {a}",
    "founder": "the founder of {a}",
    "discoverer": "the discoverer of {a}",
    "birth_place": "the {kind} where {a} was born",
    "headquarters": "the {kind} in which {a} has its headquarters",
    "flows_into": "the {kind} into which {a} flows",
    "ruled": "the country that {a} ruled or presided over",
    "on_river": "the {kind} on which {a} lies",
    "set_in": "the {kind} where {a} is set",
    "originated_in": "the {kind} in which {a} originated",
    "branch_of": "the field of which {a} is a branch",
    "kept_in": "the {kind} where {a} is kept",
    "highest_of": "the {kind} whose highest point is {a}",
    "border_north": "the {kind} to the north of {a}",
    "border_south": "the {kind} to the south of {a}",
    "border_east": "the {kind} to the east of {a}",
    "border_west": "the {kind} to the west of {a}",
}
"""WE: the article that another article names as its capital's country, its creator and so on."""

INVERSE: dict[str, str] = {
    "capital": "the {kind} whose capital is {value}",
    "largest_city": "the {kind} whose largest city is {value}",
}
"""WE: an article by what it states of itself."""


def filled(wording: str, **slots: str) -> str:
    """A wording with its slots filled; its sentences begin with a capital."""
    template = re.sub(r"(^|[.?] )\{(\w+)\}", r"\1{\2_}", wording)
    capital = {f"{name}_": text[:1].upper() + text[1:] for name, text in slots.items()}
    return template.format(**slots, **capital)

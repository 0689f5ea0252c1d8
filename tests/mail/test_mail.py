"""E-mail: whose words are whose, what is masked, and mailboxes that are broken, huge or empty."""

import mailbox as standard
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import UserError
from tasks.mail import message as reading
from tasks.mail.body import separate
from tasks.mail.mailbox import LARGEST_MAIL, Skipped, stream
from tasks.mail.masking import ADDRESS, TELEPHONE, mask
from tasks.mail.message import parse
from tasks.mail.page import page_to_text
from tasks.mail.senders import named_alike, without_closings
from tasks.mail.sentences import join, parts, sentences
from tasks.mail.threads import thread_numbers


def mail(body: str, **headers: str) -> bytes:
    fields = {"From": "Ada Byron <ada@engine.example>", "Date": "Tue, 3 Sep 2002 23:30:00 -0400", "Subject": "Looms"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return ("".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n" + body).encode()


def test_headers_become_fields_and_no_address_is_shown() -> None:
    """Catches an address in place of a name, a local date, and a subject with list tags."""
    read = parse(
        mail(
            "Hello.",
            Message_ID="<1@engine.example>",
            In_Reply_To="Your message of Monday <0@engine.example>",
            References="<a@x.example> <b@x.example>",
            Subject="Re: [Looms-talk] RE: cards",
            List_Id='"Weavers of Kent" <weavers.kent.example>',
            X_Mailer="exmh 2.5",
        )
    )
    assert (read.id, read.answers) == ("1@engine.example", ("0@engine.example", "b@x.example", "a@x.example"))
    assert (read.sender, read.address) == ("Ada Byron", "ada@engine.example")
    assert read.date == "2002-09-04"  # in UTC
    assert (read.subject, read.is_reply) == ("cards", True)
    assert (read.mailing_list, read.program) == ("Weavers of Kent", "exmh 2.5")
    assert parse(mail("x", From="ada@engine.example")).sender == "ada"
    assert parse(mail("x", From='"ada@engine.example" <ada@engine.example>')).sender == "ada"
    assert parse(mail("x", List_Id="<weavers.kent.example>")).mailing_list == "weavers"
    assert parse(mail("x", X_BeenThere="weavers@kent.example")).mailing_list == "weavers"
    assert parse(mail("x", From="=?iso-8859-1?Q?Bj=F6rn?= <b@x.example>")).sender == "Björn"


REPLY = """On Tue, 3 Sep 2002 at 10:11 +0100, Charles Babbage
<cb@difference.example> wrote:

> The mill is ready.
>> And the store?
| So is the printer.

Then let us print the tables.

CB> One more thing.
No.

--\x20
Ada
Countess
"""


def test_quotes_attributions_and_signatures_are_not_the_writers_own_words() -> None:
    """Catches an answer that is credited to whoever quotes it."""
    body = separate(REPLY)
    assert body.own == "Then let us print the tables.\n\nNo."
    assert body.attribution == ("Charles Babbage",)
    assert body.quoted == "The mill is ready.\n> And the store?\nSo is the printer.\nOne more thing."
    assert body.signature.splitlines()[1:] == ["Ada", "Countess"]


@pytest.mark.parametrize(
    ("text", "own", "names"),
    [
        ("Ada Byron said:\n> a\nmine", "mine", ("Ada Byron",)),
        ("Quoting Ada Byron (ada@x.example):\n> a\nmine", "mine", ("Ada Byron",)),
        ("On Fri, 23 Aug 2002, Tom wrote:\n--] --]old\n--] older\nmine", "mine", ("Tom",)),
        ("On 3 Sep, Ada wrote:\n# old\n# older\n# oldest\nmine", "mine", ("Ada",)),
        ("On 3 Sep 2002, Ada wrote:\n[snip]\nmine", "mine", ("Ada",)),
        ("In a message dated 9/1/2002 9:34AM x@y.example writes:\n> a\nmine", "mine", ()),
        ("mine\n-----Original Message-----\nFrom: Ada Byron\nSent: x\nTo: y\n\nold\nolder", "mine", ("Ada Byron",)),
        ("mine\n---- Forwarded Message ----\n\nold", "mine", ()),
        ("-----Original Message-----\nFrom: Ada\nTo: y\nSubject: z\n\n> old\nmine", "mine", ("Ada",)),
        ("mine\n________________\nDo You Yahoo!?\nhttp://mail.yahoo.example", "mine", ()),
        ("mine\n_______________________\nLooms mailing list\nhttp://kent.example/mailman/listinfo/looms", "mine", ()),
        ("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nmine\n-----BEGIN PGP SIGNATURE-----\niD8\n", "mine", ()),
        ("mine\nbegin 644 loom.gif\nM1TE&.#EA\n`\nend", "mine", ()),
        ("Features:\n# one\n# two\n# three", "Features:\n# one\n# two\n# three", ()),
        ("| a | b |\n| 1 | 2 |", "| a | b |\n| 1 | 2 |", ()),
        ("He wrote a book.\nIt was good.", "He wrote a book.\nIt was good.", ()),
        ("a -- b\n--option is set", "a -- b\n--option is set", ()),
    ],
)
def test_the_ways_in_which_people_quote(text: str, own: str, names: tuple[str, ...]) -> None:
    """Catches quotes left in, and own words taken for quotes."""
    body = separate(text)
    assert (body.own, body.attribution) == (own, names)


def test_html_is_read_as_text_without_scripts_and_only_where_there_is_no_plain_text() -> None:
    """Catches style sheets in a passage, and a mail that is read twice."""
    page = "<html><head><style>p{}</style><title>t</title><script>evil()</script></head><body><p>One &amp; two"
    page += "<blockquote>old</blockquote><ul><li>three</ul></body>"
    assert page_to_text(page).split("\n\n") == ["One & two", "> old", "* three"]
    read = parse(mail(page, Content_Type="text/html"))
    assert "only HTML" in read.done
    assert (read.body.own, read.body.quoted) == ("One & two\n\n* three", "old")
    both = "--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: text/html\n\n<p>rich\n--b--\n"
    read = parse(mail(both, Content_Type='multipart/alternative; boundary="b"'))
    assert (read.body.own, read.done) == ("plain", ())


def test_attachments_are_skipped_and_huge_parts_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a mail that fills the memory, and one that is dropped in silence."""
    monkeypatch.setattr(reading, "LARGEST_PART", 1000)
    text = "--b\nContent-Type: text/plain\n\nmine\n"
    text += "--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=x\n\nattached\n"
    text += "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n"
    text += f"--b\nContent-Type: text/plain\n\n{'x' * 2000}\n--b--\n"
    read = parse(mail(text, Content_Type='multipart/mixed; boundary="b"'))
    assert read.body.own == "mine"
    assert read.done == ("a part too large to decode", "attachments")


@pytest.mark.parametrize("charset", ["x-martian", "utf-8", "", "gb2312; x"])
def test_unknown_and_false_charsets_fall_back(charset: str) -> None:
    """Catches a crash on, or the loss of, a mail in a charset that is not what it says."""
    raw = mail("", Content_Type=f'text/plain; charset="{charset}"') + "Café à Paris".encode("cp1252")
    read = parse(raw)
    assert "Paris" in read.body.own
    assert "an unknown charset" in read.done


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"From: ", b"Content-Type: multipart/mixed; boundary=", b"Date: "])
)
def test_no_bytes_raise(raw: bytes, before: bytes) -> None:
    """Catches a mailbox whose indexing one broken mail stops."""
    read = parse(before + raw)
    assert read.body.own.encode() is not None
    assert "@" not in read.sender


@pytest.mark.parametrize(
    "headers",
    [
        {"From": "=?utf-8?B?!!!?= <a@x.example>"},
        {"From": "=?x-martian?Q?a=FF?= <a@x.example>"},
        {"Date": "Tue, 99 Foo 20022 99:99"},
        {"Date": "Mon, 1 Jan 0001 00:00:00 +9999"},
        {"Content_Type": "text/plain; charset*0*=utf-8''%E4"},
        {"Content_Transfer_Encoding": "base64"},
        {"Content_Type": "message/rfc822"},
    ],
)
def test_broken_headers_do_not_raise(headers: dict[str, str]) -> None:
    """Catches the ways in which real mails are broken."""
    read = parse(mail("Hello there", **headers))
    assert read.subject == "Looms"


@settings(max_examples=200, deadline=None)
@given(st.emails(), st.sampled_from(["{}", "<{}>", "mailto:{}", "to {}, please", "({}).", "a,{};b", "{}\nx", "[{}]"]))
def test_no_address_survives(address: str, around: str) -> None:
    """Catches a person's address in what the pipeline shows."""
    masked = mask(around.format(address))
    local, _, host = address.partition("@")
    assert ADDRESS in masked
    for piece in (address, f"@{host}", f"{local}@"):
        assert piece not in masked


@pytest.mark.parametrize(
    "text",
    [
        "kevin AT looms.example",
        "kevin at looms dot example",
        "kevin [at] looms [dot] example",
        "k%40looms.example",
        "x\\@y.org",
    ],
)
def test_addresses_in_disguise_are_masked(text: str) -> None:
    """Catches an address that only a person can read."""
    assert mask(f"Write to {text} now") == f"Write to {ADDRESS} now"


@pytest.mark.parametrize(
    "number",
    [
        "+353 1 402 4682", "+1-415-436-9333", "(617) 253-5339", "617-495-7153", "408.725.7136", "1-800-998-9938",
        "+44 (0)20 7499 2264", "(01) 605 3737", "0871 246 0002",
    ],
)  # fmt: skip
def test_telephone_numbers_are_masked(number: str) -> None:
    """Catches a person's telephone number in what the pipeline shows."""
    assert mask(f"Call {number} today") == f"Call {TELEPHONE} today"
    assert mask("Tel: 6188428") == f"Tel: {TELEPHONE}"
    assert mask("fax no. 01 6602244") == f"fax no. {TELEPHONE}"


@pytest.mark.parametrize(
    "figure",
    [
        "192.168.10.254", "2002-09-12 10:30", "12/09/2002", "2.4.18-14", "$1,234,567.89", "1999-2002", "800x600",
        "ISSN 1095-3965", "ISBN 0-201-63361-2", "3.14159265358979", "2,147,483,648", "RFC 2822", "10.0.0.1:8080",
        "http://news.example/2100-1023-949572.html", "20020912103000", "75E7AAD6", "0 - 100 200 300", "bug 12345678",
        "Aug 08 2002 12:30", "0.000 0.331 1.042", "dial-up at 56 kbit/s", "@home", "we met @ 5",
    ],
)  # fmt: skip
def test_other_figures_stay(figure: str) -> None:
    """Catches facts that masking destroys."""
    assert mask(f"It was {figure} then") == f"It was {figure} then"


@settings(max_examples=100, deadline=None)
@given(st.dates(), st.ip_addresses(v=4), st.integers(1, 10**12), st.tuples(*[st.integers(0, 40)] * 4))
def test_dates_addresses_of_machines_and_prices_are_no_telephone_numbers(
    day: object, machine: object, price: int, version: tuple[int, ...]
) -> None:
    """Catches patterns that swallow any long figure."""
    text = f"on {day} from {machine} for ${price:,} with v{'.'.join(map(str, version))} of {price} bytes"
    assert mask(text) == text


def test_sentences_end_where_they_end() -> None:
    """Catches cuts at abbreviations, numbers, addresses of pages, and initials."""
    text = 'Dr. J. Smith paid $3.50 (ca. 3 p.m.) at x.example/a.html. "Why?" he asked. See Fig. 2! 1. Not me, e.g. Bob.'
    assert sentences(text) == [
        "Dr. J. Smith paid $3.50 (ca. 3 p.m.) at x.example/a.html.", '"Why?" he asked.', "See Fig. 2!",
        "1. Not me, e.g. Bob.",
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["Word", "word", "end.", "\n", "\n\n", "* item", "Why?"]), max_size=400),
    st.integers(5, 60),
)
def test_parts_keep_every_word_and_stay_short(pieces: list[str], words: int) -> None:
    """Catches lost words, parts that are too long, and a last part of two words."""
    text = " ".join(pieces)
    cut = parts(text, words)
    assert " ".join(join(part) for part in cut).split() == text.split()
    sizes = [len(join(part).split()) for part in cut]
    assert all(size <= 2.5 * words for size in sizes)
    assert all(sentence in join(part) for part in cut for paragraph in part for sentence in paragraph)


def test_line_wraps_are_joined_and_list_items_are_not() -> None:
    """Catches sentences that end at column 72, and lists that become one sentence."""
    ((one, *items),) = parts("A long\nline that wraps.\n\nTools:\n* awl\n* loom\n  of oak\n", 100)
    assert one == ["A long line that wraps."]
    assert items == [["Tools:"], ["* awl"], ["* loom of oak"]]


def test_threads_follow_references_then_subjects() -> None:
    """Catches threads of one mail each, and strangers who share a subject."""
    messages = [
        parse(mail("a", Message_ID="<1@x>")),
        parse(mail("b", Message_ID="<2@x>", In_Reply_To="<1@x>", Subject="Re: Looms")),
        parse(mail("c", Message_ID="<3@x>", References="<1@x> <2@x>", Subject="Other")),
        parse(mail("d", Message_ID="<4@x>", Subject="Looms")),
        parse(mail("e", Message_ID="<5@x>", In_Reply_To="<gone@x>", Subject="Re: Looms")),
        parse(mail("f", Message_ID="<6@x>", In_Reply_To="<lost@x>", Subject="Cards")),
        parse(mail("g", Message_ID="<7@x>", In_Reply_To="<lost@x>", Subject="Punched")),
    ]
    assert thread_numbers(messages) == ([0, 0, 0, 1, 0, 2, 2], [-1, 0, 1, -1, -1, -1, -1])


def test_a_sender_has_one_name_and_repeated_closings_are_signatures() -> None:
    """Catches one person under two names, and a motto in every passage."""
    texts = ["First.\n\nWeave on!\nAda", "Second.\nWeave on!\nAda", "Third.\n\nWeave on!\nAda", "Ada"]
    messages = [parse(mail(text)) for text in texts]
    messages.append(parse(mail("Fourth.", From="countess <ada@engine.example>")))
    named = named_alike(messages)
    assert {message.sender for message in named} == {"Ada Byron"}
    bodies = [message.body for message in without_closings(named)]
    assert [body.own for body in bodies] == ["First.", "Second.", "Third.", "", "Fourth."]
    assert bodies[1].signature == "Weave on!\nAda"


def write_mailboxes(folder: Path) -> dict[str, Path]:
    """The same three mails as an mbox, a maildir and a folder of files."""
    mails = [mail(f"Number {number}.\n\nFrom the start.\n", Message_ID=f"<{number}@x>") for number in range(3)]
    box = standard.mbox(folder / "a.mbox")
    maildir = standard.Maildir(folder / "maildir")
    (folder / "files" / "deep").mkdir(parents=True)
    for number, raw in enumerate(mails):
        box.add(raw)
        maildir.add(raw)
        (folder / "files" / "deep" / f"{number}.eml").write_bytes(raw)
    box.close()
    maildir.close()
    return {"mbox": folder / "a.mbox", "maildir": folder / "maildir", "files": folder / "files"}


@pytest.mark.parametrize("kind", ["mbox", "maildir", "files"])
def test_every_kind_of_mailbox_gives_the_same_mails(tmp_path: Path, kind: str) -> None:
    """Catches a mailbox cut at a body's "From ", and identities that change."""
    path = write_mailboxes(tmp_path)[kind]
    found = list(stream(path))
    read = [parse(raw.data) for raw in found]
    assert sorted(message.id for message in read) == ["0@x", "1@x", "2@x"]
    assert all("From the start." in message.body.own for message in read)
    assert [raw.identity for raw in stream(path)] == [raw.identity for raw in found]
    assert len({raw.identity for raw in found}) == 3


def test_what_is_no_mail_is_counted_and_said(tmp_path: Path) -> None:
    """Catches silence about what was left out."""
    (tmp_path / "a.eml").write_bytes(mail("Hello"))
    (tmp_path / "empty.eml").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("Buy milk and bread")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    skipped = Skipped()
    assert len(list(stream(tmp_path, skipped))) == 1
    assert skipped.counts() == {"empty files": 1, "files that are no mails": 2}


@pytest.mark.parametrize("kind", ["missing", "empty folder", "empty file", "no mailbox"])
def test_a_path_without_mails_is_the_users_mistake(tmp_path: Path, kind: str) -> None:
    """Catches an index of nothing."""
    path = tmp_path / ("box.mbox" if "f" not in kind or "file" in kind else "folder")
    if kind == "empty folder":
        path = tmp_path / "folder"
        path.mkdir()
    elif kind == "empty file":
        path.write_bytes(b"")
    elif kind == "no mailbox":
        path.write_text("{}\n")
    with pytest.raises(UserError, match=r"(There is no mailbox|holds no e-mail).*give an \.mbox file"):
        list(stream(path))


def test_a_huge_mail_is_cut_and_the_next_one_is_read(tmp_path: Path) -> None:
    """Catches an attachment that fills the memory, and a lost neighbour."""
    path = tmp_path / "big.mbox"
    with open(path, "wb") as file:
        file.write(b"From a Mon Sep  2 10:00:00 2002\n" + mail("Big.\n"))
        for _ in range(LARGEST_MAIL // 75 + 1000):
            file.write(b"A" * 74 + b"\n")
        file.write(b"\nFrom b Mon Sep  2 11:00:00 2002\n" + mail("Small."))
    first, second = stream(path)
    assert len(first.data) == LARGEST_MAIL
    assert parse(second.data).body.own == "Small."

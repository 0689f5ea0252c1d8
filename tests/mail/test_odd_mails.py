"""Mailboxes and mails as people really have them; each test is one kind of public bug report on other programs."""

import bz2
import gzip
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.mail import charsets
from tasks.mail.mailbox import Skipped, stream
from tasks.mail.message import Message, parse
from tasks.mail.sentences import join, parts

SEPARATOR = "From ada@engine.example Tue Sep  3 10:00:00 2019\n"


def letter(number: int, body: str = "", sender: str = "Ada Weaver <ada@engine.example>") -> str:
    return (
        f"From: {sender}\nTo: b@engine.example\nSubject: Note {number}\nMessage-ID: <{number}@engine.example>\n"
        f"Date: Tue, 3 Sep 2019 10:00:00 +0000\n\n{body or f'Loom {number} is oiled.'}\n"
    )


def read(path: Path, skipped: Skipped | None = None) -> list[Message]:
    return [parse(raw.data) for raw in stream(path, skipped)]


def own(path: Path) -> list[str]:
    return [message.body.own for message in read(path)]


@pytest.mark.parametrize(
    ("separator", "gap"),
    [
        (SEPARATOR, "\n"),
        ("From \n", "\n"),
        ("From - \n", "\n"),
        ("From - Tue Sep 03 10:00:00 2019\n", "\n"),
        ("From ada at engine.example  Tue Sep  3 10:00:00 2019\n", "\n"),
        (SEPARATOR, ""),  # no empty line before it
    ],
)
@pytest.mark.parametrize("name", ["a.mbox", "2019-September.txt", "export.eml", "INBOX.Sent", "list.2019", "mbox"])
def test_each_mail_of_an_mbox_is_found(separator: str, gap: str, name: str, tmp_path: Path) -> None:
    """Catches mails that vanish in the one before them, or for the name of their file."""
    rest = gap.join(separator + letter(number) for number in (2, 3))
    (tmp_path / name).write_text(SEPARATOR + letter(1) + gap + rest)
    assert own(tmp_path / name) == own(tmp_path) == [f"Loom {number} is oiled." for number in (1, 2, 3)]


@pytest.mark.parametrize("begins", ["", "\ufeff", "\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\r\n", "mixed"])
def test_lines_may_end_in_any_way(ends: str, begins: str, tmp_path: Path) -> None:
    """Catches an mbox of old Macs, of careless transfers or of several programs, of which one mail is read or none."""
    mails = [SEPARATOR + letter(number) + "\n" for number in (1, 2, 3)]
    each = ["\r\n", "\n", "\n"] if ends == "mixed" else [ends] * 3
    text = "".join(mail.replace("\n", end) for mail, end in zip(mails, each, strict=True))
    (tmp_path / "INBOX").write_bytes((begins.replace("\n", each[0]) + text).encode())
    (tmp_path / "4.eml").write_bytes(letter(4).replace("\n", each[0]).encode())
    found = read(tmp_path)
    assert sorted(message.body.own for message in found) == [f"Loom {number} is oiled." for number in (1, 2, 3, 4)]
    assert {message.subject for message in found} == {f"Note {number}" for number in (1, 2, 3, 4)}


def test_a_gap_of_nuls_hides_no_mail(tmp_path: Path) -> None:
    """Catches mails that vanish behind what a program left that died while it wrote."""
    first, second = SEPARATOR + letter(1), SEPARATOR + letter(2)
    for size in (7, 200_000):
        (tmp_path / "Inbox").write_bytes(bytes(7) + first.encode() + bytes(size) + second.encode())
        assert own(tmp_path / "Inbox") == ["Loom 1 is oiled.", "Loom 2 is oiled."]


def test_mails_of_apple_mail_are_read(tmp_path: Path) -> None:
    """Catches a whole folder of .emlx that is counted as files that are no mails, or read with its list of flags."""
    for number, begins in ((1, ""), (2, "\r\n")):
        data = (begins + letter(number)).encode()
        flags = b'<?xml version="1.0"?><plist version="1.0"><dict><key>flags</key></dict></plist>\n'
        (tmp_path / f"{number}.emlx").write_bytes(f"{len(data):<10}\n".encode() + data + flags)
    assert own(tmp_path) == ["Loom 1 is oiled.", "Loom 2 is oiled."]


@pytest.mark.parametrize(
    "line",
    [
        "From Monday 9:30 on, the code is kept by Berta.",
        "From 10:00 to 11:00: the hall is closed.",
        "From here on: silence.",
        "From ",
    ],
)
def test_a_sentence_that_begins_with_from_ends_no_mail(line: str, tmp_path: Path) -> None:
    """Catches the rest of a mail that is dropped as a file that is no mail."""
    body = f"Dear all,\n\n{line}\nThe key hangs in the kitchen."
    (tmp_path / "a.mbox").write_text(SEPARATOR + letter(1, body) + "\n" + SEPARATOR + letter(2))
    skipped = Skipped()
    found = read(tmp_path / "a.mbox", skipped)
    assert [message.body.own for message in found] == [body.replace("From \n", "From\n"), "Loom 2 is oiled."]
    assert skipped.counts() == {}


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n \n",
        b"Microsoft Mail Internet Headers Version 2.0\r\n",
        b">" + SEPARATOR.encode(),
    ],
)
def test_what_programs_leave_before_the_headers_hides_none(before: bytes, tmp_path: Path) -> None:
    """Catches a mail without sender, date and subject, all of it taken for a quote."""
    (tmp_path / "a.eml").write_bytes(before + letter(1).encode())
    (message,) = read(tmp_path)
    assert (message.sender, message.date, message.subject) == ("Ada Weaver", "2019-09-03", "Note 1")
    assert message.body.own == "Loom 1 is oiled."


@pytest.mark.parametrize(
    ("field", "sender", "address"),
    [
        ("=?utf-8?Q?M=C3=BCller=2C_J=C3=BCrgen?= <j@x.example>", "Müller, Jürgen", "j@x.example"),
        ("=?iso-8859-1?Q?M=FCller=2C?= =?iso-8859-1?Q?_Petra?= <p@x.example>", "Müller, Petra", "p@x.example"),
        ('"Meyer, Anna" <anna@x.example>', "Meyer, Anna", "anna@x.example"),
        ("ada at x.example (Ada Weaver)", "Ada Weaver", "ada@x.example"),
        ("=?utf-8?Q?Ada_<ada=40x.example>?=", "Ada", "ada@x.example"),
    ],
)
def test_two_people_of_one_surname_stay_two(field: str, sender: str, address: str) -> None:
    """Catches names that are decoded before they are told from addresses."""
    message = parse(letter(1, sender=field).encode())
    assert (message.sender, message.address) == (sender, address)


def test_bytes_beyond_ascii_in_a_header_are_read() -> None:
    """Catches a replacement character in the name of whoever writes no encoded words."""
    for charset in ("utf-8", "latin-1"):
        assert parse(letter(1, sender="Nils Selåsdal <n@x.example>").encode(charset)).sender == "Nils Selåsdal"


@pytest.mark.parametrize(
    ("label", "data", "words"),
    [
        ("gb2312", "会议在朱镕基大厦举行".encode("gbk"), "会议在朱镕基大厦举行"),
        ("ks_c_5601-1987", "똠방각하는 서울에 있다".encode("cp949"), "똠방각하는 서울에 있다"),
        ("shift_jis", "会議は①号室です".encode("cp932"), "会議は①号室です"),
        ("iso-2022-jp", b"\x1b$B2q5D$O-!9f<<$G$9\x1b(B", "会議は①号室です"),
        ("iso-2022-jp", b"\x1b(I12\x1b(B", "ｱｲ"),
        ("iso-2022-kr", "목요일에 서울에서 만나요".encode("iso2022_kr"), "목요일에 서울에서 만나요"),
        ("hz-gb-2312", "会议在大厦举行".encode("hz"), "会议在大厦举行"),
        ("unicode-1-1-utf-7", "Zoë’s café".encode("utf-7"), "Zoë’s café"),
        ("iso-8859-8-i", "שלום עולם".encode("iso-8859-8"), "שלום עולם"),
        ("iso-8859-1", "The “red” loom – Ada’s".encode("cp1252"), "The “red” loom – Ada’s"),
        ("us-ascii", "Zoë’s café".encode(), "Zoë’s café"),
        ("cp-850", "Zoë café".encode("cp850"), "Zoë café"),
        ("utf-8", "Zoë’s café is in Málaga".encode() + b" b\xe1h", "Zoë’s café is in Málaga b\ufffdh"),
        ("x-martian", "Über die Brücke".encode("cp1252"), "Über die Brücke"),
        ("utf-8", "Съешь же ещё этих мягких французских булок да выпей чаю".encode("cp1251"), "Съешь же ещё этих"),
    ],
)
def test_a_label_that_does_not_fit_costs_a_letter_at_most(label: str, data: bytes, words: str) -> None:
    """Catches mojibake, and a mail without words of its own because of one byte."""
    text, how = charsets.decode(data, label)
    assert text.startswith(words)
    raw = letter(1).replace("To:", f'Content-Type: text/plain; charset="{label}"\nTo:').encode().split(b"\n\n")[0]
    message = parse(raw + b"\n\n" + data)
    assert message.body.own.startswith(words)
    said = {
        charsets.KNOWN: (),
        charsets.MENDED: ("bytes that fit no letter",),
        charsets.GUESSED: ("an unknown charset",),
    }
    assert message.done == said[how]


def test_a_blank_plain_part_leaves_the_words_of_the_other() -> None:
    """Catches a mail that is dropped as one without words, though every mail program shows some."""
    for blank in ("", " \n\n", "\u200b", "--"):
        body = f"--b\nContent-Type: text/plain; charset=utf-8\n\n{blank}\n--b\nContent-Type: text/html\n\n<p>In the "
        body += "<b>north tower</b>.</p>\n--b--"
        kind = 'Content-Type: multipart/alternative; boundary="b"\nTo:'
        message = parse(letter(1, body).replace("To:", kind, 1).encode())
        assert message.body.own == "In the north tower."
        assert "only HTML" in message.done


def nested(kind: str, times: int) -> str:
    if kind == "rfc822":
        return "From: loop@x.example\n" + "MIME-Version: 1.0\nContent-Type: message/rfc822\n\n" * times + letter(1)
    parts = "".join(
        f'Content-Type: multipart/mixed; boundary="b{number}x"\n\n--b{number}x\n' for number in range(times)
    )
    return "From: loop@x.example\nMIME-Version: 1.0\n" + parts + "Content-Type: text/plain\n\nx\n"


@pytest.mark.parametrize("kind", ["rfc822", "mixed"])
@pytest.mark.parametrize("times", [2, 60, 600, 1500])
def test_a_loop_of_forwards_is_read_as_far_as_it_makes_sense(kind: str, times: int) -> None:
    """Catches the mail that makes a mailbox unusable for ever."""
    message = parse(nested(kind, times).encode())
    assert message.sender == "loop"
    assert ("parts nested too deeply" in message.done) == (times > 2)


def test_what_is_packed_is_unpacked_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Catches a file that is passed over in silence, and one that is waited for, or damaged, that ends the run."""
    mail = (SEPARATOR + letter(1)).encode()
    for ending, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        (tmp_path / f"old mail.mbox.{ending}").write_bytes(pack(mail.replace(b"oiled", ending.encode())))
    (tmp_path / "cut.mbox.gz").write_bytes(gzip.compress(os.urandom(5000))[:-1000])
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.yaml").write_text("title: not a mail\n")
    (tmp_path / "all.zip").write_bytes(b"PK\x03\x04 and more")
    with tarfile.open(tmp_path / "takeout.tgz", "w:gz") as archive:
        archive.add(tmp_path / "photo.jpg", "photo.jpg")
    (tmp_path / "talk.msg").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    (tmp_path / "backup.pst").write_bytes(b"!BDN" + bytes(600))
    (tmp_path / ".Sent" / "cur").mkdir(parents=True)
    (tmp_path / ".Sent/cur/1567.M1P1.host,S=1:2,S").write_text(letter(2))
    (tmp_path / ".lock").write_text("x")
    (tmp_path / "empty.eml").write_text("\n")
    os.mkfifo(tmp_path / "pipe.eml")
    (tmp_path / os.fsdecode(b"caf\xe9.eml")).write_text(letter(3))
    skipped = Skipped()
    found = {raw.name: parse(raw.data).body.own for raw in stream(tmp_path, skipped)}
    assert found == {
        ".Sent/cur/1567.M1P1.host,S=1:2,S": "Loom 2 is oiled.",
        "caf\\udce9.eml": "Loom 3 is oiled.",
        **{f"old mail.mbox.{end}, mail 1": f"Loom 1 is {end}." for end in ("bz2", "gz", "xz")},
    }
    assert skipped.names == {
        "hidden or temporary files": [".lock"],
        "archives, which have to be unpacked first": ["all.zip", "backup.pst", "takeout.tgz"],
        "mails in Outlook's own format, which have to be saved as .eml first": ["talk.msg"],
        "files that could not be read to their end": ["cut.mbox.gz"],
        "empty files": ["empty.eml"],
        "files that are no mails": ["notes.yaml", "photo.jpg"],
        "things that are no files": ["pipe.eml"],
    }


def test_a_mailbox_of_none_says_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="holds no e-mail \\(1 files that are no mails\\)"):
        list(stream(tmp_path))


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-be", "utf-16-le"])
def test_a_byte_order_mark_counts_more_than_a_label(charset: str) -> None:
    data = ("\ufeff" * (charset != "utf-16") + "Zoë’s café").encode(charset)
    assert charsets.decode(data, "utf-16")[0].lstrip("\ufeff") == "Zoë’s café"


@pytest.mark.parametrize(
    "sentence", ["会议在大厦举行，请大家准时参加。", "来週の火曜日に事務所で会いましょう！", "พบกันที่สำนักงานวันอังคาร"]
)
def test_a_long_mail_without_spaces_is_cut_as_others_are(sentence: str) -> None:
    """Catches one passage of a whole mail, of which the encoder reads the beginning alone."""
    assert len(parts(sentence * 60, 120)) == 1  # as the benchmark that is published was made
    cut = parts(sentence * 60, 120, unspaced=True)
    assert 3 <= len(cut) <= 12
    assert all(len(join(part)) <= 2 * 120 + 2 * len(sentence) for part in cut)
    assert "".join(join(part).replace(" ", "") for part in cut) == sentence * 60

"""The annotation store: the log loses and invents nothing, and the report and the export say what is in it."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from made_annotations import drawn, event, make_annotations, make_photos

from tasks.altogether.records import read_records
from tasks.base.errors import UserError
from tools.annotate import agreement, export, store
from tools.annotate.pictures import find
from tools.annotate.rounds import Annotations, recall, remember
from tools.annotate.store import Decision, Event, Log, contested, settled, state, versions

STATES: list[Decision] = ["draft", "accepted", "skipped"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def made(folder: Path) -> Annotations:
    return make_annotations(folder)


@contextmanager
def no_wait() -> Iterator[None]:
    """Do not wait for the disk, where that is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.os, "fsync", lambda descriptor: None)
        yield


# ------------------------------------------------------------------ the log


@no_wait()
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["append", "again", "refresh", "crash"]),
            st.text(st.characters(codec="utf-8"), max_size=12),
        ),
        max_size=14,
    )
)
def test_what_was_appended_is_there_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, str]]
) -> None:
    """The lie: "saved", when a crash, another writer or a repeated request has lost, doubled or mixed up lines."""
    path = tmp_path_factory.mktemp("log") / "round-1.jsonl"
    writers = [Log(path), Log(path)]
    written: list[Event] = []
    for number, (writer, step, text) in enumerate(steps):
        if step == "append":
            written.append(event(number, text=text))
            assert writers[writer].append(written[-1])
            assert writers[writer].events == written
        elif step == "again" and written:
            assert not writers[writer].append(written[0])
        elif step == "refresh":
            writers[writer].refresh()
            assert writers[writer].events == written
        elif step == "crash":
            with open(path, "ab") as torn:
                torn.write(event("torn", text=text).model_dump_json().encode()[: 5 + number])
    reader = Log(path)
    reader.repair()
    assert reader.events == written
    assert [Event.model_validate_json(line) for line in path.read_bytes().splitlines()] == written if written else True


@no_wait()
def test_a_line_torn_at_any_byte_is_cut_off_and_kept_aside(tmp_path: Path) -> None:
    first, last = event(1, text="before"), event(2, text="the last – one")
    whole = first.model_dump_json().encode() + b"\n"
    line = last.model_dump_json().encode()
    for end in range(1, len(line) + 1):
        path = tmp_path / f"{end}.jsonl"
        path.write_bytes(whole + line[:end])
        log = Log(path)
        log.repair()
        complete = end == len(line)
        assert log.events == ([first, last] if complete else [first])
        assert path.read_bytes() == (whole + line + b"\n" if complete else whole)
        if not complete:
            assert path.with_suffix(".torn").read_bytes() == line[:end] + b"\n"
            assert "cut off in a crash" in log.notes[0]
        assert log.append(event(3))


def test_a_damaged_line_inside_is_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "round-1.jsonl"
    lines = [event(1).model_dump_json(), '{"id": "event-2"', "\x00\x00", event(3).model_dump_json()]
    path.write_text("\n".join(lines) + "\n")
    log = Log(path)
    log.refresh()
    assert [each.id for each in log.events] == ["event-1", "event-3"]
    assert len(log.notes) == 2


def test_an_event_is_on_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    path = tmp_path / "round-1.jsonl"
    monkeypatch.setattr(store.os, "fsync", lambda descriptor: synced.append(path.read_bytes()))
    Log(path).append(event(1))
    assert synced[-1] == event(1).model_dump_json().encode() + b"\n"


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_full_disk_is_an_error_and_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    log = Log(tmp_path / "round-1.jsonl")
    log.append(event(1))
    before = log.path.read_bytes()

    def full(descriptor: int, *data: bytes) -> int:
        if data:
            return os.pwrite(descriptor, data[0][:7], 10_000) and 7
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store.os, failing, full)
        with pytest.raises(OSError, match=r"No space|only 7 of"):
            log.append(event(2))
    assert log.path.read_bytes() == before
    assert log.append(event(2))
    assert [each.id for each in log.events] == ["event-1", "event-2"]


WRITER = """
import sys
from pathlib import Path
from tools.annotate.store import Event, Log
log = Log(Path(sys.argv[1]))
for number in range(60):
    log.append(Event(id=f"{sys.argv[2]}-{number}", after="", time="", by=sys.argv[2], image="a.png", sha256="", round=1,
                     state="draft", text="x" * number * 50, seconds=0))
"""


def test_two_processes_write_at_once_and_both_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "round-1.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), by], cwd=ROOT) for by in ("Ada", "Bo")]
    assert [each.wait() for each in running] == [0, 0]
    log = Log(path)
    log.refresh()
    assert not log.notes
    for by in ("Ada", "Bo"):
        assert [each.id for each in log.events if each.by == by] == [f"{by}-{number}" for number in range(60)]


def test_a_line_that_another_process_is_writing_is_waited_for_and_not_cut_off(tmp_path: Path) -> None:
    log = Log(tmp_path / "round-1.jsonl")
    line = event(1).model_dump_json().encode() + b"\n"
    with open(log.path, "ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(line[:50])
        writer = threading.Thread(target=log.append, args=[event(2)])
        writer.start()
        writer.join(0.3)
        other.write(line[50:])
    writer.join()
    assert [each.id for each in log.events] == ["event-1", "event-2"]
    assert not log.notes


# ------------------------------------------------------------------ what events mean


EVENTS = st.lists(
    st.tuples(st.sampled_from(STATES), st.sampled_from(["x", "y"]), st.sampled_from(["Ada", "Bo"]), st.booleans()),
    max_size=8,
)


@given(EVENTS)
def test_the_last_accepted_text_counts_whatever_is_drafted_later(steps: list[tuple[Decision, str, str, bool]]) -> None:
    """The lie: an accepted text that somebody's later keystroke has taken back."""
    events = [event(number, decision, text, by=by) for number, (decision, text, by, _) in enumerate(steps)]
    decided = [each for each in events if each.state != "draft"]
    found = settled(events, "0" * 64)
    if decided and decided[-1].state == "accepted":
        assert found == decided[-1]
        assert state(events, "0" * 64) == "accepted"
        assert state(events, "1" * 64) == "draft"  # another picture under the same name
    elif events:
        assert state(events, "0" * 64) == events[-1].state
        assert found == (events[-1] if events[-1].state == "draft" else None)


@given(EVENTS)
def test_every_text_is_among_the_versions_or_was_gone_on_from(steps: list[tuple[Decision, str, str, bool]]) -> None:
    """The lie: "both are kept", when one of two texts that were written at once cannot be found again."""
    events = [event(0, "draft", "start")]
    for number, (decision, text, by, saw) in enumerate(steps, 1):
        events.append(event(number, decision, text, by=by, after=events[-1].id if saw else "event-0"))
    texts = {each.text for each in versions(events)}
    assert len(texts) == len(versions(events))
    assert events[-1].text in texts
    assert {each.text for each in events if each.state != "draft"} <= texts
    for before, after in pairwise(events):
        if after.by != before.by or after.after != before.id:
            assert before.text in texts
    if not any(store.clashes(before, after) for before, after in pairwise(events)):
        assert not contested(events)


def test_two_who_have_not_seen_each_other_are_in_conflict_until_one_who_has_decides() -> None:
    first = event(1, "draft", "a hut")
    ada = event(2, "accepted", "a red hut", after="event-1")
    bo = event(3, "accepted", "a blue hut", by="Bo", after="event-1")
    assert contested([first, ada, bo])
    assert settled([first, ada, bo], "0" * 64) == bo
    typing = event(4, "draft", "a hut, red", after="event-3")
    assert contested([first, ada, bo, typing])
    assert not contested([first, ada, bo, typing, event(5, "accepted", "a hut, red", after="event-4")])
    assert not contested([first, ada, event(3, "accepted", "a red hut", by="Bo", after="event-1")])
    assert {each.text for each in versions([first, ada, bo])} == {"a red hut", "a blue hut"}


# ------------------------------------------------------------------ rounds, report, export


def test_a_round_begins_with_what_the_one_before_left(made: Annotations) -> None:
    def starts(number: int) -> dict[str, tuple[str, int, str, str]]:
        found = {picture.path: made.previous(picture, number) for picture in made.pictures}
        return {path: (each.text, each.round, each.state, each.by) for path, each in found.items()}

    assert starts(1)["hut-2.jpg"] == ("red hut", 0, "alt", "")
    assert starts(1)["lake/sée.webp"] == ("", 0, "alt", "")
    assert starts(2) == {
        "hut-2.jpg": ("A red hut, snow.", 1, "accepted", "Ada"),
        "hut-10.png": ("a hut", 1, "accepted", "Ada"),
        "lake/sée.webp": ("A lake", 1, "draft", "Bo"),
        "tick.svg": ("tick, green", 0, "alt", ""),
    }
    assert starts(3)["hut-10.png"] == ("a hut", 1, "accepted", "Ada")


def test_a_round_after_nothing_accepted_is_refused(made: Annotations) -> None:
    made.start(3)
    with pytest.raises(UserError, match="Round 3 has no accepted text yet: accept some with --round 3"):
        made.start(4)


def test_the_report_is_what_one_counts_by_hand(made: Annotations) -> None:
    """Round 1: "red hut" → "A red hut, snow." keeps 2 and adds 2; "a hut" stays. Round 2: keeps 3 of 4, and 2 of 2."""
    told = agreement.report(made)
    assert told["pictures"] == 4
    assert told["rounds"] == [
        {
            "round": 1, "to do": 0, "draft": 1, "accepted": 2, "skipped": 1, "contested": 0, "changed_share": 0.5,
            "words_before": 2, "words_after": 3, "kept": 2, "added": 1, "removed": 0,
            "similarity": pytest.approx((4 / 6 + 1) / 2), "same_person": 0,
        },
        {
            "round": 2, "to do": 2, "draft": 0, "accepted": 2, "skipped": 0, "contested": 0, "changed_share": 1,
            "words_before": 3, "words_after": 3.5, "kept": 2.5, "added": 1, "removed": 0.5,
            "similarity": pytest.approx((6 / 8 + 4 / 5) / 2), "same_person": 1,
        },
    ]  # fmt: skip
    assert told["annotators"] == [
        {"round": 1, "by": "Ada", "accepted": 2, "skipped": 0, "saved_edits": 3, "seconds": 12, "median_seconds": 6},
        {"round": 1, "by": "Bo", "accepted": 0, "skipped": 1, "saved_edits": 2, "seconds": 4, "median_seconds": 2},
        {"round": 2, "by": "Bo", "accepted": 2, "skipped": 0, "saved_edits": 2, "seconds": 12, "median_seconds": 6},
    ]


def test_words_are_words_in_other_scripts_too() -> None:
    assert agreement.words("Don't—stop, 3.5 well-known “Höhe”; हिन्दी 雪の山 👩‍🚀!") == [
        "Don't", "stop", "3", "5", "well-known", "Höhe", "हिन्दी", "雪", "の", "山", "👩‍🚀",
    ]  # fmt: skip


SENTENCES = st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join)


@given(SENTENCES, SENTENCES)
def test_the_words_kept_are_the_longest_common_subsequence(before: str, after: str) -> None:
    """The lie: a clever count that is not the definition's."""
    old, new = before.split(), after.split()

    @cache
    def longest(i: int, j: int) -> int:
        if not i or not j:
            return 0
        if old[i - 1] == new[j - 1]:
            return longest(i - 1, j - 1) + 1
        return max(longest(i - 1, j), longest(i, j - 1))

    change = agreement.compare(before, after)
    assert change.kept == longest(len(old), len(new))
    assert (change.kept + change.removed, change.kept + change.added) == (len(old), len(new))
    assert 0 <= change.similarity <= 1


def test_the_export_has_what_is_accepted_in_the_last_round_and_says_what_it_leaves_out(made: Annotations) -> None:
    found, left_out = export.records(made, 2, "photos")
    assert found == [
        {"round1": "A red hut, snow.", "round2": "A small hut, snow.", "alt": "red hut", "source": "wit",
         "img_path": "hut-2.jpg"},
        {"round2": "A blue lake", "alt": "", "source": "photos", "img_path": "lake/sée.webp"},
    ]  # fmt: skip
    assert left_out == {"to do": 2}
    out = made.store / "out.json"
    export.write(found, out)
    assert json.loads(out.read_text()) == {"data": found}
    with pytest.raises(UserError, match="exists already"):
        export.write(found, out)
    with pytest.raises(UserError, match="No picture has an accepted text"):
        export.write([], made.store / "none.json")
    assert sorted(path.name for path in made.store.glob("*out*")) == ["out.json"]
    assert not list(made.store.glob(".*"))


def test_three_rounds_are_exported_as_the_records_that_a_captioner_reads(made: Annotations) -> None:
    picture = made.by_path["hut-2.jpg"]
    last = event(3, "accepted", "A small hut in snow.", by="Cy", image=picture.path, sha256=picture.sha256)
    made.round(3).log.append(last)
    made.round(3).refresh()
    export.write(export.records(made, 3, "photos")[0], made.store / "records.json")
    (record,) = read_records(made.store / "records.json")
    assert record.levels == ("red hut", "A red hut, snow.", "A small hut, snow.", "A small hut in snow.")
    assert (record.source, record.img_path) == ("wit", "hut-2.jpg")


def test_a_moved_picture_keeps_its_text_and_a_changed_one_must_be_accepted_again(
    made: Annotations, folder: Path
) -> None:
    (folder / "hut-2.jpg").rename(folder / "lake/moved.jpg")
    (folder / "hut-10.png").write_bytes(drawn("PNG", "green"))
    (folder / "lake/sée.webp").unlink()
    again = Annotations(made.store, find(folder, {}).pictures, {})
    by_path = {picture.path: picture for picture in again.pictures}
    assert again.accepted(by_path["lake/moved.jpg"], 1)
    assert again.state(by_path["hut-10.png"], 1) == "draft"
    assert again.previous(by_path["hut-10.png"], 2).text == "a hut"
    assert again.notes() == [
        f"Round {number}: 1 annotated picture not in the folder any more; the texts stay in the log."
        for number in (1, 2)
    ]


def test_another_folders_annotations_are_refused(made: Annotations, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others/cat.png").write_bytes(drawn("PNG", "black"))
    with pytest.raises(UserError, match=r"are about other pictures .* choose another folder with --store"):
        Annotations(made.store, find(tmp_path / "others", {}).pictures, {}).notes()


def test_what_a_store_remembers_comes_back(made: Annotations) -> None:
    remember(made.store, {"a.png": {"size": 3}}, made.alts)
    assert recall(made.store) == ({"a.png": {"size": 3}}, made.alts)
    (made.store / "images.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        recall(made.store)

"""DVC's record and cache: reasons, damage, remotes."""

import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path

from conftest import Clone, comparable

from tasks.base.remembered import remembered
from tasks.running.digests import Digests


def test_why_names_what_changed(done: Clone) -> None:
    assert "tiny/counted is up to date" in done.tenfold("why", "counted").stdout
    done.edit("flows/tiny.py", lambda code: code.replace("steps=400", "steps=300"))
    assert "its setting optimisation.steps changed: 400 → 300" in done.tenfold("why", "line-0").stdout
    done.edit("tasks/learning/train.py", lambda code: code + "\nEDITED = True\n")
    assert "the code EDITED in tasks/learning/train.py changed" in done.tenfold("why", "tiny/line-1").stdout
    (done.root / "data/quick/tiny/cleaned/a.txt").write_text("other")
    assert "the input data/quick/tiny/cleaned is modified" in done.tenfold("why", "counted").stdout
    assert "its output data/quick/tiny/cleaned is modified" in done.tenfold("why", "cleaned").stdout


def test_the_digest_of_a_folder_is_dvcs(done: Clone) -> None:
    for path, digest in done.digests().items():
        assert Digests(fresh=True).digest(str(done.root / path)) == digest


def test_a_file_that_another_checkout_links_to_is_hashed_once_and_not_by_every_command(done: Clone) -> None:
    """Finding nothing to do hashed 22,905 files each time, for a checkout beside shared the cache by hard links."""
    text = "data/quick/tiny/cleaned/a.txt"
    time.sleep(0.1)  # what changed a moment ago is not remembered, for it may change again
    os.link(done.root / text, done.root / ".tenfold/link")
    time.sleep(0.1)
    assert "✓ tiny/cleaned" in done.tenfold("status").stdout
    status = (done.root / text).stat()
    stamp, _ = remembered(done.root / ".tenfold/digests.json")[text]
    assert stamp == [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def test_lock_files_are_sorted_whatever_finished_first(done: Clone) -> None:
    import yaml

    for lock in done.root.glob("pipelines/**/dvc.lock"):
        names = list(yaml.safe_load(lock.read_text())["stages"])
        assert names == sorted(names)


def flip(path: Path) -> None:
    """Change one bit, keeping size and times, as a failing disk would."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(bytes(data))
    os.chmod(path, before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(clone: Clone, path: str) -> Path:
    from hashlib import md5

    name = md5((clone.root / path).read_bytes(), usedforsecurity=False).hexdigest()
    return clone.root / ".dvc/cache/files/md5" / name[:2] / name[2:]


def test_verify_finds_what_dvc_does_not_and_its_command_mends_it(done: Clone) -> None:
    before = done.digests()
    assert "are what the record says" in done.tenfold("verify").stdout
    done.dvc("status")  # now DVC knows the files by their inodes and times
    for victim in ("data/quick/tiny/cleaned/a.txt", str(cached(done, "data/quick/tiny/cleaned/b.txt"))):
        flip(done.root / victim)
        assert "up to date" in done.dvc("status", "pipelines/quick/tiny/dvc.yaml").stdout
        ended = done.tenfold("verify", check=False)
        assert ended.returncode == 1
        assert Path(victim).name in ended.stdout
        mend = next(line for line in ended.stdout.splitlines() if "To mend it: " in line).partition("To mend it: ")[2]
        remove, _, again = mend.partition(" && ")
        subprocess.run(remove.split(), cwd=done.root, check=True)
        done.tenfold(*again.split()[1:], "--plain")
        assert "are what the record says" in done.tenfold("verify").stdout
        assert {k: v for k, v in before.items() if "cleaned" in k} == {
            k: v for k, v in done.digests().items() if "cleaned" in k
        }


def test_a_damaged_cache_is_not_restored(done: Clone) -> None:
    victim = cached(done, "data/quick/tiny/cleaned/a.txt")
    text = (done.root / "data/quick/tiny/cleaned/a.txt").read_text()
    shutil.rmtree(done.root / "data/quick/tiny/cleaned")
    flip(victim)
    output = done.tenfold("reproduce", "--plain").stdout
    assert "✓ tiny/cleaned" in output, "it ran again instead of being restored"
    assert (done.root / "data/quick/tiny/cleaned/a.txt").read_text() == text


def test_rerun_compares_a_fresh_result_with_the_record(done: Clone) -> None:
    assert "gave the same bytes again" in done.tenfold("verify", "--rerun", "line-0").stdout
    done.edit("tasks/tiny.py", lambda code: code.replace("random.Random(seed)", "random.Random(seed + 1)"))
    ended = done.tenfold("verify", "--rerun", "counted", check=False)
    assert ended.returncode == 1
    assert "not reproducible here" in ended.stderr
    refused = done.tenfold("verify", "--rerun", "clocked", check=False)
    assert "measures time" in refused.stderr


def second_clone(done: Clone, to: Path) -> Clone:
    """What git would clone, with the lock files, and nothing of the data or the cache."""
    subprocess.run(["git", "add", "-A"], cwd=done.root, check=True)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "commit", "-qm", "Record the run"], cwd=done.root, check=True)
    subprocess.run(["git", "clone", "-q", str(done.root), str(to)], check=True)
    shutil.copytree(done.root / "mlflow", to / "mlflow", dirs_exist_ok=True)
    return Clone(to, done.environment)


def check_remote(done: Clone, url: str, tmp_path: Path, *settings: tuple[str, str]) -> None:
    done.dvc("remote", "add", "-d", "store", url)
    for name, value in settings:
        done.dvc("remote", "modify", "store", name, value)
    assert int(done.tenfold("data", "push").stdout.split()[0]) > 0
    second = second_clone(done, tmp_path / "second")
    assert int(second.tenfold("data", "pull").stdout.split()[0]) > 0
    assert "Nothing to do" in second.tenfold("reproduce").stdout
    assert comparable(second) == comparable(done)
    changed = subprocess.run(["git", "status", "--short"], cwd=second.root, capture_output=True, text=True, check=True)
    assert changed.stdout.strip() == ""


def test_push_and_pull_through_a_folder(done: Clone, tmp_path: Path) -> None:
    check_remote(done, str(tmp_path / "remote"), tmp_path)


def test_push_and_pull_through_ssh(done: Clone, tmp_path: Path, ssh_server: tuple[int, Path]) -> None:
    port, key = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote"
    check_remote(done, url, tmp_path, ("keyfile", str(key)), ("allow_agent", "false"))

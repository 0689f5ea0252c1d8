"""What a cluster has and lacks, for `tenfold doctor --cluster`: reachability, versions, the remote, clocks, room."""

import time
from hashlib import md5
from typing import Any
from uuid import uuid4

from flows.engine.cluster import worker
from flows.engine.cluster.hosts import started
from flows.engine.cluster.remote import Remote
from flows.engine.cluster.roster import Lost, Roster
from flows.engine.cluster.settings import read
from flows.engine.doctor import NEEDED, Check
from flows.engine.objects import keep
from tasks.base.errors import UserError
from tasks.base.manifest import library_version
from tasks.running.digests import Member, folder_entry, listing
from tasks.running.spools import commit

CLOCK_SECONDS = 2.0
"""So far clocks may be apart: TLS and people who read logs mind more than Tenfold, which compares no two clocks."""
LEAST_GB = 5


def examine(given: str) -> list[Check]:
    """Join a cluster and look at it."""
    checks = []
    settings = read(given)
    try:
        remote = Remote(settings.remote or None)
        remote.prepare()
        checks.append(Check("DVC remote", remote.place, True, True))
    except UserError as problem:
        return [Check("DVC remote", str(problem), False, True, "configure the remote")]
    try:
        with started(settings) as found:
            roster = Roster(found, lambda line: None)
            try:
                checks.append(Check("scheduler", found.address, True, True))
                roster.wait_for_workers()
                for name, described in sorted(roster.describe().items()):
                    checks += _worker(name, described, roster, remote)
            finally:
                roster.close()
    except (UserError, Lost) as problem:
        checks.append(Check("cluster", str(problem), False, True, "see docs/cluster.md"))
    return checks


def _worker(name: str, described: dict[str, Any], roster: Roster, remote: Remote) -> list[Check]:
    offers = ", ".join(f"{what} {much:g}" for what, much in described["resources"].items())
    unlike = roster.unlike(described)
    checks = [Check(f"{name}: machine", unlike or offers, not unlike, True, f"make {name} like this machine")]
    if "tenfold" not in described:
        return checks
    said = described["tenfold"]
    differing = [
        f"{library} {said['libraries'].get(library, 'absent')} there, {library_version(library)} here"
        for library in NEEDED
        if said["libraries"].get(library, "absent") != library_version(library)
    ]
    checks.append(Check(f"{name}: libraries", "; ".join(differing) or "as here", not differing, False))
    same = said["commit"] == commit()
    # A worker runs the driver's code; its own is what fetches, runs and sends.
    checks.append(Check(f"{name}: commit", "as here" if same else f"{said['commit'][:12]}, not this one", same, False))
    content = uuid4().hex.encode()
    members = [Member("probe", _kept(content), len(content))]
    digest = str(folder_entry(members)["md5"])
    keep(digest, listing(members))
    remote.push([digest])
    before = time.time()
    found = roster.call(worker.probe, remote.name, digest, name)
    after = time.time()
    checks.append(Check(f"{name}: remote", found["remote"] or "reads and writes it", not found["remote"], True,
                        f"give the checkout of {name} a DVC remote {remote.name} that is the same place"))  # fmt: skip
    apart = max(before - found["clock"], found["clock"] - after, 0.0)
    checks.append(Check(f"{name}: clock", f"{apart:.1f} s apart", apart < CLOCK_SECONDS, False))
    checks.append(Check(f"{name}: free disk", f"{found['free']:.0f} GB", found["free"] > LEAST_GB, False))
    return checks


def _kept(content: bytes) -> str:
    digest = md5(content, usedforsecurity=False).hexdigest()
    keep(digest, content)
    return digest

import subprocess
import sys
import time

import msgspec

from milepost._base.process import Process, described, gone, identity

PRINT = "import sys; from milepost._base.process import identity; print(identity(), flush=True); "


def of_this_machine(**other: object) -> str:
    return msgspec.json.encode(
        msgspec.structs.replace(msgspec.json.decode(identity(), type=Process), **other)
    ).decode()


def test_a_living_process_is_not_gone_and_a_dead_one_is():
    child = subprocess.Popen(
        [sys.executable, "-c", PRINT + "sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    name = child.stdout.readline().strip()
    assert name != identity()
    assert not gone(name)
    assert described(name).startswith(f"process {child.pid} on ")
    child.kill()
    # Not waited for yet: what is left of it, a zombie, does nothing any more.
    until = time.monotonic() + 30
    while not gone(name):
        assert time.monotonic() < until
    child.communicate()
    assert gone(name)


def test_a_later_process_with_the_same_number_is_another_one():
    assert not gone(identity())
    assert gone(of_this_machine(started="1"))


def test_what_cannot_be_seen_from_here_is_not_gone():
    dead = {"pid": 2**22 + 1, "started": "1"}
    assert gone(of_this_machine(**dead))
    assert not gone(of_this_machine(host="elsewhere", **dead))
    assert not gone(of_this_machine(space="pid:[1]", **dead))
    assert not gone(of_this_machine(boot="another start", **dead))
    assert not gone("a holder in other words")
    assert described("a holder in other words") == "a holder in other words"

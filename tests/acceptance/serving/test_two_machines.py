"""Two servers with workspaces of their own, one ledger and one store: they follow each other."""

import shutil
import time

import pytest

from milepost.workflows.opening import open_context
from milepost.workflows.release.channels import promote


@pytest.mark.slow
def test_both_follow_a_change_of_a_channel(
    improved, milepost, new_postgres_database, serve, load, figures, steps, tmp_path
):
    store = tmp_path / "store"
    shutil.move(improved / ".milepost/artifacts", store)
    config = improved / "milepost.toml"
    config.write_text(config.read_text().replace('".milepost/artifacts"', f'"{store}"'))
    milepost.ok("-w", improved, "migrate-store", new_postgres_database().replace(":s3cret@", "@"))
    other = shutil.copytree(improved, tmp_path / "other")
    servers = [serve(desk, "--insecure", "--reload-every", "0.5s") for desk in (improved, other)]
    context = open_context(improved)
    loads = [load(server.address, rate=100, clients=4) for server in servers]
    seconds: list[float] = []
    with loads[0] as first, loads[1] as second:
        for each in loads:
            each.until(50)
        for at in range(6):
            number = 1 + at % 2
            for each in loads:
                each.traffic.first.pop(number, None)
            promote(context, "route", number, "a test")
            moved = time.monotonic()
            for each in loads:
                steps(lambda each=each, number=number: number in each.traffic.first, 10)
                seconds.append(each.traffic.first[number] - moved)
    traffic = [first.stop(), second.stop()]
    figures(
        seconds_to_follow=max(seconds), failed=sum(each.failed.total() for each in traffic),
        mixed=sum(each.mixed for each in traffic),
    )  # fmt: skip
    context.ledger.close()
    assert not any(each.failed for each in traffic)
    assert not any(each.mixed for each in traffic)
    assert max(seconds) < 2.0

"""OpenStack Swift with its S3 interface, whole on one machine: python swift_s3.py FOLDER PORT.

A proxy, an account, a container and an object server on the loopback address, one device, one
replica. Runs until it is ended. Credentials: test:tester / testing.
"""

import getpass
import signal
import socket
import subprocess
import sys
from pathlib import Path

from swift.common.ring import RingBuilder

COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = ERROR
log_address = /nowhere
"""

STORE = """
[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo
    dlo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def main(folder: Path, port: int) -> None:
    (folder / "devices" / "d").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
        "[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    user = getpass.getuser()
    ports = {kind: free_port() for kind in ("account", "container", "object")} | {"proxy": port}
    for kind, its in ports.items():
        settings = COMMON.format(port=its, user=user, folder=folder)
        if kind == "proxy":
            (folder / "proxy.conf").write_text(settings + PROXY)
            continue
        (folder / f"{kind}.conf").write_text(settings + STORE.format(kind=kind))
        builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
        builder.add_dev(
            {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": its,
             "device": "d", "meta": "", "replication_ip": "127.0.0.1", "replication_port": its}
        )  # fmt: skip
        builder.rebalance(seed=0)
        builder.get_ring().save(str(folder / f"{kind}.ring.gz"))
    programs = Path(sys.executable).parent
    servers = [
        subprocess.Popen(
            [sys.executable, programs / f"swift-{kind}-server", folder / f"{kind}.conf"]
        )
        for kind in ports
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        servers[-1].wait()
    finally:
        for server in servers:
            server.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""What a command line and the processes of a server tell each other: an order, and news."""

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve, as the command line hands it to the process that watches.

    Attributes:
        directory: Folder of the workspace; ``None`` finds it as the command line does.
        host: Address or name to listen on.
        port: Port to listen on; 0 takes a free one.
        grpc_port: Port for the Open Inference Protocol over gRPC; ``None`` for none.
        workers: Processes that answer, ≥ 1.
        reload_every: Seconds within which changes of channels and keys are followed.
        insecure: Whether no key is needed.
        reuse_port: Whether another server may listen on the same port at the same time.
        access_log: Whether a line is logged for each request.
        announce: File descriptor for the news that it listens, or why not; ``None`` for none.
        announcer: Child process that prints the news; ``None`` for none.
    """

    directory: str | None = None
    host: str = "127.0.0.1"
    port: int = 8400
    grpc_port: int | None = None
    workers: int = 1
    reload_every: float = 0.5
    insecure: bool = False
    reuse_port: bool = False
    access_log: bool = False
    announce: int | None = None
    announcer: int | None = None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is served.

    Attributes:
        name: Its name.
        release: Release in production.
        variant: Variant of its encoder; ``None`` where it reads text.
        why: Why that one, in words.
        canary: Release that answers a share of the traffic.
        share: That share, 0 to 1.
        shadow: Release in the shadow.
        kept_days: Days for which its inputs are kept as they are; 0 where they are not.
        fields: Names of its inputs, where it has several.
    """

    name: str
    release: int
    variant: str | None = None
    why: str = ""
    canary: int | None = None
    share: float = 0.0
    shadow: int | None = None
    kept_days: float = 0.0
    fields: tuple[str, ...] = ()


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told once: that it serves, or why it does not.

    Attributes:
        address: Where it listens, as a URL.
        tasks: What it serves.
        workers: Processes that answer.
        insecure: Whether no key is needed.
        grpc: Where it listens for gRPC, as host and port.
        error: What is wrong.
        where: Where it is wrong.
        advice: What to do about it.
    """

    address: str = ""
    tasks: tuple[Served, ...] = ()
    workers: int = 1
    insecure: bool = False
    grpc: str | None = None
    error: str | None = None
    where: str | None = None
    advice: str | None = None

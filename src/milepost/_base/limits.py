"""The limits of a server, each with its effect, unit and default.

They are read from the ``[limits]`` table of ``milepost.toml``; a test pins the defaults.
"""

from typing import Annotated

import msgspec

Meta = msgspec.Meta


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server takes at most, and how long it waits.

    Attributes:
        body_bytes: Largest body of a request; a larger one is answered 413 and not read on.
        batch_bytes: Largest file of ``/v1/tasks/{task}/batch``.
        inputs: Most inputs of one request.
        header_bytes: Largest head of a request: request line and all headers.
        connections: Most open connections per worker. One more closes the connection that has
            kept the server waiting longest; where none waits, the new one is answered 503.
        header_seconds: Time in which the head of a request must arrive.
        body_seconds: Time in which a body must arrive, for its first 512 KiB; every further
            64 KiB adds a second.
        stall_seconds: Time without a client reading on after which its connection is cut.
        idle_seconds: How long a connection is kept between two requests. Longer than that of a
            load balancer in front, which would otherwise write into a connection that closes.
        timeout: Seconds after which a request that names no ``X-Request-Timeout`` is given up.
        most_timeout: Longest ``X-Request-Timeout``, seconds.
        latency_target: Seconds in which the engine should answer; while even the quickest
            request takes longer, fewer inputs are let in at once.
        at_once_least: Fewest inputs that are let in at once, whatever the latency.
        at_once_most: Most inputs that are let in at once.
        waiting: Most inputs that wait to be let in; beyond it the key with the longest queue is
            turned away.
        asking: Most requests per worker that wait for language models at a time; one more is
            answered 503.
        lame_duck: Seconds after SIGTERM for which connections are still taken while the server
            is not ready. Longer than a load balancer needs to see that.
        grace: Seconds after that after which requests that are not done are given up.
    """

    body_bytes: Annotated[int, Meta(ge=1024)] = 8 * 1024 * 1024
    batch_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    inputs: Annotated[int, Meta(ge=1)] = 1024
    header_bytes: Annotated[int, Meta(ge=1024)] = 32 * 1024
    connections: Annotated[int, Meta(ge=1)] = 4096
    header_seconds: Annotated[float, Meta(gt=0.0)] = 10.0
    body_seconds: Annotated[float, Meta(gt=0.0)] = 20.0
    stall_seconds: Annotated[float, Meta(gt=0.0)] = 20.0
    idle_seconds: Annotated[float, Meta(gt=0.0)] = 75.0
    timeout: Annotated[float, Meta(gt=0.0)] = 60.0
    most_timeout: Annotated[float, Meta(gt=0.0)] = 600.0
    latency_target: Annotated[float, Meta(gt=0.0)] = 0.1
    at_once_least: Annotated[int, Meta(ge=1)] = 32
    at_once_most: Annotated[int, Meta(ge=1)] = 8192
    waiting: Annotated[int, Meta(ge=1)] = 8192
    asking: Annotated[int, Meta(ge=1)] = 1024
    lame_duck: Annotated[float, Meta(ge=0.0)] = 5.0
    grace: Annotated[float, Meta(ge=0.0)] = 30.0

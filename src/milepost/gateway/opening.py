"""Opens a workspace for the gateway: its service, its keys, its limits."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from milepost._base.limits import Limits
from milepost.gateway.access import Access
from milepost.gateway.gate import Gate, Rooms
from milepost.gateway.rates import Rates
from milepost.gateway.telemetry import Telemetry
from milepost.workflows.opening import open_context
from milepost.workflows.serving.opening import ServeOptions, open_service

if TYPE_CHECKING:
    from milepost.gateway.application import Opened, Options


def open_workspace(
    directory: str | Path | None, options: "Options", loop: asyncio.AbstractEventLoop
) -> "Opened":
    """A gateway's rooms for a workspace; loads and warms all releases.

    Raises:
        MilepostError: If it cannot be opened.
    """
    from milepost.gateway.application import Opened

    context = open_context(None if directory is None else Path(directory))
    access = Access(context.ledger, options.reload_every, insecure=options.insecure)

    def forget() -> None:
        loop.call_soon_threadsafe(access.forget)

    telemetry = Telemetry(options.metrics)
    service = open_service(
        context,
        ServeOptions(
            reload_every=options.reload_every,
            on_keys=forget,
            threads=options.threads,
            observer=telemetry,
            watch=telemetry.watch_languages,
        ),
    )
    configured = context.configuration.limits
    limits = options.limits or (configured if isinstance(configured, Limits) else Limits())
    rooms = Rooms(rates=Rates(options.rates), telemetry=telemetry)
    gate = Gate(service, limits, context.settings.max_text_chars, rooms)
    return Opened(gate=gate, access=access, options=options)

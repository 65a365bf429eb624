"""Which model stands behind a row whose wire is inside of this process."""

from pathlib import Path

from milepost.entities.upstream import Endpoint, Upstream
from milepost.models.language.asking import LanguageModel
from milepost.models.language.inside.fake import Fake
from milepost.models.language.inside.faults import Fault, Faulty
from milepost.models.language.inside.options import Faulted, Replay, Rule, options
from milepost.models.language.inside.recorded import Recorded


def open_inside(
    upstream: Upstream, endpoint: Endpoint | None = None, root: Path | None = None
) -> LanguageModel:
    """The model of an upstream whose wire is ``fake`` or ``recorded``, with its faults.

    Args:
        upstream: The row.
        endpoint: Which of its endpoints; ``None`` for the first one.
        root: Folder that paths in its ``base_url`` are relative to.

    Raises:
        InputError: If its ``base_url`` or a file named there cannot be read.
    """
    chosen = endpoint or upstream.endpoints[0]
    if upstream.wire == "recorded":
        said: Faulted = options(chosen.base_url, Replay)
        model: LanguageModel = Recorded(upstream, chosen, root=root)
    else:
        said = options(chosen.base_url, Rule)
        model = Fake(upstream, chosen, root=root)
    if said.fault is None:
        return model
    fault = Fault(
        kind=said.fault, share=said.fault_share, first=said.fault_first,
        retry_after=said.retry_after,
    )  # fmt: skip
    return Faulty(model, fault)

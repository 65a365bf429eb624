"""Random numbers for ids: none comes twice, in no thread and no process."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from milepost._base.randomness import random64

FORKED = """
import os
from milepost._base.randomness import random64
random64()  # draws many, which a child must not give too
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, " ".join(str(random64()) for _ in range(20)).encode())
    os._exit(0)
os.wait()
print(*(random64() for _ in range(20)), os.read(read, 4096).decode())
"""


def test_no_number_comes_twice_in_many_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        drawn = [
            n
            for part in pool.map(lambda _: [random64() for _ in range(2000)], range(8))
            for n in part
        ]
    assert len(set(drawn)) == len(drawn) == 16_000
    assert all(0 <= number < 2**64 for number in drawn)


def test_all_bits_are_used() -> None:
    drawn = [random64() for _ in range(500)]
    assert all(0 < sum(number >> bit & 1 for number in drawn) < 500 for bit in range(64))


def test_a_forked_process_gives_other_numbers() -> None:
    run = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True)
    numbers = run.stdout.split()
    assert len(set(numbers)) == len(numbers) == 40

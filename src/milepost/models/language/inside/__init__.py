"""Language models inside of this process: one that computes, one that remembers, and their faults.

They stand in the package, not in the tests: tutorials, rehearsals and benchmarks use them as well.
"""

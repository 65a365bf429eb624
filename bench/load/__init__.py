"""Load on a server and what it costs: a generator, servers as child processes, peers' homes.

Nothing here knows which systems are compared or what a result means.
"""

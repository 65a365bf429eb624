"""What finds spans: words, what is seen of them, and the best way through their tags; numpy alone.

No encoder, no training, no task file.
"""

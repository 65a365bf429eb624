"""One module per way to solve a task: texts, vectors and labels in, a predictor out.

Strategies never see storage, contests or each other; what several need is in ``problems``.
"""

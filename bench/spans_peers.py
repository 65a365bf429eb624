"""CRFsuite on one task, run by the interpreter of its own environment; prints JSON."""

import json
import sys
import time
from pathlib import Path


def features(words: list[str], at: int) -> dict[str, object]:
    """Those of the tutorial of sklearn-crfsuite, less the tags of parts of speech."""
    word = words[at]
    found: dict[str, object] = {
        "bias": 1.0,
        "word": word.lower(),
        "ends3": word[-3:],
        "ends2": word[-2:],
        "upper": word.isupper(),
        "title": word.istitle(),
        "digit": word.isdigit(),
    }
    for step, name in ((-1, "before"), (1, "after")):
        if 0 <= at + step < len(words):
            near = words[at + step]
            found[f"{name}.word"] = near.lower()
            found[f"{name}.title"] = near.istitle()
            found[f"{name}.upper"] = near.isupper()
        else:
            found[f"{name}.none"] = True
    return found


def main() -> None:
    import sklearn_crfsuite

    asked = json.loads(Path(sys.argv[1]).read_text())
    x, y = (
        [[features(words, at) for at in range(len(words))] for words, _, _ in asked["train"]],
        [tags for _, _, tags in asked["train"]],
    )
    begun = time.process_time()
    model = sklearn_crfsuite.CRF(
        algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100, all_possible_transitions=True
    )
    model.fit(x, y)
    seconds = time.process_time() - begun
    test = [[features(words, at) for at in range(len(words))] for words, _, _ in asked["test"]]
    tags = [[str(tag) for tag in each] for each in model.predict(test)]
    print(json.dumps({"tags": tags, "fit_s": seconds}))


if __name__ == "__main__":
    main()

"""SetFit on one task, run by the interpreter of its own environment; prints JSON."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    asked = json.loads(Path(sys.argv[1]).read_text())
    torch.manual_seed(asked["seed"])
    started = time.perf_counter()
    model = SetFitModel.from_pretrained(asked["model"])
    folder = Path(sys.argv[1]).parent
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), num_epochs=1, batch_size=16, seed=asked["seed"],
        report_to="none", save_strategy="no", show_progress_bar=False,
    )  # fmt: skip
    examples = Dataset.from_dict({"text": asked["texts"], "label": asked["y"]})
    Trainer(model=model, args=arguments, train_dataset=examples).train()
    seconds = time.perf_counter() - started
    answers = [int(each) for each in model.predict(asked["test"])]
    print(json.dumps({"answers": answers, "fit_s": seconds}))


if __name__ == "__main__":
    main()

"""Save MiniLM and a head as an MLflow model: ``python mlflow_model.py MODEL FOLDER``."""

import sys

import mlflow
import numpy as np


class Classifier(mlflow.pyfunc.PythonModel):
    def load_context(self, context) -> None:
        from sentence_transformers import SentenceTransformer

        self.encoder = SentenceTransformer(context.artifacts["encoder"], device="cpu")
        rng = np.random.default_rng(0)
        self.weights = rng.normal(size=(10, 384)).astype(np.float32)

    def predict(self, context, model_input: list[str], params=None) -> list[dict]:
        del context, params
        vectors = self.encoder.encode(
            list(model_input), normalize_embeddings=True, show_progress_bar=False
        )
        logits = vectors @ self.weights.T
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        best = odds.argmax(axis=1)
        return [
            {"label": f"label {i}", "confidence": float(row[i] / row.sum())}
            for i, row in zip(best, odds, strict=True)
        ]


def main() -> None:
    mlflow.pyfunc.save_model(
        path=sys.argv[2],
        python_model=Classifier(),
        artifacts={"encoder": sys.argv[1]},
        pip_requirements=["sentence-transformers"],
    )


if __name__ == "__main__":
    main()

"""Ray Serve with the INT8 model: ``python ray_app.py PORT default|throughput``.

``default``: one replica and batching with the settings that come with Ray. ``throughput``: HAProxy
and the throughput mode, set in the environment by who starts it, a replica per core and batches
that do not wait.
"""

import os
import signal
import sys
import threading

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

MODE = sys.argv[2] if len(sys.argv) > 2 else "default"
FAST = MODE == "throughput"
DEPLOYMENT = {"num_replicas": 2, "max_ongoing_requests": 64} if FAST else {}
BATCHING = {"max_batch_size": 16, "batch_wait_timeout_s": 0.0} if FAST else {}


@serve.deployment(**DEPLOYMENT)
class Classifier:
    def __init__(self, folder: str, heads: int, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            f"{folder}/onnx/model_quantized.onnx", settings, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(256)
        rng = np.random.default_rng(0)
        self.heads = rng.normal(size=(heads, 10, 384)).astype(np.float32)

    @serve.batch(**BATCHING)
    async def vectors(self, texts: list[str]) -> list[np.ndarray]:
        rows = self.tokenizer.encode_batch_fast(texts)
        ids = np.array([row.ids for row in rows], np.int64)
        mask = np.array([row.attention_mask for row in rows], np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self.session.run(None, feeds)[0]
        weights = mask[:, :, None].astype(np.float32)
        means = (states * weights).sum(axis=1) / weights.sum(axis=1)
        return list(means / np.linalg.norm(means, axis=1, keepdims=True))

    async def __call__(self, request: Request) -> dict:
        asked = await request.json()
        task = int(request.query_params.get("task", 0))
        found = []
        for text in asked["inputs"]:
            logits = self.heads[task] @ await self.vectors(text)
            odds = np.exp(logits - logits.max())
            best = int(odds.argmax())
            found.append({"label": f"label {best}", "confidence": float(odds[best] / odds.sum())})
        return {"predictions": found}


def main() -> None:
    port = int(sys.argv[1])
    ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Classifier.bind(os.environ["PEER_MODEL"], 100, 1 if FAST else 2))
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()

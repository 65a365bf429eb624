"""One example for each route that takes or gives more than a name.

A test holds them against the schemas.
"""

from typing import Any

_ANSWER: dict[str, Any] = {
    "label": "card-lost",
    "confidence": 0.943,
    "probabilities": {"card-lost": 0.943, "refund": 0.031, "delivery": 0.026},
    "abstained": False,
    "rung": "head_logistic",
    "guards": {"abuse": {"label": "fine", "score": 0.012}},
    "trace_id": "t019ab5f2c8d47e31b2f6a4c09d5e7f10",
}
_MODEL = {"id": "milepost/route", "created": 1769860800, "object": "model", "owned_by": "milepost"}
_USER = [{"role": "user", "content": "my card was stolen"}]
_TENSORS: dict[str, Any] = {
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["my card was stolen"]}],
    "outputs": [{"name": "label"}, {"name": "confidence"}],
}
_TENSORS_BACK: dict[str, Any] = {
    "model_name": "route",
    "model_version": "2",
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["card-lost"]},
        {"name": "confidence", "datatype": "FP32", "shape": [1], "data": [0.943]},
    ],
    "parameters": {"channel": "production"},
    "id": "",
}
_CSV = "id,text\n1,my card was stolen\n2,where is my parcel?\n"
_CSV_BACK = (
    "id,text,label,confidence,abstained,rung,tripped,release,trace_id,error\n"
    "1,my card was stolen,card-lost,0.943,false,head_logistic,,2,"
    "t019ab5f2c8d47e31b2f6a4c09d5e7f10,\n"
    "2,where is my parcel?,delivery,0.981,false,head_logistic,,2,"
    "t019ab5f2c8d47e31b2f6a4c09d5e7f11,\n"
)
_LINES = '"my card was stolen"\n{"text": "where is my parcel?", "id": 7}\n'
_LINES_BACK = (
    '{"line":1,"release":2,"label":"card-lost","confidence":0.943,"probabilities":'
    '{"card-lost":0.943},"abstained":false,"rung":"head_logistic","guards":{},'
    '"trace_id":"t019ab5f2c8d47e31b2f6a4c09d5e7f10"}\n'
    '{"line":2,"id":7,"release":2,"label":"delivery","confidence":0.981,"probabilities":'
    '{"delivery":0.981},"abstained":false,"rung":"head_logistic","guards":{},'
    '"trace_id":"t019ab5f2c8d47e31b2f6a4c09d5e7f11"}\n'
)

EXAMPLES: dict[str, dict[str, Any]] = {
    "POST /v1/tasks/{task}/predict": {
        "request": {"inputs": ["my card was stolen"], "top_k": 3},
        "response": {
            "task": "route",
            "release": 2,
            "channel": "production",
            "predictions": [_ANSWER],
            "usage": {
                "inputs": 1,
                "cached": 0,
                "tokens": 6,
                "cached_tokens": 0,
                "cost_usd": 0.0000072,
            },
        },
    },
    "POST /v1/feedback": {
        "request": {"trace_id": _ANSWER["trace_id"], "label": "refund"},
    },
    "POST /v1/tasks/{task}/predict/stream": {
        "application/x-ndjson": _LINES,
        "answer": _LINES_BACK,
    },
    "POST /v1/tasks/{task}/batch": {"text/csv": _CSV, "answer": _CSV_BACK},
    "GET /v1/models": {"response": {"data": [_MODEL], "object": "list"}},
    "GET /v1/models/{model}": {"response": {**_MODEL, "id": "all-MiniLM-L6-v2", "created": 0}},
    "GET /v1/models/{owner}/{model}": {"response": _MODEL},
    "POST /v1/embeddings": {
        "request": {"model": "all-MiniLM-L6-v2", "input": ["my card was stolen"]},
        "response": {
            "data": [{"index": 0, "embedding": [0.034, -0.011, 0.078], "object": "embedding"}],
            "model": "all-MiniLM-L6-v2",
            "usage": {
                "prompt_tokens": 6,
                "total_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
            "object": "list",
        },
    },
    "POST /v1/moderations": {
        "request": {"input": "my card was stolen"},
        "response": {
            "id": "modr-t019ab5f2c8d47e31b2f6a4c09d5e7f12",
            "model": "milepost",
            "results": [
                {
                    "flagged": False,
                    "categories": {"abuse/abusive": False},
                    "category_scores": {"abuse/abusive": 0.012},
                    "category_applied_input_types": {"abuse/abusive": ["text"]},
                }
            ],
        },
    },
    "POST /v1/chat/completions": {
        "request": {"model": "milepost/route", "messages": _USER},
        "response": {
            "id": f"chatcmpl-{_ANSWER['trace_id']}",
            "created": 1769860800,
            "model": "milepost/route",
            "choices": [
                {
                    "message": {"content": "card-lost", "refusal": None, "role": "assistant"},
                    "finish_reason": "stop",
                    "logprobs": None,
                    "index": 0,
                }
            ],
            "usage": {
                "prompt_tokens": 6,
                "completion_tokens": 1,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
            "system_fingerprint": "release-2",
            "milepost": _ANSWER,
            "object": "chat.completion",
        },
    },
    "POST /v1/responses": {
        "request": {"model": "big", "input": "Say hello.", "max_output_tokens": 20},
        "response": {
            "id": "resp_t019ab5f2c8d47e31b2f6a4c09d5e7f13",
            "created_at": 1769860800,
            "model": "big-1",
            "output": [
                {
                    "type": "message",
                    "id": "item_0_t019ab5f2c8d47e31b2f6a4c09d5e7f13",
                    "content": [
                        {"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}
                    ],
                    "status": "completed",
                    "role": "assistant",
                }
            ],
            "status": "completed",
            "incomplete_details": None,
            "usage": {
                "input_tokens": 9,
                "output_tokens": 3,
                "total_tokens": 12,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
            "error": None,
            "instructions": None,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "store": False,
            "upstream": {
                "upstream": "big",
                "region": "",
                "cached": "",
                "attempts": 1,
                "cost_usd": 0.0000525,
                "guards": {},
                "answer_guards": {},
                "trace_id": "t019ab5f2c8d47e31b2f6a4c09d5e7f13",
            },
            "object": "response",
        },
    },
    "POST /v2/models/{model}/infer": {"request": _TENSORS, "response": _TENSORS_BACK},
    "POST /v2/models/{model}/versions/{version}/infer": {
        "request": _TENSORS,
        "response": _TENSORS_BACK,
    },
}
"""By method and path: ``request`` and ``response`` are JSON, other keys are media types and, after
``answer``, those of answers."""

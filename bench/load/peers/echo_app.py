"""The floor: a raw ASGI application that reads and writes JSON with msgspec, and does no more."""

from typing import Any

import msgspec


class Ask(msgspec.Struct):
    inputs: list[str]


decoder = msgspec.json.Decoder(Ask)
encoder = msgspec.json.Encoder()
JSON = (b"content-type", b"application/json")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    answer = encoder.encode({"predictions": decoder.decode(body).inputs})
    length = (b"content-length", str(len(answer)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [JSON, length]})
    await send({"type": "http.response.body", "body": answer})

"""Reading a request body no further than a limit."""

from fastapi import Request

from core.errors import InputError, TooLarge


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body; TooLarge as soon as it is announced, or seen, to be over `max_bytes`."""
    announced = request.headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdigit()):
        raise InputError("The Content-Length header is not a number.")
    if int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {max_bytes} bytes; send it in parts.")

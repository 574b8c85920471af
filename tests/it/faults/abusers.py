"""Callers that do what no caller should, run by abuse.rs as a process of their own, so that what they cost themselves is
not taken for what they cost the server. Arguments: host, port, a token, and the kinds of abuse.

It says {kind: how often it was done, and refused as it should be} on a line now and then, and goes on until it is killed.
Where something is not refused as it should be, it says why on stderr and exits 1.
"""

import asyncio
import json
import secrets
import sys

HOST, PORT, TOKEN = sys.argv[1], int(sys.argv[2]), sys.argv[3]
# Connections that send a byte now and then, and the seconds between two.
DRIPPING, DRIP_S = 100, 0.1
IDLE = 10_000
OFTEN_PER_SECOND = 10
BAD_TOKENS_PER_SECOND, BAD_CALLERS = 1_000, 20
PIECE = 16 * 1024

done = {}


def head(extra, token=TOKEN):
    return (
        "POST /v1/events HTTP/1.1\r\nhost: postrider\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\n{extra}"
    ).encode()


def with_body(body, token=TOKEN):
    return head(f"content-length: {len(body)}\r\n\r\n", token) + body


async def again_and_again(kind, per_second, once):
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await once()
        done[kind] += 1
        due = max(due + 1 / per_second, loop.time() - 1)
        await asyncio.sleep(due - loop.time())


async def drip(kind, first, byte):
    while True:
        try:
            _, writing = await asyncio.open_connection(HOST, PORT)
            writing.write(first)
            while True:
                writing.write(byte)
                await writing.drain()
                done[kind] += 1
                await asyncio.sleep(DRIP_S)
        except OSError:
            pass  # The server has had enough; begin anew.


async def answer(reading):
    """The status, and the body's bytes."""
    said = await reading.readuntil(b"\r\n\r\n")
    lines = said.decode().lower().split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split(" ")[1]), await reading.readexactly(length)


async def is_refused(connection, request, status, code):
    reading, writing = connection
    writing.write(request)
    got, body = await answer(reading)
    assert got == status and json.loads(body)["code"] == code, (got, body)


async def once_refused(request, status, code):
    connection = await asyncio.open_connection(HOST, PORT)
    await is_refused(connection, request, status, code)
    connection[1].close()


async def without_end(first, again, refusal):
    """Says the first, then the other until the server cuts it off, which has told it the refusal before."""
    reading, writing = await asyncio.open_connection(HOST, PORT)
    told = asyncio.create_task(reading.readexactly(len(refusal)))
    try:
        writing.write(first)
        while True:
            writing.write(again)
            await writing.drain()
    except OSError:
        assert await told == refusal, told


async def flood_of_headers():
    headers = "".join(f"x-{n}: y\r\n" for n in range(10_000))
    reading, writing = await asyncio.open_connection(HOST, PORT)
    try:
        writing.write(head(headers + "\r\n"))
        said = await reading.read()
    except OSError:
        return  # What is refused is not read to its end.
    finally:
        writing.close()
    assert not said or said.startswith(b"HTTP/1.1 431"), said


async def bad_tokens():
    kept = await asyncio.open_connection(HOST, PORT)

    async def once():
        token = "pr_" + secrets.token_urlsafe(32)
        await is_refused(kept, with_body(b'{"type": "a.b", "payload": 1}', token), 401, "token_invalid")

    await again_and_again("bad tokens", BAD_TOKENS_PER_SECOND / BAD_CALLERS, once)


async def idle():
    kept = []
    for n in range(IDLE):
        kept.append(await asyncio.open_connection(HOST, PORT))
        if n % 2:
            kept[-1][1].write(b"GET /healthz HTTP/1.1\r\nhost: postrider\r\nx-")
    await again_and_again("idle connections", 10, lambda: asyncio.sleep(0))


def often(kind, once):
    return [again_and_again(kind, OFTEN_PER_SECOND, once)]


CHUNK = b"%x\r\n" % PIECE + b" " * PIECE + b"\r\n"
DEEP = b'{"type": "a.b", "payload": ' + b"[" * 200 * 1024
NO_UTF8 = b'{"type": "a.b", "payload": "\xff\xfe\xc0\xaf"}'
KINDS = {
    "slow heads": lambda kind: [drip(kind, head("x-slow: "), b"a") for _ in range(DRIPPING)],
    "slow bodies": lambda kind: [drip(kind, head("content-length: 100000\r\n\r\n"), b" ") for _ in range(DRIPPING)],
    "bodies without end": lambda kind: often(
        kind, lambda: without_end(head("transfer-encoding: chunked\r\n\r\n"), CHUNK, b"HTTP/1.1 413")
    ),
    "heads without end": lambda kind: often(kind, lambda: without_end(head("x-a: "), b"a" * PIECE, b"HTTP/1.1 431")),
    "floods of headers": lambda kind: often(kind, flood_of_headers),
    "deep JSON": lambda kind: often(kind, lambda: once_refused(with_body(DEEP), 400, "malformed_json")),
    "invalid UTF-8": lambda kind: often(kind, lambda: once_refused(with_body(NO_UTF8), 400, "malformed_json")),
    "bad tokens": lambda kind: [bad_tokens() for _ in range(BAD_CALLERS)],
    "idle connections": lambda kind: [idle()],
}


async def tell():
    while True:
        print(json.dumps(done), flush=True)
        await asyncio.sleep(0.05)


async def abuse(kinds):
    done.update(dict.fromkeys(kinds, 0))
    tasks = [tell()] + [task for kind in kinds for task in KINDS[kind](kind)]
    await asyncio.gather(*tasks)


asyncio.run(abuse(sys.argv[4:]))

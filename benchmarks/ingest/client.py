"""The sending process: keep-alive connections that each POST one sample, wait, and POST the next.

    python -m benchmarks.ingest.client PORT CONNECTIONS SECONDS RATE

RATE is requests a second over all connections, 0 for as many as go. Prints latencies as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

TEXT = "an input of ordinary length , as a reviewer would write it : the film is longer than its story"


async def send(port: int, name: int, end: float, pause: float, latencies: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    failures = 0
    due = time.perf_counter() + pause * (name + 1) / 8
    number = 0
    while time.perf_counter() < end:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = json.dumps({"id": f"{port}-{name}-{number}", "text": TEXT, "time": 1.0}).encode()
        # Waiting behind a slow answer counts: latency runs from when the request was due.
        began = due if pause else time.perf_counter()
        writer.write(
            b"POST /v1/samples HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        failures += b" 200 " not in head or b'"accepted":1' not in answer
        number += 1
        due += pause
    writer.close()
    return failures


async def run(port: int, connections: int, seconds: float, rate: float) -> dict[str, object]:
    latencies: list[float] = []
    pause = connections / rate if rate else 0.0
    began = time.perf_counter()
    senders = [send(port, name, began + seconds, pause, latencies) for name in range(connections)]
    failures = sum(await asyncio.gather(*senders))
    return {"latencies": latencies, "failures": failures, "seconds": time.perf_counter() - began}


def main() -> None:
    port, connections, seconds, rate = sys.argv[1:]
    print(json.dumps(asyncio.run(run(int(port), int(connections), float(seconds), float(rate)))))


if __name__ == "__main__":
    main()

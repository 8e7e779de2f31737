"""Load on a page that runs, over HTTP, from a process of its own: ``python tests/load.py http://127.0.0.1:7860``.

Each visitor does what a browser (modes ``open`` and ``page``) or a program (``api``) sends, one request after another.
Every picture is another one. Reports answers, errors, seconds for one request, throughput and the server's memory.
"""

import argparse
import asyncio
import io
import json
import re
import secrets
import statistics
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import httpx
from PIL import Image

PREFIX = "/gradio_api"
WARM_UP = 0.1  # share of the requests


class Page:
    """What a browser holds of one open page, and the events that it sends."""

    def __init__(self, client: httpx.AsyncClient, config: dict):
        self.client, self.session, self.events = client, secrets.token_hex(6), config["dependencies"]
        self.values = {component["id"]: component["props"].get("value") for component in config["components"]}
        self.types = {component["id"]: component["type"] for component in config["components"]}

    @classmethod
    async def open(cls, client: httpx.AsyncClient) -> "Page":
        """Fetch the page, and all that it fetches when it is loaded."""
        text = (await client.get("/")).raise_for_status().text
        page = cls(client, json.loads(re.search(r"window\.gradio_config = (.*?);\s*</script>", text, re.DOTALL)[1]))
        await asyncio.gather(*(page.send(event) for event in page.events
                               if event["backend_fn"] and any(name == "load" for _, name in event["targets"])))
        return page

    async def send(self, event: dict) -> list:
        """Send an event with the page's values; its answer, which the page keeps."""
        body = {"data": [self.values[i] for i in event["inputs"]], "event_data": None, "fn_index": event["id"],
                "trigger_id": None, "session_hash": self.session}
        if event["queue"]:
            await checked(await self.client.post(f"{PREFIX}/queue/join", json=body))
            answer = await self._from_stream()
        else:
            answer = (await checked(await self.client.post(f"{PREFIX}/run/predict", json=body)))["data"]
        for i, value in zip(event["outputs"], answer, strict=True):
            if not isinstance(value, dict) or value.get("__type__") != "update":
                self.values[i] = value
            elif "value" in value:
                self.values[i] = value["value"]
        return answer

    async def _from_stream(self) -> list:
        async with self.client.stream("GET", f"{PREFIX}/queue/data", params={"session_hash": self.session}) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line.removeprefix("data:")) if line else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(message["output"]["error"])
                    return message["output"]["data"]
        raise RuntimeError("The event stream ended without an answer.")

    async def classify(self, file: dict) -> None:
        """Put an uploaded file into the page's picture, and wait for the answer."""
        picture, event = next((i, event) for event in self.events for i, name in event["targets"]
                              if name == "change" and self.types[i] == "image")
        self.values[picture] = file
        label = await self.send(event)
        if not (label[0] or {}).get("label"):
            raise RuntimeError(f"No answer but {label[2]}")
        for follower in self.events:  # why this answer
            if follower["trigger_after"] == event["id"] and follower["backend_fn"]:
                await self.send(follower)


async def checked(response: httpx.Response) -> dict:
    if response.is_error:
        body = response.json()
        raise RuntimeError(f"{response.status_code}: {body.get('error') or body.get('detail')}")
    return response.json()


async def upload(client: httpx.AsyncClient, numbers: count) -> dict:
    """Upload a picture that nobody has uploaded before; what Gradio calls a FileData."""
    picture, buffer = Image.effect_noise((64, 64), 80).convert("RGB"), io.BytesIO()
    number = next(numbers)
    picture.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
    picture.save(buffer, "PNG")
    files = {"files": (f"{number}.png", buffer.getvalue(), "image/png")}
    path, = await checked(await client.post(f"{PREFIX}/upload", files=files))
    return {"path": path, "orig_name": f"{number}.png", "meta": {"_type": "gradio.FileData"}}


async def call(client: httpx.AsyncClient, file: dict) -> None:
    """The endpoint /classify, as the page's own documentation of it says."""
    event = (await checked(await client.post(f"{PREFIX}/call/classify", json={"data": [file]})))["event_id"]
    async with client.stream("GET", f"{PREFIX}/call/classify/{event}") as stream:
        lines = [line async for line in stream.aiter_lines()]
    if "event: complete" not in lines:
        raise RuntimeError(" ".join(lines))


def memory(pid: int | None) -> float | None:
    """Resident memory in MB of a process and its children; None where there is no /proc to say so."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task").glob("*/children")
        pages = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
        return pages + sum(memory(int(child)) or 0 for file in children for child in file.read_text().split())
    except (OSError, TypeError):
        return None


async def load(address: str, mode: str, visitors: int, requests: int, pid: int | None = None) -> dict:
    """Send the requests, divided among the visitors, and report.

    Returns:
        visitors, answers, errors (by message), p50 and p95 and longest in seconds, answers per second, and with a
        process id the server's memory in MB at the start, when a tenth of the requests was answered, and at the end.
    """
    begin_memory, warm, seconds, errors = memory(pid), [], [], Counter()
    numbers, left = count(int(time.time()) % 65536 * 256), iter(range(requests))
    # A connection is left before the server closes it, which it does after five seconds.
    limits = httpx.Limits(max_connections=None, keepalive_expiry=3)
    async with AsyncExitStack() as stack:
        # A client for each visitor: one for all of them spends its time on searching its connections.
        clients = [await stack.enter_async_context(httpx.AsyncClient(
            base_url=address, timeout=120, limits=limits, trust_env=False, verify=False)) for _ in range(visitors)]
        pages = await asyncio.gather(*map(Page.open, clients if mode == "page" else []))

        async def visit(visitor: int) -> None:
            client = clients[visitor]
            for number in left:  # shared: each takes the next
                try:
                    file = await upload(client, numbers) if mode != "open" else None
                    begin = time.perf_counter()
                    await (Page.open(client) if mode == "open" else call(client, file) if mode == "api"
                           else pages[visitor].classify(file))
                    seconds.append(time.perf_counter() - begin)
                except (RuntimeError, httpx.HTTPError) as error:
                    errors[str(error) or type(error).__name__] += 1
                if number == int(WARM_UP * requests):
                    warm.append(memory(pid))

        begin = time.perf_counter()
        await asyncio.gather(*map(visit, range(visitors)))
        took = time.perf_counter() - begin
    cuts = statistics.quantiles(seconds or [0, 0], n=20, method="inclusive")
    return {"mode": mode, "visitors": visitors, "answers": len(seconds), "errors": dict(errors),
            "p50_s": round(cuts[9], 3), "p95_s": round(cuts[18], 3), "longest_s": round(max(seconds, default=0), 3),
            "per_second": round(len(seconds) / took, 1),
            "memory_mb": {"start": begin_memory, "warm": warm[0] if warm else None, "end": memory(pid)}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the page, such as http://127.0.0.1:7860")
    parser.add_argument("--mode", choices=("open", "page", "api"), default="page",
                        help="open the page, classify on the page, or through the endpoint (default: page)")
    parser.add_argument("--visitors", type=int, default=30, help="at once (default: 30)")
    parser.add_argument("--requests", type=int, default=300, help="of all of them together (default: 300)")
    parser.add_argument("--pid", type=int, help="the server's process, to report its memory")
    options = parser.parse_args()
    report = asyncio.run(load(options.address, options.mode, options.visitors, options.requests, options.pid))
    json.dump(report, sys.stdout, indent=2)
    print()
    return 1 if report["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())

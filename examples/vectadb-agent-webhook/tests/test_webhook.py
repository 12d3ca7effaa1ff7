"""What every source promises, and that what waits is bounded."""

import anyio
import httpx

from vectadb_agent import Outcome
from vectadb_agent.testing import SourceContract
from vectadb_agent_webhook import WebhookConfig, WebhookSource


def made(**options):
    return WebhookSource(WebhookConfig(type="webhook", port=0, **options))


class TestWebhook(SourceContract):
    pushed = 3

    def source(self):
        return made()

    def broken(self):
        return made(host="192.0.2.1")  # an address that is nobody's

    async def push(self, source):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{source.port}") as client:
            (await client.post("/shop", content="one\ntwo\n")).raise_for_status()
            (await client.post("/shop", content="three")).raise_for_status()


def test_beyond_the_bound_clients_are_told_to_come_again():
    async def main():
        async with made(max_waiting="1KB") as source, anyio.create_task_group() as group:
            url, answers = f"http://127.0.0.1:{source.port}/", []

            async def post(text):
                async with httpx.AsyncClient() as client:
                    answers.append(await client.post(url, content=text))

            batches = source.read({})
            group.start_soon(post, "a" * 900)
            first = await anext(batches)
            await post("b" * 900)
            assert (answers[0].status_code, answers[0].headers["Retry-After"]) == (503, "1")
            assert source.waiting == 900
            first.settle(Outcome(durable=True))
            while len(answers) < 2:
                await anyio.lowlevel.checkpoint()
            assert (answers[1].status_code, source.waiting) == (200, 0)
            group.start_soon(post, "b" * 900)
            (await anext(batches)).settle(Outcome(durable=True))
            await batches.aclose()

    anyio.run(main)


def test_what_is_no_http_or_comes_again_is_no_trouble():
    async def main():
        async with made() as source:
            async with await anyio.connect_tcp("127.0.0.1", source.port) as client:
                await client.send(b"what is this\r\n\r\n")
            ids, batches = [], source.read({})
            async with (
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{source.port}") as client,
                anyio.create_task_group() as group,
            ):
                for key in ("1", "1", "2"):
                    request = client.build_request("POST", "/", content="a", headers={"Idempotency-Key": key})
                    group.start_soon(client.send, request)
                    batch = await anext(batches)
                    batch.settle(Outcome(durable=True))
                    ids += [record.log_id for record in batch.records]
            await batches.aclose()
            assert ids[0] == ids[1] != ids[2]

    anyio.run(main)

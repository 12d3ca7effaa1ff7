"""Both engines behind their proxy against brute force: Qdrant Edge, and a Qdrant's client (to the façade over Edge)."""

from __future__ import annotations

import math
import random
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vectadb_server.embedding import WordLlama
from vectadb_server.stores.base import Document, Mode, SearchFilter
from vectadb_server.stores.edge import EdgeSearch
from vectadb_server.stores.framing import BUCKETS, bucket_of, mark_of
from vectadb_server.words import sparse, sparse_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
DAY = 86_400_000_000
EVERYTHING = SearchFilter()
MODES: tuple[Mode, ...] = ("hybrid", "semantic", "text")

WORDS = """
agent tool call flight hotel refund order payment timeout retry model token weather search invoice user customer email
shipping database query index memory prompt answer error success cancel booking report
searchFlights get_user_id gpt-4o 机票 レポート café naïve наличие
"""
VOCABULARY = WORDS.split()
DAYS = ["2025-12-30", "2025-12-31", "2026-01-01"]


def corpus() -> list[Document]:
    """Three days: two with many documents, the last with few."""
    rng = random.Random(5)
    documents = []
    for number in range(400):
        day = rng.choices((0, 1, 2), (10, 10, 1))[0]
        documents.append(
            Document(
                event_id=f"event-{number}" if number % 10 == 0 else f"{rng.getrandbits(128):032x}",
                day=DAYS[day],
                text=" ".join(rng.choices(VOCABULARY, k=rng.randint(3, 60))) + f" nr{number}",
                us=NOON + (day - 2) * DAY + rng.randint(-DAY // 2, DAY // 2),
                event_type=rng.choice(["tool_call", "log", "llm_end"]),
                agent_id=rng.choice([None, "a1", "a2"]),
                session_id=rng.choice([None, "s1", "s2", "s3"]),
                trace=rng.choice([None, *(f"t{i}" for i in range(10))]),
                system=rng.choice([None, "cloudwatch", "file"]),
                log_group=rng.choice(["/aws/lambda/x", "/aws/lambda/ü"]),
                log_stream=rng.choice(["2026/01/01/[$LATEST]abc", ""]),
            )
        )
    return documents


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return corpus()


@pytest.fixture(scope="module")
async def filled(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Document], new_engine: Callable[..., EdgeSearch]
) -> AsyncIterator[EdgeSearch]:
    engine = new_engine(tmp_path_factory.mktemp("filled"))
    await engine.upsert(documents)
    yield engine
    await engine.close()


def matches(document: Document, where: SearchFilter) -> bool:
    fields = ("agent_id", "session_id", "trace", "system", "log_group", "log_stream")
    return (
        all(getattr(where, field) in (None, getattr(document, field)) for field in fields)
        and (not where.event_types or document.event_type in where.event_types)
        and (where.since is None or document.us >= where.since)
        and (where.until is None or document.us < where.until)
    )


def cosines(documents: list[Document], query: str) -> dict[str, float]:
    model = WordLlama()
    (asked,) = model.embed([query])
    vectors = model.embed([document.text for document in documents])
    return {
        d.event_id: math.fsum(a * b for a, b in zip(asked, v, strict=True))
        for d, v in zip(documents, vectors, strict=True)
    }


def bm25(documents: list[Document], query: str) -> dict[str, float]:
    vectors = {d.event_id: dict(zip(*sparse(d.text), strict=True)) for d in documents}
    scores = dict.fromkeys(vectors, 0.0)
    for word in sparse_query(query):
        holding = sum(word in vector for vector in vectors.values())
        rarity = math.log((len(vectors) - holding + 0.5) / (holding + 0.5) + 1)
        for event_id, vector in vectors.items():
            scores[event_id] += rarity * vector.get(word, 0.0)
    return {event_id: score for event_id, score in scores.items() if score}


QUERIES = [
    "refund of the flight",
    "searchFlights timeout",
    "机票 error",
    "naive cafe",
    "nr77 payment",
    "gpt-4o token retry",
]


@pytest.mark.parametrize("query", QUERIES)
async def test_semantic_is_the_cosine(filled: EdgeSearch, documents: list[Document], query: str) -> None:
    hits = await filled.search(query, mode="semantic", where=EVERYTHING, limit=25)
    expected = cosines(documents, query)
    # The embedded index keeps eight bits of each number.
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True)[:25], abs=5e-3)
    assert [hit.score for hit in hits] == pytest.approx([expected[hit.event_id] for hit in hits], abs=5e-3)


@pytest.mark.parametrize("query", QUERIES)
async def test_text_is_bm25_over_all_days(filled: EdgeSearch, documents: list[Document], query: str) -> None:
    hits = await filled.search(query, mode="text", where=EVERYTHING, limit=25)
    expected = bm25(documents, query)
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True)[:25], rel=1e-3)
    assert [hit.score for hit in hits] == pytest.approx([expected[hit.event_id] for hit in hits], rel=1e-3)


@pytest.mark.parametrize("query", QUERIES)
async def test_hybrid_fuses_the_ranks_of_both(filled: EdgeSearch, documents: list[Document], query: str) -> None:
    scores: dict[str, float] = {}
    for mode in MODES[1:]:
        for rank, hit in enumerate(await filled.search(query, mode=mode, where=EVERYTHING, limit=100), start=1):
            scores[hit.event_id] = scores.get(hit.event_id, 0.0) + 1 / (60 + rank)
    hits = await filled.search(query, mode="hybrid", where=EVERYTHING, limit=25)
    # Equal scores stand in any order among themselves: a rank may be that of another one near by.
    near = 4 * (1 / 60 - 1 / 61)
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.event_id] for hit in hits], abs=near)
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True)[:25], abs=near)


async def test_every_hit_names_its_day(filled: EdgeSearch, documents: list[Document]) -> None:
    days = {document.event_id: document.day for document in documents}
    hits = await filled.search("agent", mode="semantic", where=EVERYTHING, limit=1000)
    assert {hit.event_id: hit.day for hit in hits} == days


times = st.none() | st.integers(NOON - 3 * DAY, NOON + DAY)
filters = st.builds(
    SearchFilter,
    event_types=st.sampled_from([(), (), ("tool_call",), ("log", "llm_end"), ("nothing", "log"), ("nothing",)]),
    agent_id=st.none() | st.sampled_from(["a1", "a2"]),
    session_id=st.none() | st.sampled_from(["s1", "s3"]),
    trace=st.none() | st.sampled_from(["t1", "t7"]),
    system=st.none() | st.sampled_from(["cloudwatch", "other"]),
    log_group=st.none() | st.sampled_from(["/aws/lambda/x", "/aws/lambda/ü"]),
    log_stream=st.none() | st.sampled_from(["2026/01/01/[$LATEST]abc", ""]),
    since=times,
    until=times,
)


@settings(derandomize=True, max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=filters)
async def test_filters_are_what_brute_force_says(
    filled: EdgeSearch, documents: list[Document], where: SearchFilter
) -> None:
    expected = {document.event_id for document in documents if matches(document, where)}
    hits = await filled.search("flight", mode="semantic", where=where, limit=1000)
    assert {hit.event_id for hit in hits} == expected
    text = {hit.event_id for hit in await filled.search("agent tool", mode="text", where=where, limit=1000)}
    assert text == expected & set(bm25(documents, "agent tool"))
    fused = {hit.event_id for hit in await filled.search("agent tool", mode="hybrid", where=where, limit=1000)}
    assert fused == expected


async def test_time_is_exact_to_the_microsecond(filled: EdgeSearch, documents: list[Document]) -> None:
    one = documents[123]
    for since, until, found in [(one.us, one.us + 1, True), (one.us + 1, None, False), (None, one.us, False)]:
        where = SearchFilter(since=since, until=until)
        hits = await filled.search("agent", mode="semantic", where=where, limit=1000)
        assert (one.event_id in {hit.event_id for hit in hits}) is found


MULTILINGUAL = {
    "book a flight to Tokyo": "Der Agent hat einen Flug gebucht: book_flight(destination='Tokyo')",
    "预订机票": "用户要求预订去上海的机票, 但余额不足",
    "天气预报": "工具返回北京的天气预报: 晴, 25 度",
    "発注書": "ユーザーは発注書のコピーを求めた",
    "환불 요청": "고객이 환불을 요청했습니다: 환불 요청 번호 991",
    "remboursement refuse": "Le remboursement a été refusé par la banque émettrice",
    "Überweisung fehlgeschlagen": "Die UBERWEISUNG ist leider fehlgeschlagen, Konto gesperrt",
    "canción favorita": "El usuario pidió su CANCION FAVORITA de los ochenta",
    "оплата не прошла": "Ошибка: оплата заказа не прошла, карта отклонена",
    "getUserId": "TypeError in getUserId(): undefined is not a function",
    "get user profile": "calling getUserProfile with {'uid': 17}",
    "search_hotels": "Invoking: `search_hotels` with `{'city': 'Oslo'}`",
    "searchRestaurants": "tool search_restaurants returned 0 rows",
    "HTTP 503": "upstream answered HTTP/1.1 503 Service Unavailable",
    "ThrottlingException": "botocore.errorfactory.ThrottlingException: Rate exceeded",
    "throttling dynamodb": "call failed with throttling from DynamoDB",
    "req-7f3a": "START RequestId: req-7f3a Version: $LATEST",
    "550e8400-e29b-41d4-a716-446655440000": "trace 550e8400-e29b-41d4-a716-446655440000 finished in 3 s",
    "gpt-4o-mini": "model=gpt-4o-mini tokens=512 finish_reason=stop",
    "smorgasbord": "menu: Smörgåsbord and köttbullar for two",
    "कीमत जांच": "ग्राहक ने उत्पाद की कीमत जांच के लिए कहा",
    "จองโรงแรม": "ลูกค้าต้องการจองโรงแรมในภูเก็ต",
    "ORD-2291": "order ORD-2291 was shipped by courier",
    "ZeroDivisionError": "Traceback (most recent call last): ... ZeroDivisionError: division by zero",
    "memory size": "REPORT Duration: 12 ms Memory Size: 512 MB Max Memory Used: 91 MB",
}


async def test_the_right_document_comes_first_in_many_languages(
    engine: EdgeSearch, make: Callable[..., Document]
) -> None:
    rng = random.Random(1)
    noise = [make(" ".join(rng.choices(VOCABULARY, k=20))) for _ in range(200)]
    right = {query: make(text) for query, text in MULTILINGUAL.items()}
    await engine.upsert([*noise, *right.values()])
    found = {q: (await engine.search(q, mode="text", where=EVERYTHING, limit=1))[0].event_id for q in MULTILINGUAL}
    assert found == {query: document.event_id for query, document in right.items()}


async def test_a_young_day_is_ranked_like_the_full_ones(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    """Rarity counts over all days: within a day of three documents no word is rare."""
    full = [make(f"order {n} shipped by courier" + " payment pending" * (n % 9 == 0)) for n in range(300)]
    young = [make(text, day="2026-01-02", us=NOON + DAY) for text in ("PaymentGatewayTimeout", "hello", "good bye")]
    await engine.upsert([*full, *young])
    hits = await engine.search("payment order PaymentGatewayTimeout", mode="text", where=EVERYTHING, limit=3)
    assert hits[0].event_id == young[0].event_id


async def test_an_event_time_far_from_its_records_day_is_found(
    engine: EdgeSearch, make: Callable[..., Document]
) -> None:
    early = make("clock of the phone is wrong", us=NOON - 400 * DAY)
    await engine.upsert([early, make("now")])
    where = SearchFilter(since=NOON - 401 * DAY, until=NOON - 399 * DAY)
    assert [hit.event_id for hit in await engine.search("phone", mode="hybrid", where=where, limit=5)] == [
        early.event_id
    ]


async def test_upsert_replaces_and_repeats_change_nothing(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    first, second = make("apples", event_type="log"), make("pears")
    await engine.upsert([first, second])
    await engine.upsert([first, second])
    assert await engine.count() == 2
    newer = make("bananas", event_id=first.event_id, event_type="tool_call")
    await engine.upsert([first, newer])  # twice in one batch: the later one holds
    assert await engine.count() == 2
    assert await engine.search("apples", mode="text", where=EVERYTHING, limit=5) == []
    (hit,) = await engine.search("bananas", mode="text", where=SearchFilter(event_types=("tool_call",)), limit=5)
    assert hit.event_id == first.event_id


async def test_delete(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    gone, kept = make("apples", event_id="not a uuid"), make("apples")
    await engine.upsert([gone, kept])
    missing = [("2026-01-01", "unknown"), ("1999-01-01", kept.event_id), ("2026-01-02", kept.event_id)]
    await engine.delete([("2026-01-01", gone.event_id), *missing])
    await engine.delete([("2026-01-01", gone.event_id)])
    assert await engine.count() == 1
    hits = await engine.search("apples", mode="hybrid", where=EVERYTHING, limit=5)
    assert [hit.event_id for hit in hits] == [kept.event_id]


HOSTILE = {
    "empty": "",
    "punctuation": "!?… -- 😀",
    "nul": "before\x00after",
    "surrogates": "half \ud83d emoji \udcff",
    "control": "\x1b[31mred\x1b[0m\x7f",
    "megabyte": "needle " + "hay " * 250_000 + "tail",
    "blob": "A" * 1_000_000,
    "injection": "'; DELETE FROM event; --",
}


async def test_hostile_texts_are_indexed_and_asked_for(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    await engine.upsert([make(text, event_id=name, trace=f"{name}\x00\ud800") for name, text in HOSTILE.items()])
    assert await engine.count() == len(HOSTILE)
    for name, query in HOSTILE.items():
        hits = await engine.search(query, mode="hybrid", where=EVERYTHING, limit=10)
        if name == "empty":
            assert hits == []
        elif name != "punctuation":
            assert hits[0].event_id == name
        own = SearchFilter(trace=f"{name}\x00\ud800")
        hits = await engine.search("needle in hay", mode="semantic", where=own, limit=10)
        assert [hit.event_id for hit in hits] == ([] if name == "empty" else [name])
    for word in ("needle", "tail"):
        (hit,) = await engine.search(word, mode="text", where=EVERYTHING, limit=10)
        assert hit.event_id == "megabyte"


async def test_any_event_id_comes_back_as_it_was(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    ids = [
        "0B0E8400-E29B-41D4-A716-446655440000",
        "0b0e8400-e29b-41d4-a716-446655440000",
        "0b0e8400-e29b-81d4-a716-446655440000",  # version 8: the form that foreign ids take inside
        "0b0e8400e29b41d4a716446655440000",
        "42",
        "ü/..",
    ]
    await engine.upsert([make("same", event_id=event_id) for event_id in ids])
    hits = await engine.search("same", mode="hybrid", where=EVERYTHING, limit=10)
    assert sorted(hit.event_id for hit in hits) == sorted(ids)


async def test_limits(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    assert await engine.search("anything", mode="hybrid", where=EVERYTHING, limit=10) == []
    await engine.upsert([])
    await engine.delete([])
    assert await engine.count() == 0
    await engine.upsert([make("word") for _ in range(700)])
    for mode in MODES:
        for limit, found in ((0, 0), (1, 1), (600, 600), (1000, 700)):
            assert len(await engine.search("word", mode=mode, where=EVERYTHING, limit=limit)) == found


async def test_a_day_must_be_a_day(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    with pytest.raises(ValueError, match=r"not a day: '\.\./x'"):
        await engine.upsert([make("x", day="../x")])
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        await engine.drop_days("yesterday")


async def test_a_day_is_made_anew_beside_what_answers(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    stays, goes, other = make("load stays"), make("load goes"), make("load", day="2026-01-02")
    await engine.upsert([stays, goes, other])
    assert await engine.begin("2026-01-01")
    assert not await engine.begin("2026-01-01")  # as after a restart
    await engine.upsert([stays])
    fresh = make("load fresh")
    await engine.upsert([fresh])
    found = await engine.search("load", mode="text", where=EVERYTHING, limit=10)
    assert {hit.event_id for hit in found} == {each.event_id for each in (stays, goes, other, fresh)}
    await engine.finish("2026-01-01")
    await engine.finish("2026-01-01")
    found = await engine.search("load", mode="text", where=EVERYTHING, limit=10)
    assert {hit.event_id for hit in found} == {each.event_id for each in (stays, other, fresh)}
    assert await engine.count() == 3
    assert await engine.begin("2026-01-01")  # once more is once more


async def test_what_we_say_of_an_event_is_found_by_meaning_and_by_no_word(
    engine: EdgeSearch, make: Callable[..., Document]
) -> None:
    said, other = make("kyiv", about="the user asked about the weather"), make("user weather")
    await engine.upsert([said, other])
    everywhere = SearchFilter()
    found = await engine.search("user weather", mode="text", where=everywhere, limit=9)
    assert [hit.event_id for hit in found] == [other.event_id]
    both = await engine.search("user weather", mode="hybrid", where=everywhere, limit=9)
    assert {hit.event_id for hit in both} == {said.event_id, other.event_id}
    with_it = await engine.search("the user asked about the weather", mode="semantic", where=everywhere, limit=9)
    [alone] = WordLlama().embed(["kyiv"])
    [asked] = WordLlama().embed(["the user asked about the weather"])
    scores = {hit.event_id: hit.score for hit in with_it}
    assert scores[said.event_id] > 0.5 > math.fsum(a * b for a, b in zip(alone, asked, strict=True))


async def test_survey_and_listing_tell_every_document(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    made = [make("load", trace=f"t{n}", event_id=f"event {n}" if n % 2 else str(uuid.UUID(int=n))) for n in range(50)]
    await engine.upsert(made)
    marks = {each.event_id: mark_of(each.event_id, each.us, each.trace) for each in made}
    survey = await engine.survey("2026-01-01")
    assert await engine.survey("2026-01-02") == [(0, 0)] * BUCKETS
    for bucket in range(BUCKETS):
        expected = {event_id: mark for event_id, mark in marks.items() if bucket_of(event_id) == bucket}
        assert survey[bucket] == (len(expected), sum(expected.values()) % 2**128)
        if expected:
            assert await engine.listing("2026-01-01", [bucket]) == expected
    assert await engine.listing("2026-01-01", range(BUCKETS)) == marks
    assert await engine.listing("2026-01-01", []) == {}


async def test_days_are_dropped(engine: EdgeSearch, make: Callable[..., Document]) -> None:
    days = ["2025-12-30", "2025-12-31", "2026-01-01"]
    await engine.upsert([make("load", day=day) for day in days for _ in range(3)])
    assert await engine.days() == days
    await engine.drop_days("2025-12-31")
    assert await engine.days() == days[1:]
    assert await engine.count() == 6
    found = await engine.search("load", mode="hybrid", where=EVERYTHING, limit=20)
    assert sorted(hit.day for hit in found) == [days[1]] * 3 + [days[2]] * 3

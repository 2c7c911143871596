"""The figures for Prometheus: a format that its parser takes, and nobody's name."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import httpx
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import REGISTRY
from pydantic import ValidationError

from persistence.memory import MemoryStore
from sync.server.metrics import _of_webhooks
from sync.server.settings import load_settings
from sync.server.webhook_consumer import ConsumerStatistics
from tests.server.api.client import open_office
from tests.server.parts import DISK_FULL, TroubledStore, eventually
from tests.server.service import running, token_for
from tests.support.client import connect
from tests.support.events import subscribing

Series = Mapping[str, float]

LABELS = {"state", "kind", "code", "reason", "direction", "le"}


def read(text: str) -> Series:
    """Every series and its value, as Prometheus reads them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def scrape(http: httpx.AsyncClient) -> str:
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


async def test_the_series_of_a_service_at_work() -> None:
    async with open_office() as office:
        alice = await office.created()
        await alice.post("sessions/s1/start")
        token = token_for("alice", sessions={"s1": "lead"})
        async with (
            connect(office.service.sync_url, "drafts/s1/a", token) as client,
            subscribing(office.service.url, "s1", token) as events,
        ):
            await client.synced()
            await events.subscribe()
            for number in range(5):
                await client.put("k", number)
            await client.saved()
            await events.publish("note", {})
            await events.reads(3)
            while_open = read(await scrape(office.http))
        async with connect(office.service.sync_url, "drafts/s1/a", "nonsense") as refused:
            assert (await refused.ended()).code == 4401
        no_right = token_for(docs={"other/*": "read"})
        async with connect(office.service.sync_url, "drafts/s1/a", no_right) as refused:
            assert (await refused.ended()).code == 4403
        after = read(await scrape(office.http))
    assert while_open['draftsync_connections{kind="document"}'] == 1
    assert while_open['draftsync_connections{kind="events"}'] == 1
    assert while_open['draftsync_sessions{state="running"}'] == 1
    assert while_open["draftsync_rooms"] == 1
    assert while_open["draftsync_ready"] == 1
    assert while_open["draftsync_edits_committed_total"] == 5
    assert while_open["draftsync_edit_bytes_committed_total"] > 50
    assert while_open["draftsync_events_published_total"] == 3
    assert while_open["draftsync_events_delivered_total"] == 3
    assert while_open['draftsync_edit_commit_seconds_bucket{le="+Inf"}'] >= 1
    assert while_open["draftsync_edit_commit_seconds_sum"] > 0
    assert while_open["draftsync_event_commit_seconds_count"] == 3
    assert while_open["draftsync_resident_memory_bytes"] > 10 * 2**20
    assert after['draftsync_tokens_refused_total{reason="invalid"}'] == 1
    assert after['draftsync_connections_refused_total{code="4403",kind="document"}'] == 1
    assert after['draftsync_connections_closed_total{code="0",kind="document"}'] == 1
    assert after['draftsync_connections_opened_total{kind="document"}'] == 1


async def test_no_label_names_a_document_a_session_or_a_person() -> None:
    async with open_office() as office:
        await office.created(id="secret-session", test_cases=["secret-case"])
        token = token_for("secret-person", sessions={"*": "lead"})
        document = "drafts/secret-session/secret-case"
        async with connect(office.service.sync_url, document, token) as client:
            await client.put("k", 1)
            await client.saved()
            text = await scrape(office.http)
    assert "secret" not in text
    labels = {name for family in families(text) for s in family.samples for name in s.labels}
    assert labels <= LABELS


def test_webhooks_are_counted_together() -> None:
    """Their names are addresses, and the last attempt's trouble may name more."""
    hooks = [
        ConsumerStatistics("https://a.example", 3, 1, 0, 2, 7.5, "it answered 500", gone=False),
        ConsumerStatistics("https://b.example", 4, 0, 1, 1, 1.5, None, gone=False),
    ]
    values = {family.name: family.samples[0].value for family in _of_webhooks(hooks)}
    assert values == {
        "draftsync_webhook_events_delivered": 7,
        "draftsync_webhook_attempts_failed": 1,
        "draftsync_webhook_dead_letters": 1,
        "draftsync_webhook_sessions_waiting": 3,
        "draftsync_webhook_lag_seconds": 7.5,
    }


async def test_every_series_is_ours_and_says_what_it_is() -> None:
    async with open_office() as office:
        found = families(await scrape(office.http))
    assert len(found) > 25
    for family in found:
        assert family.name.startswith("draftsync_")
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
    assert len({family.name for family in found}) == len(found)


async def test_buckets_only_grow() -> None:
    async with open_office() as office:
        await office.created()
        found = families(await scrape(office.http))
    histograms = [family for family in found if family.type == "histogram"]
    assert histograms
    for family in histograms:
        buckets = [s.value for s in family.samples if s.name.endswith("_bucket")]
        (count,) = (s.value for s in family.samples if s.name.endswith("_count"))
        assert buckets == sorted(buckets)
        assert buckets[-1] == count


async def test_the_library_keeps_nothing_for_the_process() -> None:
    """A second service in the same process counts for itself."""
    async with open_office() as one, open_office() as other:
        await one.created()
        await other.created()
        text = await scrape(other.http)
    assert read(text)["draftsync_events_published_total"] == 1
    assert not [f for f in REGISTRY.collect() if f.name.startswith("draftsync")]


async def test_at_an_address_of_its_own_and_only_there() -> None:
    port = free_port()
    async with (
        running(MemoryStore(), metrics_bind=f"127.0.0.1:{port}") as service,
        httpx.AsyncClient(base_url=service.url) as here,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as there,
    ):
        refused = await here.get("/metrics")
        assert refused.status_code == 404
        assert "--metrics-bind" in refused.json()["detail"]
        assert read(await scrape(there))["draftsync_ready"] == 1
        assert (await there.head("/metrics")).status_code == 200
        for path in ("/", "/healthz", "/api/v1/sessions", "/metrics/x"):
            assert (await there.get(path)).status_code == 404
        assert (await there.post("/metrics")).status_code == 404


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        ("[::1]:9100", ("::1", 9100)),
        ("localhost:0", ("localhost", 0)),
        (None, None),
    ],
)
def test_addresses(given: str | None, address: tuple[str, int] | None) -> None:
    assert load_settings(metrics_bind=given).metrics_address == address


@pytest.mark.parametrize("given", ["9100", ":9100", "host", "host:", "::1:9100", "http://h:1", ""])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        load_settings(metrics_bind=given)


async def test_a_scrape_tells_when_the_disk_fails() -> None:
    store = TroubledStore()
    async with (
        open_office(store) as office,
        connect(office.service.sync_url, "drafts/1", token_for()) as client,
    ):
        await client.synced()
        store.failure = DISK_FULL
        await client.put("k", 1)
        await eventually(lambda: store.appends > 1)
        found = read(await scrape(office.http))
        store.failure = None
        await client.saved()
    assert found["draftsync_ready"] == 0
    assert found["draftsync_unsaved_bytes"] > 0
    assert found["draftsync_edit_commit_failures_total"] >= 1

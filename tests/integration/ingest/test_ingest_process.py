"""ingest as it is shipped: its own process, a real nats-server, real gRPC; detect and match are faked in the test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import simplejpeg
from overt.api.control.v1 import control_pb2 as control
from overt.api.detect.v1 import detect_pb2
from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.ids import alert_id
from overt.permissions import Role
from overt.subjects import EVIDENCE
from overt.testing.ingest import face, nobody_matches, two_agree
from overt_ingest.ledger_keeping import MAY_FOLLOW
from support.ingest_site import CAMERA, DEPLOYMENT, frame, jpeg, site
from support.otlp import Receiver
from support.waiting import until

pytestmark = pytest.mark.integration

TEMPLATE = b"\x00\x00\x80\x3f" + bytes(12)


async def _receipts(call: Any, count: int) -> list[pb.Receipt]:
    async with asyncio.timeout(15):
        return [await call.read() for _ in range(count)]


async def _reading(call: Any) -> AsyncIterator[pb.Receipt]:
    """Every receipt that is still to come; AioRpcError if the stream ends otherwise than well."""
    while (receipt := await asyncio.wait_for(call.read(), 15)) is not grpc.aio.EOF:
        yield receipt


async def _rest(call: Any) -> list[pb.Receipt]:
    return [receipt async for receipt in _reading(call)]


async def _film(call: Any, *, every: float) -> None:
    """Frames for ever. AioRpcError or InvalidStateError when the stream has ended."""
    for number in itertools.count(1):
        await call.write(frame(number))
        await asyncio.sleep(every)


async def test_frames_in_receipts_out_and_both_books_balance(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)] if seen.sequence % 2 else []
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            answered: list[pb.Receipt] = []
            for number in range(1, 11):
                await call.write(frame(number))
                answered += await _receipts(call, 1)
            await call.done_writing()
            assert await _rest(call) == []
        assert [receipt.sequence for receipt in answered] == list(range(1, 11))
        assert {receipt.outcome for receipt in answered} == {pb.Receipt.OUTCOME_ACCEPTED}
        assert all(0 < receipt.lived.ToTimedelta().total_seconds() < 2 for receipt in answered)
        assert {seen.kind for seen in ingest.detect.frames} == {"jpeg"}, "pushed frames travel as they came"

        await ingest.put(buses.gateway, control.Deployment.STATE_ENDED)
        await ingest.sight(pb.CameraStatus.SIGHT_CLOSED)
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.frames.destroyed == {"no_face": 5, "no_match": 5}
        assert account.tracks.destroyed == {"no_match": 1}
        assert account.faces_seen == 1
        assert account.lived.count == 10
        assert await ingest.stop() == 0
        assert "Traceback" not in ingest.log


async def test_two_agreeing_shots_become_sealed_evidence_without_anybody_else(tmp_path: Path) -> None:
    entry = "11111111-1111-4111-8111-111111111111"
    async with site(tmp_path) as (ingest, buses):
        ingest.match.judge = two_agree(entry, rival_card=b"sealed rival")
        ingest.detect.find = lambda seen: [
            face(7, refused="settled") if seen.settled_tracks else face(7, template=TEMPLATE),
            face(8, box=(200, 100, 60, 70), refused="blurred"),
        ]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            for number in range(1, 5):
                if number == 4:
                    await until(lambda: bool(ingest.evidence))
                await call.write(frame(number))
                await until(lambda sent=number: len(ingest.detect.frames) == sent)
                (receipt,) = await _receipts(call, 1)
                assert (receipt.sequence, receipt.outcome) == (number, pb.Receipt.OUTCOME_ACCEPTED)
                assert receipt.lived.ToTimedelta() < timedelta(seconds=0.5), "not when its sighting is over"
            await until(lambda: bool(ingest.evidence))
            (evidence,) = ingest.evidence
            assert evidence.entry_id == entry
            assert evidence.sealed_entry_card == b"sealed card"
            assert (evidence.ambiguous, evidence.sealed_rival_card) == (True, b"sealed rival")
            assert evidence.score == pytest.approx(0.61)
            assert simplejpeg.decode_jpeg_header(evidence.scene_jpeg)[:2] == (240, 240)
            scene = simplejpeg.decode_jpeg(evidence.scene_jpeg, "BGR")
            block = scene[110:160, 190:230].reshape(-1, 3).astype(int)
            assert block.std(axis=0).max() < 4, "the other face is one flat colour"
            assert evidence.last_captured_at.ToDatetime() > evidence.first_captured_at.ToDatetime()
        assert ingest.match.searches == [1, 2], "after the alert the track is settled"
        first, second, *later = [seen.pending for seen in ingest.detect.frames]
        assert (first, second) == ((), (7,))
        # A frame is sent to detect while the one before is still being judged.
        assert {*later} <= {(), (7,)}
        settled = [seen.settled for seen in ingest.detect.frames]
        assert settled[:2] == [(), ()]
        assert settled[3] == (7,)
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.frames.retained == account.tracks.retained == 1
        assert alert_id(DEPLOYMENT, CAMERA, evidence.track, entry) in ingest.log


async def test_a_camera_that_changes_the_size_of_its_pictures_goes_on(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            for number, size in enumerate([(320, 240), (640, 480), (1920, 1080), (320, 240)], start=1):
                await call.write(frame(number, jpeg(*size)))
                (receipt,) = await _receipts(call, 1)
                assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED
        assert len(ingest.detect.openings) == 1
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.tracks.destroyed == {"no_match": 1}, "its tracks go on"


async def test_every_bad_frame_gets_its_reason_and_the_next_one_is_taken(tmp_path: Path) -> None:
    claiming = bytearray(jpeg())
    at = claiming.index(b"\xff\xc0")
    claiming[at + 5 : at + 9] = (20_000).to_bytes(2, "big") * 2
    bad: list[tuple[Callable[[], pb.Frame], str]] = [
        (lambda: frame(1, b"hello"), "not_a_jpeg"),
        (lambda: frame(2, b""), "not_a_jpeg"),
        (lambda: frame(3, jpeg(8, 8)), "picture_too_small"),
        (lambda: frame(4, bytes(claiming)), "picture_too_large"),
        (lambda: frame(5, late=11), "clock"),
        (lambda: frame(6, late=-11), "clock"),
        (lambda: pb.Frame(sequence=7, jpeg=jpeg()), "clock"),
        (lambda: frame(4), "sequence"),
        (lambda: frame(8, b"\xff\xd8" + bytes(8 * 1024 * 1024)), "message_too_large"),
        (lambda: frame(9), "truncated"),
    ]
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: detect_pb2.AnalyseReply(rejected="truncated") if seen.sequence == 9 else []
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            for message, reason in bad:
                await call.write(message())
                (receipt,) = await _receipts(call, 1)
                assert (receipt.outcome, receipt.reason) == (pb.Receipt.OUTCOME_REJECTED, reason)
            await call.write(frame(10))
            (receipt,) = await _receipts(call, 1)
            assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED
        async with ingest.stream() as call:
            await call.write(frame(1, bytes(100 * 1024 * 1024)))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await until(lambda: ingest.log.count("push_ended") == 2)
        async with ingest.stream() as call:
            await call.write(frame(1))
            assert (await _receipts(call, 1))[0].outcome == pb.Receipt.OUTCOME_ACCEPTED
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.conserved()
        assert account.frames.of("rejected") == 10


async def test_who_may_push(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        await buses.alerts.steward.ensure("later")
        await ingest.put(
            buses.gateway,
            control.Deployment.STATE_ACTIVE,
            deployment="later",
            starts_at=datetime.now(UTC) + timedelta(hours=1),
            ends_at=datetime.now(UTC) + timedelta(hours=2),
        )
        await ingest.activate(buses.gateway)
        other = ingest.camera_token(camera="other")
        cases: list[tuple[dict[str, str], str]] = [
            ({"token": "nonsense"}, "token_invalid"),
            ({"token": ingest.tokens.of(Role.OPERATOR)}, "not_allowed"),
            ({"token": other}, "wrong_camera"),
            ({"camera": ""}, "wrong_camera"),
            ({"token": other, "camera": "other"}, "unknown_camera"),
            ({"token": ingest.camera_token(deployment="no"), "deployment": "no"}, "unknown_deployment"),
            ({"token": ingest.camera_token(deployment="later"), "deployment": "later"}, "outside_window"),
        ]
        async with ingest.stream() as first:
            await first.write(frame(1))
            await _receipts(first, 1)
            for how, reason in [*cases, ({}, "camera_busy")]:
                async with ingest.stream(**how) as call:  # type: ignore[arg-type]  # names of its parameters
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await _rest(call)
                    assert dict(refused.value.trailing_metadata() or ())["overt-reason"] == reason
            await ingest.put(buses.gateway, control.Deployment.STATE_SUSPENDED)
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await _rest(first)
            assert dict(ended.value.trailing_metadata() or ())["overt-reason"] == "camera_closed"
        async with ingest.stream() as call:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await _rest(call)
        assert dict(refused.value.trailing_metadata() or ())["overt-reason"] == "wrong_state"


async def test_a_token_that_expires_ends_the_stream(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway)
        async with ingest.stream(token=ingest.camera_token(seconds=2)) as call:
            filming = asyncio.create_task(_film(call, every=0.05))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await _rest(call)
            await asyncio.wait((filming,))
            assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_the_window_ends_by_the_clock_alone(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ends_at = datetime.now(UTC) + timedelta(seconds=4)
        await ingest.activate(buses.gateway, ends_at=ends_at)
        async with ingest.stream() as call:
            await call.write(frame(1))
            await _receipts(call, 1)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
            assert timedelta(0) <= datetime.now(UTC) - ends_at < timedelta(seconds=1.5)
        await until(lambda: "camera_closed" in ingest.log)
        assert all(account.final for account in await ingest.accounts(buses.gateway))


async def test_detect_goes_and_comes_back_as_another_life(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        first_life = ingest.detect.epoch
        async with ingest.stream() as call:
            filming, reading = asyncio.create_task(_film(call, every=0.05)), asyncio.create_task(_rest(call))
            await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
            await ingest.detect_goes()
            began = asyncio.get_running_loop().time()
            await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="detect_away")
            assert asyncio.get_running_loop().time() - began < 2.2, "blind within two seconds"
            await ingest.detect_comes(epoch="another-life")
            await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
            filming.cancel()
            await asyncio.wait((filming,))
            await call.done_writing()
            outcomes = await reading
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.conserved()
        assert account.final
        assert account.frames.reasons["unanalysed/detect_away"] > 0
        assert account.tracks.entered == 2
        assert [(lost.service, lost.epoch) for lost in account.declared] == [("detect", first_life)]
        unanalysed = [r for r in outcomes if r.outcome == pb.Receipt.OUTCOME_UNANALYSED]
        assert {receipt.reason for receipt in unanalysed} == {"detect_away"}


async def test_a_detect_that_hangs_costs_two_seconds_and_never_more_than_one_waiting_frame(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway)
        ingest.detect.answering.clear()
        async with ingest.stream() as call:
            for number in range(1, 21):
                await call.write(frame(number))
            receipts = await _receipts(call, 20)
            ingest.detect.answering.set()
        by_outcome = {r.sequence: pb.Receipt.Outcome.Name(r.outcome) for r in receipts}
        assert by_outcome[20] == "OUTCOME_UNANALYSED"
        given_up = [r for r in receipts if r.reason == "deadline"]
        assert len(given_up) == 1
        assert 1.9 < given_up[0].lived.ToTimedelta().total_seconds() < 3
        assert list(by_outcome.values()).count("OUTCOME_SUPERSEDED") == 18


async def test_without_match_nothing_is_kept_and_the_camera_is_blind(tmp_path: Path) -> None:
    async with site(tmp_path, match=False) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            await call.write(frame(1))
            (receipt,) = await _receipts(call, 1)
            assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED, "whether there was somebody to search is not told"
            await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="match_away")
            ingest.match.judge = nobody_matches
            await ingest.match.serve(buses.match)
            await call.write(frame(2))
            (receipt,) = await _receipts(call, 1)
            assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED
            assert ingest.detect.frames[-1].pending == (1,), "another shot was asked for"
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.tracks.destroyed == {"no_match": 1}
        assert account.frames.reasons == {"unanalysed/match_away": 1}


async def test_evidence_waits_for_its_stream_and_arrives_once(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.match.judge = two_agree("11111111-1111-4111-8111-111111111111")
        ingest.detect.find = lambda seen: [face(3, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        await buses.alerts.steward.delete_stream(EVIDENCE, DEPLOYMENT)
        async with ingest.stream() as call:
            for number in (1, 2):
                await call.write(frame(number))
                await until(lambda sent=number: len(ingest.match.searches) == sent)
            receipts = await _receipts(call, 2)
            assert {receipt.outcome for receipt in receipts} == {pb.Receipt.OUTCOME_ACCEPTED}
            stopping = asyncio.create_task(ingest.stop())
            await asyncio.sleep(0.5)
            assert not stopping.done(), "it does not leave with evidence in hand"
            await buses.alerts.steward.ensure(DEPLOYMENT)
            await ingest.consume_evidence(buses.alerts)
            assert await stopping == 0
        await until(lambda: bool(ingest.evidence))
        assert len(ingest.evidence) == 1
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.tracks.retained == 1


async def test_without_the_bus_frames_are_destroyed_and_nothing_waits_for_its_return(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            await call.write(frame(1))
            await _receipts(call, 1)
            await until(lambda: ingest.statuses[-1].faces_seen == 1)
            searched = len(ingest.match.searches)
            ingest.nats.kill()
            for number in range(2, 12):
                await call.write(frame(number))
                (receipt,) = await _receipts(call, 1)
                assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED
            ingest.nats.start()
            await ingest.sight(pb.CameraStatus.SIGHT_BLIND, pb.CameraStatus.SIGHT_SEEING)
            await call.write(frame(12))
            (receipt,) = await _receipts(call, 1)
            assert receipt.outcome == pb.Receipt.OUTCOME_ACCEPTED
            await until(lambda: len(ingest.match.searches) == searched + 1)
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.frames.reasons["unanalysed/match_away"] == 10


async def test_killed_it_declares_in_its_next_life_what_nobody_can_know(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway)
        sent = 0
        async with ingest.stream() as call:
            for sent in range(1, 301):
                await call.write(frame(sent))
                await asyncio.sleep(0.002)
            await _receipts(call, 200)
            ingest.kill()
        (before,) = await ingest.accounts(buses.gateway)
        assert not before.final
        assert before.frames.entered <= sent <= before.frames.entered + before.may_follow
        await ingest.start()
        await ingest.sight(pb.CameraStatus.SIGHT_WAITING)
        async with ingest.stream() as call:
            await call.write(frame(1))
            await _receipts(call, 1)
        assert await ingest.stop() == 0
        totals = await ingest.totals(buses.gateway)
        assert totals.conserved()
        assert totals.frames.in_flight == 0
        assert totals.open_epochs == 0
        (lost,) = totals.declared
        assert (lost.service, lost.epoch) == ("ingest", before.epoch)
        assert lost.unknown_frames_at_most == MAY_FOLLOW + before.frames.in_flight
        assert sent + 1 - totals.frames.entered <= totals.unknown_frames_at_most


async def test_told_to_stop_in_the_middle_it_leaves_balanced_final_books(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [face(seen.sequence % 5, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            filming = asyncio.create_task(_film(call, every=0.002))
            receipts = await _receipts(call, 100)
            stopping = asyncio.create_task(ingest.stop())
            with suppress(grpc.aio.AioRpcError):
                async for receipt in _reading(call):
                    receipts.append(receipt)
            await asyncio.wait((filming,))
        assert await stopping == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.frames.entered == len(receipts)


async def test_a_camera_that_is_described_anew_is_closed_and_opened(tmp_path: Path) -> None:
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            await call.write(frame(1))
            await _receipts(call, 1)
            larger = control.Camera(camera_id=CAMERA, smallest_face_px=77)
            await ingest.put(buses.gateway, control.Deployment.STATE_ACTIVE, cameras=[larger])
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        await until(lambda: [o.smallest_face_px for o in ingest.detect.openings] == [0, 77])
        first, second = sorted(await ingest.accounts(buses.gateway), key=lambda a: a.began_at)
        assert first.final
        assert second.epoch != first.epoch


async def test_one_trace_goes_from_the_camera_to_detect_match_and_the_evidence(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.start()
    camera_traces = [f"00-{number:032x}-{number:016x}-01" for number in range(0xA1, 0xA5)]
    async with site(tmp_path, environment={"OVERT_OTLP_ENDPOINT": receiver.url}) as (ingest, buses):
        ingest.match.judge = two_agree("11111111-1111-4111-8111-111111111111")
        ingest.detect.find = lambda seen: [face(1, template=TEMPLATE)]
        await ingest.activate(buses.gateway)
        async with ingest.stream() as call:
            for number, traceparent in enumerate(camera_traces, start=1):
                await call.write(frame(number, traceparent=traceparent))
                await until(lambda sent=number: len(ingest.detect.frames) == sent)
            await until(lambda: bool(ingest.traces))
        assert [seen.traceparent.split("-")[1] for seen in ingest.detect.frames] == [
            traceparent.split("-")[1] for traceparent in camera_traces
        ]
        assert await ingest.stop() == 0
    # The second shot raised the alert: its trace goes on.
    assert ingest.traces[0].split("-")[1] == camera_traces[1].split("-")[1]
    names = {span.name for span in receiver.spans if span.trace == camera_traces[1].split("-")[1]}
    assert {"frame", "frame.analyse", "frame.search", "evidence.seal", "evidence.send"} <= names
    receiver.stop()

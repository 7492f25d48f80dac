"""The life of a frame, scene by scene, in virtual time with fake peers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt.telemetry import Metric
from overt.testing.telemetry import recorded_telemetry
from overt.testing.virtual_time import run_virtually
from overt_ingest.domain.books import FRAME_ORDER, Fate
from overt_ingest.domain.faces import Analysis, Away, Box, Decision, FoundFace, Verdict
from overt_ingest.domain.sight import Sight
from overt_ingest.domain.sighting import MOST_SIGHTINGS
from overt_ingest.testing import FakePicture
from support.camera_world import NOBODY, Set, scene, shot

pytestmark = pytest.mark.unit

_SETTLED = Analysis([FoundFace(1, Box(0, 0, 10, 10), refused="settled")])


@scene
async def test_the_newest_frame_wins_and_the_older_is_destroyed_at_once() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        await world.push(5, every=0.01)
        assert [picture.alive for picture in world.pictures] == [True, False, False, False, True]
        assert [number for number, fate in world.receipts] == [2, 3, 4]
        await asyncio.sleep(0.3)
    assert [sequence for sequence, _, _ in world.asked] == [1, 5]
    assert world.frames.destroyed == {"superseded": 3, "no_face": 2}


@scene
async def test_no_match_is_gone_at_once_with_its_frame() -> None:
    world = Set(analyses=[Analysis([shot(1)])])
    async with world.camera() as opening:
        await world.push(1, every=0)
        await asyncio.sleep(0.001)
        assert not world.pictures[0].alive
        assert opening.camera.tracks[1].sighting is None
        await world.push(1)
        assert world.parts.matcher.probes == [1, 1]
    assert world.frames.destroyed == {"no_match": 2}
    assert world.tracks.destroyed == {"no_match": 1}


@scene
async def test_two_agreeing_shots_make_one_alert_and_settle_the_track() -> None:
    world = Set(analyses=[*[Analysis([shot(1)])] * 2, _SETTLED], verdicts=[Decision.PENDING, Decision.AGREED])
    async with world.camera() as opening:
        await world.push(4)
        assert opening.camera.tracks.faces_seen == 1
    assert world.asked == [(1, [], []), (2, [1], []), (3, [], [1]), (4, [], [1])]
    assert world.parts.matcher.probes == [1, 2]
    assert len(world.parts.outbox.stored) == 1
    assert world.frames.retained == 1
    assert world.frames.destroyed == {"no_match": 3}
    assert world.frames.reasons == {"no_match/settled": 1}
    assert world.tracks.retained == 1
    (finding,) = world.parts.darkroom.findings
    assert finding.last_captured_at - finding.first_captured_at == timedelta(seconds=0.04)
    assert world.receipts == [(number, None) for number in range(1, 5)]


async def _receipt_of_the_first_frame(
    analysis: Analysis, verdicts: list[Decision | Away], *, searched: int, kept: int
) -> tuple[Fate | None, float]:
    """Of two frames, and how long after it came; everything after the analysis is slow."""
    world = Set(analyses=[analysis, NOBODY], verdicts=verdicts, detect_takes=0.02, match_takes=0.05)

    async def slow(step: str) -> None:
        await asyncio.sleep(0.1)

    async with world.camera():
        world.parts.darkroom.before_each = slow
        began = world.clock.monotonic()
        await world.push(2, every=0.5)
    assert len(world.parts.matcher.probes) == searched
    assert world.frames.retained + world.frames.of("expired") == kept
    return dict(world.receipts)[1], world.receipt_at[1] - began


@scene
async def test_a_receipt_tells_neither_by_its_word_nor_by_its_time_who_was_in_the_frame() -> None:
    one = Analysis([shot(1)])
    told = [
        await _receipt_of_the_first_frame(NOBODY, [Decision.NO_MATCH], searched=0, kept=0),
        await _receipt_of_the_first_frame(one, [Decision.NO_MATCH], searched=1, kept=0),
        await _receipt_of_the_first_frame(one, [Decision.PENDING], searched=1, kept=1),
        await _receipt_of_the_first_frame(one, [Decision.AGREED], searched=1, kept=1),
        await _receipt_of_the_first_frame(one, [Away(Reason.MATCH_AWAY)], searched=1, kept=0),
    ]
    assert told == [(None, pytest.approx(0.02))] * 5


# A refresh: detect sends another shot of a track that it was told is settled


@scene
async def test_a_settled_track_that_turns_out_to_be_somebody_else_is_found_too() -> None:
    somebody_else = Verdict(Decision.AGREED, entry_id="other", agreeing=[0, 1])
    world = Set(
        analyses=[*[Analysis([shot(1)])] * 2, _SETTLED, *[Analysis([shot(1)])] * 2, _SETTLED],
        verdicts=[Decision.PENDING, Decision.AGREED, Decision.PENDING, somebody_else],
    )
    async with world.camera() as opening:
        await world.push(6)
        assert opening.camera.tracks.faces_seen == 1
    assert [(pending, settled) for _, pending, settled in world.asked] == [
        ([], []),
        ([1], []),
        ([], [1]),
        ([], [1]),
        ([1], []),
        ([], [1]),
    ]
    assert world.parts.matcher.probes == [1, 2, 1, 2]
    assert world.parts.outbox.stored == ["stream1-1/entry", "stream1-1/other"]
    assert (world.frames.retained, world.tracks.retained, world.tracks.entered) == (2, 1, 1)


@scene
async def test_of_somebody_who_is_seen_again_by_a_refresh_nothing_more_is_kept() -> None:
    world = Set(
        analyses=[*[Analysis([shot(1)])] * 4, _SETTLED],
        verdicts=[Decision.PENDING, Decision.AGREED, Decision.PENDING, Decision.AGREED],
    )
    async with world.camera() as opening:
        await world.push(5)
        assert opening.camera.frames.in_flight == 0
        assert world.asked[-1] == (5, [], [1])
    assert world.parts.outbox.stored == ["stream1-1/entry"]
    assert (world.frames.retained, world.tracks.retained) == (1, 1)
    assert world.frames.reasons == {"no_match/settled": 3}


@pytest.mark.parametrize("verdict", [Decision.NO_MATCH, Decision.PENDING, Reason.MATCH_AWAY])
def test_a_refresh_without_an_agreement_leaves_the_track_its_alert_and_open(verdict: Decision | Reason) -> None:
    async def play() -> None:
        said = Away(verdict) if isinstance(verdict, Reason) else verdict
        world = Set(
            analyses=[*[Analysis([shot(1)])] * 3, _SETTLED],
            verdicts=[Decision.PENDING, Decision.AGREED, said, Decision.NO_MATCH],
        )
        async with world.camera():
            await world.push(4)
            assert world.asked[-1] == (4, [] if verdict is Decision.NO_MATCH else [1], [])
            await asyncio.sleep(1)
        assert (world.frames.retained, world.tracks.retained, world.tracks.destroyed) == (1, 1, {})

    run_virtually(play())


@scene
async def test_an_agreement_at_the_first_search_needs_no_sighting() -> None:
    world = Set(analyses=[Analysis([shot(1)])], verdicts=[Decision.AGREED])
    async with world.camera():
        await world.push(2)
    assert len(world.parts.outbox.stored) == 1
    assert world.frames.retained == world.tracks.retained == 1


@scene
async def test_an_unconfirmed_sighting_is_gone_one_second_after_its_capture() -> None:
    world = Set(analyses=[Analysis([shot(1)]), NOBODY], verdicts=[Decision.PENDING])
    async with world.camera() as opening:
        await world.push(1, every=0, late=0.1)
        await asyncio.sleep(0.89)
        sighting = opening.camera.tracks[1].sighting
        assert sighting is not None
        assert sighting.waits
        assert opening.camera.frames.in_flight == 1
        assert not world.pictures[0].alive, "the frame itself is gone; only the cut-outs wait"
        await asyncio.sleep(0.02)
        assert not sighting.waits
        assert sighting.probes == []
        assert opening.camera.frames.in_flight == 0
    assert world.frames.reasons == {"expired/unconfirmed": 1}
    assert world.tracks.destroyed == {"unconfirmed": 1}
    assert world.parts.outbox.stored == []


@scene
async def test_an_agreement_that_comes_after_the_second_is_over_makes_no_alert() -> None:
    world = Set(analyses=[Analysis([shot(1)])], verdicts=[Decision.PENDING, Decision.AGREED, Decision.NO_MATCH])
    async with world.camera():
        await world.push(1)
        world.match_takes = 0.97
        await world.push(1, every=1.2)
    assert world.parts.outbox.stored == []
    assert world.frames.destroyed == {"expired": 1, "no_match": 1}
    assert world.tracks.destroyed == {"unconfirmed": 1}


@scene
async def test_there_is_a_bound_on_sightings_and_the_oldest_gives_way() -> None:
    crowd = Analysis([shot(n) for n in range(1, MOST_SIGHTINGS + 4)])
    world = Set(analyses=[crowd, NOBODY], verdicts=[Decision.PENDING])
    async with world.camera() as opening:
        await world.push(1)
        waiting = [n for n in range(1, MOST_SIGHTINGS + 4) if opening.camera.tracks[n].waits]
        assert waiting == list(range(4, MOST_SIGHTINGS + 4))


@scene
async def test_while_detect_is_away_frames_are_destroyed_unseen_and_the_camera_is_blind() -> None:
    world = Set(analyses=[Analysis([shot(1), FoundFace(2, Box(0, 0, 1, 1), refused="blurred")])])
    async with world.camera() as opening:
        await world.push(1)
        world.parts.detector.goes()
        await world.push(3)
        assert opening.camera.senses.sight(world.clock.monotonic()) == (Sight.BLIND, Reason.DETECT_AWAY)
        assert not any(picture.alive for picture in world.pictures)
        world.parts.detector.comes()
        await world.push(1)
        assert opening.camera.senses.sight(world.clock.monotonic()) == (Sight.SEEING, None)
    assert world.frames.reasons["unanalysed/detect_away"] == 3
    assert world.tracks.entered == 4, "after a new stream the same numbers are other tracks"
    assert world.tracks.destroyed == {"no_match": 2, "unanalysed": 1, "quality": 1}


@scene
async def test_a_track_is_booked_as_soon_as_detect_ends_it() -> None:
    world = Set(analyses=[Analysis([shot(1), shot(2)]), Analysis([shot(2)], ended_tracks=[1])])
    async with world.camera() as opening:
        await world.push(1)
        assert opening.camera.track_book.in_flight == 2
        await world.push(1)
        assert opening.camera.track_book.in_flight == 1
        assert opening.camera.track_book.snapshot().destroyed == {"no_match": 1}


@scene
async def test_tracks_end_when_the_stream_breaks_although_no_frame_comes() -> None:
    world = Set(analyses=[Analysis([FoundFace(1, Box(0, 0, 1, 1), refused="blurred")])])
    async with world.camera() as opening:
        await world.push(1)
        world.parts.detector.goes()
        await asyncio.sleep(0.001)
        assert opening.camera.track_book.in_flight == 0
    assert world.tracks.reasons == {"unanalysed/detect_away": 1}


@scene
async def test_while_match_is_away_shots_are_lost_not_queued_and_another_is_asked_for() -> None:
    world = Set(
        analyses=[Analysis([shot(1)])],
        verdicts=[Away(Reason.MATCH_AWAY), Away(Reason.LIST_NOT_READY), Decision.NO_MATCH],
    )
    async with world.camera() as opening:
        await world.push(2)
        assert opening.camera.senses.sight(world.clock.monotonic()) == (Sight.BLIND, Reason.LIST_NOT_READY)
        await world.push(2)
    assert [pending for _, pending, _ in world.asked] == [[], [1], [1], []]
    assert world.parts.matcher.probes == [1, 1, 1, 1]
    assert world.frames.reasons == {"unanalysed/match_away": 1, "unanalysed/list_not_ready": 1}
    assert world.tracks.destroyed == {"no_match": 1}


@scene
async def test_a_defect_in_one_frame_costs_that_frame() -> None:
    world = Set(analyses=[RuntimeError("a defect"), NOBODY])
    async with world.camera():
        await world.push(2)
    assert world.frames.reasons == {"unanalysed/internal": 1}
    assert world.frames.destroyed["no_face"] == 1


@scene
async def test_a_code_that_nobody_knows_costs_that_frame_only() -> None:
    world = Set(analyses=[Analysis(rejected="a code of a later version"), NOBODY])
    async with world.camera():
        await world.push(2)
    assert world.frames.destroyed["rejected"] == 1
    assert world.frames.destroyed["no_face"] == 1


@scene
async def test_lost_evidence_is_counted_on_both_sides() -> None:
    world = Set(analyses=[Analysis([shot(1)])], verdicts=[Decision.NO_MATCH, Decision.PENDING, Decision.AGREED])
    async with world.camera() as opening:
        world.parts.outbox.deliver_at_once = False
        await world.push(4)
        assert opening.camera.frames.in_flight == 1, "the books wait for the delivery"
        world.parts.outbox.lose()
    assert world.frames.reasons["expired/evidence_lost"] == 1
    assert world.tracks.reasons == {"expired/evidence_lost": 1}


@scene
async def test_a_closing_camera_finishes_its_frame_and_destroys_the_one_that_waits() -> None:
    world = Set(detect_takes=0.5)
    async with world.camera() as opening:
        await world.push(2, every=0.001)
        opening.shut()
        with pytest.raises(Rejected):
            world.visit.admit(sequence=9, captured_at=world.clock.now(), picture=FakePicture)
    assert world.frames.destroyed == {"expired": 1, "no_face": 1}
    assert world.frames.reasons == {"expired/camera_closed": 1}


@scene
async def test_a_hanging_detect_does_not_keep_a_camera_from_closing() -> None:
    world = Set(detect_takes=100)
    began = 0.0
    async with world.camera():
        await world.push(1)
        began = world.clock.monotonic()
    assert world.clock.monotonic() - began < 3
    assert world.frames.reasons == {"expired/camera_closed": 1}


@scene
async def test_metrics_tell_what_the_books_tell() -> None:
    world = Set(
        analyses=[Analysis([shot(1)]), Analysis([shot(1)]), NOBODY], verdicts=[Decision.PENDING, Decision.AGREED]
    )
    names = {"deployment": "dep", "camera": "cam"}
    with recorded_telemetry() as told:
        async with world.camera():
            await world.push(1)
            assert told.value(Metric.FRAMES_IN_FLIGHT, **names) == 1, "its sighting waits"
            await world.push(2)
            assert told.value(Metric.FRAMES_IN_FLIGHT, **names) == 0
        assert told.value(Metric.FRAMES_IN, **names) == 3
        counted = {fate: told.value(Metric.FRAMES_DESTROYED, fate=fate, **names) for fate in FRAME_ORDER}
    assert {fate: n for fate, n in counted.items() if n} == world.frames.destroyed == {"no_match": 1, "no_face": 1}


@scene
async def test_one_visitor_at_a_time() -> None:
    world = Set()
    async with world.camera() as opening:
        with pytest.raises(Rejected) as busy:
            opening.camera.visit()
        assert busy.value.reason is Reason.CAMERA_BUSY
        world.visit.leave()
        world.visit.leave()
        world.visit = opening.camera.visit()
        await world.push(1)


# Side by side

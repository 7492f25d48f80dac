"""What goes on beside the next frame's analysis: judging, checking, sealing; and frames that were passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.testing.virtual_time import run_virtually
from overt_ingest.domain.faces import Analysis, Away, Decision
from overt_ingest.ledger_keeping import MAY_FOLLOW
from support.camera_world import NOBODY, Set, scene, shot

pytestmark = pytest.mark.unit


@scene
async def test_the_next_frame_is_analysed_while_the_last_one_is_judged() -> None:
    world = Set(analyses=[Analysis([shot(1)]), NOBODY], match_takes=0.1)
    async with world.camera():
        await world.push(2)
        assert [sequence for sequence, _, _ in world.asked] == [1, 2]
        assert [picture.alive for picture in world.pictures] == [True, False]
    assert world.frames.destroyed == {"no_match": 1, "no_face": 1}


@scene
async def test_no_more_than_three_frames_of_a_camera_are_judged_at_a_time() -> None:
    world = Set(analyses=[Analysis([shot(n)]) for n in range(1, 9)], match_takes=0.3)
    async with world.camera():
        await world.push(6)
        assert [sequence for sequence, _, _ in world.asked] == [1, 2, 3]
        assert sum(picture.alive for picture in world.pictures) == 4, "and the newest waits"
        await asyncio.sleep(0.1)
        assert [sequence for sequence, _, _ in world.asked] == [1, 2, 3, 6]
    assert world.frames.destroyed == {"no_match": 4, "superseded": 2}


@scene
async def test_shots_of_a_track_are_judged_in_turn_and_those_of_others_beside() -> None:
    both = Analysis([shot(1), shot(2)])
    world = Set(analyses=[both, both, NOBODY], verdicts=[Decision.PENDING], match_takes=0.1)
    async with world.camera():
        await world.push(2)
        assert world.parts.matcher.probes == [1, 1]
        await asyncio.sleep(0.1)
        assert world.parts.matcher.probes == [1, 1, 2, 2], "with the probe of the first"
    assert world.tracks.destroyed == {"unconfirmed": 2}


@scene
async def test_a_shot_whose_track_was_settled_while_it_waited_is_not_searched() -> None:
    world = Set(analyses=[Analysis([shot(1)])] * 3 + [NOBODY], verdicts=[Decision.AGREED], match_takes=0.2)
    async with world.camera():
        await world.push(3)
        await asyncio.sleep(0.3)
    assert world.parts.matcher.probes == [1]
    assert len(world.parts.outbox.stored) == 1
    assert world.frames.destroyed == {"no_match": 2}


@pytest.mark.parametrize(
    ("verdict", "fates", "stored"),
    [
        (Decision.NO_MATCH, {"no_match": 1}, 0),
        (Decision.PENDING, {"unconfirmed": 1}, 0),
        (Decision.AGREED, {}, 1),
        (Reason.MATCH_AWAY, {"unanalysed": 1}, 0),
    ],
)
@pytest.mark.parametrize("how", ["ended", "detect_goes"])
def test_a_track_that_ends_while_a_shot_of_it_is_judged_lives_until_then(
    verdict: Decision | Reason, fates: dict[str, int], stored: int, how: str
) -> None:
    async def play() -> None:
        world = Set(
            analyses=[Analysis([shot(1)]), Analysis(ended_tracks=[1] if how == "ended" else [])],
            verdicts=[Away(verdict) if isinstance(verdict, Reason) else verdict],
            match_takes=0.1,
        )
        async with world.camera() as opening:
            await world.push(2)
            if how == "detect_goes":
                world.parts.detector.goes()
                await asyncio.sleep(0.001)
            assert len(opening.camera.tracks) == 0
            assert opening.camera.track_book.in_flight == 1
            await asyncio.sleep(0.07)
            assert opening.camera.track_book.in_flight == 0
        assert world.tracks.destroyed == fates
        assert len(world.parts.outbox.stored) == stored

    run_virtually(play())


@scene
async def test_a_second_shot_that_waits_for_its_turn_confirms_although_its_track_has_ended() -> None:
    world = Set(
        analyses=[Analysis([shot(1)]), Analysis([shot(1)], ended_tracks=[1]), NOBODY],
        verdicts=[Decision.PENDING, Decision.AGREED],
        match_takes=0.1,
    )
    async with world.camera():
        await world.push(3)
        await asyncio.sleep(0.2)
    assert len(world.parts.outbox.stored) == 1
    assert world.tracks.retained == world.frames.retained == 1


def _slow(**seconds: float) -> Callable[[str], Awaitable[None]]:
    async def before(step: str) -> None:
        await asyncio.sleep(seconds.get(step, 0))

    return before


@scene
async def test_detect_is_asked_for_another_shot_while_the_first_is_cut_out() -> None:
    world = Set(analyses=[Analysis([shot(1)]), NOBODY], verdicts=[Decision.PENDING])
    async with world.camera():
        world.parts.darkroom.before_each = _slow(develop=0.06)
        await world.push(3)
    assert [pending for _, pending, _ in world.asked] == [[], [1], [1]]


@scene
async def test_the_frame_is_gone_when_its_pictures_are_made_and_these_are_checked_once_confirmed() -> None:
    world = Set(analyses=[Analysis([shot(1)])], verdicts=[Decision.PENDING, Decision.AGREED])
    async with world.camera():
        world.parts.darkroom.before_each = _slow(develop=0.01)
        await world.push(1, every=0.02)
        assert not world.pictures[0].alive
        assert world.parts.darkroom.begun == ["develop"]
        await world.push(1, every=0.001)
        assert world.parts.darkroom.ended == ["develop", "check", "seal"]
        assert len(world.parts.outbox.stored) == 1


@scene
async def test_an_alert_waits_for_the_check_of_its_pictures() -> None:
    world = Set(analyses=[Analysis([shot(1)])], verdicts=[Decision.PENDING, Decision.AGREED])
    async with world.camera() as opening:
        world.parts.darkroom.before_each = _slow(check=0.3)
        await world.push(2)
        assert world.parts.outbox.stored == []
        assert opening.camera.frames.in_flight == 1, "the second frame is gone"
        await asyncio.sleep(0.3)
        assert len(world.parts.outbox.stored) == 1
    assert world.parts.darkroom.begun.count("check") == 1


@scene
async def test_no_more_than_two_scenes_are_checked_at_a_time() -> None:
    crowd = Analysis([shot(n) for n in range(1, 6)])
    world = Set(analyses=[crowd, NOBODY], verdicts=[Decision.AGREED])
    async with world.camera():
        world.parts.darkroom.before_each = _slow(check=0.5)
        await world.push(1)
        assert world.parts.darkroom.begun.count("check") == 2
        await asyncio.sleep(0.5)
        assert world.parts.darkroom.begun.count("check") == 4
    assert len(world.parts.outbox.stored) == 5


@scene
async def test_the_unconfirmed_are_not_checked() -> None:
    crowd = Analysis([shot(n) for n in range(1, 6)])
    world = Set(analyses=[crowd, NOBODY], verdicts=[Decision.PENDING])
    async with world.camera():
        await world.push(1)
        await asyncio.sleep(1.1)
    assert "check" not in world.parts.darkroom.begun
    assert world.tracks.destroyed == {"unconfirmed": 5}


@pytest.mark.parametrize("step", ["develop", "check", "seal"])
def test_a_defect_in_one_frames_judging_costs_what_it_met(step: str) -> None:
    async def play() -> None:
        world = Set(analyses=[Analysis([shot(1)]), NOBODY, Analysis([shot(2)]), NOBODY], verdicts=[Decision.AGREED])
        met: list[str] = []

        async def before(name: str) -> None:
            if name == step and not met:
                met.append(name)
                raise RuntimeError("a defect")

        async with world.camera():
            world.parts.darkroom.before_each = before
            await world.push(4)
        assert len(world.parts.outbox.stored) == 1
        assert world.frames.retained == 1
        assert world.frames.destroyed["no_face"] == 2
        lost = {"unanalysed/internal"} if step == "develop" else {"expired/evidence_lost"}
        assert set(world.frames.reasons) == lost

    run_virtually(play())


@scene
async def test_a_closing_camera_seals_what_was_agreed_and_leaves_nothing_alive() -> None:
    world = Set(analyses=[Analysis([shot(1), shot(2)])], verdicts=[Decision.AGREED, Decision.PENDING], match_takes=0.1)
    async with world.camera():
        world.parts.darkroom.before_each = _slow(develop=0.1, check=0.2, seal=0.1)
        await world.push(1)
    assert len(world.parts.outbox.stored) == 1
    assert world.tracks.destroyed == {"unconfirmed": 1}


# Frames that nobody decoded


@scene
async def test_a_frame_that_was_passed_over_is_in_the_books() -> None:
    world = Set()
    async with world.camera() as opening:
        await world.push(1)
        for reason in (None, None, Reason.NOT_A_PICTURE):
            world.visit.pass_over(captured_at=world.clock.now() - timedelta(seconds=0.1), reason=reason)
        world.parts.detector.goes()
        world.visit.pass_over(captured_at=world.clock.now())
        assert opening.camera.frames.entered == 5
        assert opening.camera.frames.in_flight == 0
        world.visit.leave()
        opening.shut()
        with pytest.raises(Rejected):
            world.visit.pass_over(captured_at=world.clock.now())
    assert world.frames.reasons == {
        "superseded/not_decoded": 2,
        "rejected/not_a_picture": 1,
        "unanalysed/detect_away": 1,
    }


@scene
async def test_frames_that_were_passed_over_count_for_the_bound_of_the_ledger() -> None:
    world = Set()
    async with world.camera() as opening:
        world.parts.receipts.away = True
        for _ in range(MAY_FOLLOW):
            world.visit.pass_over(captured_at=world.clock.now())
        with pytest.raises(Retryable):
            world.visit.pass_over(captured_at=world.clock.now())
        assert opening.camera.frames.entered == MAY_FOLLOW
        world.parts.receipts.away = False


@scene
async def test_a_source_is_behind_while_a_frame_waits_or_detect_is_away() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        assert not world.visit.behind
        await world.push(1)
        assert not world.visit.behind, "it is being analysed"
        await world.push(1)
        assert world.visit.behind
        await asyncio.sleep(0.2)
        assert not world.visit.behind
        world.parts.detector.goes()
        assert world.visit.behind


# The ledger

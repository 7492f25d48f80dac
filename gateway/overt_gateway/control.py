"""The life of a deployment, as people steer it. Writes the record; every service reconciles with that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from overt.errors import Rejected
from overt.reasons import Reason
from overt.runtime import Clock
from overt.subjects import checked_id
from overt.telemetry import get_logger

from overt_gateway.aim import Aim
from overt_gateway.domain import Camera, Deployment, State, slug, window
from overt_gateway.ports import Deployments, Keys, Versioned, Watchlists
from overt_gateway.problems import Refused

log = get_logger(__name__)

_PERSISTENT_TRIES = 5
"""Ending must not fail because somebody else wrote at the same moment."""


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """What an applicant asks for; None is the default."""

    name: str
    deployment_id: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    aim: Aim
    alert_retention: timedelta
    cameras: tuple[Camera, ...]


class Control:
    """`expected` is the revision a caller saw (If-Match): anything newer is refused with 412."""

    def __init__(self, *, deployments: Deployments, keys: Keys, watchlists: Watchlists, clock: Clock) -> None:
        self._deployments = deployments
        self._keys = keys
        self._watchlists = watchlists
        self._clock = clock

    async def all(self) -> Sequence[Versioned]:
        return await self._deployments.all()

    async def get(self, deployment: str) -> Versioned:
        """Rejected(UNKNOWN_DEPLOYMENT)."""
        try:
            found = await self._deployments.get(checked_id(deployment))
        except Rejected as error:
            raise _unknown() from error
        if found is None:
            raise _unknown()
        return found

    async def create(self, new: NewDeployment, *, by: str) -> Versioned:
        """A draft, with its keys and streams made."""
        now = self._clock.now()
        starts_at, ends_at = window(now, new.starts_at, new.ends_at)
        deployment_id = checked_id(new.deployment_id) if new.deployment_id else slug(new.name)
        # Before any key is made: preparing an ended deployment again would bring its keys back.
        if await self._deployments.get(deployment_id) is not None:
            raise Rejected(Reason.CONFLICT, f"the id {deployment_id} is taken: give another one as `id`")
        created = await self._deployments.create(
            Deployment(
                deployment_id=deployment_id,
                name=new.name,
                state=State.DRAFT,
                starts_at=starts_at,
                ends_at=ends_at,
                cameras=new.cameras,
                threshold=new.aim.threshold,
                target_fpir=new.aim.target_fpir,
                alert_retention=new.alert_retention,
                sealing_public_key=await self._keys.prepare(deployment_id),
                created_at=now,
                created_by=by,
            )
        )
        log.info("deployment_created", deployment=deployment_id)
        return created

    async def add_camera(self, deployment: str, camera: Camera, *, expected: int | None = None) -> Versioned:
        return await self._change(deployment, expected, lambda known: known.with_camera(camera))

    async def aim(self, deployment: str, aim: Aim, *, expected: int | None = None) -> Versioned:
        """Changes a draft's threshold or target."""
        return await self._change(deployment, expected, lambda known: known.aiming(aim))

    async def check_calibratable(self, deployment: str, *, away: bool = False, expected: int | None = None) -> None:
        """Rejected unless a calibration may be put in force for it, or taken away."""
        found = await self.get(deployment)
        _check_expected(found, expected)
        found.deployment.check_calibratable(away=away)

    async def note_calibration(self, deployment: str, digest: str) -> Versioned:
        """Writes down what match has put in force; who writes at the same moment does not stop it."""
        stored, changed = await self._persist(deployment, None, lambda known: known.calibrated(digest))
        if changed:
            log.info("calibration_changed", deployment=deployment)
        return stored

    async def start(self, deployment: str, *, expected: int | None = None) -> Versioned:
        """Seals the list, then goes active. If it fails in between, starting again carries on."""
        found = await self.get(deployment)
        _check_expected(found, expected)
        found.deployment.check_startable(self._clock.now())
        view = await self._watchlists.read(deployment)
        if not view.entries:
            raise Rejected(Reason.LIST_EMPTY, "the list has no entry: import one first")
        found.deployment.check_aim(calibrated=view.calibration is not None)
        head = await self._watchlists.seal(deployment, found.deployment.target_fpir)
        started = found.deployment.started(list_digest=head.digest, list_size=head.size, threshold=head.threshold)
        active = await self._deployments.replace(started, found.revision)
        log.info("deployment_started", deployment=deployment)
        return active

    async def end(self, deployment: str, *, expected: int | None = None) -> Versioned:
        """From any state, any number of times."""
        ended, changed = await self._persist(deployment, expected, Deployment.ended)
        if changed:
            log.info("deployment_ended", deployment=deployment)
        return ended

    async def close_windows(self) -> None:
        """Ends what is past its window, drafts too: their lists are to be destroyed as well."""
        now = self._clock.now()
        for known in await self._deployments.all():
            if known.deployment.ends_at <= now and not known.deployment.state.is_over:
                try:
                    await self.end(known.deployment.deployment_id)
                except Rejected as error:
                    # Another gateway is ending it, or somebody changes it right now: looked at again next time.
                    log.info("window_not_closed", deployment=known.deployment.deployment_id, reason=error.reason)

    async def _persist(
        self, deployment: str, expected: int | None, change: Callable[[Deployment], Deployment]
    ) -> tuple[Versioned, bool]:
        """Makes a change that must not fail because of another one: what is stored then, and whether that is new."""
        for left in range(_PERSISTENT_TRIES - 1, -1, -1):
            found = await self.get(deployment)
            _check_expected(found, expected)
            changed = change(found.deployment)
            if changed == found.deployment:
                return found, False
            try:
                return await self._deployments.replace(changed, found.revision), True
            except Rejected as error:
                if error.reason is not Reason.CONFLICT or not left or expected is not None:
                    raise
        raise AssertionError("unreachable")

    async def _change(
        self, deployment: str, expected: int | None, change: Callable[[Deployment], Deployment]
    ) -> Versioned:
        found = await self.get(deployment)
        _check_expected(found, expected)
        return await self._deployments.replace(change(found.deployment), found.revision)


def _check_expected(found: Versioned, expected: int | None) -> None:
    if expected is not None and found.revision != expected:
        raise Refused(
            HTTPStatus.PRECONDITION_FAILED,
            Reason.CONFLICT,
            f'it has changed since: its ETag is now "{found.revision}"',
        )


def _unknown() -> Rejected:
    return Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment")

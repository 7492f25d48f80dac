"""`overt demo`."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
from overt import telemetry
from overt.errors import Fatal, Rejected
from overt.permissions import Role
from overt.reasons import Reason
from overt.settings import ServiceSettings

from overt_lab.archive import ListImage, demo_row, read_folder
from overt_lab.camera import Clip, read_clip
from overt_lab.demo.people import demo_people
from overt_lab.demo.report import figures, text
from overt_lab.demo.run import DEPLOYMENT, Outcome, SeenAlert, Stage, names_on
from overt_lab.demo.scene import FRAMES_PER_SECOND, frame_count, plan, reference_picture, render
from overt_lab.figures import write_json
from overt_lab.machine import Machine, Options
from overt_lab.progress import progress
from overt_lab.rest import Gateway, RestError
from overt_lab.stopping import finished, stop_on_signals

SEED = 7
LISTED = ("alder", "juniper")
THRESHOLD = 0.40
_OVER = (Reason.CAMERA_CLOSED, Reason.WRONG_STATE, Reason.OUTSIDE_WINDOW)


@click.command()
@click.option("--video", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own clip.")
@click.option(
    "--watchlist",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of NAME.jpg, NAME.png or NAME/*.",
)
@click.option("--expect", default=None, metavar="NAME,...", help="Who should alert; nobody else may.")
@click.option("--threshold", type=click.FloatRange(0.2, 0.9), default=THRESHOLD, show_default=True, help="Raw cosine.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures.")
@click.option("--evidence", type=click.Path(file_okay=False, path_type=Path), help="Save the alerts' pictures here.")
@click.option("--otlp", default=None, metavar="URL", help="Send traces to this OTLP (gRPC) receiver.")
@click.option("--plain-store", is_flag=True, help="Leave JetStream's file encryption off, to look inside.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Keep the data here afterwards.")
@click.option("--serve", is_flag=True, help="Keep playing, with the page up, until Ctrl-C.")
def demo(
    video: Path | None,
    watchlist: Path | None,
    expect: str | None,
    threshold: float,
    json_file: Path | None,
    evidence: Path | None,
    otlp: str | None,
    plain_store: bool,
    data: Path | None,
    serve: bool,
) -> None:
    """Run the whole system here: real processes, real models, a walk-through or your own clip.

    Exits 0 when both conservation laws hold and everyone expected, and nobody else, alerted.
    """
    if video and not watchlist:
        raise click.UsageError("--video needs --watchlist DIR: whom should it look for?")
    if video:
        read_clip(video)  # told now, not when the whole system is up
    images = read_folder(watchlist) if watchlist else builtin_list()
    listed = names_on(images)
    outcome = Outcome(expected=_expected(expect, listed, builtin=video is None and watchlist is None))
    home = data or Path(tempfile.mkdtemp(prefix="overt-demo-"))
    options = Options(data=home, encrypt_store=not plain_store, otlp_endpoint=otlp)
    if otlp:
        # This process is the camera: its spans are where every frame's trace begins.
        telemetry.configure("camera", ServiceSettings.model_construct(otlp_endpoint=otlp, log_level="error"))
    try:
        asyncio.run(_run(options, images, video, threshold, outcome, evidence, serve))
    finally:
        telemetry.shutdown()
        if data is None:
            shutil.rmtree(home, ignore_errors=True)
    if json_file:
        write_json(json_file, figures(outcome))
    click.echo(text(outcome))
    _close(outcome, serve)


def builtin_list() -> list[ListImage]:
    """The two of the walk-through who are wanted."""
    people = {person.name: person for person in demo_people()}
    return [ListImage(demo_row(name, f"{name}.jpg"), reference_picture(people[name])) for name in LISTED]


def builtin_clip() -> Clip:
    """The walk-through, rendered as it is played."""
    walks = plan(demo_people(), SEED)
    return Clip(render(walks, SEED), FRAMES_PER_SECOND, frame_count(walks))


def _expected(expect: str | None, listed: list[str], *, builtin: bool) -> list[str] | None:
    if expect is None:
        return listed if builtin else None
    names = [name.strip() for name in expect.split(",") if name.strip()]
    unknown = sorted(set(names) - set(listed))
    if unknown:
        raise click.UsageError(f"--expect names {', '.join(unknown)}, but the list has {', '.join(listed)}")
    return names


async def _run(
    options: Options,
    images: list[ListImage],
    video: Path | None,
    threshold: float,
    outcome: Outcome,
    evidence: Path | None,
    serve: bool,
) -> None:
    machine = Machine(options, say=_say)
    stop = stop_on_signals()
    stage = Stage(machine, threshold=threshold, outcome=outcome)
    try:
        _say("starting nats-server and five services")
        if not await finished(machine.up(), stop) or not await finished(stage.open(images), stop):
            raise click.Abort
        for row in outcome.refused:
            _say(f"not listed: {row['image']}: {row['message']}")
        _say(f"list sealed: {outcome.list_size} on it; a camera is open")
        if serve:
            _say(f"the page, logged in once as operator: {machine.login_link(Role.OPERATOR)}")
            _say("playing again and again; Ctrl-C ends the deployment")
        async with stage.watching(_tell):
            with until_ended() if serve else contextlib.nullcontext():
                while await finished(_play(stage, video), stop) and serve:
                    pass
            if evidence:
                await _save_evidence(machine, outcome, evidence)
        _say("ending the deployment: list and templates are destroyed, cameras closed")
        await stage.end()
    finally:
        await machine.down()


@contextlib.contextmanager
def until_ended() -> Iterator[None]:
    """While it plays again and again, somebody may end the deployment over REST, and in time its window closes: that
    is no failure, and what was seen is reported."""
    try:
        yield
    except (Rejected, RestError) as error:
        if error.reason not in _OVER:
            raise
        _say(f"nothing more is played: {error}")


async def _play(stage: Stage, video: Path | None) -> None:
    clip = read_clip(video) if video else builtin_clip()
    seconds = f" ({clip.frames / clip.frames_per_second:.0f} s)" if clip.frames else ""
    shown = progress(clip.pictures, label=f"people are walking{seconds}", length=clip.frames)
    await stage.play(replace(clip, pictures=shown))


def _say(line: str) -> None:
    click.echo(f"overt: {line}")


def _tell(alert: SeenAlert) -> None:
    click.echo(f"\novert: ALERT {alert.subject} at {alert.camera}, {alert.latency_ms:.0f} ms after capture", err=True)


async def _save_evidence(machine: Machine, outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    async with Gateway(machine.gateway_url, lambda: machine.token(Role.OPERATOR)) as operator:
        for alert in outcome.alerts:
            for part in ("probe", "reference", "scene"):
                picture = await operator.evidence(DEPLOYMENT, alert.alert_id, part)
                (folder / f"{alert.subject}-{part}.jpg").write_bytes(picture)


def _close(outcome: Outcome, serve: bool) -> None:
    click.echo("")
    if not outcome.conserved:
        raise Fatal("the books do not balance: this is a defect, please report it")
    if outcome.good:
        if outcome.expected is None:
            click.echo("Both laws hold. Nobody was declared as expected (--expect NAME,...).")
        else:
            click.echo(f"As expected: {', '.join(outcome.expected) or 'nobody'} alerted, nobody else. Both laws hold.")
        if not serve:
            click.echo("Next: .venv/bin/overt demo --serve")
        return
    raise click.exceptions.Exit(1)

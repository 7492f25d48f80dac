// The rest of the room: under what it runs, cameras and whether they see, what was seen and forgotten.

import { at, count, make, moment, say, time } from "/static/dom.js";
import { getJson } from "/static/session.js";
import { pause } from "/static/stream.js";

const LOOK_EVERY_MS = 2_000;
const HIDDEN_FACTOR = 5;
const LEDGER_EVERY = 3; // looks

const SHAPES = { seeing: "●", waiting: "○", blind: "▲", closed: "■" };
const WHY = {
  detect_away: "analysis is not answering",
  match_away: "the list is not answering",
  ingest_away: "nobody is receiving its pictures",
  deadline: "analysis is too slow",
  camera_closed: "the source is lost",
  list_not_ready: "the list is not ready",
};

export class Room {
  #path;
  #names = new Map();
  #live = { faces: 0, frames: 0 };
  #ledger = null;

  constructor(deployment) {
    this.#path = `/v1/deployments/${encodeURIComponent(deployment)}`;
  }

  /** A camera's name by its id. */
  name = (camera) => this.#names.get(camera) ?? camera;

  /** Everything once; then again and again until `signal` aborts. */
  async first(signal) {
    await this.#look(signal, true);
  }

  async run(signal) {
    for (let turn = 1; !signal.aborted; turn += 1) {
      await pause(LOOK_EVERY_MS * (document.hidden ? HIDDEN_FACTOR : 1), signal);
      if (signal.aborted) return;
      try {
        await this.#look(signal, turn % LEDGER_EVERY === 0);
      } catch (error) {
        if (error.status === 401) return;
        // A moment's trouble: what is shown grows old for a while, and the connection's state says so.
      }
    }
  }

  async #look(signal, ledger) {
    const [cameras, deployment] = await Promise.all([
      getJson(`${this.#path}/cameras`, { signal }),
      getJson(this.#path, { signal }),
    ]);
    if (ledger) this.#ledger = await getJson(`${this.#path}/ledger`, { signal });
    if (signal.aborted) return;
    this.#drawDeployment(deployment);
    this.#drawCameras(cameras.cameras);
    this.#drawCounters();
  }

  #drawDeployment(deployment) {
    say(at("state"), deployment.state);
    at("state").dataset.state = deployment.state;
    say(at("window"), `${moment(deployment.starts_at)} to ${moment(deployment.ends_at)}`);
    say(at("authority"), deployment.authority);
    say(at("calibration"), deployment.uncalibrated ? "" : deployment.calibration);
    say(at("uncalibrated"), deployment.uncalibrated ? deployment.calibration : "");
    say(at("caution-why"), caution(deployment));
    at("caution").hidden = !unauthorised(deployment) && !deployment.uncalibrated;
  }

  #drawCameras(cameras) {
    this.#names = new Map(cameras.map((camera) => [camera.id, camera.name]));
    this.#live = {
      faces: cameras.reduce((sum, camera) => sum + camera.faces_seen, 0),
      frames: cameras.reduce((sum, camera) => sum + camera.frames_destroyed, 0),
    };
    at("cameras").replaceChildren(
      ...(cameras.length
        ? cameras.map((camera) =>
            make("li", { "data-sight": camera.sight },
              make("span", { class: "shape", "aria-hidden": "true" }, SHAPES[camera.sight] ?? "?"),
              make("span", {}, camera.name),
              make("span", { class: "sight" }, make("strong", {}, camera.sight), sightWords(camera))))
        : [make("li", { class: "help" }, "None registered.")]));
  }

  #drawCounters() {
    const ledger = this.#ledger;
    const seen = Math.max(this.#live.faces, ledger.faces_seen);
    const forgotten = Math.max(this.#live.frames, sum(ledger.destroyed));
    const receipts = ledger.open_epochs > 0 || ledger.final;
    const holds = ledger.conserved && ledger.tracks.conserved;
    at("counters").replaceChildren(
      counter("faces seen", count(seen)),
      counter("frames forgotten", count(forgotten)),
      counter("in flight", receipts ? count(ledger.in_flight) : "–"),
      counter("ledger", receipts ? (holds ? "✓ balances" : "✗ broken") : "–", receipts ? (holds ? "yes" : "no") : null));
    say(at("receipt"), receipts
      ? `${count(ledger.retained)} ${ledger.retained === 1 ? "frame" : "frames"} kept as sealed evidence${ledger.final ? ". The last receipts are in." : `, as of ${time(ledger.as_of)}; in flight and ledger likewise. A receipt comes each minute.`}`
      : "No ledger receipt yet; the first comes when a camera opens.");
  }
}

const unauthorised = (deployment) => deployment.authority.startsWith("unauthorised");

function caution(deployment) {
  const missing = [
    unauthorised(deployment) ? "no signed authority stands behind this deployment" : null,
    deployment.uncalibrated ? "no calibration stands behind its threshold" : null,
  ].filter(Boolean).join(", and ");
  return missing && `${missing[0].toUpperCase()}${missing.slice(1)}.`;
}

const sum = (book) => Object.values(book).reduce((total, n) => total + n, 0);

const counter = (name, value, good = null) =>
  make("div", {},
    make("dt", {}, name),
    make("dd", { class: /^[\d–]/.test(value) ? null : "words", "data-good": good }, value));

function sightWords(camera) {
  if (camera.sight === "blind") return camera.reason ? `: ${WHY[camera.reason] ?? camera.reason.replaceAll("_", " ")}` : "";
  if (camera.sight !== "seeing") return "";
  return `, ${camera.frames_per_second.toFixed(0)} pictures a second, ${camera.analysed_per_second.toFixed(0)} analysed`;
}

// One alert, for comparing by eye. The score is out of the way on purpose: it tempts.

import { get } from "/static/session.js";
import { make, moment, time } from "/static/dom.js";

/** Shows alerts one at a time in `place`, and lets go of the pictures of the one before. */
export class Card {
  #place;
  #urls = [];
  #loading = null;
  #shown = null;
  #pictures;

  /** `pictures`: whether this role may see them. */
  constructor(place, { pictures }) {
    this.#place = place;
    this.#pictures = pictures;
  }

  /** `cameras` gives a camera's name by id; `fresh`: it has just arrived. */
  show(alert, cameras, fresh) {
    const same = this.#shown?.id === alert.id;
    const state = JSON.stringify(alert);
    if (same && this.#shown.state === state) return;
    this.#shown = { id: alert.id, state };
    const camera = cameras(alert.camera);
    if (same) {
      // Seen again: only words change, the pictures stay where the eye is.
      this.#place.querySelector(".when").replaceWith(when(alert));
      this.#place.querySelector("details dl").replaceWith(technical(alert));
      return;
    }
    this.#letGo();
    const pictures = {
      probe: this.#frame(),
      reference: this.#frame(),
      scene: this.#frame(),
      ...(alert.rival ? { rival_reference: this.#frame() } : {}),
    };
    this.#place.replaceChildren(
      make("article", { class: fresh ? "card fresh" : "card", "aria-labelledby": "card-title" },
        make("header", {},
          make("h2", { id: "card-title" }, alert.category_label,
            alert.under_18 ? make("span", { class: "minor" }, "Under 18") : null),
          when(alert)),
        alert.reason ? make("p", { class: "why" }, alert.reason) : null,
        alert.rival
          ? make("p", { class: "both" }, "Two entries of the list are about as like this person: compare with both.")
          : null,
        make("div", { class: alert.rival ? "pair three" : "pair" },
          make("figure", {}, pictures.probe,
            make("figcaption", {}, "Seen ", make("span", {}, `by ${camera}, ${time(alert.first_captured_at)}`))),
          make("figure", {}, pictures.reference,
            make("figcaption", {}, "On the list ",
              make("span", {}, alert.rival ? `${alert.subject_ref}, ${alert.category_label}` : alert.subject_ref))),
          alert.rival ? otherEntry(alert.rival, pictures.rival_reference) : null),
        make("p", { class: "look" },
          "Look at ears, nose, mouth, chin, marks and scars. Hair, glasses, age and light may differ. " +
          "Similar is not the same."),
        make("figure", {}, pictures.scene,
          make("figcaption", {}, "Scene ",
            make("span", {}, "around this person; everybody else is blocked out for good"))),
        make("dl", { class: "facts" },
          ...fact("Reference", alert.rival ? `${alert.subject_ref}, or ${alert.rival.subject_ref}` : alert.subject_ref),
          ...fact("Legal basis", alert.legal_basis),
          ...fact("Camera", camera),
          ...fact("Destroyed by", moment(alert.expires_at))),
        make("details", {},
          make("summary", {}, "Technical details"),
          technical(alert))));
    this.#load(alert, pictures, camera);
  }

  clear() {
    this.#shown = null;
    this.#letGo();
    this.#place.replaceChildren();
  }

  #frame() {
    const words = this.#pictures ? "Loading…" : "Operators and engagement officers see this picture.";
    return make("div", { class: "frame" }, make("p", {}, words));
  }

  #letGo() {
    this.#loading?.abort();
    this.#loading = null;
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
  }

  #load(alert, pictures, camera) {
    if (!alert.evidence || !this.#pictures) return;
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    const words = {
      probe: `The face seen by ${camera} at ${time(alert.first_captured_at)}`,
      reference: `The reference picture of ${alert.subject_ref}`,
      scene: `The scene at ${camera}, with one face marked`,
      rival_reference: `The reference picture of ${alert.rival?.subject_ref}`,
    };
    for (const [part, place] of Object.entries(pictures)) {
      this.#picture(alert.evidence[part], words[part], signal).then(
        (image) => {
          if (signal.aborted) return;
          place.replaceChildren(part === "scene" ? marked(image, alert.scene_face) : image);
        },
        (error) => {
          if (!signal.aborted) place.replaceChildren(make("p", {}, `No picture: ${error.message}`));
        });
    }
  }

  async #picture(path, alt, signal) {
    const answer = await get(path, { signal });
    const blob = await answer.blob();
    if (signal.aborted) throw new DOMException("no longer wanted", "AbortError");
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    const image = make("img", { alt, src: url });
    await image.decode();
    return image;
  }
}

const when = (alert) =>
  make("p", { class: "when" },
    time(alert.raised_at),
    alert.sightings.length > 1
      ? `, seen ${alert.sightings.length} times, last ${time(alert.sightings.at(-1).captured_at)}`
      : "");

const fact = (name, value) => (value ? [make("dt", {}, name), make("dd", {}, value)] : []);

const otherEntry = (rival, picture) =>
  make("figure", {}, picture,
    make("figcaption", {}, "Also on the list ",
      make("span", {}, `${rival.subject_ref}, ${rival.category_label}${rival.under_18 ? ", under 18" : ""}`)));

const technical = (alert) =>
  make("dl", { class: "facts" },
    ...fact("Similarity",
      `${alert.score.toFixed(3)} (${alert.uncalibrated ? "raw cosine" : "normalised"}, ${alert.calibration})`),
    ...fact("Threshold", alert.threshold.toFixed(3)),
    ...fact("Alert", alert.id),
    ...fact("Entry", alert.entry_id),
    ...fact("Other entry", alert.rival?.entry_id));

/** The scene with a box around the face, in fractions, so that it fits at any size. */
function marked(image, face) {
  const scene = make("div", { class: "scene" }, image);
  if (face) {
    const mark = make("div", { class: "mark", "aria-hidden": "true" });
    mark.style.left = `${(100 * face.x) / image.naturalWidth}%`;
    mark.style.top = `${(100 * face.y) / image.naturalHeight}%`;
    mark.style.width = `${(100 * face.width) / image.naturalWidth}%`;
    mark.style.height = `${(100 * face.height) / image.naturalHeight}%`;
    scene.append(mark);
  }
  return scene;
}

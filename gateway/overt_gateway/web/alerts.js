// The alerts of one deployment: the newest large, unless somebody is looking at another one.

import { at, make, say, time } from "/static/dom.js";
import { Card } from "/static/card.js";
import { getJson } from "/static/session.js";
import { follow, repeat } from "/static/stream.js";

const SEES_PICTURES = ["operator", "engagement_officer"];
const LOOK_EVERY_MS = 10_000;
const SEES_ALERTS = [...SEES_PICTURES, "auditor"];

export class Alerts {
  #card;
  #known = new Map();
  #chosen = null; // null: whatever is newest
  #unread = 0;
  #settled = false; // what came first was there before: not news
  #deployment;
  #cameras;
  #role;

  constructor(deployment, role, cameras) {
    this.#deployment = deployment;
    this.#role = role;
    this.#card = new Card(at("alert"), { pictures: SEES_PICTURES.includes(role) });
    this.#cameras = cameras;
    at("show-newest").onclick = () => this.#choose(null);
    this.#draw();
  }

  /** Until `signal` aborts. `live` is told how the connection is. */
  async run(signal, live) {
    if (!SEES_ALERTS.includes(this.#role)) return;
    const base = `/v1/deployments/${encodeURIComponent(this.#deployment)}/alerts`;
    const before = async () => this.#replace((await getJson(base, { signal })).alerts);
    if (!SEES_PICTURES.includes(this.#role)) {
      // Who may not compare has no stream either: look now and then.
      await repeat(before, { every: LOOK_EVERY_MS, signal, live });
      return;
    }
    await follow(`${base}/stream`, {
      signal,
      live,
      before,
      event: (name, data) => {
        if (name === "alert") this.#note(data);
      },
    });
  }

  close() {
    this.#known.clear();
    this.#card.clear();
    at("list").replaceChildren();
    at("list-nav").hidden = true;
    at("news").hidden = true;
    at("announce").textContent = "";
    at("show-newest").onclick = null;
    document.title = "Overt";
  }

  /** What there is now: an alert that was destroyed while we were away must go. */
  #replace(alerts) {
    this.#known = new Map(alerts.filter((a) => a.state === "open").map((a) => [a.id, a]));
    this.#settled = true;
    this.#draw();
  }

  #note({ kind, alert }) {
    const isNew = !this.#known.has(alert.id);
    if (alert.state !== "open") this.#known.delete(alert.id);
    else this.#known.set(alert.id, alert);
    const fresh = isNew && kind === "raised" && this.#settled;
    if (fresh) {
      if (this.#chosen !== null) this.#unread += 1;
      const both = alert.rival ? "; two entries are about as like" : "";
      say(at("announce"),
        `New alert: ${alert.category_label}, ${this.#cameras(alert.camera)}, ${time(alert.raised_at)}${both}`);
    }
    this.#draw(fresh);
  }

  #choose(id) {
    this.#chosen = id;
    if (id === null || id === this.#newest()?.id) {
      this.#chosen = null;
      this.#unread = 0;
    }
    this.#draw();
  }

  #sorted() {
    return [...this.#known.values()].sort((a, b) => Date.parse(b.raised_at) - Date.parse(a.raised_at));
  }

  #newest() {
    return this.#sorted()[0];
  }

  #draw(fresh = false) {
    const alerts = this.#sorted();
    if (this.#chosen !== null && !this.#known.has(this.#chosen)) this.#chosen = null;
    if (this.#chosen === null) this.#unread = 0;
    const shown = this.#chosen === null ? alerts[0] : this.#known.get(this.#chosen);
    if (shown) this.#card.show(shown, this.#cameras, fresh && this.#chosen === null);
    else {
      this.#card.clear();
      at("alert").replaceChildren(this.#quiet());
    }
    at("news").hidden = this.#unread === 0;
    say(at("show-newest"), this.#unread === 1 ? "Show the new alert" : `Show the newest of ${this.#unread} new alerts`);
    this.#drawList(alerts, shown);
    document.title = this.#unread ? `(${this.#unread}) Overt` : "Overt";
  }

  #quiet() {
    const words = SEES_ALERTS.includes(this.#role)
      ? ["No alerts", "They appear here by themselves, as they come."]
      : ["No alerts for this role", "Operators, engagement officers and auditors see them."];
    return make("div", { class: "quiet" }, make("strong", {}, words[0]), words[1]);
  }

  #drawList(alerts, shown) {
    at("list-nav").hidden = alerts.length < 2;
    const focused = document.activeElement?.dataset?.alert;
    at("list").replaceChildren(
      ...alerts.map((alert) =>
        make("li", {},
          make("button", {
            type: "button",
            "data-alert": alert.id,
            "aria-current": alert.id === shown?.id ? "true" : null,
            onclick: () => this.#choose(alert.id),
          },
            make("span", { class: "time" }, time(alert.raised_at)),
            make("span", {}, alert.category_label),
            make("span", { class: "from" }, `${who(alert)}, ${this.#cameras(alert.camera)}`)))));
    if (focused) at("list").querySelector(`[data-alert="${CSS.escape(focused)}"]`)?.focus();
  }
}

const who = (alert) => (alert.rival ? `${alert.subject_ref} or ${alert.rival.subject_ref}` : alert.subject_ref);

// Puts the page together: log in, choose a deployment, show it.

import { Alerts } from "/static/alerts.js";
import { at, make, say } from "/static/dom.js";
import { Room } from "/static/room.js";
import { forget, getJson, login, takeCode, whenOver } from "/static/session.js";
import { Patience } from "/static/stream.js";

const ROLES = {
  applicant: "Applicant",
  authorising_officer: "Authorising officer",
  operator: "Operator",
  engagement_officer: "Engagement officer",
  auditor: "Auditor",
  administrator: "Administrator",
};

let showing = null; // {quit, alerts} of the deployment on the page
let role = "";

const code = takeCode();

whenOver(leave);
at("logout").addEventListener("click", () => leave(""));
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = at("code").value.trim();
  at("code").value = "";
  enter(typed);
});
at("deployment").addEventListener("change", (event) => show(event.target.value));

if (code) enter(code);
else door("");

async function enter(given) {
  say(at("door-error"), "");
  try {
    role = await login(given);
  } catch (error) {
    door(error.message || "The server does not answer.");
    return;
  }
  say(at("role"), ROLES[role] ?? role);
  at("door").hidden = true;
  at("who").hidden = false;
  await choose();
}

function leave(why) {
  forget();
  stop();
  for (const id of ["place", "who"]) at(id).hidden = true;
  say(at("announce"), "");
  door(why);
}

function door(why) {
  at("door").hidden = false;
  say(at("door-error"), why);
  at("code").focus();
}

async function choose() {
  const { signal } = begin();
  const found = await persist(() => getJson("/v1/deployments", { signal }), signal);
  if (!found) return;
  const { deployments } = found;
  if (!deployments.length) {
    at("room").hidden = false;
    at("place").hidden = true;
    at("alert").replaceChildren(make("div", { class: "quiet" },
      make("strong", {}, "No deployments yet"), "An applicant creates one; then log in again."));
    return;
  }
  at("place").hidden = false;
  at("deployment").replaceChildren(
    ...deployments.map((d) => make("option", { value: d.id }, d.name)));
  const first = deployments.find((d) => d.state === "active") ?? deployments[0];
  at("deployment").value = first.id;
  await show(first.id);
}

async function show(deployment) {
  const { signal } = begin();
  const room = new Room(deployment);
  const looked = await persist(() => room.first(signal).then(() => true), signal);
  if (!looked) return;
  at("room").hidden = false;
  showing.alerts = new Alerts(deployment, role, room.name);
  room.run(signal);
  showing.alerts.run(signal, connected).catch((error) => {
    if (!signal.aborted && error.status !== 401) connected(false, error.message);
  });
}

/** What `ask` gives, as soon as it gives anything. Undefined if `signal` aborts first, as it does with the session. */
async function persist(ask, signal) {
  const patience = new Patience();
  while (!signal.aborted) {
    try {
      const answer = await ask();
      if (signal.aborted) return undefined;
      at("link").hidden = true;
      return answer;
    } catch (error) {
      if (signal.aborted) return undefined;
      // A moment's trouble does not end the session: its code has been used up.
      connected(false, error.status ? `${error.message} (trying again)` : undefined);
      await patience.pause(signal);
    }
  }
  return undefined;
}

/** Nothing of the deployment before is left on the page. */
function begin() {
  stop();
  const quit = new AbortController();
  showing = { quit, alerts: null };
  return quit;
}

function stop() {
  showing?.quit.abort();
  showing?.alerts?.close();
  showing = null;
  for (const id of ["room", "caution", "link"]) at(id).hidden = true;
  for (const id of ["state", "window", "calibration"]) say(at(id), "");
}

function connected(live, why = "connection lost, trying again") {
  at("link").hidden = false;
  at("link").dataset.live = live ? "yes" : "no";
  say(at("link"), live ? "live" : why);
}

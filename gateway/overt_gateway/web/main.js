// Puts the page together: log in, choose a deployment, show it.

import { Alerts } from "/static/alerts.js";
import { at, make, say } from "/static/dom.js";
import { Room } from "/static/room.js";
import { forget, getJson, login, takeCode, whenOver } from "/static/session.js";

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
    await login(given);
    const me = await getJson("/v1/me");
    role = me.role;
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
  for (const id of ["room", "place", "who", "caution", "link"]) at(id).hidden = true;
  say(at("announce"), "");
  door(why);
}

function door(why) {
  at("door").hidden = false;
  say(at("door-error"), why);
  at("code").focus();
}

async function choose() {
  let deployments;
  try {
    ({ deployments } = await getJson("/v1/deployments"));
  } catch (error) {
    if (error.status !== 401) leave(error.message);
    return;
  }
  at("room").hidden = false;
  if (!deployments.length) {
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
  stop();
  const quit = new AbortController();
  const room = new Room(deployment);
  showing = { quit, alerts: null };
  try {
    await room.first(quit.signal);
  } catch (error) {
    if (!quit.signal.aborted && error.status !== 401) leave(error.message);
    return;
  }
  if (quit.signal.aborted) return;
  showing.alerts = new Alerts(deployment, role, room.name);
  room.run(quit.signal);
  showing.alerts.run(quit.signal, connected).catch((error) => {
    if (!quit.signal.aborted && error.status !== 401) connected(false, error.message);
  });
}

function stop() {
  showing?.quit.abort();
  showing?.alerts?.close();
  showing = null;
}

function connected(live, why = "connection lost, trying again") {
  at("link").hidden = false;
  at("link").dataset.live = live ? "yes" : "no";
  say(at("link"), live ? "live" : why);
}

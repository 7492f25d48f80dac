// The token lives in this module's memory and nowhere else: closing or reloading the page logs out.

let token = null;
let onEnd = () => {};

export class Refused extends Error {
  constructor(status, reason, detail) {
    super(detail);
    this.status = status;
    this.reason = reason;
  }
}

/** What to do when the server no longer takes the token. */
export function whenOver(callback) {
  onEnd = callback;
}

/** Exchanges a one-time code for a session; resolves to its role, throws Refused. */
export async function login(code) {
  const answer = await fetch("/v1/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (!answer.ok) throw await refusal(answer);
  const issued = await answer.json();
  token = issued.token;
  return issued.role;
}

export function forget() {
  token = null;
}

/** A GET with the token; throws Refused. On 401 the session is over. */
export async function get(path, options = {}) {
  const answer = await fetch(path, {
    ...options,
    cache: "no-store",
    headers: { Authorization: `Bearer ${token}` },
  });
  if (answer.ok) return answer;
  const refused = await refusal(answer);
  if (refused.status === 401 && token !== null) {
    forget();
    onEnd("Your session has ended. Log in with a new code.");
  }
  throw refused;
}

export const getJson = async (path, options) => (await get(path, options)).json();

/** A code in the address's fragment. It is taken out of the address, and so out of the history, at once. */
export function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (location.hash) history.replaceState(null, "", location.pathname);
  return code;
}

async function refusal(answer) {
  try {
    const problem = await answer.json();
    return new Refused(answer.status, problem.reason, problem.detail);
  } catch {
    return new Refused(answer.status, "", `The server answered ${answer.status}.`);
  }
}

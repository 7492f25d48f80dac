// Server-sent events read with fetch(), because EventSource cannot send a token in a header.

import { get } from "/static/session.js";

const SILENCE_MS = 25_000; // the server says something every 10 s
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * Follows a stream until `signal` aborts, connecting again with growing pauses. Calls on.event(name, data) for
 * each event, on.live(true|false) when the connection comes or goes. A stream begins with the current state.
 */
export async function follow(path, { signal, event, live, before }) {
  const patience = new Patience();
  while (!signal.aborted) {
    try {
      await before();
      await readOnce(path, signal, (name, data) => {
        if (name === "open") {
          patience.restore();
          live(true);
        }
        event(name, data);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (isForGood(error)) throw error;
    }
    if (signal.aborted) return;
    live(false);
    await patience.pause(signal);
  }
}

/** Calls `look` every so often until `signal` aborts, and as `follow` does when it fails. */
export async function repeat(look, { every, signal, live }) {
  const patience = new Patience();
  while (!signal.aborted) {
    try {
      await look();
    } catch (error) {
      if (signal.aborted) return;
      if (isForGood(error)) throw error;
      live(false);
      await patience.pause(signal);
      continue;
    }
    if (signal.aborted) return;
    patience.restore();
    live(true);
    await pause(every, signal);
  }
}

/** Pauses that grow until `restore`, and differ from page to page. */
export class Patience {
  #wait = FIRST_WAIT_MS;

  restore() {
    this.#wait = FIRST_WAIT_MS;
  }

  async pause(signal) {
    await pause(this.#wait * (0.75 + Math.random() / 2), signal);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }
}

const isForGood = (error) => [401, 403, 404].includes(error.status);

async function readOnce(path, signal, event) {
  const quit = new AbortController();
  const stop = () => quit.abort();
  signal.addEventListener("abort", stop);
  let alarm = setTimeout(stop, SILENCE_MS);
  try {
    const answer = await get(path, { signal: quit.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(stop, SILENCE_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) parse(block, event);
    }
  } finally {
    clearTimeout(alarm);
    signal.removeEventListener("abort", stop);
    quit.abort();
  }
}

function parse(block, event) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  if (data.length) event(name, JSON.parse(data.join("\n")));
}

/** Resolves after a while, or as soon as `signal` aborts. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}

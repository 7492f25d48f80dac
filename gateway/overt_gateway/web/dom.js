// Elements from code, with text as text: nothing that came over the wire is ever parsed as HTML.

/** The element with this id; it is in index.html. */
export const at = (id) => document.getElementById(id);

/** make("p", {class: "help"}, "text", child): null children are left out. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only if it differs, so that a screen reader is not told the same twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const number = new Intl.NumberFormat();

export const time = (iso) => clock.format(new Date(iso));
export const count = (n) => number.format(n);

/** A moment with its day, unless that is today. */
export function moment(iso) {
  const date = new Date(iso);
  const today = new Date().toDateString() === date.toDateString();
  return today ? minutes.format(date) : `${day.format(date)}, ${minutes.format(date)}`;
}

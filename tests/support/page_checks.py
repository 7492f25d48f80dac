"""Asked of a page in a browser: what an accessibility checker would ask."""

from __future__ import annotations

CHECKS = """() => {
  const faults = [];
  const visible = (e) => e.getClientRects().length > 0;
  const text = (ids) => ids.split(" ").map((id) => document.getElementById(id)?.textContent).join(" ").trim();
  const name = (e) => (e.getAttribute("aria-label") || text(e.getAttribute("aria-labelledby") || "")
    || e.labels?.[0]?.textContent || e.getAttribute("alt") || e.textContent || "").trim();
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!document.title) faults.push("no title");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice");
  for (const image of document.images) if (!image.hasAttribute("alt")) faults.push("image without alt");
  for (const e of document.querySelectorAll("button, select, input, summary, a"))
    if (visible(e) && !name(e)) faults.push("without a name: " + e.outerHTML);
  for (const e of document.querySelectorAll("nav, aside, section"))
    if (visible(e) && !name(e)) faults.push("region without a name");
  const levels = [...document.querySelectorAll("h1, h2, h3")].filter(visible).map((e) => +e.tagName[1]);
  if (levels.filter((l) => l === 1).length !== 1) faults.push("not one h1");
  levels.forEach((l, i) => { if (i && l > levels[i - 1] + 1) faults.push("a heading level is skipped"); });
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of (e.getAttribute("aria-labelledby") || e.getAttribute("aria-describedby")).split(" "))
      if (!document.getElementById(id)) faults.push("refers to nothing: " + id);
  if (!document.querySelector("[role=alert]") || !document.querySelector("[role=status]")) faults.push("not live");
  for (const e of document.querySelectorAll("button, select")) {
    const box = e.getBoundingClientRect();
    if (visible(e) && Math.min(box.width, box.height) < 24) faults.push("too small to hit: " + name(e));
  }
  return faults;
}"""
"""The faults of its structure, in words."""

CONTRAST = """() => {
  const channels = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!text || !e.getClientRects().length || e.closest(".unseen")) continue;
    const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(e.textContent.trim().slice(0, 40));
  }
  return faint;
}"""
"""Texts with a contrast of less than 4.5 to 1."""

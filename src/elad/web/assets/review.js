// Keys, and news of a run under way. Nothing that comes from the server is made into HTML here but by htmx.
"use strict";

const typing = (element) => element.matches("input, textarea, select, [contenteditable]");

function press(key) {
  const found = document.querySelector(`[data-key="${key}"]:not([disabled])`);
  if (!found) return false;
  if (found.matches("input")) found.focus();
  else found.click();
  if (found.matches("summary") && found.parentElement.open) found.parentElement.querySelector("textarea").focus();
  return true;
}

function move(step) {
  const links = [...document.querySelectorAll("a.open")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  if (links[next]) links[next].focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const moved = (event.key === "j" && move(1)) || (event.key === "k" && move(-1));
  if (moved || ("jkareu/".includes(event.key) && press(event.key))) event.preventDefault();
});

function trouble(text) {
  document.getElementById("trouble").textContent = text;
}

function missed(event, why) {
  const what = event.detail.requestConfig.verb === "get" ? "Not up to date" : "Not saved";
  trouble(`${what}: ${why}`);
}

document.addEventListener("htmx:sendError", (event) => missed(event, "the server does not answer."));
document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  missed(event, status < 500 ? responseText.slice(0, 300) : `the server failed (${status}).`);
});
document.addEventListener("htmx:afterOnLoad", (event) => event.detail.xhr.status < 400 && trouble(""));

function follow() {
  const now = document.querySelector("[data-stream]");
  if (!now) return;
  const news = new EventSource(now.dataset.stream);
  news.onmessage = () => htmx.trigger(now, "news");
  news.onopen = () => trouble("");
  news.onerror = () => trouble("Not up to date: there is no news from the server.");
  addEventListener("pagehide", () => news.close());
}

follow();

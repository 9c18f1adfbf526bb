// What a rater sends is kept in this browser until the server has it on its disk. Without this
// script the same forms are sent by the browser itself.
"use strict";

const memory = new Map();
const kept = {
  // A browser that keeps nothing (private windows, a full disk) still sends.
  set(key, value) { memory.set(key, value); try { localStorage.setItem(key, value); } catch { /* memory has it */ } },
  remove(key) { memory.delete(key); try { localStorage.removeItem(key); } catch { /* as above */ } },
  // Of this rater alone: a browser may be shared.
  keys(rater) {
    let stored = [];
    try { stored = Object.keys(localStorage); } catch { /* as above */ }
    return [...new Set([...stored, ...memory.keys()])].filter((key) => key.startsWith(`judgement ${rater} `)).sort();
  },
  get(key) { try { return localStorage.getItem(key) ?? memory.get(key); } catch { return memory.get(key); } },
};

let busy = false;
let seen = 0; // milliseconds that this screen was visible
let since = document.hidden ? null : performance.now();
let wait = 1000;
let timer = null;

const elapsed = () => seen + (since === null ? 0 : performance.now() - since);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { seen = elapsed(); since = null; } else { since = performance.now(); }
});

function say(what) {
  const status = document.getElementById("status");
  if (status) status.textContent = what ? status.dataset[what] : "";
}

function hold(on) {
  busy = on;
  for (const button of document.querySelectorAll("button")) button.setAttribute("aria-disabled", String(on));
}

function show(text, url) {
  const next = new DOMParser().parseFromString(text, "text/html");
  document.documentElement.lang = next.documentElement.lang;
  document.title = next.title;
  document.body.replaceWith(document.adoptNode(next.body));
  history.replaceState(null, "", new URL(url).pathname);
  seen = 0;
  since = document.hidden ? null : performance.now();
  scrollTo(0, 0);
  document.querySelector("h1")?.focus();
}

function later(action) {
  say("offline");
  clearTimeout(timer);
  timer = setTimeout(action, wait);
  wait = Math.min(wait * 2, 15000);
}
addEventListener("online", () => { if (timer !== null) { wait = 1000; flush(); } });

async function send(action, body) {
  const answer = await fetch(action, { method: "POST", body: new URLSearchParams(body), signal: AbortSignal.timeout?.(20000) });
  if (answer.status === 429 || answer.status >= 500) throw new Error(answer.status);
  return { answer, text: await answer.text() };
}

// Send what is kept, the oldest first; the page that follows the last one is shown.
async function flush() {
  const keys = kept.keys(document.body.dataset.rater);
  if (!keys.length) return;
  clearTimeout(timer);
  timer = null;
  hold(true);
  let last = null;
  try {
    for (const key of keys) {
      last = await send("/judgements", kept.get(key));
      // Not taken from who has no invitation now: it is sent when there is one.
      if (last.answer.status !== 403) kept.remove(key);
    }
  } catch {
    later(flush);
    return;
  }
  wait = 1000;
  hold(false);
  show(last.text, last.answer.url);
}

function missing(form) {
  const pictures = [...document.querySelectorAll("main img")];
  const absent = pictures.filter((picture) => !(picture.complete && picture.naturalWidth));
  for (const picture of absent) if (picture.complete) picture.src = picture.src;
  return absent.length > 0;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  event.preventDefault();
  if (busy) return;
  const rates = form.hasAttribute("data-keep");
  // What was not seen is not judged.
  if (rates && missing(form)) { say("missing"); return; }
  const body = new URLSearchParams(new FormData(form, event.submitter));
  say("saving");
  if (rates) {
    body.set("seconds", (elapsed() / 1000).toFixed(2));
    kept.set(`judgement ${document.body.dataset.rater} ${Date.now()} ${body.get("submission")}`, String(body));
    flush();
    return;
  }
  hold(true);
  const action = new URL(form.action).pathname;
  const attempt = () => send(action, String(body)).then(
    ({ answer, text }) => { wait = 1000; hold(false); show(text, answer.url); },
    () => later(attempt),
  );
  attempt();
});

// A digit chooses in the question that has the focus.
document.addEventListener("keydown", (event) => {
  const question = event.target.closest?.("fieldset.question");
  if (!question || event.altKey || event.ctrlKey || event.metaKey || !/^[1-9]$/.test(event.key)) return;
  const choice = question.querySelectorAll("input[type=radio]")[Number(event.key) - 1];
  if (choice) { choice.focus(); choice.checked = true; event.preventDefault(); }
});

flush();

// Keeps the first page fresh, and says local times. Every page works without it.
"use strict";

const language = document.documentElement.lang;

document.addEventListener("pointerover", (event) => {
  const time = event.target.closest("time");
  if (time && !time.title) {
    time.title = new Date(time.dateTime).toLocaleString(language, { timeZoneName: "short" });
  }
});

// A form that has been sent says so; its button keeps its value until the form has been read.
document.addEventListener("submit", (event) => event.submitter?.setAttribute("aria-busy", "true"));
addEventListener("pageshow", () =>
  document.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy")));

const live = document.querySelector("[data-live]");
if (live) keepFresh(live);

// The stream only rings; what is shown is made on the server and asked for, at most once a second. When it rings too
// often it is hung up, and the page looks once a second until it is quieter.
function keepFresh(live) {
  const ROWS = 200, EVERY = 1000, ANYWAY = 10000, FLOOD = 300, QUIET = 50;
  const status = document.getElementById("status");
  const button = document.getElementById("pause");
  let stream = null, timer = null, looked = 0, rings = 0, paused = false, flooded = false, looking = false;

  function say(what) {
    if (status.dataset.is === what) return;
    status.dataset.is = what;
    status.textContent = status.dataset[what];
    status.className = "dot " + { on: "good", lost: "bad", flood: "warn", paused: "soft" }[what];
  }

  function soon(wait) {
    if (paused || document.hidden || looking) return;
    const left = Math.max(wait, looked + EVERY - Date.now(), 0);
    clearTimeout(timer);
    timer = setTimeout(look, left);
  }

  async function look() {
    looking = true;
    looked = Date.now();
    const heard = rings;
    let came = 0;
    try {
      const place = new URL(location.href);
      place.searchParams.set("after", live.dataset.newest);
      const answer = await fetch(place, { headers: { accept: "text/html" } });
      if (answer.status === 401) return location.reload();
      if (answer.ok) came = take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      say("lost");
    }
    looking = false;
    rings -= heard;
    if (flooded && came < QUIET) {
      flooded = false;
      listen();
    } else if (!flooded && stream?.readyState === EventSource.CLOSED) {
      listen();
    }
    soon(flooded || rings > 0 ? EVERY : ANYWAY);
  }

  function take(page) {
    const fresh = page.querySelector("[data-live]");
    // Another run has other numbers; and the page of the very first callback looks different.
    if (!fresh || fresh.dataset.run !== live.dataset.run || fresh.dataset.live !== live.dataset.live) {
      location.reload();
      return 0;
    }
    for (const part of page.querySelectorAll("[data-part]")) {
      const old = document.getElementById(part.id);
      if (!old || old.contains(document.activeElement)) continue;
      const open = [...old.querySelectorAll("details")].map((details) => details.open);
      part.querySelectorAll("details").forEach((details, at) => (details.open = open[at]));
      old.replaceWith(part);
    }
    const rows = [...fresh.querySelectorAll("tbody > tr")];
    const list = live.querySelector("tbody");
    if (rows.length) {
      rows.forEach((row) => row.classList.add("fresh"));
      list.prepend(...rows);
      [...list.children].slice(ROWS).forEach((row) => row.remove());
      live.dataset.newest = fresh.dataset.newest;
      live.hidden = false;
      document.getElementById("none")?.remove();
    }
    return rows.length;
  }

  function listen() {
    stream?.close();
    stream = null;
    if (paused || flooded || document.hidden) return;
    stream = new EventSource(live.dataset.stream);
    stream.onopen = () => {
      say("on");
      soon(0);
    };
    stream.onerror = () => {
      say("lost");
      // Refused (503 when there are too many): look now and then all the same, and knock again then.
      soon(ANYWAY);
    };
    const ring = () => {
      rings += 1;
      if (rings > FLOOD) {
        flooded = true;
        say("flood");
        listen();
      }
      soon(0);
    };
    stream.addEventListener("callback", ring);
    stream.addEventListener("skipped", ring);
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? button.dataset.on : button.dataset.off;
    if (paused) {
      clearTimeout(timer);
      say("paused");
    }
    flooded = false;
    listen();
  });
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
  soon(ANYWAY);
}

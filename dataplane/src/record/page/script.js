(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const audio = byId("audio"), play = byId("play"), timeline = byId("timeline"), cursor = byId("cursor");
  const clock = byId("clock"), scope = byId("scope");
  const totalMs = Number(timeline.dataset.totalMs), offsetMs = Number(timeline.dataset.offsetMs);
  const lines = [...document.querySelectorAll("#talk .say")];
  let atMs = 0, wanted = null;

  const show = (ms) => {
    const tenths = Math.floor(ms / 100);
    const pad = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(tenths / 36000), minutes = Math.floor(tenths / 600) % 60;
    const rest = pad(Math.floor(tenths / 10) % 60) + "." + (tenths % 10);
    return hours ? hours + ":" + pad(minutes) + ":" + rest : minutes + ":" + rest;
  };

  const draw = (ms) => {
    atMs = Math.min(Math.max(ms, 0), totalMs);
    const x = (atMs * 100) / totalMs + "%";
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    clock.textContent = show(atMs);
    timeline.setAttribute("aria-valuenow", Math.round(atMs));
    timeline.setAttribute("aria-valuetext", show(atMs));
    const begun = lines.filter((line) => Number(line.dataset.atMs) <= atMs + 1);
    const now = atMs > 0 ? begun[begun.length - 1] : undefined;
    for (const line of lines) line.classList.toggle("now", line === now);
  };

  const seek = (ms) => {
    draw(ms);
    if (!audio) return;
    const seconds = Math.max(0, (atMs - offsetMs) / 1000);
    if (audio.readyState > 0) audio.currentTime = seconds;
    else wanted = seconds;
  };

  const keepInSight = () => {
    if (scope.scrollWidth <= scope.clientWidth) return;
    const x = (atMs / totalMs) * scope.scrollWidth;
    if (x < scope.scrollLeft || x > scope.scrollLeft + scope.clientWidth * 0.9) {
      scope.scrollLeft = x - scope.clientWidth * 0.15;
    }
  };

  const follow = () => {
    draw(audio.currentTime * 1000 + offsetMs);
    keepInSight();
    if (!audio.paused) requestAnimationFrame(follow);
  };

  if (audio) {
    const gone = () => {
      play.disabled = true;
      byId("notice").textContent = "The recording is not beside this page.";
    };
    const turn = () => {
      if (!audio.paused) audio.pause();
      else audio.play().catch(gone);
    };
    play.addEventListener("click", turn);
    audio.addEventListener("error", gone);
    if (audio.error) gone();
    audio.addEventListener("loadedmetadata", () => {
      if (wanted !== null) audio.currentTime = wanted;
      wanted = null;
    });
    const state = () => {
      play.classList.toggle("on", !audio.paused);
      play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    };
    audio.addEventListener("play", () => { state(); follow(); });
    audio.addEventListener("pause", state);
    audio.addEventListener("ended", state);
    document.addEventListener("keydown", (event) => {
      const button = event.target instanceof Element && event.target.closest("button, a");
      if (event.key === " " && !button && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        turn();
      }
    });
  }

  const pointed = (event) => {
    const box = timeline.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * totalMs;
  };
  timeline.addEventListener("click", (event) => seek(pointed(event)));
  timeline.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1000, ArrowRight: 1000, PageUp: -10000, PageDown: 10000 }[event.key];
    if (step) seek(atMs + step);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(totalMs);
    else return;
    event.preventDefault();
    keepInSight();
  });
  for (const button of document.querySelectorAll("[data-seek-ms]")) {
    button.addEventListener("click", () => { seek(Number(button.dataset.seekMs)); keepInSight(); });
  }

  const when = byId("when");
  const local = new Date(when.dateTime);
  if (!Number.isNaN(local.getTime())) when.title = local.toLocaleString();
})();

// Event Log: live refresh with a Pause button, and the dates of a custom timeframe.
"use strict";

(() => {
  const button = document.getElementById("log-live");
  const state = document.getElementById("log-live-state");
  const results = document.getElementById("log-results");
  const isOn = () => button.getAttribute("aria-pressed") === "true";
  const say = (what) => { if (state.textContent !== state.dataset[what]) state.textContent = state.dataset[what]; };

  if (button) {
    button.title = "Pause";
    button.addEventListener("click", () => {
      const on = !isOn();
      button.setAttribute("aria-pressed", on);
      button.title = on ? "Pause" : "Resume";
      say(on ? "on" : "paused");
    });

    document.addEventListener("htmx:beforeRequest", (event) => {
      if (event.target.id === "log-poll" && (!isOn() || document.hidden)) event.preventDefault();
    });
    document.addEventListener("htmx:afterRequest", (event) => {
      if (event.target.id === "log-poll" && isOn()) say(event.detail.successful ? "on" : "trouble");
    });

    // Keeps the horizontal scroll position of the table when it is replaced.
    let left = 0;
    document.addEventListener("htmx:beforeSwap", (event) => {
      if (event.detail.target !== results) return;
      if (!isOn()) event.detail.shouldSwap = false;  // paused during the request
      left = results.querySelector(".log-table-box")?.scrollLeft ?? 0;
    });
    document.addEventListener("htmx:afterSwap", (event) => {
      const box = event.target === results && results.querySelector(".log-table-box");
      if (box) box.scrollLeft = left;
    });
  }

  // The dates are shown and sent only for a custom timeframe.
  const timeframe = document.getElementById("id_timeframe");
  const dates = document.querySelectorAll("[data-custom-dates]");
  const showDates = () => {
    for (const field of dates) {
      const input = field.querySelector("input");
      const used = timeframe.value === "custom" || (timeframe.value === "" && input.value !== "") ||
        field.classList.contains("errors");
      field.classList.toggle("log-unused", !used);
      input.disabled = !used;
    }
  };
  if (timeframe) {
    timeframe.addEventListener("change", showDates);
    showDates();
  }
})();

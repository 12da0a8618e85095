// Loaded on every page. What is here must work without inline scripts.
"use strict";

// The server shows times in this zone (console/time_zone.py).
document.cookie =
  "timezone=" + Intl.DateTimeFormat().resolvedOptions().timeZone + ";path=/;max-age=31536000;samesite=lax";

// No style sheet of its own in the page, no evaluated attributes, no requests to elsewhere.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
htmx.config.selfRequestsOnly = true;

// What changes something carries Django's token.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (token) event.detail.headers["X-CSRFToken"] = token[1];
});

// <button data-copy="text">: copies the text and says so.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const words = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = words; }, 1500);
});

// A form that was sent waits for its answer: a second click does nothing. That nothing is done twice
// is the server's business (console/forms/once.py).
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
// A form that stays on the page when its answer comes is another form from then on.
document.addEventListener("htmx:afterRequest", (event) => {
  const once = event.target.querySelector?.("input[name=once]");
  if (!once || !event.detail.successful) return;
  once.value = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))));
});
// Back again, by the browser's button: it may be sent anew.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; });
});

// Who was signed out meanwhile is led to the login, not shown it inside of a panel.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.xhr.responseURL.includes("/login/")) return;
  event.detail.shouldSwap = false;
  location.reload();
});

// Loaded on every page. The Content-Security-Policy allows no inline scripts.
"use strict";

// Tells the server the time zone to show times in (console/time_zone.py).
document.cookie =
  "timezone=" + Intl.DateTimeFormat().resolvedOptions().timeZone + ";path=/;max-age=31536000;samesite=lax";

// htmx: no inline style sheet, no evaluated attributes, no requests to other hosts.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
htmx.config.selfRequestsOnly = true;

// Sends Django's CSRF token with each htmx request.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (token) event.detail.headers["X-CSRFToken"] = token[1];
});

// <button data-copy="text"> copies the text and confirms it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const words = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = words; }, 1500);
});

// Ignores a second click while a form waits for its response. The server makes sure that nothing is
// done twice (console/forms/once.py).
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
// A form that stays on the page after its response gets a new value: it may act again.
document.addEventListener("htmx:afterRequest", (event) => {
  const once = event.target.querySelector?.("input[name=once]");
  if (!once || !event.detail.successful) return;
  once.value = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))));
});
// After the browser's Back button, the form may be sent again.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; });
});

// Reloads the page if the user was signed out, rather than showing the login page in a panel.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.xhr.responseURL.includes("/login/")) return;
  event.detail.shouldSwap = false;
  location.reload();
});

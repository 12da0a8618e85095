// Settings > Integrations > Webhook. Without JavaScript, every field is visible and works.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-replace]").forEach(foldSecret);
  document.querySelectorAll("[data-generate]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => generate(button));
  });
  document.querySelectorAll("[data-copy-of]").forEach((button) => {
    button.addEventListener("click", () => copy(button));
  });
  watchUrl();
  // Focuses the first field with an error.
  const refused = document.querySelector(".webhook-form [aria-invalid=true]");
  if (refused) refused.focus();
});

// Hides the input of a saved secret behind a Replace button.
function foldSecret(field) {
  field.classList.add("replaceable");
  const button = field.querySelector("[data-replace-button]");
  button.hidden = false;
  button.addEventListener("click", () => {
    openSecret(field);
    field.querySelector("input").focus();
  });
}

function openSecret(field) {
  field.classList.remove("replaceable");
  field.querySelector("[data-replace-button]").hidden = true;
}

// Fills in a secret of 32 random bytes and shows it for copying. It is saved with the form.
function generate(button) {
  const input = document.getElementById(button.dataset.generate);
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  input.type = "text";
  input.value = "whsec_" + btoa(String.fromCharCode(...bytes));
  const field = input.closest(".field");
  field.querySelector("[data-copy-of]").hidden = false;
  field.querySelector(".generated").textContent =
    "Copy it to the receiver now: it is not shown again after you save.";
  input.select();
}

async function copy(button) {
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copyOf).value);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// Another host needs another key: opens its field as soon as the URL has another origin.
function watchUrl() {
  const form = document.querySelector("[data-saved-url]");
  const url = document.getElementById("id_url");
  if (!form || !url) return;
  const key = document.getElementById("id_api_key").closest(".field");
  url.addEventListener("input", () => {
    if (origin(url.value) === origin(form.dataset.savedUrl) || !key.matches(".replaceable")) return;
    openSecret(key);
    key.querySelector(".secret-keep").textContent = "The saved key is not sent to another host.";
  });
}

function origin(url) {
  return URL.canParse(url) ? new URL(url).origin : "";
}

// The request for a test push failed.
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.target?.id !== "test-result") return;
    const answer = event.detail.xhr.status;
    event.detail.target.textContent = answer
      ? `The test push was not queued: the console returned status ${answer}. Reload the page.`
      : "The test push was not queued: the console is unreachable.";
  });
}

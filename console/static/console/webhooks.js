// Settings > Integrations > Webhook. Without it, every field is there and works.
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
  // A field that was refused is where to go on.
  const refused = document.querySelector(".webhook-form [aria-invalid=true]");
  if (refused) refused.focus();
});

// A saved secret shows its end and a button; the input comes with the button.
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

// 32 random bytes, made here: shown for copying, and saved with the form.
function generate(button) {
  const input = document.getElementById(button.dataset.generate);
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  input.type = "text";
  input.value = "whsec_" + btoa(String.fromCharCode(...bytes));
  const field = input.closest(".field");
  field.querySelector("[data-copy-of]").hidden = false;
  field.querySelector(".generated").textContent =
    "Copy it to the receiver now: once it is saved it is not shown again.";
  input.select();
}

async function copy(button) {
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copyOf).value);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// Another host needs another key: its field opens while the URL is being typed.
function watchUrl() {
  const form = document.querySelector("[data-saved-url]");
  const url = document.getElementById("id_url");
  if (!form || !url) return;
  const key = document.getElementById("id_api_key").closest(".field");
  url.addEventListener("input", () => {
    if (origin(url.value) === origin(form.dataset.savedUrl) || !key.matches(".replaceable")) return;
    openSecret(key);
    key.querySelector(".secret-keep").textContent = "The saved key does not follow to another host.";
  });
}

function origin(url) {
  return URL.canParse(url) ? new URL(url).origin : "";
}

// A test push that could not even be asked for.
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.target?.id !== "test-result") return;
    const answer = event.detail.xhr.status;
    event.detail.target.textContent = answer
      ? `The test push was not queued: the console answered ${answer}. Load the page again.`
      : "The test push was not queued: the console cannot be reached.";
  });
}

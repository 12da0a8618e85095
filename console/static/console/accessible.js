// What Unfold's pages leave to the mouse or to the eye, for the keyboard and for screen readers.
"use strict";

// What Unfold makes clickable without making it a button: its name, and what it opens or is.
const CONTROLS = [
  { on: "sidebarDesktopOpen = ", name: "Menu", expanded: "sidebarDesktopOpen" },
  { on: "sidebarMobileOpen = ", name: "Menu", expanded: "sidebarMobileOpen" },
  { on: "openTheme = !", name: "Theme", expanded: "openTheme" },
  { on: "openTabsDropdown = !", name: "More tabs", expanded: "openTabsDropdown" },
  { on: "filterOpen = true", expanded: "filterOpen" },
  { on: "rowOpen = !", name: "More of this row", expanded: "rowOpen" },
  ...["light", "dark", "auto"].flatMap((theme) => [
    { on: `switchTheme('${theme}')`, pressed: `adminTheme == '${theme}'` },
    { on: `adminTheme = '${theme}'`, pressed: `adminTheme == '${theme}'` },
  ]),
];
const NAMES = {
  searchbar: "Search",
  "searchbar-submit": "Search",
  "search-input-command": "Search the console",
  "command-submit": "Search",
};

// Before Alpine reads the page: what is bound here is kept up to date by it.
document.addEventListener("alpine:init", () => {
  for (const { on, name, expanded, pressed } of CONTROLS) {
    const found = document.querySelectorAll(`[x-on\\:click^="${on}"]:not(button, a[href])`);
    for (const control of found) {
      control.tabIndex = 0;
      control.setAttribute("role", "button");
      if (name) control.setAttribute("aria-label", name);
      if (expanded) control.setAttribute("x-bind:aria-expanded", `${expanded} ? 'true' : 'false'`);
      if (pressed) control.setAttribute("x-bind:aria-pressed", `${pressed} ? 'true' : 'false'`);
    }
  }
  for (const [id, name] of Object.entries(NAMES)) {
    document.getElementById(id)?.setAttribute("aria-label", name);
  }
  document.getElementById("main")?.setAttribute("role", "main");
  document.getElementById("content")?.setAttribute("tabindex", "-1");
  for (const note of document.querySelectorAll(".errornote")) note.setAttribute("role", "alert");
  hideIcons(document);
  // The picture beside the product's name is the same link again.
  const picture = document.querySelector("#nav-sidebar-inner > div:first-child a:not(#site-name a)");
  picture?.setAttribute("aria-hidden", "true");
  picture?.setAttribute("tabindex", "-1");
});
document.addEventListener("htmx:load", (event) => hideIcons(event.target));

// Where the cursor is to be at first: the page was hidden when the browser looked for it.
document.addEventListener("alpine:initialized", () => {
  setTimeout(() => {  // Alpine uncovers the page after it has said that it is ready
    if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
  });
});

// An icon is a word in a font of pictures: nobody wants it read out.
function hideIcons(within) {
  for (const icon of within.querySelectorAll(".material-symbols-outlined:not([role])")) {
    icon.setAttribute("aria-hidden", "true");
  }
}

// Enter and Space press them, as they press a button.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  if (!event.target.matches("[role=button]:not(button, a[href])")) return;
  event.preventDefault();
  event.target.click();
});

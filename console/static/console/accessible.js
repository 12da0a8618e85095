// Makes Unfold's mouse-only controls work with the keyboard and with screen readers.
"use strict";

// Unfold's clickable elements that are no buttons: the start of their click handler, their name, and
// the Alpine state that tells whether they are expanded or pressed.
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

// Runs before Alpine reads the page, so that Alpine keeps these bindings up to date.
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
  // The picture next to the product's name repeats the same link.
  const picture = document.querySelector("#nav-sidebar-inner > div:first-child a:not(#site-name a)");
  picture?.setAttribute("aria-hidden", "true");
  picture?.setAttribute("tabindex", "-1");
});
document.addEventListener("htmx:load", (event) => hideIcons(event.target));

// Sets the initial focus: the page was still hidden when the browser tried to.
document.addEventListener("alpine:initialized", () => {
  setTimeout(() => {  // Alpine shows the page only after this event
    if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
  });
});

// Icons are words in a font of pictures. Screen readers should skip them.
function hideIcons(within) {
  for (const icon of within.querySelectorAll(".material-symbols-outlined:not([role])")) {
    icon.setAttribute("aria-hidden", "true");
  }
}

// Enter and Space click these controls, as they click a button.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  if (!event.target.matches("[role=button]:not(button, a[href])")) return;
  event.preventDefault();
  event.target.click();
});

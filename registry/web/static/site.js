// Keys and small screens, for all pages.
"use strict";

(() => {
  // Left and right, or p and n: to the page before and the next one, wherever the page has such links.
  const RELATIONS = { ArrowLeft: "prev", p: "prev", ArrowRight: "next", n: "next" };

  document.addEventListener("keydown", (event) => {
    const relation = RELATIONS[event.key];
    const isTyping = event.target.closest("input, select, textarea, [contenteditable], [data-keys], .scroll");
    if (!relation || isTyping || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    const link = document.querySelector(`main a[rel="${relation}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });

  // A new page begins with its heading, for those who do not see it change.
  document.addEventListener("htmx:pushedIntoHistory", () => {
    const main = document.getElementById("main");
    if (main && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
  });

  // On a narrow screen the options would push the pictures out of sight.
  const fold = () => {
    const facets = document.getElementById("facets");
    if (facets && window.matchMedia("(max-width: 50rem)").matches) facets.open = false;
  };
  document.addEventListener("DOMContentLoaded", fold);
  document.addEventListener("htmx:afterSettle", fold);
})();

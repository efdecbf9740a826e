// Pictures of the pages. Listeners are on the document: htmx swaps pages without loading this file again.
(() => {
  "use strict";

  // A photo that is missing or damaged: the annotation stays on its canvas, and the server says why.
  function explain(image) {
    const frame = image.closest(".frame");
    if (!frame || frame.classList.contains("no-photo")) return;
    frame.classList.add("no-photo");
    const note = document.createElement("span");
    note.className = "why";
    note.textContent = "No photo";
    frame.append(note);
    fetch(image.currentSrc || image.src)
      .then((answer) => (answer.ok ? "The photo cannot be shown." : answer.text()))
      .then((text) => { note.textContent = text.trim().slice(0, 200) || "No photo"; })
      .catch(() => {});
  }

  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) explain(event.target);
  }, true);

  function check(root) {
    for (const image of root.querySelectorAll(".frame img")) {
      if (image.complete && image.naturalWidth === 0) explain(image);
    }
  }
  document.addEventListener("htmx:load", (event) => check(event.target));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => check(document));
  else check(document);
})();

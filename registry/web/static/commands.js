// Copies the text of a command; where the browser gives no clipboard, the text is selected for Ctrl+C.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  const status = button.closest(".commands").querySelector("[data-copied]");
  try {
    await navigator.clipboard.writeText(text.textContent);
    status.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(text);
    status.textContent = "The text is selected: Ctrl+C copies it.";
  }
});

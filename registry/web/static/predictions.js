"use strict";
// The slider hides the predictions below its score while it moves; once it rests, the page of that score is loaded.
(() => {
  if (window.df2Predictions) return;
  window.df2Predictions = true;
  const isSlider = (element) => element instanceof HTMLInputElement && element.type === "range" && element.closest(".threshold");
  function show(slider) {
    const least = Number(slider.value);
    const form = slider.closest(".threshold");
    form.querySelector("output").value = least.toFixed(2);
    let shown = 0, wrong = 0;
    for (const element of document.querySelectorAll("[data-score]")) {
      const isBelow = Number(element.dataset.score) < least;
      element.classList.toggle("below", isBelow);
      if (!isBelow && element.dataset.kind) {
        shown += 1;
        if (!["correct", "ignored"].includes(element.dataset.kind)) wrong += 1;
      }
    }
    form.querySelector("[data-shown]").textContent = `${shown} predictions in these pictures, ${wrong} wrong`;
  }
  document.addEventListener("input", (event) => { if (isSlider(event.target)) show(event.target); });
  document.addEventListener("change", (event) => { if (isSlider(event.target)) event.target.form.requestSubmit(); });
})();
